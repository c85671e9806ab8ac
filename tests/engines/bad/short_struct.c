/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A table that ends before its last required member. */
#include "skeleton.h"

static void spoil(gw_engine *engine)
{
    engine->struct_size = offsetof(gw_engine, unload);
}
