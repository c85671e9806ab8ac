/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * An asynchronous engine in C whose requests have two threads each: one reads the body, and waits for it, while the other one
 * writes the response, and waits for the client. Needs ABI 1.10.
 */
#define _POSIX_C_SOURCE 200809L
#include <gangway.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096, BLOCKS = 64 };

struct gw_app {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int running;
};

struct duplex {
    gw_app *app;
    gw_request *request;
    gw_status read;
};

static const gw_host *host;

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

/* The whole body, and how long it was. */
static void *take(void *context)
{
    struct duplex *duplex = context;
    uint8_t buffer[512];
    char line[64];
    size_t all = 0, length = 1;
    while (length > 0) {
        duplex->read = host->read_body(duplex->request, buffer, sizeof buffer, 0, &length);
        if (duplex->read != GW_OK) {
            return NULL;
        }
        all += length;
    }
    snprintf(line, sizeof line, "read %lu bytes", (unsigned long)all);
    host->log(duplex->request, GW_LOG_INFO, (const uint8_t *)line, strlen(line));
    return NULL;
}

static gw_status give(gw_request *request)
{
    static const uint8_t block[BLOCK] = {'d'};
    gw_status status = host->start(request, 200, text(""), NULL, 0);
    int i;
    for (i = 0; i < BLOCKS && status == GW_OK; i++) {
        status = host->write(request, block, sizeof block, GW_FLUSH);
    }
    return status;
}

static void *run(void *context)
{
    struct duplex *duplex = context;
    gw_app *app = duplex->app;
    pthread_t reader;
    gw_status status = GW_ERROR;
    if (pthread_create(&reader, NULL, take, duplex) == 0) {
        status = give(duplex->request);
        pthread_join(reader, NULL);
        status = duplex->read == GW_OK ? status : duplex->read;
    }
    /* Nobody is inside of a call any more. */
    host->finish(duplex->request, status == GW_OK ? GW_OK : GW_ERROR);
    free(duplex);
    pthread_mutex_lock(&app->lock);
    app->running--;
    pthread_cond_broadcast(&app->changed);
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
    *out = app;
    return GW_OK;
}

static gw_status handle(gw_app *app, gw_request *request, const gw_request_head *head)
{
    struct duplex *duplex = malloc(sizeof *duplex);
    pthread_attr_t detached;
    pthread_t thread;
    int failed;
    (void)head;
    if (!duplex) {
        return GW_ERROR;
    }
    duplex->app = app;
    duplex->request = request;
    duplex->read = GW_OK;
    pthread_mutex_lock(&app->lock);
    app->running++;
    pthread_mutex_unlock(&app->lock);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    failed = pthread_create(&thread, &detached, run, duplex);
    pthread_attr_destroy(&detached);
    if (!failed) {
        return GW_AGAIN;
    }
    pthread_mutex_lock(&app->lock);
    app->running--;
    pthread_mutex_unlock(&app->lock);
    free(duplex);
    return GW_ERROR;
}

static void unload(gw_app *app)
{
    pthread_mutex_lock(&app->lock);
    while (app->running) {
        pthread_cond_wait(&app->changed, &app->lock);
    }
    pthread_mutex_unlock(&app->lock);
    pthread_mutex_destroy(&app->lock);
    pthread_cond_destroy(&app->changed);
    free(app);
}

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "duplex",
    .flags = GW_ENGINE_ASYNC,
    .load = load,
    .handle = handle,
    .unload = unload,
};

const gw_engine *gw_engine_entry(const gw_host *table);

const gw_engine *gw_engine_entry(const gw_host *table)
{
    if (table->abi_major != GW_ABI_MAJOR || table->abi_minor < 10) {
        return NULL;
    }
    host = table;
    return &engine;
}
