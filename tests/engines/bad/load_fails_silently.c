/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* load() fails and gives no reason. */
#include "skeleton.h"

static gw_status fail(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    (void)spec, (void)app;
    (void)error, (void)capacity;
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->load = fail;
}
