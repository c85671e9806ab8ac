/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One head per request; the first one counts. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    report(request, "start", host->start(request, 404, text(""), NULL, 0));
    host->finish(request, GW_OK);
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
