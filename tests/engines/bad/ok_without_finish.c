/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* handle() says that it is done, and is not. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    write_text(request, "never seen");
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
