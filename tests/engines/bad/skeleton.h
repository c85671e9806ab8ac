/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the broken engines share: a table that is right. Each of them spoils one thing in it.
 */
#include <gangway.h>

#include <stdio.h>
#include <string.h>

static const gw_host *host;

/* The one thing that is wrong with this engine. */
static void spoil(gw_engine *engine);

static inline gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

/* Tells the test what the host answered. */
static inline void report(gw_request *request, const char *call, gw_status status)
{
    char line[100];
    int length = snprintf(line, sizeof line, "%s answered %d", call, (int)status);
    host->log(request, GW_LOG_INFO, (const uint8_t *)line, (size_t)length);
}

static inline gw_status start(gw_request *request, const char *content_length)
{
    gw_field headers[1] = {{text("Content-Length"), text(content_length)}};
    return host->start(request, 200, text(""), headers, *content_length ? 1 : 0);
}

static inline gw_status write_text(gw_request *request, const char *string)
{
    return host->write(request, (const uint8_t *)string, strlen(string), 0);
}

static gw_status load(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    (void)spec, (void)error, (void)capacity;
    *app = NULL;
    return GW_OK;
}

static void unload(gw_app *app)
{
    (void)app;
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    start(request, "2");
    write_text(request, "ok");
    host->finish(request, GW_OK);
    return GW_OK;
}

const gw_engine *gw_engine_entry(const gw_host *table);

const gw_engine *gw_engine_entry(const gw_host *table)
{
    static gw_engine engine;
    host = table;
    engine.struct_size = sizeof engine;
    engine.abi_major = GW_ABI_MAJOR;
    engine.abi_minor = GW_ABI_MINOR;
    engine.name = "bad";
    engine.load = load;
    engine.handle = handle;
    engine.unload = unload;
    spoil(&engine);
    return &engine;
}
