/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Answers how often its entry point has been called.
 */
#include <gangway.h>

#include <string.h>

static const gw_host *host;
static int entries;

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

static gw_status load(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    (void)spec, (void)error, (void)capacity;
    *app = NULL; /* nothing to remember */
    return GW_OK;
}

static void unload(gw_app *app)
{
    (void)app;
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    char body = (char)('0' + entries);
    gw_field headers[1] = {{text("Content-Type"), text("text/plain")}};
    gw_status status;

    (void)app, (void)head;
    status = host->start(request, 200, text(""), headers, 1);
    if (status == GW_OK) {
        status = host->write(request, (const uint8_t *)&body, 1, 0);
    }
    host->finish(request, status == GW_OK ? GW_OK : GW_ERROR);
    return GW_OK;
}

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "once",
    .load = load,
    .handle = handle,
    .unload = unload,
};

const gw_engine *gw_engine_entry(const gw_host *table);

const gw_engine *gw_engine_entry(const gw_host *table)
{
    if (table->abi_major != GW_ABI_MAJOR) {
        return NULL;
    }
    entries++;
    host = table;
    return &engine;
}
