/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Not a status. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    report(request, "start", host->start(request, 600, text(""), NULL, 0));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
