/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* load() says that it will never work. */
#include "skeleton.h"

static gw_status fail(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    (void)spec, (void)app;
    snprintf(error, capacity, "the flux is missing; install it");
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->load = fail;
}
