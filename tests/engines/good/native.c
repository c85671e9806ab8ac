/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A complete engine in C: it uses every function of include/gangway.h that a blocking engine can use. docs/abi.md
 * is the guide. Build it with
 *     cc -std=c99 -shared -fPIC -pthread -I include -o native.so tests/engines/good/native.c
 *
 * The engine has one big lock, as interpreters have: enter() takes it, leave() gives it up, and every call of the
 * host that may wait for the client is made without it. What a request does is chosen by its PATH_INFO.
 *
 * Options: env=GREETING=TEXT, env=FAIL=REASON (load() fails with this reason), env=LOADS=FIFO (load() ends when somebody has opened this
 * for writing), debug=on (logs each request).
 */
#define _POSIX_C_SOURCE 200809L
#include <gangway.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gw_app {
    char greeting[64];
    char *options; /* all of them, one per line, for /options */
    int debug;

    pthread_mutex_t lock;      /* the big lock */
    unsigned enters, leaves;   /* under the big lock */
    unsigned handled, threads; /* under the big lock */

    pthread_mutex_t state;  /* guards what follows; never held while the big lock is being taken */
    pthread_cond_t changed; /* signalled at each change of it */
    unsigned lent, released;
    unsigned interrupted; /* interrupt() has begun so often */
};

static const gw_host *host;

/* ---- Bytes ------------------------------------------------------------------------------------------------ */

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

static gw_field field(const char *name, const char *value)
{
    gw_field pair = {text(name), text(value)};
    return pair;
}

static int same(gw_bytes bytes, const char *string)
{
    return bytes.len == strlen(string) && (bytes.len == 0 || memcmp(bytes.ptr, string, bytes.len) == 0);
}

/* Values of variables are followed by NUL. */
static const char *variable(const gw_request_head *head, const char *name)
{
    size_t i;
    for (i = 0; i < head->variable_count; i++) {
        if (same(head->variables[i].name, name)) {
            return (const char *)head->variables[i].value.ptr;
        }
    }
    return "";
}

static void log_line(gw_request *request, uint32_t level, const char *line)
{
    host->log(request, level, (const uint8_t *)line, strlen(line));
}

/* ---- Calls that may wait for the client, without the big lock ---------------------------------------------- */

static gw_status write_text(gw_app *app, gw_request *request, const char *string, uint32_t flags)
{
    gw_status status;
    pthread_mutex_unlock(&app->lock);
    status = host->write(request, (const uint8_t *)string, strlen(string), flags);
    pthread_mutex_lock(&app->lock);
    return status;
}

static gw_status read_some(gw_app *app, gw_request *request, uint8_t *buffer, size_t capacity, size_t *length)
{
    gw_status status;
    pthread_mutex_unlock(&app->lock);
    status = host->read_body(request, buffer, capacity, 0, length);
    pthread_mutex_lock(&app->lock);
    return status;
}

static gw_status start(gw_request *request, uint16_t status, const char *length)
{
    gw_field headers[2] = {field("Content-Type", "text/plain"), field("Content-Length", length)};
    return host->start(request, status, text(""), headers, *length ? 2 : 1);
}

/* ---- What requests do -------------------------------------------------------------------------------------- */

static gw_status do_hello(gw_app *app, gw_request *request, const gw_request_head *head)
{
    char length[24];
    gw_status status;
    (void)head;
    snprintf(length, sizeof length, "%zu", strlen(app->greeting));
    status = start(request, 200, length);
    return status == GW_OK ? write_text(app, request, app->greeting, 0) : status;
}

static gw_status do_options(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_status status = start(request, 200, "");
    (void)head;
    return status == GW_OK ? write_text(app, request, app->options, 0) : status;
}

static gw_status do_variables(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_status status = start(request, 200, "");
    size_t i;
    for (i = 0; status == GW_OK && i < head->variable_count; i++) {
        const gw_field *pair = &head->variables[i];
        status = host->write(request, pair->name.ptr, pair->name.len, GW_NOWAIT);
        if (status == GW_OK) {
            status = write_text(app, request, "=", 0);
        }
        if (status == GW_OK) {
            status = write_text(app, request, (const char *)pair->value.ptr, 0);
        }
        if (status == GW_OK) {
            status = write_text(app, request, "\n", 0);
        }
    }
    return status;
}

/* The body comes back as it arrives. */
static gw_status do_echo(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_status status = start(request, 200, "");
    (void)head;
    while (status == GW_OK) {
        uint8_t buffer[4096];
        size_t length = 0;
        status = read_some(app, request, buffer, sizeof buffer, &length);
        if (status != GW_OK || length == 0) {
            break;
        }
        pthread_mutex_unlock(&app->lock);
        status = host->write(request, buffer, length, GW_FLUSH);
        pthread_mutex_lock(&app->lock);
    }
    return status;
}

/* Blocks for ever, until the client leaves; QUERY_STRING is the size of a block in bytes. */
static gw_status do_stream(gw_app *app, gw_request *request, const gw_request_head *head)
{
    size_t size = (size_t)strtoul(variable(head, "QUERY_STRING"), NULL, 10);
    uint8_t *block = calloc(1, size);
    gw_status status = block ? start(request, 200, "") : GW_ERROR;
    pthread_mutex_unlock(&app->lock);
    while (status == GW_OK) {
        status = host->write(request, block, size, GW_FLUSH);
    }
    pthread_mutex_lock(&app->lock);
    free(block);
    return status;
}

struct loan {
    gw_app *app;
    uint8_t bytes[1];
};

static void release(void *context)
{
    struct loan *loan = context;
    gw_app *app = loan->app;
    free(loan);
    pthread_mutex_lock(&app->state);
    app->released++;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->state);
}

/* QUERY_STRING blocks of 1000 bytes, lent instead of copied. */
static gw_status do_owned(gw_app *app, gw_request *request, const gw_request_head *head)
{
    unsigned long left = strtoul(variable(head, "QUERY_STRING"), NULL, 10);
    gw_status status = start(request, 200, variable(head, "HTTP_WANTED_LENGTH"));
    while (status == GW_OK && left-- > 0) {
        struct loan *loan = malloc(sizeof *loan + 1000);
        if (!loan) {
            return GW_ERROR;
        }
        loan->app = app;
        memset(loan->bytes, 'o', 1000);
        pthread_mutex_unlock(&app->lock);
        status = host->write_owned(request, loan->bytes, 1000, release, loan, 0);
        pthread_mutex_lock(&app->lock);
        if (status == GW_OK || status == GW_INVALID) {
            pthread_mutex_lock(&app->state);
            app->lent++;
            pthread_mutex_unlock(&app->state);
        } else {
            free(loan); /* still ours */
        }
    }
    return status;
}

/* Bytes 2 to 8 of a temporary file that holds 0123456789. */
static gw_status do_file(gw_app *app, gw_request *request, const gw_request_head *head)
{
    FILE *file = tmpfile();
    gw_status status = GW_ERROR;
    (void)head;
    if (file && fputs("0123456789", file) >= 0 && fflush(file) == 0) {
        status = start(request, 200, "7");
    }
    if (status == GW_OK) {
        pthread_mutex_unlock(&app->lock);
        status = host->send_file(request, fileno(file), 2, 7, 0);
        pthread_mutex_lock(&app->lock);
    }
    if (file) {
        fclose(file); /* the host has a descriptor of its own */
    }
    return status;
}

static gw_status do_headers(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_field headers[] = {field("Set-Cookie", "a=1"), field("Set-Cookie", "b=2"), field("X-Latin-1", "k\xe4se"),
                          field("Connection", "close")};
    gw_status status = host->start(request, 203, text("As It Were"), headers, 4);
    (void)app, (void)head;
    return status == GW_OK ? host->flush(request, 0) : status;
}

/* A head that the host refuses, and the answer that this engine gives instead. */
static gw_status do_refused(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_field headers[] = {field("X-A", "1\r\nX-Forged: yes")};
    (void)head;
    if (host->start(request, 200, text(""), headers, 1) != GW_INVALID) {
        return GW_ERROR;
    }
    return start(request, 500, "") == GW_OK ? write_text(app, request, "refused", 0) : GW_ERROR;
}

static gw_status do_fail(gw_app *app, gw_request *request, const gw_request_head *head)
{
    (void)app, (void)head;
    log_line(request, GW_LOG_ERROR, "failing as asked\nand on one line");
    return GW_ERROR;
}

static gw_status do_fail_late(gw_app *app, gw_request *request, const gw_request_head *head)
{
    gw_status status = start(request, 200, "");
    if (status == GW_OK) {
        write_text(app, request, "begun", GW_FLUSH);
    }
    return do_fail(app, request, head);
}

/* Holds the big lock until interrupt() has begun, which wants the big lock itself. */
static gw_status do_stubborn(gw_app *app, gw_request *request, const gw_request_head *head)
{
    unsigned before;
    gw_status status = start(request, 200, "");
    (void)head;
    pthread_mutex_lock(&app->state);
    before = app->interrupted;
    pthread_mutex_unlock(&app->state);
    if (status == GW_OK) {
        status = host->flush(request, GW_NOWAIT);
    }
    pthread_mutex_lock(&app->state);
    while (status == GW_OK && app->interrupted == before) {
        pthread_cond_wait(&app->changed, &app->state);
    }
    pthread_mutex_unlock(&app->state);
    return host->cancelled(request) ? GW_CANCELLED : status;
}

/* Answers when everything lent so far has been released. */
static gw_status do_counts(gw_app *app, gw_request *request, const gw_request_head *head)
{
    char line[128];
    gw_status status = start(request, 200, "");
    (void)head;
    pthread_mutex_lock(&app->state);
    while (app->released < app->lent) {
        pthread_cond_wait(&app->changed, &app->state);
    }
    snprintf(line, sizeof line, "lent=%u released=%u", app->lent, app->released);
    pthread_mutex_unlock(&app->state);
    return status == GW_OK ? write_text(app, request, line, 0) : status;
}

typedef gw_status (*deed)(gw_app *app, gw_request *request, const gw_request_head *head);

static const struct {
    const char *path;
    deed deed;
} deeds[] = {
    {"/hello", do_hello},       {"/options", do_options}, {"/variables", do_variables}, {"/echo", do_echo},
    {"/stream", do_stream},     {"/owned", do_owned},     {"/file", do_file},           {"/headers", do_headers},
    {"/refused", do_refused},   {"/fail", do_fail},       {"/fail-late", do_fail_late}, {"/stubborn", do_stubborn},
    {"/counts", do_counts},
};

/* ---- The engine's table ------------------------------------------------------------------------------------ */

static gw_status check(const gw_app_spec *const *specs, size_t count, char *error, size_t capacity)
{
    size_t i;
    for (i = 0; i < count; i++) {
        gw_bytes target = specs[i]->target;
        if (target.len >= 4 && memcmp(target.ptr, "bad:", 4) == 0) {
            snprintf(error, capacity, "\"%.*s\" cannot be run; use demo:app", (int)target.len,
                     (const char *)target.ptr);
            return GW_ERROR;
        }
    }
    return GW_OK;
}

static gw_status read_options(gw_app *app, const gw_app_spec *spec, char *error, size_t capacity)
{
    static const char greeting[] = "GREETING=", fail[] = "FAIL=", loads[] = "LOADS=";
    size_t i, at = 0, room = 1;
    for (i = 0; i < spec->option_count; i++) {
        room += spec->options[i].name.len + spec->options[i].value.len + 2;
    }
    app->options = calloc(1, room);
    if (!app->options) {
        return GW_ERROR;
    }
    for (i = 0; i < spec->option_count; i++) {
        const gw_field *option = &spec->options[i];
        const char *value = (const char *)option->value.ptr;
        size_t length = option->value.len;
        at += (size_t)snprintf(app->options + at, room - at, "%.*s=%.*s\n", (int)option->name.len,
                               (const char *)option->name.ptr, (int)length, value);
        if (same(option->name, "debug")) {
            app->debug = same(option->value, "on");
        } else if (same(option->name, "env") && length >= 9 && memcmp(value, greeting, 9) == 0) {
            snprintf(app->greeting, sizeof app->greeting, "%.*s", (int)(length - 9), value + 9);
        } else if (same(option->name, "env") && length >= 5 && memcmp(value, fail, 5) == 0) {
            snprintf(error, capacity, "%.*s", (int)(length - 5), value + 5);
            return GW_ERROR;
        } else if (same(option->name, "env") && length >= 6 && memcmp(value, loads, 6) == 0) {
            char path[4096];
            FILE *fifo;
            snprintf(path, sizeof path, "%.*s", (int)(length - 6), value + 6);
            log_line(NULL, GW_LOG_NOTICE, path);
            fifo = fopen(path, "r");
            if (fifo) {
                fclose(fifo);
            }
        }
    }
    return GW_OK;
}

static gw_status load(const gw_app_spec *spec, gw_app **out, char *error, size_t capacity)
{
    gw_app *app = calloc(1, sizeof *app);
    if (!app) {
        snprintf(error, capacity, "out of memory");
        return GW_ERROR;
    }
    strcpy(app->greeting, "Hello");
    if (read_options(app, spec, error, capacity) != GW_OK) {
        free(app->options);
        free(app);
        return GW_ERROR;
    }
    pthread_mutex_init(&app->lock, NULL);
    pthread_mutex_init(&app->state, NULL);
    pthread_cond_init(&app->changed, NULL);
    *out = app;
    return GW_OK;
}

static void enter(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    app->enters++;
}

static void leave(gw_app *app)
{
    app->leaves++;
    pthread_mutex_unlock(&app->lock);
}

static void thread_end(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    app->threads++;
    pthread_mutex_unlock(&app->lock);
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    const char *path = variable(head, "PATH_INFO");
    size_t i;
    app->handled++;
    if (app->debug) {
        log_line(request, GW_LOG_DEBUG, path);
    }
    for (i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        if (strcmp(path, deeds[i].path) == 0) {
            gw_status status = deeds[i].deed(app, request, head);
            if (status != GW_OK) {
                return GW_ERROR; /* the host finishes with GW_ERROR */
            }
            host->finish(request, GW_OK);
            return GW_OK;
        }
    }
    start(request, 404, "");
    host->finish(request, GW_OK);
    return GW_OK;
}

static void interrupt(gw_app *app, gw_request *request)
{
    pthread_mutex_lock(&app->state);
    app->interrupted++;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->state);
    /* An interpreter's stack can be read under its lock only. */
    pthread_mutex_lock(&app->lock);
    log_line(request, GW_LOG_WARN, "interrupted in /stubborn");
    pthread_mutex_unlock(&app->lock);
}

static void unload(gw_app *app)
{
    char line[160];
    snprintf(line, sizeof line, "native: %s: handled=%u threads=%u lock=%s loans=%s", app->greeting, app->handled,
             app->threads, app->enters == app->leaves ? "free" : "taken",
             app->lent == app->released ? "returned" : "open");
    log_line(NULL, GW_LOG_NOTICE, line);
    pthread_mutex_destroy(&app->lock);
    pthread_mutex_destroy(&app->state);
    pthread_cond_destroy(&app->changed);
    free(app->options);
    free(app);
}

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "native",
    .check = check,
    .load = load,
    .enter = enter,
    .leave = leave,
    .thread_end = thread_end,
    .handle = handle,
    .interrupt = interrupt,
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
