/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Only engines with GW_ENGINE_ASYNC may answer later. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    return GW_AGAIN;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
