/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* More lent bytes than Content-Length allows: the borrow is the host's all the same. */
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
    start(request, "2");
    report(request, "write_owned", host->write_owned(request, (const uint8_t *)"okay", 4, release, NULL, 0));
    host->finish(request, GW_OK);
    return GW_OK;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
