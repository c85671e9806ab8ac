/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The smallest engine: a handler in C with include/gangway.h alone. Build it with
 *     cc -shared -fPIC -I include -o hello.so tests/engines/good/hello.c
 * native.c beside it shows everything else, async.c a handler that answers later.
 */
#include <gangway.h>

#include <string.h>

static const gw_host *host;

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
    static const char body[] = "Hello from C\n";
    gw_field headers[1] = {{text("Content-Type"), text("text/plain")}};
    gw_status status;

    (void)app, (void)head;
    status = host->start(request, 200, text(""), headers, 1);
    if (status == GW_OK) {
        status = host->write(request, (const uint8_t *)body, sizeof body - 1, 0);
    }
    host->finish(request, status == GW_OK ? GW_OK : GW_ERROR);
    return GW_OK;
}

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "hello",
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
    host = table;
    return &engine;
}
