/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An interface whose name is no word of a configuration. */
#include "skeleton.h"

static const gw_interface interface = {
    .struct_size = sizeof interface,
    .name = "Bad-Name",
    .target_form = "anything",
};
static const gw_interface *const interfaces[] = {&interface};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 1;
}
