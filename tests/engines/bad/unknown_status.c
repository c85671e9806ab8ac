/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* handle() returns a number that means nothing. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    (void)request;
    return 42;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
