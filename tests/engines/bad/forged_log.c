/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A log line that looks like several. */
#include "skeleton.h"

static gw_status break_rule(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    static const char line[] = "one\r\n2026/01/01 [emerg] two\033[31m";
    host->log(request, GW_LOG_WARN, (const uint8_t *)line, sizeof line - 1);
    return GW_ERROR;
}

static void spoil(gw_engine *engine)
{
    engine->handle = break_rule;
}
