/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Less than Content-Length, and nothing has left: the client gets an error. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "5");
    write_text(request, "okay");
    report(request, "finish", host->finish(request, GW_OK));
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
