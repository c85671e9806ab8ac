/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* No name, which is required. */
#include "skeleton.h"

static void spoil(gw_engine *engine)
{
    engine->name = NULL;
}
