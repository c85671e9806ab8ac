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
 *               for this request, or, after handle() has returned GW_AGAIN, any one thread at a time.
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
 */
#ifndef GANGWAY_H
#define GANGWAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GW_ABI_MAJOR 1
#define GW_ABI_MINOR 1
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
} gw_app_spec;

#define GW_APP_MULTIPROCESS 1u /* other processes of this server may run the same application */
#define GW_APP_TEMPLATE 2u     /* this process answers no request: it is forked once the application is loaded; only for
                                  engines that have fork_child(). See there. Since 1.1 */

/* One request. Borrowed until the request is finished (not only for the call). */
typedef struct gw_request_head {
    size_t struct_size;
    const gw_field *variables; /* the meta-variables of RFC 3875 section 4.1, the HTTP_* fields and the
                                  administrator's own; names are unique; values are NUL-terminated at ptr[len] */
    size_t variable_count;
    int64_t content_length;    /* length of the request body; -1: not known before its end */
    uint32_t flags;            /* GW_REQUEST_* */
    uint32_t reserved;
} gw_request_head;

#define GW_REQUEST_NO_BODY 1u /* the answer carries no body (HEAD); writes are accepted and dropped */

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
    uint32_t reserved;
    const gw_option *const *options; /* in the order of the engine's documentation */
    size_t option_count;
} gw_interface;

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
     * time while handle() runs, every other host answers GW_MISUSE there. */
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
     * THREAD: pool thread; with GW_ENGINE_ASYNC a thread that must not block. */
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
} gw_engine;

#define GW_ENGINE_ASYNC 1u /* handle() returns at once; without it handle() runs on a thread of its own */

typedef const gw_engine *(*gw_engine_entry_fn)(const gw_host *host);

#ifdef __cplusplus
}
#endif

#endif /* GANGWAY_H */
