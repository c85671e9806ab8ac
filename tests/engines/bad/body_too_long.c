/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* More than Content-Length: what it allows is sent. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "2");
    report(request, "write", write_text(request, "okay"));
    host->finish(request, GW_OK);
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
