/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NUL in a value. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    gw_field headers[1] = {{text("X-A"), {(const uint8_t *)"1\0" "2", 3}}};
    report(request, "start", host->start(request, 200, text(""), headers, 1));
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
