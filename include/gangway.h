/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * gangway.h - the contract between a server module (the "host") and an engine.
 *
 * An engine is a shared object that runs applications for the host: the Python engine is one, a handler of
 * yours in C, C++, Rust, Zig or Go is another. It needs this header and nothing else. docs/abi.md is the guide;
 * tests/engines/ holds a complete engine in C.
 *
 * HANDSHAKE
 *   1. The host opens the shared object and looks up GW_ENGINE_ENTRY, which has the type gw_engine_entry_fn.
 *   2. It calls it once per process with its own table, gw_host. The engine checks host->abi_major; it may
 *      keep the pointer, which stays valid until the process ends.
 *   3. The engine returns its table, gw_engine, or NULL when it cannot work with this host (it logs why).
 *      The table stays valid and unchanged until the process ends.
 *   4. The host refuses a table whose abi_major is not its own, whose struct_size is smaller than the 1.0
 *      struct, whose name is NULL, in which a required function is NULL, or whose statement of its interfaces is
 *      not whole. A refusal is one line in the error log and 500 for the locations of that engine; the server and
 *      its other locations go on.
 *   Steps 1 to 3 also happen while the server only tests its configuration, to every engine that is installed: an
 *   engine must not start threads, open an interpreter or touch files before load(), and not look at files before
 *   check().
 *
 * RULES
 *   Ownership   Whoever allocates frees. Every pointer that a function receives is borrowed for that call,
 *               unless its declaration says otherwise. (NULL, 0) is a valid empty gw_bytes.
 *   Bytes       Names and values are bytes, not text: they may hold any byte but NUL and need not be UTF-8.
 *   Threads     Each declaration says who may call it. "Request thread" is the thread that is inside handle()
 *               for this request, or, after handle() has returned GW_AGAIN, any one thread at a time; since 1.10
 *               read_body() may then be called by one thread while another one calls the others, but for finish().
 *   Unwinding   Nothing may unwind (C++ exception, Rust panic, longjmp) across any function of this header.
 *   Blocking    Functions with a `flags` argument that has GW_NOWAIT never block; without it they may wait for
 *               the client. Do not wait while you hold a lock that other requests need (an interpreter's).
 *               start(), finish(), cancelled() and log() never wait for the client.
 *   Growth      Every struct begins with its size, in bytes, as its writer knew it. A reader must not touch
 *               members that lie beyond the writer's struct_size.
 *
 * HISTORY (member added at the end of a struct, new flag, new status: MINOR; removed, reordered, re-typed or
 * re-defined: MAJOR, with MINOR back at 0)
 *   1.0  first release
 *   1.1  gw_engine.fork_prepare, fork_parent and fork_child, GW_APP_TEMPLATE: an application that is loaded once and forked
 *   1.2  gw_engine.run_phase and forget, gw_host.transactions: handlers of the phases of a request
 *   1.3  gw_engine.ready, gw_interface.flags (was reserved, 0), GW_INTERFACE_ASYNC: an engine is told when to go on
 *   1.4  gw_host.sockets, GW_INTERFACE_WEBSOCKET, GW_REQUEST_WEBSOCKET: messages of WebSockets
 *   1.5  gw_interface.flags GW_INTERFACE_FIELDS, gw_request_head.fields, field_count and local_port, gw_host.interim and
 *        trailers, GW_REQUEST_INTERIM, GW_REQUEST_TRAILERS: a request as it came, and what a response is more than head and body
 *   1.6  GW_PHASE_LOG, GW_PHASE_CLEANUP, gw_transactions.add_handler and await_cleanup: what comes after the response;
 *        gw_transactions.related and look_up, further facts, numbers and tables;
 *        GW_PHASE_INPUT_FILTER, GW_PHASE_OUTPUT_FILTER, gw_phase.filter, gw_transactions.filter_read and its kin: filters
 *   1.7  gw_host.gather: an engine that answers several requests in one turn wakes each server once for them;
 *        GW_PHASE_CONNECTION, GW_RELATED_CONNECTION: a connection in the place of a request
 *   1.8  gw_app_spec.place, gw_host.condition: an application that was made ready and cannot run says so
 *   1.9  GW_NOWAIT of gw_transactions.write: handlers write without giving up a lock, where nobody has to wait
 *   1.10 read_body() on a thread of its own, beside one that writes, after GW_AGAIN
 *   1.11 gw_sockets.descriptor and read: the thread of an event loop reads from busy WebSockets itself
 *   1.12 gw_transactions.next_server, GW_NUMBER_GENERATION, GW_NUMBER_RESTART_TIME, GW_TABLE_SETTINGS and GW_TABLE_OPTIONS: the servers of
 *        the configuration, with or without a request
 *   1.13 GW_INTERFACE_FORGETS_HEAD: a WebSocket that stays for hours does not keep what the engine was told of its request
 *   1.14 gw_phase.suffix: handlers know which files they are for
 */
#ifndef GANGWAY_H
#define GANGWAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GW_ABI_MAJOR 1
#define GW_ABI_MINOR 14
#define GW_ENGINE_ENTRY "gw_engine_entry"

/* ---- Results ------------------------------------------------------------------------------------------- */

typedef int32_t gw_status;
#define GW_OK 0        /* done */
#define GW_AGAIN 1     /* with GW_NOWAIT: nothing was done, it would have waited. From handle(): see gw_engine */
#define GW_CANCELLED 2 /* the client left or the deadline passed: produce no more, clean up, return */
#define GW_ERROR (-1)  /* it failed, and whoever returns this has logged why */
#define GW_INVALID (-2) /* a value was refused (CR, LF or NUL in a header, a status out of range); logged */
#define GW_MISUSE (-3) /* the call broke this contract (body before head, write after finish); logged */

/* ---- Plain data ---------------------------------------------------------------------------------------- */

typedef struct gw_bytes {
    const uint8_t *ptr;
    size_t len;
} gw_bytes;

/* A meta-variable, a response header or an option. */
typedef struct gw_field {
    gw_bytes name;
    gw_bytes value;
} gw_field;

/* The host's side of one request. */
typedef struct gw_request gw_request;
/* The engine's side of one loaded application. */
typedef struct gw_app gw_app;
/* The host's side of it. */
typedef struct gw_place gw_place;

/* What the administrator wrote. Borrowed for the call that receives it. */
typedef struct gw_app_spec {
    size_t struct_size;
    gw_bytes name;           /* for log lines, e.g. "blog.wsgi:application" */
    gw_bytes interface_name; /* which of the engine's interfaces, e.g. "wsgi" */
    gw_bytes target;         /* what to load, as written */
    const gw_field *options; /* the words key=value that are the engine's, in order; keys may repeat */
    size_t option_count;
    uint32_t threads;        /* handle() runs on at most this many threads at a time in this process */
    uint32_t flags;          /* GW_APP_* */
    gw_place *place;         /* for gw_host.condition() and gw_sockets, until unload() has returned; NULL: nobody wants to know. Since 1.8 */
} gw_app_spec;

#define GW_APP_MULTIPROCESS 1u /* other processes of this server may run the same application */
#define GW_APP_TEMPLATE 2u     /* this process answers no request: it is forked once the application is loaded; only for
                                  engines that have fork_child(). See there. Since 1.1 */

/* One request. Borrowed until the request is finished (not only for the call); see GW_INTERFACE_FORGETS_HEAD. */
typedef struct gw_request_head {
    size_t struct_size;
    const gw_field *variables; /* the meta-variables of RFC 3875 section 4.1, the HTTP_* fields and the
                                  administrator's own; names are unique; values are NUL-terminated at ptr[len] */
    size_t variable_count;
    int64_t content_length;    /* length of the request body; -1: not known before its end */
    uint32_t flags;            /* GW_REQUEST_* */
    uint32_t reserved;

    /* For applications of an interface with GW_INTERFACE_FIELDS, else NULL. Since 1.5. The header fields as they came, names in
     * lower case, several of one name one after another, values NUL-terminated. Content-Length is that of the body as it is
     * read. Those of the administrator (HTTP_*) are here as well, in their places. */
    const gw_field *fields;
    size_t field_count;
    uint32_t local_port; /* that the client has connected to; 0: not known */
    uint32_t reserved2;
} gw_request_head;

#define GW_REQUEST_NO_BODY 1u /* the answer carries no body (HEAD); writes are accepted and dropped */
#define GW_REQUEST_WEBSOCKET 2u /* the client asks for a WebSocket, and may have one: see gw_sockets. Since 1.4 */
#define GW_REQUEST_INTERIM 4u /* what interim() is given reaches the client. Since 1.5 */
#define GW_REQUEST_TRAILERS 8u /* what trailers() is given reaches the client, who has asked for such. Since 1.5 */

/* ---- What an engine states of itself --------------------------------------------------------------------- */

/* What the value of an option looks like. The host checks it while the configuration is read; it makes the paths of
 * files and directories absolute, and passes everything else on as it was written. A kind that the host does not
 * know is GW_VALUE_TEXT to it: the engine looks at the value in check(). */
#define GW_VALUE_TEXT 0u       /* anything that is not empty */
#define GW_VALUE_SWITCH 1u     /* "on" or "off" */
#define GW_VALUE_NUMBER 2u     /* decimal digits, from `least` to `most` */
#define GW_VALUE_SIZE 3u       /* bytes: "1000", "512k", "64m", "2g" */
#define GW_VALUE_TIME 4u       /* "500ms", "30s", "2m", "1h", "30" (seconds) or "off" */
#define GW_VALUE_ASSIGNMENT 5u /* "NAME=VALUE" */
#define GW_VALUE_FILE 6u       /* a file that exists */
#define GW_VALUE_DIRECTORY 7u  /* a directory that exists */

#define GW_OPTION_REPEATS 1u /* may be given several times */

/* A word key=value that is the engine's. Names are of lower-case letters, digits and "_"; threads, queue, timeout and
 * pass_authorization are the host's own. */
typedef struct gw_option {
    size_t struct_size;
    const char *name;
    uint32_t value;           /* GW_VALUE_* */
    uint32_t flags;           /* GW_OPTION_* */
    uint32_t least;           /* of GW_VALUE_NUMBER */
    uint32_t most;            /* of GW_VALUE_NUMBER */
    const char *default_text; /* what holds without it, for people: "none" */
    const char *help;         /* what it is for, in one line */
} gw_option;

#define GW_TARGET_TEXT 0u   /* anything: the engine looks at it in check() */
#define GW_TARGET_MEMBER 1u /* "PLACE:MEMBER"; a PLACE with a slash is a file: it exists, and is made absolute */

#define GW_INTERFACE_ASYNC 1u /* handle() is as with GW_ENGINE_ASYNC for applications of this interface. Since 1.3 */
#define GW_INTERFACE_WEBSOCKET 2u /* its applications are asked for WebSockets: without it a request for one comes as a
                                     plain one, for GW_REQUEST_WEBSOCKET is not set. Since 1.4 */
#define GW_INTERFACE_FIELDS 4u /* a request's head has its fields as they came, and no HTTP_* variables made of them. Since 1.5 */
#define GW_INTERFACE_FORGETS_HEAD 8u /* of asynchronous ones: it looks at no variable and no field of a request any more once accept() has
                                        answered GW_OK. The host gives their memory back, and the head has none of them then. Since 1.13 */

/* A kind of application that the engine runs. The interface "wsgi" is what gangway_wsgi and GangwayWSGI want; the
 * server modules say which interfaces have a directive. An engine without any is a native handler: gangway_native
 * and GangwayNative name its file, and every key=value that is not the host's reaches it. One that states the
 * interface "native" has the options of that interface and no others there. */
typedef struct gw_interface {
    size_t struct_size;
    const char *name;                /* lower-case letters, digits and "_" */
    const char *target_form;         /* what a target looks like, for messages: "MODULE:CALLABLE" */
    const char *member;              /* what MEMBER is called in messages, with GW_TARGET_MEMBER: "callable" */
    uint32_t target;                 /* GW_TARGET_* */
    uint32_t flags;                  /* GW_INTERFACE_*; 0 before 1.3 */
    const gw_option *const *options; /* in the order of the engine's documentation */
    size_t option_count;
} gw_interface;

/* ---- Phases of a request --------------------------------------------------------------------------------- */

/* A request on its way through the phases of the server, which the handlers of an application look at and change. Since 1.2.
 * It is not a gw_request: it has no head of its own to begin with, since what the response is stands in its facts and
 * tables, which the server and its modules see and change as well. */
typedef struct gw_transaction gw_transaction;

/* The phases, in the order in which a server comes to them. */
#define GW_PHASE_POST_READ_REQUEST 1u
#define GW_PHASE_INIT 2u /* in the first phase that knows the place of the configuration that names the handler */
#define GW_PHASE_TRANS 3u
#define GW_PHASE_HEADER_PARSER 4u
#define GW_PHASE_ACCESS 5u
#define GW_PHASE_AUTHEN 6u
#define GW_PHASE_AUTHZ 7u
#define GW_PHASE_TYPE 8u
#define GW_PHASE_FIXUP 9u
#define GW_PHASE_CONTENT 10u
#define GW_PHASE_LOG 11u     /* the response has ended: nothing can be read or written any more, and what it answers is not looked at. Since 1.6 */
#define GW_PHASE_CLEANUP 12u /* the end of the transaction, otherwise as GW_PHASE_LOG. Since 1.6 */
#define GW_PHASE_INPUT_FILTER 13u  /* a piece of the request's body passes, inside of whatever reads it; any answer but a status is right. Since 1.6 */
#define GW_PHASE_OUTPUT_FILTER 14u /* a piece of the response's body passes, inside of whatever writes it. Since 1.6 */
#define GW_PHASE_CONNECTION 15u    /* a connection has begun of which nothing is read yet: read() waits for some bytes of it, write() sends some, and what they
                                    * are is the handlers' matter. Texts, numbers and notes of the connection are there, and nothing of a request.
                                    * GW_ANSWER_DECLINED: the server's own protocol goes on. Since 1.7 */

/* What a phase answers; everything else is the status of an HTTP response, from 200 to 599. */
#define GW_ANSWER_OK 0
#define GW_ANSWER_DECLINED (-1)
#define GW_ANSWER_DONE (-2)

/* What a filter reads. Since 1.6. */
#define GW_PIECE_BYTES 0u /* bytes */
#define GW_PIECE_NONE 1u  /* no more in this run; another run follows */
#define GW_PIECE_END 2u   /* no more */

#define GW_PASS_ALWAYS 1u /* also what comes in later runs, which are not made. Since 1.6 */

/* One run of the handlers of a phase. Borrowed for the call, but for `state`. */
typedef struct gw_phase {
    size_t struct_size;
    uint32_t phase;           /* GW_PHASE_* */
    uint32_t reserved;
    gw_bytes interpreter;     /* handlers of one name share their modules, others do not */
    const gw_field *handlers; /* name: as the configuration writes it; value: the directory that it stands for, or empty */
    size_t handler_count;
    const gw_field *settings; /* words of the configuration that are the engine's; names are unique */
    size_t setting_count;
    const gw_field *options;  /* words of the configuration that are the handlers' own; names are unique */
    size_t option_count;
    void **state;             /* the engine's own for this transaction, NULL before its first phase. When it is not NULL at
                                 the end of the transaction, forget() gets it */
    gw_bytes filter;          /* the name of the filter; empty in other phases. Since 1.6 */
    gw_bytes suffix;          /* the suffix of the files that these handlers are for, with its dot; empty where they are for all. Since 1.14 */
} gw_phase;

/* Texts of a transaction. Those marked "w" can be set. */
#define GW_FACT_METHOD 1u             /* w */
#define GW_FACT_URI 2u                /* w: the path, decoded */
#define GW_FACT_UNPARSED_URI 3u       /* as the client sent it */
#define GW_FACT_FILENAME 4u           /* w */
#define GW_FACT_CANONICAL_FILENAME 5u /* w */
#define GW_FACT_PATH_INFO 6u          /* w */
#define GW_FACT_ARGS 7u               /* w: the query, as the client sent it */
#define GW_FACT_PROTOCOL 8u
#define GW_FACT_HOSTNAME 9u
#define GW_FACT_THE_REQUEST 10u       /* the request line */
#define GW_FACT_CONTENT_TYPE 11u      /* w: of the response */
#define GW_FACT_CONTENT_ENCODING 12u  /* w: of the response */
#define GW_FACT_HANDLER 13u           /* w: who gives the content */
#define GW_FACT_USER 14u              /* w */
#define GW_FACT_AP_AUTH_TYPE 15u      /* w: how the user was authenticated */
#define GW_FACT_STATUS_LINE 16u       /* w */
#define GW_FACT_RANGE 17u
#define GW_FACT_VLIST_VALIDATOR 18u
#define GW_FACT_USERAGENT_IP 19u
#define GW_FACT_AUTH_TYPE 20u         /* as the configuration has it */
#define GW_FACT_AUTH_NAME 21u         /* as the configuration has it */
#define GW_FACT_DOCUMENT_ROOT 22u
#define GW_FACT_REMOTE_IP 23u         /* of the connection */
#define GW_FACT_LOCAL_IP 24u          /* of the connection */
#define GW_FACT_REMOTE_HOST 25u       /* where the server looks names up */
#define GW_FACT_SERVER_HOSTNAME 26u
#define GW_FACT_SERVER_ADMIN 27u
#define GW_FACT_ERROR_FNAME 28u
#define GW_FACT_LOCAL_HOST 29u        /* the name of this end of the connection, where the server knows it. From here on since 1.6 */
#define GW_FACT_REMOTE_LOGNAME 30u    /* RFC 1413, where the server asks for it */
#define GW_FACT_SERVER_PATH 31u       /* of ServerPath */
#define GW_FACT_DEFN_NAME 32u         /* the file of the configuration that the virtual host stands in */
#define GW_FACT_SERVER_ROOT 33u

/* Numbers of a transaction. Those marked "w" can be set. */
#define GW_NUMBER_STATUS 1u           /* w */
#define GW_NUMBER_METHOD_NUMBER 2u
#define GW_NUMBER_PROTO_NUM 3u        /* 1001 for HTTP/1.1 */
#define GW_NUMBER_ASSBACKWARDS 4u     /* w: a response without head (HTTP/0.9) */
#define GW_NUMBER_HEADER_ONLY 5u
#define GW_NUMBER_PROXYREQ 6u         /* w */
#define GW_NUMBER_REQUEST_TIME 7u     /* microseconds since 1970 */
#define GW_NUMBER_MTIME 8u            /* w: microseconds since 1970, of the document */
#define GW_NUMBER_NO_CACHE 9u         /* w */
#define GW_NUMBER_NO_LOCAL_COPY 10u   /* w */
#define GW_NUMBER_BYTES_SENT 11u
#define GW_NUMBER_CLENGTH 12u
#define GW_NUMBER_CHUNKED 13u
#define GW_NUMBER_ALLOWED 14u         /* w: a bit for each method number */
#define GW_NUMBER_EOS_SENT 15u
#define GW_NUMBER_USED_PATH_INFO 16u  /* w */
#define GW_NUMBER_SENT_BODYCT 17u
#define GW_NUMBER_CONNECTION_ID 18u
#define GW_NUMBER_REMOTE_PORT 19u
#define GW_NUMBER_LOCAL_PORT 20u
#define GW_NUMBER_ABORTED 21u
#define GW_NUMBER_KEEPALIVE 22u
#define GW_NUMBER_KEEPALIVES 23u
#define GW_NUMBER_DOUBLE_REVERSE 24u
#define GW_NUMBER_SERVER_PORT 25u
#define GW_NUMBER_TIMEOUT 26u         /* microseconds */
#define GW_NUMBER_KEEP_ALIVE_TIMEOUT 27u /* microseconds */
#define GW_NUMBER_KEEP_ALIVE_MAX 28u
#define GW_NUMBER_KEEP_ALIVE 29u
#define GW_NUMBER_LOGLEVEL 30u
#define GW_NUMBER_IS_VIRTUAL 31u
#define GW_NUMBER_IS_HTTPS 32u
#define GW_NUMBER_DEFN_LINE_NUMBER 33u /* where in that file. From here on since 1.6 */
#define GW_NUMBER_LIMIT_REQ_LINE 34u   /* bytes */
#define GW_NUMBER_LIMIT_REQ_FIELDSIZE 35u /* bytes */
#define GW_NUMBER_LIMIT_REQ_FIELDS 36u
#define GW_NUMBER_REMAINING 37u        /* of the body, where its length is known: bytes that have not been read */
#define GW_NUMBER_READ_LENGTH 38u
#define GW_NUMBER_READ_BODY 39u
#define GW_NUMBER_READ_CHUNKED 40u
#define GW_NUMBER_EXPECTING_100 41u
#define GW_NUMBER_GENERATION 42u       /* how often the server had been restarted when this process began. This and the next one since 1.12; GW_INVALID: the
                                        * server does not tell */
#define GW_NUMBER_RESTART_TIME 43u     /* microseconds since 1970: when the server was started, or restarted other than gracefully */

/* Tables: names in any case, and several values for one name. */
#define GW_TABLE_HEADERS_IN 1u
#define GW_TABLE_HEADERS_OUT 2u
#define GW_TABLE_ERR_HEADERS_OUT 3u /* they leave with an error page, too */
#define GW_TABLE_SUBPROCESS_ENV 4u
#define GW_TABLE_NOTES 5u
#define GW_TABLE_CONNECTION_NOTES 6u
/* These cannot be changed. Since 1.6. */
#define GW_TABLE_SERVER_NAMES 7u      /* ServerAlias; values are empty here and in the next three */
#define GW_TABLE_SERVER_WILD_NAMES 8u /* the same with wildcards */
#define GW_TABLE_ALLOWED_XMETHODS 9u  /* methods that are allowed and have no number */
#define GW_TABLE_CONTENT_LANGUAGES 10u
#define GW_TABLE_SERVER_ADDRS 11u     /* of the virtual host: address and port */
#define GW_TABLE_CONFIG_TREE 12u      /* the directives of the configuration and their arguments; one that stands in a section has a TAB before
                                         its name for each section around it */
/* Of a server that next_server() has given. Since 1.12. */
#define GW_TABLE_SETTINGS 13u         /* as gw_phase.settings, as far as they stand outside of its sections */
#define GW_TABLE_OPTIONS 14u          /* the same of gw_phase.options */

#define GW_CHANGE_SET 1u   /* in the place of all values of the name */
#define GW_CHANGE_ADD 2u   /* beside them */
#define GW_CHANGE_UNSET 3u
#define GW_CHANGE_CLEAR 4u /* of all names */

/* Transactions beside another one. Since 1.6. */
#define GW_RELATED_MAIN 1u /* of which it is a part */
#define GW_RELATED_PREV 2u /* that was redirected to it */
#define GW_RELATED_NEXT 3u /* that it was redirected to */
#define GW_RELATED_CONNECTION 4u /* the connection below it: read() and write() pass by everything that the server knows of requests, and nothing else is there. Since 1.7 */

/* What is found by name. Since 1.6. */
#define GW_LOOK_UP_SSL 1u    /* a variable of the TLS connection: "SSL_CIPHER" */
#define GW_LOOK_UP_DEFINE 2u /* whether the server was started with this word: something is given, or nothing */
#define GW_LOOK_UP_MPM 3u    /* httpd: what the MPM answers to the query with this number, both in decimal digits */

/* Gets a value, which is borrowed for the call; it must not call the host. */
typedef void (*gw_give_fn)(void *context, gw_bytes name, gw_bytes value);

/* What handlers do with a transaction. THREAD of all: the one that runs the phase; others get GW_MISUSE. */
typedef struct gw_transactions {
    size_t struct_size;

    /* Gives a text, with an empty name; nothing is given where the server has none. */
    gw_status (*text)(gw_transaction *transaction, uint32_t fact, gw_give_fn give, void *context);
    /* Sets a text; NULL takes it away. GW_INVALID: it must not be set, or not to that (control bytes); nothing has changed. */
    gw_status (*set_text)(gw_transaction *transaction, uint32_t fact, const gw_bytes *value);
    gw_status (*number)(gw_transaction *transaction, uint32_t number, int64_t *value);
    gw_status (*set_number)(gw_transaction *transaction, uint32_t number, int64_t value);

    /* Gives the entries of a table, in order. `name`: only those of it, in any case; NULL: all. */
    gw_status (*table)(gw_transaction *transaction, uint32_t table, const gw_bytes *name, gw_give_fn give, void *context);
    /* GW_INVALID: headers are held to RFC 9110 sections 5.1 and 5.5, all others to texts without NUL. */
    gw_status (*change_table)(gw_transaction *transaction, uint32_t table, uint32_t change, gw_bytes name, gw_bytes value);

    /* As gw_host.read_body(), without flags: it may wait for the client. */
    gw_status (*read)(gw_transaction *transaction, uint8_t *buffer, size_t capacity, size_t *length);
    /* Sends a copy of the bytes, and before the first ones the head that the facts and tables make. It may wait for the
     * client. FLAGS GW_FLUSH and, since 1.9, GW_NOWAIT. */
    gw_status (*write)(gw_transaction *transaction, const uint8_t *data, size_t length, uint32_t flags);
    /* As gw_host.send_file(). FLAGS GW_FLUSH. */
    gw_status (*send_file)(gw_transaction *transaction, int fd, uint64_t offset, uint64_t length, uint32_t flags);
    /* Declares how long the response is. */
    gw_status (*set_length)(gw_transaction *transaction, uint64_t length);
    /* The answer to "If-" headers for what the facts and tables are: GW_ANSWER_OK or a status. */
    gw_status (*meets_conditions)(gw_transaction *transaction, int32_t *answer);
    /* Gives the client what another path of this server gives, in the place of this one. Nothing may have left. */
    gw_status (*redirect)(gw_transaction *transaction, gw_bytes target);

    /* As gw_host.log(). */
    void (*log)(gw_transaction *transaction, uint32_t level, const uint8_t *text, size_t length);

    /* Since 1.6. Has a handler run in a later phase of this transaction, behind those that the configuration names for it; name
     * and directory as in gw_phase.handlers. GW_INVALID: the server cannot do it. */
    gw_status (*add_handler)(gw_transaction *transaction, uint32_t phase, gw_bytes name, gw_bytes directory);
    /* Since 1.6. Has run_phase() called with GW_PHASE_CLEANUP at the end of the transaction, with or without handlers. GW_INVALID: the
     * server cannot do it. */
    gw_status (*await_cleanup)(gw_transaction *transaction);
    /* Since 1.6. Another transaction, or NULL where there is none: of its calls text, number, table and related work, and what changes
     * those. It may be used until run_phase() returns. */
    gw_status (*related)(gw_transaction *transaction, uint32_t which, gw_transaction **other);
    /* Since 1.6. Gives what the server finds by a name, once, with an empty name; nothing is given where it finds nothing. */
    gw_status (*look_up)(gw_transaction *transaction, uint32_t what, gw_bytes name, gw_give_fn give, void *context);

    /* Since 1.6. Filters. Such a phase runs for each piece that passes, perhaps inside of another phase of the same transaction and
     * thread, which has called the host then. What a run does not read is gone; the end passes on by itself. A run that fails ends the
     * transaction: the server answers 500, or cuts what has begun. read(), write() and their kin are GW_INVALID in it, and these four
     * everywhere else. */
    /* Copies at most `capacity` bytes of what has come; `*length` is written for GW_PIECE_BYTES alone. An input filter may wait for the
     * client. */
    gw_status (*filter_read)(gw_transaction *transaction, uint8_t *buffer, size_t capacity, size_t *length, uint32_t *piece);
    /* Passes a copy of the bytes on. An output filter may wait for the client. FLAGS GW_FLUSH, for an output filter. */
    gw_status (*filter_write)(gw_transaction *transaction, const uint8_t *data, size_t length, uint32_t flags);
    /* Ends the body: no bytes pass any more. */
    gw_status (*filter_close)(gw_transaction *transaction);
    /* Passes what has not been read of this run on as it is. FLAGS GW_PASS_ALWAYS. */
    gw_status (*filter_pass)(gw_transaction *transaction, uint32_t flags);
    /* In any phase before the body passes: adds a filter to this transaction; `phase` is GW_PHASE_INPUT_FILTER or GW_PHASE_OUTPUT_FILTER.
     * With an empty handler it is one of the server's or of the configuration, by its name. GW_INVALID: there is none of that name. */
    gw_status (*add_filter)(gw_transaction *transaction, uint32_t phase, gw_bytes name, gw_bytes handler, gw_bytes directory);

    /* Since 1.12. The servers of the configuration, one behind the other: for NULL the main one, which stands in no section, else the one behind that
     * of this transaction, or NULL behind the last one. A server is a transaction that stays until the process ends. Its texts, numbers and tables are
     * those of a server; log(), look_up() and next_server() work as well, and all else is GW_INVALID. GW_INVALID: the host does not tell of servers.
     * THREAD: any, from load() on, for NULL and servers. */
    gw_status (*next_server)(gw_transaction *transaction, gw_transaction **server);
} gw_transactions;

/* ---- WebSockets ---------------------------------------------------------------------------------------- */

#define GW_MESSAGE_TEXT 1u   /* UTF-8; the host has checked it */
#define GW_MESSAGE_BINARY 2u
#define GW_MESSAGE_CLOSED 3u /* no message can come or go any more: `code` as in RFC 6455 section 7.4.1, with 1005 for a
                                client that named none and 1006 for one that left without a word, and the reason */

/* Gets a message, which is borrowed for the call; it must not call the host. `code` is 0 but with GW_MESSAGE_CLOSED. */
typedef void (*gw_message_fn)(void *context, uint32_t kind, uint16_t code, gw_bytes payload);

/* A request with GW_REQUEST_WEBSOCKET. Since 1.4. Either it is accepted, and then has messages in both directions and neither
 * head nor body; or it is answered as every other request by start(), write() and finish(), and stays without a WebSocket. The
 * host has the rest of the protocol: handshake, frames, compression, UTF-8, pings and their answers, the end of the connection.
 * The client's subprotocols stand in HTTP_SEC_WEBSOCKET_PROTOCOL, or in the field that this is made of.
 * finish() after accept() closes a WebSocket that is open: with 1000 for GW_OK, with 1011 for GW_ERROR.
 * THREAD of all: request thread; receive() may be called by one thread while another one calls the others. */
typedef struct gw_sockets {
    size_t struct_size;

    /* Accepts it: instead of start(), once. `subprotocol` is one of the client's, or empty for none. GW_INVALID without effect:
     * it is none of the client's, or a header must not be sent; those of the handshake (Sec-WebSocket-*) are the host's. */
    gw_status (*accept)(gw_request *request, gw_bytes subprotocol, const gw_field *headers, size_t header_count);

    /* Gives the next message. GW_MESSAGE_CLOSED comes once, after all that came before it, also when the request is cancelled;
     * after it the answer is GW_CANCELLED. A message whose receiver has not come for it stays with the host, which reads no
     * more of the client than that: so a client waits for the engine. FLAGS GW_NOWAIT; ready(GW_READY_READ) follows. */
    gw_status (*receive)(gw_request *request, uint32_t flags, gw_message_fn give, void *context);

    /* Sends a copy of a message, GW_MESSAGE_TEXT or GW_MESSAGE_BINARY, at once and whole. GW_INVALID: text that is not UTF-8.
     * GW_CANCELLED: it is closed. FLAGS GW_NOWAIT; ready(GW_READY_ROOM) follows. */
    gw_status (*send)(gw_request *request, uint32_t kind, const uint8_t *data, size_t length, uint32_t flags);

    /* Closes it, when what was sent before has left; GW_MESSAGE_CLOSED with the same number follows. `reason` is UTF-8 and is cut
     * after 123 bytes. GW_INVALID: a number that must not be sent (1005, 1006, 1015, below 1000, above 4999). Of a WebSocket that is
     * closed already GW_OK. It never waits. */
    gw_status (*close)(gw_request *request, uint16_t code, gw_bytes reason);

    /* For an engine whose requests share an event loop. Where messages of a client follow each other quickly the host may leave it to
     * the loop's thread to read them, which saves a change of threads. descriptor() answers what that watches for being readable, level-triggered,
     * from load() until unload() at the latest, or -1 where there is nothing to watch; it is the host's, who alone reads from it and closes it.
     * read() reads what has come, without waiting, and calls ready(GW_READY_READ) as ever, on this thread before it returns; the
     * descriptor stays readable while there is more. A loop that does not come for it is not waited for: after a fifth of a second
     * at most the host reads itself, as it does for who has not asked for the descriptor. `place` is gw_app_spec.place.
     * THREAD: any, from load() until unload() has returned; read() by one at a time. Since 1.11. */
    int32_t (*descriptor)(gw_place *place);
    void (*read)(gw_place *place);
} gw_sockets;

/* ---- The host's table ---------------------------------------------------------------------------------- */

#define GW_NOWAIT 1u /* do not block: GW_AGAIN instead */
#define GW_FLUSH 2u  /* send now what was written so far; without it the host may hold it until the next flush,
                        finish or full buffer */

/* Frees what write_owned() borrowed. THREAD: any, once per accepted write_owned(); it must not block and must
 * not call the host. */
typedef void (*gw_release_fn)(void *context);

#define GW_LOG_ERROR 1u
#define GW_LOG_WARN 2u
#define GW_LOG_NOTICE 3u
#define GW_LOG_INFO 4u
#define GW_LOG_DEBUG 5u
#define GW_LOG_FURTHER 6u /* a further line of the error before it (a traceback): without the request's context */

typedef struct gw_host {
    size_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;

    /* Copies at most `capacity` (at least 1) bytes of the request body into `buffer`. `*length` is written on
     * GW_OK alone; 0 is the end of the body, also on every later call. GW_ERROR: the client's body is broken or
     * too late.
     * FLAGS GW_NOWAIT. THREAD: request thread; a host that has read the body beforehand allows any one thread at a
     * time while handle() runs, every other host answers GW_MISUSE there. After GW_AGAIN of handle() one thread may call it
     * while another one calls the others (since 1.10). */
    gw_status (*read_body)(gw_request *request, uint8_t *buffer, size_t capacity, uint32_t flags, size_t *length);

    /* Gives the response head: status 200 to 599, a reason phrase (empty: the server's own), headers in order.
     * Everything is copied. Once per request. The host checks all of it (RFC 9110 sections 5.1, 5.5) and answers
     * GW_INVALID without effect; it drops the connection's own headers (Connection, Keep-Alive,
     * Transfer-Encoding and kin) and holds the body to Content-Length. The head leaves with the first flush or
     * body byte that leaves. THREAD: request thread. */
    gw_status (*start)(gw_request *request, uint16_t status, gw_bytes reason, const gw_field *headers,
                       size_t header_count);

    /* Sends a copy of the bytes. All or nothing with GW_NOWAIT. GW_INVALID: more than Content-Length allows;
     * what it allows was sent. FLAGS GW_NOWAIT, GW_FLUSH. THREAD: request thread. */
    gw_status (*write)(gw_request *request, const uint8_t *data, size_t length, uint32_t flags);

    /* Sends the bytes themselves. On GW_OK and GW_INVALID the host owns the borrow and calls release(context)
     * once, from any thread, perhaps before this returns; on every other answer it never does. The bytes must
     * not change until then. Otherwise as write(). */
    gw_status (*write_owned)(gw_request *request, const uint8_t *data, size_t length, gw_release_fn release,
                             void *context, uint32_t flags);

    /* Sends `length` bytes of a regular file from `offset`. The host duplicates the descriptor: the caller may
     * close its own on return. The file must not shrink meanwhile (the response is cut then). Otherwise as
     * write(). */
    gw_status (*send_file)(gw_request *request, int fd, uint64_t offset, uint64_t length, uint32_t flags);

    /* Sends what was written so far. FLAGS GW_NOWAIT. THREAD: request thread. */
    gw_status (*flush)(gw_request *request, uint32_t flags);

    /* Ends the response. GW_OK: it is complete (if fewer bytes than Content-Length came, the host logs it and
     * cuts the connection). GW_ERROR: it failed; the host answers 500 if the head has not left, else it cuts the
     * connection so that the client sees the truncation. Once per request; after GW_AGAIN from handle() the
     * request is gone when this returns. THREAD: request thread. */
    gw_status (*finish)(gw_request *request, gw_status outcome);

    /* 1 when the client has left or the deadline has passed, else 0. THREAD: any, while the request lives. */
    int32_t (*cancelled)(gw_request *request);

    /* Writes one line to the server's error log, with the request's context if `request` is not NULL. Line ends
     * and control bytes are escaped. THREAD: any. */
    void (*log)(gw_request *request, uint32_t level, const uint8_t *text, size_t length);

    /* Since 1.2. */
    const gw_transactions *transactions;

    /* Since 1.4. */
    const gw_sockets *sockets;

    /* Sends an interim head (103) before start(). What the client or the server has no way for, and more than 16 of a request,
     * is left out. GW_INVALID as start(), for other statuses as well. Never waits. THREAD: request thread. Since 1.5. */
    gw_status (*interim)(gw_request *request, uint16_t status, const gw_field *headers, size_t header_count);

    /* Gives the fields that follow the body, after start(), as often as wanted; they leave with finish(). Before start(), without
     * fields: says that there will be some, without which they may be left out. GW_INVALID as start(). THREAD: request thread.
     * Since 1.5. */
    gw_status (*trailers)(gw_request *request, const gw_field *headers, size_t header_count);

    /* For an engine whose thread answers several requests in one turn. After gather(1) the host may wait with what the calls of
     * this thread have for servers until gather(0), or until gather(1) again, so that a server wakes once for all of it; it waits
     * a hundredth of a second at most, for a turn that takes longer. Other threads do not wait. THREAD: any. Since 1.7. */
    void (*gather)(uint32_t on);

    /* Says of an application that load() makes ready, or has made ready, that it cannot run, so that its requests fail, or that it
     * can again: `reason` in one line for people who look at the status, empty when it runs. Until this is called it is taken to
     * run. Never waits. THREAD: any, from load() until unload() has returned. Since 1.8. */
    void (*condition)(gw_place *place, gw_bytes reason);
} gw_host;

/* ---- The engine's table -------------------------------------------------------------------------------- */

typedef struct gw_engine {
    size_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;
    const char *name; /* short, for log lines: "python" */
    uint64_t flags;   /* GW_ENGINE_* */

    /* Optional. What the engine runs, valid and unchanged until the process ends. */
    const gw_interface *const *interfaces;
    size_t interface_count;

    /* Optional. Looks at a specification without running anything: are the options right, do the files exist?
     * On GW_ERROR `error` holds one NUL-terminated line that names the cause and the cure. Called while the
     * configuration is read, perhaps as root, with every specification of the process so far in order of the
     * configuration, so that specifications that cannot share a process are found. THREAD: the server's main. */
    gw_status (*check)(const gw_app_spec *const *specs, size_t count, char *error, size_t capacity);

    /* Required. Makes an application ready in this process, after the fork and as the worker's user. An
     * application that fails to start should still answer GW_OK here and 500 for its requests, so that it can
     * heal; GW_ERROR (with `error` as above) means that it never will. `*app` is the engine's own.
     * THREAD: the host's engine thread, which makes all load() and unload() calls of a process. */
    gw_status (*load)(const gw_app_spec *spec, gw_app **app, char *error, size_t capacity);

    /* Optional, both or none. enter() is called on a thread before the first handle() of a run of requests and
     * leave() after the last, before the thread sleeps: an engine with an interpreter lock takes it in enter()
     * and gives it up in leave() instead of twice per request. The host takes a waiting request only after
     * enter() has returned, so threads that wait for the lock do not hold requests. THREAD: pool thread. */
    void (*enter)(gw_app *app);
    void (*leave)(gw_app *app);

    /* Optional. The calling thread will make no more calls for this application. THREAD: pool thread. */
    void (*thread_end)(gw_app *app);

    /* Required. Answers one request with the host's functions. Returns GW_OK after finish(); GW_ERROR when it
     * failed (the host then finishes with GW_ERROR, if that has not been done); GW_AGAIN, only with
     * GW_ENGINE_ASYNC, when finish() will be called later, from any thread. With GW_OK and GW_ERROR `request` is
     * gone when handle() has returned.
     * THREAD: pool thread; with GW_ENGINE_ASYNC a thread that must not block: the server's own, or, when a request has
     * waited for the end of another one, the thread that has called finish() for that. */
    gw_status (*handle)(gw_app *app, gw_request *request, const gw_request_head *head);

    /* Optional. The deadline of a running request has passed and the client has its answer: make handle()
     * return soon, and log where it was. May block. The request stays valid for the call.
     * THREAD: any but the request thread. */
    void (*interrupt)(gw_app *app, gw_request *request);

    /* Required. No handle() is running or will be called; `app` is invalid after it. After the last unload()
     * of a process the engine ends its runtime (exit handlers run). The host waits a bounded time for it.
     * THREAD: the host's engine thread. */
    void (*unload)(gw_app *app);

    /* Optional, all three or none. Since 1.1. The host may load an application in a process that answers no request
     * (GW_APP_TEMPLATE) and fork(2) that, any number of times: the children answer requests, with what is loaded. It calls
     * fork_prepare() before each fork, fork_parent() after it in the process that was forked, whether a child came to be
     * or not, and fork_child() in the child, which may be the child of a child that did nothing else.
     * With GW_APP_TEMPLATE load() starts no thread of the engine's own, which a child would not have: fork_child() does.
     * An application that cannot be started is GW_ERROR there, for an older one may go on in its place.
     * fork_child() answers GW_ERROR, logged, when the child cannot answer requests; it ends then. Descriptors that have
     * been opened since load() are the host's.
     * THREAD: the engine thread, which is the only one of the host's in such a process, and in a child the one that
     * makes the call of unload(). */
    void (*fork_prepare)(void);
    void (*fork_parent)(void);
    gw_status (*fork_child)(void);

    /* Optional, both or none; an engine that states the interface "handlers" has them. Since 1.2.
     * run_phase() runs the handlers of one phase and writes what they answer. GW_ERROR, which the engine has logged: the
     * server answers 500. A phase can begin inside of another one of the same thread, of another transaction, when a handler
     * redirects, or when what it writes meets a filter that asks for another document: the engine has given up its lock then.
     * enter() and leave() stand around the outer one alone. There is no deadline and no interrupt().
     * THREAD: pool thread, between enter() and leave(), or inside of a call of the host. The phases of one transaction may
     * run on different threads, one behind the other.
     * forget() ends what the engine has kept for a transaction: it must not block, for its lock neither, and not call the
     * host. THREAD: any, also while other threads are in enter(). */
    gw_status (*run_phase)(gw_app *app, gw_transaction *transaction, const gw_phase *phase, int32_t *answer);
    void (*forget)(void *state);

    /* Optional, for requests that handle() has answered with GW_AGAIN. Since 1.3. A call that would have waited need not be
     * repeated in vain: `what` says which one would not wait any more. GW_READY_READ: body bytes or the end of the body
     * have come after a read_body() that answered GW_AGAIN. GW_READY_ROOM: there is room after a write that did.
     * GW_READY_GONE: cancelled() is 1 from now on; it comes once, without having been asked for.
     * It may come once more than needed, and while another thread is inside finish() for the same request or has
     * just left it: `request` is a name to look up in here, and is not to be passed to the host before the engine has found
     * that it has not ended the request yet. It must not block and must not call the host.
     * THREAD: any. */
    void (*ready)(gw_app *app, gw_request *request, uint32_t what);
} gw_engine;

#define GW_READY_READ 1u
#define GW_READY_ROOM 2u
#define GW_READY_GONE 4u

#define GW_ENGINE_ASYNC 1u /* for all its applications: handle() returns at once; without it handle() runs on a thread of its own */

typedef const gw_engine *(*gw_engine_entry_fn)(const gw_host *host);

#ifdef __cplusplus
}
#endif

#endif /* GANGWAY_H */
