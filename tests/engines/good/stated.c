/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * An engine that states what it runs: the interface "stated" with an option of every kind, and the interface "native"
 * with one. It answers with what it was told.
 */
#include <gangway.h>

#include <stdlib.h>
#include <string.h>

struct gw_app {
    size_t length;
    char text[4096];
};

static const gw_host *host;

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

static void append(gw_app *app, gw_bytes bytes, char end)
{
    if (bytes.len < sizeof app->text - 1 - app->length) {
        if (bytes.len > 0) {
            memcpy(app->text + app->length, bytes.ptr, bytes.len);
        }
        app->length += bytes.len;
        app->text[app->length++] = end;
    }
}

static gw_status load(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity)
{
    size_t i;
    (void)error, (void)capacity;
    *app = calloc(1, sizeof **app);
    if (*app == NULL) {
        return GW_ERROR;
    }
    append(*app, spec->interface_name, ' ');
    append(*app, spec->target, '\n');
    for (i = 0; i < spec->option_count; i++) {
        append(*app, spec->options[i].name, '=');
        append(*app, spec->options[i].value, '\n');
    }
    return GW_OK;
}

static void unload(gw_app *app)
{
    free(app);
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_status status = host->start(request, 200, text(""), NULL, 0);
    (void)head;
    if (status == GW_OK) {
        status = host->write(request, (const uint8_t *)app->text, app->length, 0);
    }
    host->finish(request, status == GW_OK ? GW_OK : GW_ERROR);
    return GW_OK;
}

#define OPTION(option, ...) \
    static const gw_option option = {.struct_size = sizeof option, .default_text = "none", .help = "a value", __VA_ARGS__}

OPTION(words, .name = "words", .value = GW_VALUE_TEXT, .flags = GW_OPTION_REPEATS);
OPTION(loud, .name = "loud", .value = GW_VALUE_SWITCH);
OPTION(level, .name = "level", .value = GW_VALUE_NUMBER, .least = 1, .most = 9);
OPTION(size, .name = "size", .value = GW_VALUE_SIZE);
OPTION(idle, .name = "idle", .value = GW_VALUE_TIME);
OPTION(set, .name = "set", .value = GW_VALUE_ASSIGNMENT);
OPTION(file, .name = "file", .value = GW_VALUE_FILE);
OPTION(folder, .name = "folder", .value = GW_VALUE_DIRECTORY);
OPTION(later, .name = "later", .value = 99); /* of a version that the host does not know */

static const gw_option *const options[] = {&words, &loud, &level, &size, &idle, &set, &file, &folder, &later};
static const gw_option *const handlers[] = {&level};

static const gw_interface stated = {
    .struct_size = sizeof stated,
    .name = "stated",
    .target_form = "PLACE:THING",
    .member = "thing",
    .target = GW_TARGET_MEMBER,
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

static const gw_interface native = {
    .struct_size = sizeof native,
    .name = "native",
    .target_form = "NAME",
    .options = handlers,
    .option_count = 1,
};

static const gw_interface *const interfaces[] = {&stated, &native};

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "stated",
    .interfaces = interfaces,
    .interface_count = 2,
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
