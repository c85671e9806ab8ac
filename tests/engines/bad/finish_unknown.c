/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* finish() with a number that means nothing is a failure. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    report(request, "finish", host->finish(request, 17));
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
