/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A reason phrase that points nowhere. */
#include "skeleton.h"

static gw_bytes nothing(size_t length)
{
    gw_bytes bytes = {NULL, length};
    return bytes;
}

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    report(request, "start", host->start(request, 200, nothing(2), NULL, 0));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
