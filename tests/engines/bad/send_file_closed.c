/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A descriptor that is not open. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    report(request, "send_file", host->send_file(request, -1, 0, 5, 0));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
