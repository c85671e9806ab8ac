/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Handlers of phases. The word of a handler says what it does: "let-in" looks at a header and refuses, "count" keeps a number from phase to
 * phase, "write" answers, "look-forward" has "log-it" run after the response, "servers" looks at all servers, "upper" and "pass" are
 * filters, "wrong" tries what the host must refuse.
 */
#include <gangway.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const gw_host *host;
static int forgotten;

static gw_bytes text(const char *string)
{
    gw_bytes bytes = {(const uint8_t *)string, strlen(string)};
    return bytes;
}

static int is(gw_bytes bytes, const char *string)
{
    return bytes.len == strlen(string) && memcmp(bytes.ptr, string, bytes.len) == 0;
}

static void note_yes(void *context, gw_bytes name, gw_bytes value)
{
    (void)name;
    *(int *)context = is(value, "yes");
}

static int32_t let_in(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    gw_bytes name = text("x-welcome");
    int welcome = 0;
    if (calls->table(transaction, GW_TABLE_HEADERS_IN, &name, note_yes, &welcome) != GW_OK)
        return 500;
    if (!welcome)
        return 403;
    return calls->change_table(transaction, GW_TABLE_NOTES, GW_CHANGE_SET, text("checked"), text("yes")) == GW_OK ? GW_ANSWER_OK : 500;
}

static int32_t count(gw_transaction *transaction, void **state)
{
    char line[32];
    int *counted = *state != NULL ? *state : (*state = calloc(1, sizeof *counted));
    if (counted == NULL)
        return 500;
    int length = snprintf(line, sizeof line, "%d", ++*counted);
    gw_bytes value = {(const uint8_t *)line, (size_t)length};
    return host->transactions->change_table(transaction, GW_TABLE_NOTES, GW_CHANGE_ADD, text("count"), value) == GW_OK ? GW_ANSWER_DECLINED : 500;
}

static int32_t answer_it(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    gw_bytes type = text("text/plain");
    char body[64];
    size_t length = 0;
    if (calls->set_text(transaction, GW_FACT_CONTENT_TYPE, &type) != GW_OK || calls->set_number(transaction, GW_NUMBER_STATUS, 201) != GW_OK)
        return 500;
    while (calls->read(transaction, (uint8_t *)body, sizeof body, &length) == GW_OK && length > 0)
        if (calls->write(transaction, (const uint8_t *)body, length, GW_FLUSH) != GW_OK)
            return 500;
    return GW_ANSWER_OK;
}

/* Each of these is refused; how many were. */
static int32_t wrong(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    gw_bytes split = text("a\r\nb: c");
    int64_t number;
    int refused = 0;
    refused += calls->set_text(transaction, GW_FACT_CONTENT_TYPE, &split) == GW_INVALID;
    refused += calls->set_text(transaction, 9999, &split) == GW_INVALID;
    refused += calls->number(transaction, 9999, &number) == GW_INVALID;
    refused += calls->number(transaction, GW_NUMBER_STATUS, NULL) == GW_MISUSE;
    refused += calls->set_number(transaction, GW_NUMBER_STATUS, 20) == GW_INVALID;
    refused += calls->change_table(transaction, GW_TABLE_HEADERS_OUT, GW_CHANGE_SET, text("A"), split) == GW_INVALID;
    refused += calls->change_table(transaction, GW_TABLE_HEADERS_OUT, GW_CHANGE_SET, split, text("a")) == GW_INVALID;
    refused += calls->change_table(transaction, GW_TABLE_HEADERS_OUT, GW_CHANGE_ADD, text("Transfer-Encoding"), text("chunked")) == GW_INVALID;
    refused += calls->change_table(transaction, 9999, GW_CHANGE_CLEAR, text(""), text("")) == GW_INVALID;
    refused += calls->change_table(transaction, GW_TABLE_NOTES, 9999, text(""), text("")) == GW_INVALID;
    refused += calls->table(transaction, GW_TABLE_NOTES, NULL, NULL, NULL) == GW_MISUSE;
    refused += calls->read(transaction, NULL, 1, NULL) == GW_MISUSE;
    refused += calls->write(transaction, NULL, 1, 0) == GW_MISUSE;
    refused += calls->send_file(transaction, -1, 0, 1, 0) == GW_MISUSE;
    refused += calls->redirect(transaction, text("http://elsewhere/")) == GW_INVALID;
    refused += calls->text(NULL, GW_FACT_URI, note_yes, NULL) == GW_MISUSE;
    refused += calls->next_server(NULL, NULL) == GW_MISUSE;
    return 200 + refused;
}

/* Has "log-it" run when the response has ended, and the engine called at the very end. */
static int32_t look_forward(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    if (calls->add_handler(transaction, GW_PHASE_LOG, text("log-it"), text("")) != GW_OK || calls->await_cleanup(transaction) != GW_OK)
        return 500;
    int refused = 0;
    refused += calls->add_handler(transaction, 9999, text("log-it"), text("")) == GW_INVALID;
    refused += calls->add_handler(transaction, GW_PHASE_LOG, text(""), text("")) == GW_INVALID;
    return refused == 2 ? GW_ANSWER_OK : 500;
}

static int32_t log_it(gw_transaction *transaction)
{
    char line[64];
    int64_t status = 0;
    if (host->transactions->number(transaction, GW_NUMBER_STATUS, &status) != GW_OK)
        return 500;
    int length = snprintf(line, sizeof line, "ended with %d", (int)status);
    host->transactions->log(transaction, GW_LOG_NOTICE, (const uint8_t *)line, (size_t)length);
    return GW_ANSWER_OK;
}

static void append(void *context, gw_bytes name, gw_bytes value)
{
    char *line = context;
    (void)name;
    size_t length = strlen(line);
    snprintf(line + length, 128 - length, "%.*s ", (int)value.len, (const char *)value.ptr);
}

static gw_transaction *main_server;

/* Without a request, on a thread of this engine's own. */
static void *look_at_servers(void *line)
{
    const gw_transactions *calls = host->transactions;
    gw_transaction *server = NULL, *other;
    gw_bytes text_of_it = text("x");
    int64_t port = 0;
    while (calls->next_server(server, &server) == GW_OK && server != NULL) {
        if (main_server == NULL)
            main_server = server;
        if (calls->text(server, GW_FACT_SERVER_HOSTNAME, append, line) != GW_OK || calls->number(server, GW_NUMBER_SERVER_PORT, &port) != GW_OK
            || calls->text(server, GW_FACT_URI, append, line) != GW_INVALID || calls->set_text(server, GW_FACT_USER, &text_of_it) != GW_INVALID
            || calls->related(server, GW_RELATED_MAIN, &other) != GW_INVALID || calls->write(server, text_of_it.ptr, 1, 0) != GW_INVALID)
            append(line, text(""), text("WRONG"));
    }
    return line;
}

static int32_t servers(gw_transaction *transaction)
{
    char line[128] = "";
    pthread_t thread;
    gw_transaction *next = NULL;
    if (pthread_create(&thread, NULL, look_at_servers, line) != 0 || pthread_join(thread, NULL) != 0)
        return 500;
    /* That of the transaction is the main one. */
    if (host->transactions->next_server(transaction, &next) != GW_OK || next == NULL || next == main_server)
        return 500;
    append(line, text(""), text("behind it:"));
    if (host->transactions->text(next, GW_FACT_SERVER_HOSTNAME, append, line) != GW_OK)
        return 500;
    host->transactions->log(transaction, GW_LOG_NOTICE, (const uint8_t *)line, strlen(line));
    return GW_ANSWER_OK;
}

/* A filter: all that passes, in capitals. */
static int32_t upper(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    uint8_t piece[8];
    size_t length = 0;
    uint32_t what = GW_PIECE_NONE;
    for (;;) {
        if (calls->filter_read(transaction, piece, sizeof piece, &length, &what) != GW_OK)
            return 500;
        if (what != GW_PIECE_BYTES)
            break;
        for (size_t at = 0; at < length; at++)
            if (piece[at] >= 'a' && piece[at] <= 'z')
                piece[at] -= 'a' - 'A';
        if (calls->filter_write(transaction, piece, length, 0) != GW_OK)
            return 500;
    }
    return what != GW_PIECE_END || calls->filter_close(transaction) == GW_OK ? GW_ANSWER_OK : 500;
}

static int32_t pass(gw_transaction *transaction)
{
    const gw_transactions *calls = host->transactions;
    int refused = 0;
    refused += calls->filter_read(transaction, NULL, 1, NULL, NULL) == GW_MISUSE;
    refused += calls->filter_write(transaction, NULL, 1, 0) == GW_MISUSE;
    refused += calls->add_filter(transaction, GW_PHASE_CONTENT, text("a"), text("b"), text("")) == GW_INVALID;
    refused += calls->add_filter(transaction, GW_PHASE_OUTPUT_FILTER, text(""), text("b"), text("")) == GW_INVALID;
    return refused == 4 && calls->filter_pass(transaction, GW_PASS_ALWAYS) == GW_OK ? GW_ANSWER_OK : 500;
}

static gw_status run_phase(gw_app *app, gw_transaction *transaction, const gw_phase *phase, int32_t *answer)
{
    (void)app;
    *answer = GW_ANSWER_DECLINED;
    for (size_t at = 0; at < phase->handler_count; at++) {
        gw_bytes handler = phase->handlers[at].name;
        if (is(handler, "let-in"))
            *answer = let_in(transaction);
        else if (is(handler, "count"))
            *answer = count(transaction, phase->state);
        else if (is(handler, "write"))
            *answer = answer_it(transaction);
        else if (is(handler, "wrong"))
            *answer = wrong(transaction);
        else if (is(handler, "forgotten"))
            *answer = 200 + forgotten;
        else if (is(handler, "look-forward"))
            *answer = look_forward(transaction);
        else if (is(handler, "log-it"))
            *answer = log_it(transaction);
        else if (is(handler, "servers"))
            *answer = servers(transaction);
        else if (is(handler, "upper") && phase->filter.len > 0)
            *answer = upper(transaction);
        else if (is(handler, "pass"))
            *answer = pass(transaction);
        else if (is(handler, "nonsense"))
            *answer = 7;
        else
            return GW_ERROR;
    }
    return GW_OK;
}

static void forget(void *state)
{
    forgotten++;
    free(state);
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
    (void)app, (void)request, (void)head;
    return GW_ERROR;
}

static const gw_interface stated = {
    .struct_size = sizeof stated,
    .name = "handlers",
    .target_form = "ANYTHING",
    .target = GW_TARGET_TEXT,
};
static const gw_interface *const interfaces[] = {&stated};

static const gw_engine engine = {
    .struct_size = sizeof engine,
    .abi_major = GW_ABI_MAJOR,
    .abi_minor = GW_ABI_MINOR,
    .name = "phases",
    .interfaces = interfaces,
    .interface_count = 1,
    .load = load,
    .handle = handle,
    .unload = unload,
    .run_phase = run_phase,
    .forget = forget,
};

const gw_engine *gw_engine_entry(const gw_host *table);
const gw_engine *gw_engine_entry(const gw_host *table)
{
    if (table->abi_major != GW_ABI_MAJOR || table->transactions == NULL)
        return NULL;
    host = table;
    return &engine;
}
