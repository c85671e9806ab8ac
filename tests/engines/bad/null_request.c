/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls without a request. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    report(request, "flush", host->flush(NULL, 0));
    report(request, "cancelled", host->cancelled(NULL));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
