/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* fork_prepare, fork_parent and fork_child come together. */
#include "skeleton.h"

static gw_status child(void)
{
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->fork_child = child;
}
