/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A target of two parts without a word for the second. */
#include "skeleton.h"

static const gw_interface interface = {
    .struct_size = sizeof interface,
    .name = "bad",
    .target_form = "PLACE:MEMBER",
    .target = GW_TARGET_MEMBER,
};
static const gw_interface *const interfaces[] = {&interface};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 1;
}
