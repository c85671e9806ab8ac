/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Needs a function that nobody has. */
#include "skeleton.h"

void gangway_function_that_nobody_has(void);

static void spoil(gw_engine *engine)
{
    (void)engine;
    gangway_function_that_nobody_has();
}
