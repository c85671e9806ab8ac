/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes that are not there. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    report(request, "write", host->write(request, NULL, 5, 0));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
