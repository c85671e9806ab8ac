/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The static program. */
#include <unistd.h>

int main(void) {
    static const char answer[] = "Content-Type: text/plain\r\n\r\nhello\n";
    return write(1, answer, sizeof answer - 1) != sizeof answer - 1;
}
