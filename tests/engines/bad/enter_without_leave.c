/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* enter and leave come together. */
#include "skeleton.h"

static void run_begins_or_ends(gw_app *app)
{
    (void)app;
}

static void spoil(gw_engine *engine)
{
    engine->enter = run_begins_or_ends;
}
