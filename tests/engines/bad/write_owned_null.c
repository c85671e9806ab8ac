/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lent bytes that are not there: the borrow stays with the engine. */
#include "skeleton.h"

static int released;

static void release(void *context)
{
    (void)context;
    released++;
}

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "");
    report(request, "write_owned", host->write_owned(request, NULL, 5, release, NULL, 0));
    report(request, "release", released);
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
