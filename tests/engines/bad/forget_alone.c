/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* run_phase and forget come together. */
#include "skeleton.h"

static void forget(void *state)
{
    (void)state;
}

static void spoil(gw_engine *engine)
{
    engine->forget = forget;
}
