/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who states that it has handlers of phases runs phases. */
#include "skeleton.h"

static const gw_interface stated = {
    .struct_size = sizeof stated,
    .name = "handlers",
    .target_form = "ANYTHING",
    .target = GW_TARGET_TEXT,
};
static const gw_interface *const interfaces[] = {&stated};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 1;
}
