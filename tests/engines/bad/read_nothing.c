/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A buffer without room. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    uint8_t byte;
    size_t length;
    report(request, "read_body", host->read_body(request, &byte, 0, 0, &length));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
