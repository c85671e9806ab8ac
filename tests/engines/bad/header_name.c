/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A name that is not a token. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    gw_field headers[1] = {{text("X-A: 1\r\nX-Forged"), text("yes")}};
    report(request, "start", host->start(request, 200, text(""), headers, 1));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
