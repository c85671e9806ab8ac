/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A body after the end. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    host->finish(request, GW_OK);
    report(request, "write", write_text(request, "late"));
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
