/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Interim responses are the server's. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    report(request, "start", host->start(request, 100, text(""), NULL, 0));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
