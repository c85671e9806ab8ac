/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A kind of target that this version does not have. */
#include "skeleton.h"

static const gw_interface interface = {
    .struct_size = sizeof interface,
    .name = "bad",
    .target_form = "anything",
    .target = 99,
};
static const gw_interface *const interfaces[] = {&interface};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 1;
}
