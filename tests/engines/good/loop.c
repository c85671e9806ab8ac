/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * An event-driven engine in C: one thread of its own works on all requests and never waits for one of them. What it would wait
 * for, ready() tells, and the thread sleeps in epoll_wait() until then; messages of busy WebSockets it has read itself. It states
 * the interface "native", whose handle() alone is asynchronous, so it is no GW_ENGINE_ASYNC.
 * What a request does is chosen by its PATH_INFO; a WebSocket gets back what it sends.
 */
#define _POSIX_C_SOURCE 200809L
#include <gangway.h>

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BLOCK 65536u
#define BLOCKS 32u

/* A request, from handle() to finish(). Only the loop's thread has it. */
struct flight {
    gw_app *app;
    gw_request *request;
    const gw_request_head *head;
    unsigned long bytes; /* read, or blocks written */
    int started;
    uint32_t kind; /* of the message that has been received and not sent yet, else 0 */
    uint8_t *message;
    size_t length;
    struct flight *next;
};

/* What other threads have for the loop: a request that begins, or a name and what is ready. */
struct event {
    gw_request *request;
    const gw_request_head *head;
    uint32_t what;
    struct event *next;
};

struct gw_app {
    pthread_t thread;
    int epoll;
    int wakeup;          /* an eventfd, by which other threads wake the loop */
    gw_place *place;     /* NULL: the host reads from all WebSockets */
    unsigned long reads; /* how often the host has been asked to read */
    struct flight *flights;

    pthread_mutex_t lock; /* of what follows, which the other threads have as well */
    struct event *first, **last;
    int sleeps; /* the loop finds nothing to do and has not been woken */
    int ending;
};

static const gw_host *host;
static const uint8_t block[BLOCK];

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

static const char *path_of(const gw_request_head *head)
{
    size_t i;
    for (i = 0; i < head->variable_count; i++) {
        gw_bytes name = head->variables[i].name;
        if (name.len == 9 && memcmp(name.ptr, "PATH_INFO", 9) == 0) {
            return (const char *)head->variables[i].value.ptr;
        }
    }
    return "";
}

static gw_status say(struct flight *flight, const char *format, unsigned long number)
{
    char line[64];
    gw_status status = host->start(flight->request, 200, text(""), NULL, 0);
    snprintf(line, sizeof line, format, number);
    return status == GW_OK ? host->write(flight->request, (const uint8_t *)line, strlen(line), GW_NOWAIT) : status;
}

/* How many requests there are, with the one that asks. */
static unsigned long count_flights(const gw_app *app)
{
    const struct flight *flight;
    unsigned long count = 0;
    for (flight = app->flights; flight; flight = flight->next) {
        count++;
    }
    return count;
}

/* The body, as it comes. */
static gw_status count_body(struct flight *flight)
{
    for (;;) {
        uint8_t buffer[512];
        size_t length;
        gw_status status = host->read_body(flight->request, buffer, sizeof buffer, GW_NOWAIT, &length);
        if (status != GW_OK) {
            return status;
        }
        if (length == 0) {
            return say(flight, "%lu bytes", flight->bytes);
        }
        flight->bytes += length;
    }
}

/* More than a server keeps for a client that does not read. */
static gw_status flood(struct flight *flight)
{
    if (!flight->started) {
        gw_status status = host->start(flight->request, 200, text(""), NULL, 0);
        if (status != GW_OK) {
            return status;
        }
        flight->started = 1;
    }
    while (flight->bytes < BLOCKS) {
        gw_status status = host->write(flight->request, block, sizeof block, GW_NOWAIT | GW_FLUSH);
        if (status != GW_OK) {
            return status;
        }
        flight->bytes++;
    }
    return GW_OK;
}

/* Sends a beginning and waits until nobody wants the rest. */
static gw_status linger(struct flight *flight)
{
    if (!flight->started) {
        gw_status status = say(flight, "begun", 0);
        flight->started = 1;
        return status == GW_OK && host->flush(flight->request, GW_NOWAIT) == GW_OK ? GW_AGAIN : GW_ERROR;
    }
    if (!host->cancelled(flight->request)) {
        return GW_AGAIN;
    }
    host->log(flight->request, GW_LOG_ERROR, (const uint8_t *)"was told that it is over", 24);
    return GW_CANCELLED;
}

/* A hint before the head, and fields that follow the body: they are said to come before it. */
static gw_status framed(struct flight *flight)
{
    gw_field hint = {text("Link"), text("</style.css>; rel=preload")};
    gw_field sum = {text("X-Sum"), text("13")};
    unsigned long parts = 0;
    size_t i;
    gw_status status = host->interim(flight->request, 103, &hint, 1);
    if (status == GW_OK) {
        status = host->trailers(flight->request, NULL, 0);
    }
    for (i = 0; i < flight->head->field_count; i++) {
        gw_bytes name = flight->head->fields[i].name;
        parts += name.len == 6 && memcmp(name.ptr, "x-part", 6) == 0;
    }
    if (status == GW_OK) {
        status = say(flight, flight->head->flags & GW_REQUEST_TRAILERS ? "%lu parts, summed" : "%lu parts", parts);
    }
    return status == GW_OK ? host->trailers(flight->request, &sum, 1) : status;
}

/* Takes a message, which is the host's until this returns. */
static void keep(void *context, uint32_t kind, uint16_t code, gw_bytes payload)
{
    struct flight *flight = context;
    if (kind == GW_MESSAGE_CLOSED) {
        char line[200];
        int length = snprintf(line, sizeof line, "closed with %u: %.*s", (unsigned)code, (int)payload.len,
                              payload.len ? (const char *)payload.ptr : "");
        host->log(NULL, GW_LOG_NOTICE, (const uint8_t *)line, (size_t)length);
    }
    flight->kind = kind;
    flight->length = payload.len;
    flight->message = malloc(payload.len + 1);
    if (flight->message && payload.len) {
        memcpy(flight->message, payload.ptr, payload.len);
    }
}

static int says(const struct flight *flight, const char *word)
{
    return flight->length == strlen(word) && memcmp(flight->message, word, flight->length) == 0;
}

/* What a client says that is to happen, and else the same again. */
static gw_status answer(struct flight *flight)
{
    if (says(flight, "close")) {
        return host->sockets->close(flight->request, 4001, text("as asked"));
    }
    if (says(flight, "fail")) {
        return GW_ERROR;
    }
    if (says(flight, "facts")) {
        char line[64];
        int length = snprintf(line, sizeof line, "%zu variables and %zu fields", flight->head->variable_count, flight->head->field_count);
        return host->sockets->send(flight->request, GW_MESSAGE_TEXT, (const uint8_t *)line, (size_t)length, GW_NOWAIT);
    }
    return host->sockets->send(flight->request, flight->kind, flight->message, flight->length, GW_NOWAIT);
}

static gw_status echo(struct flight *flight)
{
    if (!flight->started) {
        gw_field header = {text("X-Engine"), text("loop")};
        gw_status status = host->sockets->accept(flight->request, text(""), &header, 1);
        if (status != GW_OK) {
            return status;
        }
        flight->started = 1;
    }
    for (;;) {
        gw_status status;
        if (!flight->kind) {
            status = host->sockets->receive(flight->request, GW_NOWAIT, keep, flight);
            if (status != GW_OK) {
                return status;
            }
        }
        if (flight->kind == GW_MESSAGE_CLOSED || !flight->message) {
            return flight->message ? GW_OK : GW_ERROR;
        }
        status = answer(flight);
        if (status != GW_OK && status != GW_CANCELLED) {
            return status;
        }
        free(flight->message);
        flight->message = NULL;
        flight->kind = 0;
    }
}

/* Answers GW_AGAIN when it has to wait. */
static gw_status go_on(struct flight *flight)
{
    const char *path = path_of(flight->head);
    if (strcmp(path, "/body") == 0) {
        return count_body(flight);
    }
    if (strcmp(path, "/flood") == 0) {
        return flood(flight);
    }
    if (strcmp(path, "/linger") == 0) {
        return linger(flight);
    }
    if (strcmp(path, "/framed") == 0) {
        return framed(flight);
    }
    if (strcmp(path, "/flights") == 0) {
        return say(flight, "%lu in flight", count_flights(flight->app));
    }
    if (strcmp(path, "/reads") == 0) {
        return say(flight, "%lu reads", flight->app->reads);
    }
    if (flight->head->flags & GW_REQUEST_WEBSOCKET && strcmp(path, "/deny") != 0) {
        return echo(flight);
    }
    return say(flight, "from the loop", 0);
}

/* Lets a request do what it can. */
static void step(struct flight **place)
{
    struct flight *flight = *place;
    gw_status status = go_on(flight);
    if (status == GW_AGAIN) {
        return;
    }
    *place = flight->next;
    host->finish(flight->request, status == GW_OK ? GW_OK : GW_ERROR);
    free(flight->message);
    free(flight);
}

static void take(gw_app *app, struct event *event)
{
    struct flight **place;
    if (event->head) {
        struct flight *flight = calloc(1, sizeof *flight);
        if (!flight) {
            host->finish(event->request, GW_ERROR);
            return;
        }
        flight->app = app;
        flight->request = event->request;
        flight->head = event->head;
        flight->next = app->flights;
        app->flights = flight;
        step(&app->flights);
        return;
    }
    /* A name that is not there is that of a request that has ended. */
    for (place = &app->flights; *place; place = &(*place)->next) {
        if ((*place)->request == event->request) {
            step(place);
            return;
        }
    }
}

/* Sleeps until another thread has something to do, or until a busy client has said something. Then the host reads that and calls
 * ready() from in there, so no lock is held that ready() takes. */
static void await_events(gw_app *app)
{
    struct epoll_event shown[2];
    int count, sleeps;
    pthread_mutex_lock(&app->lock);
    sleeps = app->sleeps = !app->first && !app->ending;
    pthread_mutex_unlock(&app->lock);
    count = epoll_wait(app->epoll, shown, 2, sleeps ? -1 : 0);
    pthread_mutex_lock(&app->lock);
    app->sleeps = 0; /* what comes from now on is found without a word */
    pthread_mutex_unlock(&app->lock);
    while (count-- > 0) {
        if (shown[count].data.fd == app->wakeup) {
            eventfd_t words;
            eventfd_read(app->wakeup, &words);
        } else {
            app->reads++;
            host->sockets->read(app->place);
        }
    }
}

static void *loop(void *context)
{
    gw_app *app = context;
    int ends;
    do {
        struct event *event;
        await_events(app);
        pthread_mutex_lock(&app->lock);
        event = app->first; /* all that is there, in one turn */
        app->first = NULL;
        app->last = &app->first;
        ends = app->ending && !event;
        pthread_mutex_unlock(&app->lock);
        host->gather(1);
        while (event) {
            struct event *next = event->next;
            take(app, event);
            free(event);
            event = next;
        }
        host->gather(0);
    } while (!ends);
    while (app->flights) { /* what still waits ends with the application */
        struct flight *flight = app->flights;
        app->flights = flight->next;
        host->finish(flight->request, GW_ERROR);
        free(flight->message);
        free(flight);
    }
    return NULL;
}

/* With the lock. */
static void wake(gw_app *app)
{
    if (app->sleeps) {
        app->sleeps = 0;
        eventfd_write(app->wakeup, 1);
    }
}

static int push(gw_app *app, gw_request *request, const gw_request_head *head, uint32_t what)
{
    struct event *event = malloc(sizeof *event);
    if (!event) {
        return 0;
    }
    event->request = request;
    event->head = head;
    event->what = what;
    event->next = NULL;
    pthread_mutex_lock(&app->lock);
    *app->last = event;
    app->last = &event->next;
    wake(app);
    pthread_mutex_unlock(&app->lock);
    return 1;
}

static int watch(gw_app *app, int descriptor)
{
    struct epoll_event event = {0};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    return epoll_ctl(app->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

/* Has the loop read from busy WebSockets, where the host can do that: the place came with 1.8, and the calls with 1.11. Without them
 * the same messages come by ready() alone. */
static int watch_sockets(gw_app *app, const gw_app_spec *spec)
{
    const gw_sockets *sockets = host->sockets;
    int32_t descriptor;
    if (spec->struct_size < offsetof(gw_app_spec, place) + sizeof spec->place ||
        sockets->struct_size < offsetof(gw_sockets, read) + sizeof sockets->read) {
        return 1;
    }
    app->place = spec->place;
    descriptor = sockets->descriptor(app->place);
    return descriptor < 0 || watch(app, descriptor);
}

/* The host's descriptor is not closed here: it only is watched no more. */
static void release(gw_app *app)
{
    close(app->epoll);
    close(app->wakeup);
    pthread_mutex_destroy(&app->lock);
    free(app);
}

static gw_status load(const gw_app_spec *spec, gw_app **out, char *error, size_t capacity)
{
    gw_app *app = calloc(1, sizeof *app);
    if (!app) {
        snprintf(error, capacity, "out of memory");
        return GW_ERROR;
    }
    app->last = &app->first;
    pthread_mutex_init(&app->lock, NULL);
    app->epoll = epoll_create1(EPOLL_CLOEXEC);
    app->wakeup = eventfd(0, EFD_CLOEXEC);
    if (!watch(app, app->wakeup) || !watch_sockets(app, spec) || pthread_create(&app->thread, NULL, loop, app) != 0) {
        snprintf(error, capacity, "cannot start an event loop");
        release(app);
        return GW_ERROR;
    }
    *out = app;
    return GW_OK;
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    return push(app, request, head, 0) ? GW_AGAIN : GW_ERROR;
}

static void ready(gw_app *app, gw_request *request, uint32_t what)
{
    push(app, request, NULL, what);
}

static void unload(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    app->ending = 1;
    wake(app);
    pthread_mutex_unlock(&app->lock);
    pthread_join(app->thread, NULL);
    release(app);
}

static const gw_interface native = {
    .struct_size = sizeof native,
    .name = "native",
    .target_form = "NAME",
    .target = GW_TARGET_TEXT,
    .flags = GW_INTERFACE_ASYNC | GW_INTERFACE_WEBSOCKET | GW_INTERFACE_FIELDS | GW_INTERFACE_FORGETS_HEAD,
};
static const gw_interface *const interfaces[] = {&native};

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "loop",
    .interfaces = interfaces,
    .interface_count = 1,
    .load = load,
    .handle = handle,
    .unload = unload,
    .ready = ready,
};

const gw_engine *gw_engine_entry(const gw_host *table);
const gw_engine *gw_engine_entry(const gw_host *table)
{
    /* gather() came with 1.7: an older host has not so many members. */
    if (table->abi_major != GW_ABI_MAJOR ||
        table->struct_size < offsetof(gw_host, gather) + sizeof table->gather) {
        return NULL;
    }
    host = table;
    return &engine;
}
