/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The request body is not there after the end. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    uint8_t buffer[8];
    size_t length;
    start(request, "");
    host->finish(request, GW_OK);
    report(request, "read_body", host->read_body(request, buffer, sizeof buffer, 0, &length));
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
