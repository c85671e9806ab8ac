/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Built for another major version. */
#include "skeleton.h"

static void spoil(gw_engine *engine)
{
    engine->abi_major = GW_ABI_MAJOR + 1;
}
