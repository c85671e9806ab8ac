/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One interface twice. */
#include "skeleton.h"

static const gw_interface interface = {
    .struct_size = sizeof interface,
    .name = "bad",
    .target_form = "anything",
};
static const gw_interface *const interfaces[] = {&interface, &interface};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 2;
}
