/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* load() fills the whole buffer for its reason, without NUL and with line ends. */
#include "skeleton.h"

static gw_status fail(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    (void)spec, (void)app;
    memset(error, 'x', capacity);
    memcpy(error, "a\nb", 3);
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->load = fail;
}
