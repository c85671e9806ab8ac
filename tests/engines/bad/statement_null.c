/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A list of interfaces that is NULL and has a length. */
#include "skeleton.h"

static void spoil(gw_engine *engine)
{
    engine->interface_count = 1;
}
