/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* No load, which is required. */
#include "skeleton.h"

static void spoil(gw_engine *engine)
{
    engine->load = NULL;
}
