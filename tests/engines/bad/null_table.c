/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Refuses to work with this host. */
#include <gangway.h>

const gw_engine *gw_engine_entry(const gw_host *host);

const gw_engine *gw_engine_entry(const gw_host *host)
{
    static const char why[] = "null_table needs a host of version 9";
    host->log(NULL, GW_LOG_ERROR, (const uint8_t *)why, sizeof why - 1);
    return NULL;
}
