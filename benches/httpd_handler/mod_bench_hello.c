/* SPDX-License-Identifier: MIT OR Apache-2.0
 * httpd's ceiling: the scenarios' answers from a content handler in C, without any application behind it.
 * It neither waits in /io nor runs a framework in /flask and /django: what remains is httpd itself. */
#include <string.h>

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

static const char hello[] = "Hello, World!\n";
static char body[64 * 1024];
static char chunk[1024];

static int echo(request_rec *r)
{
    char *data;
    apr_off_t length, used = 0;
    long got;
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_ERROR);

    if (status != OK) {
        return status;
    }
    length = r->headers_in && ap_should_client_block(r) ? r->remaining : 0;
    data = apr_palloc(r->pool, (apr_size_t)length + 1);
    while (used < length && (got = ap_get_client_block(r, data + used, (apr_size_t)(length - used))) > 0) {
        used += got;
    }
    ap_set_content_length(r, used);
    ap_rwrite(data, (int)used, r);
    return OK;
}

static int handler(request_rec *r)
{
    int i;

    if (!r->handler || strcmp(r->handler, "bench-hello") != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    if (strcmp(r->uri, "/echo") == 0) {
        return echo(r);
    }
    if (strcmp(r->uri, "/body") == 0) {
        ap_set_content_length(r, sizeof body);
        ap_rwrite(body, sizeof body, r);
        return OK;
    }
    if (strcmp(r->uri, "/stream") == 0) {
        for (i = 0; i < 100; i++) {
            ap_rwrite(chunk, sizeof chunk, r);
        }
        return OK;
    }
    ap_set_content_length(r, sizeof hello - 1);
    ap_rwrite(hello, sizeof hello - 1, r);
    return OK;
}

static void hooks(apr_pool_t *pool)
{
    size_t i;

    (void)pool;
    for (i = 0; i < sizeof body; i++) {
        body[i] = "0123456789abcdef"[i % 16];
    }
    memset(chunk, 'x', sizeof chunk);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bench_hello) = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks, AP_MODULE_FLAG_NONE};
