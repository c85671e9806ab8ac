/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* handle() fails after finish(): the response is complete and stays so. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "2");
    write_text(request, "ok");
    host->finish(request, GW_OK);
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
