/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A shared object that is not an engine. */
int gangway_is_not_here(void);

int gangway_is_not_here(void)
{
    return 0;
}
