/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * An asynchronous engine in C: handle() only hands the request to a thread of the engine and returns GW_AGAIN; that
 * thread answers and calls finish(), after which the request is gone. What a request does is chosen by its PATH_INFO.
 */
#define _POSIX_C_SOURCE 200809L
#include <gangway.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    gw_request *request;
    const gw_request_head *head;
    struct job *next;
};

struct gw_app {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *jobs; /* last in, first out: this engine promises no order */
    int ending;
    int parked;      /* a request waits in /park */
    int interrupted; /* interrupt() wants it to end */
};

static const gw_host *host;

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

static gw_status answer(gw_request *request, const char *body)
{
    gw_status status = host->start(request, 200, text(""), NULL, 0);
    return status == GW_OK ? host->write(request, (const uint8_t *)body, strlen(body), GW_NOWAIT) : status;
}

/* 200 KiB at once, without waiting: all or nothing. */
static gw_status answer_large(gw_request *request)
{
    size_t size = 200 * 1024;
    uint8_t *block = calloc(1, size);
    gw_status status = block ? host->start(request, 200, text(""), NULL, 0) : GW_ERROR;
    if (status == GW_OK) {
        status = host->write(request, block, size, GW_NOWAIT);
    }
    free(block);
    return status;
}

/* The whole body, asked for again and again without waiting: a real engine would do something else meanwhile. */
static gw_status answer_body(gw_request *request)
{
    size_t all = 0, length = 1;
    char line[32];
    while (length > 0) {
        uint8_t buffer[512];
        gw_status status = host->read_body(request, buffer, sizeof buffer, GW_NOWAIT, &length);
        if (status == GW_OK) {
            all += length;
        } else if (status != GW_AGAIN) {
            return status;
        }
    }
    snprintf(line, sizeof line, "%lu bytes", (unsigned long)all);
    return answer(request, line);
}

static gw_status park(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    while (!app->interrupted && !app->ending) {
        pthread_cond_wait(&app->changed, &app->lock);
    }
    app->interrupted = 0;
    pthread_mutex_unlock(&app->lock);
    return GW_ERROR;
}

static void run(gw_app *app, struct job *job)
{
    const char *path = path_of(job->head);
    int parks = strcmp(path, "/park") == 0;
    gw_status status;
    if (parks) {
        pthread_mutex_lock(&app->lock);
        app->parked = 1;
        pthread_mutex_unlock(&app->lock);
        status = answer(job->request, "parked");
        host->flush(job->request, GW_NOWAIT);
        status = status == GW_OK ? park(app) : status;
    } else if (strcmp(path, "/large") == 0) {
        status = answer_large(job->request);
    } else if (strcmp(path, "/body") == 0) {
        status = answer_body(job->request);
    } else {
        status = answer(job->request, "later");
    }
    host->finish(job->request, status == GW_OK ? GW_OK : GW_ERROR);
    /* job->request and job->head are gone now. */
    free(job);
    if (parks) {
        pthread_mutex_lock(&app->lock);
        app->parked = 0;
        pthread_cond_broadcast(&app->changed);
        pthread_mutex_unlock(&app->lock);
    }
}

static void *loop(void *context)
{
    gw_app *app = context;
    pthread_mutex_lock(&app->lock);
    while (app->jobs || !app->ending) {
        struct job *job = app->jobs;
        if (!job) {
            pthread_cond_wait(&app->changed, &app->lock);
            continue;
        }
        app->jobs = job->next;
        pthread_mutex_unlock(&app->lock);
        run(app, job);
        pthread_mutex_lock(&app->lock);
    }
    pthread_mutex_unlock(&app->lock);
    return NULL;
}

static gw_status load(const gw_app_spec *spec, gw_app **out, char *error, size_t capacity)
{
    gw_app *app = calloc(1, sizeof *app);
    (void)spec;
    if (!app) {
        snprintf(error, capacity, "out of memory");
        return GW_ERROR;
    }
    pthread_mutex_init(&app->lock, NULL);
    pthread_cond_init(&app->changed, NULL);
    if (pthread_create(&app->thread, NULL, loop, app) != 0) {
        snprintf(error, capacity, "cannot start a thread");
        free(app);
        return GW_ERROR;
    }
    *out = app;
    return GW_OK;
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    const char *path = path_of(head);
    struct job *job;
    if (strcmp(path, "/at-once") == 0) {
        gw_status status = answer(request, "at once");
        host->finish(request, status);
        return GW_OK;
    }
    if (strcmp(path, "/fail") == 0) {
        return GW_ERROR;
    }
    if (strcmp(path, "/forget") == 0) {
        return GW_OK; /* against the rules */
    }
    job = malloc(sizeof *job);
    if (!job) {
        return GW_ERROR;
    }
    job->request = request;
    job->head = head;
    pthread_mutex_lock(&app->lock);
    job->next = app->jobs;
    app->jobs = job;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
    return GW_AGAIN;
}

/* Returns when the request has ended. */
static void interrupt(gw_app *app, gw_request *request)
{
    (void)request;
    pthread_mutex_lock(&app->lock);
    app->interrupted = 1;
    pthread_cond_broadcast(&app->changed);
    while (app->parked) {
        pthread_cond_wait(&app->changed, &app->lock);
    }
    pthread_mutex_unlock(&app->lock);
}

static void unload(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    app->ending = 1;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
    pthread_join(app->thread, NULL);
    pthread_mutex_destroy(&app->lock);
    pthread_cond_destroy(&app->changed);
    free(app);
}

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "async",
    .flags = GW_ENGINE_ASYNC,
    .load = load,
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
