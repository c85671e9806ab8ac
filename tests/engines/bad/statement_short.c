/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An option that ends before its last member. */
#include "skeleton.h"

static const gw_option option = {.struct_size = offsetof(gw_option, help), .name = "level"};
static const gw_option *const options[] = {&option};
static const gw_interface interface = {
    .struct_size = sizeof interface,
    .name = "bad",
    .target_form = "anything",
    .options = options,
    .option_count = 1,
};
static const gw_interface *const interfaces[] = {&interface};

static void spoil(gw_engine *engine)
{
    engine->interfaces = interfaces;
    engine->interface_count = 1;
}
