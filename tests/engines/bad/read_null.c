/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nowhere to copy the request body to. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    size_t length;
    report(request, "read_body", host->read_body(request, NULL, 5, 0, &length));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
