/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The backends of the upstream benchmark: `backend fastcgi|scgi SOCKET THREADS`. FastCGI is libfcgi's, SCGI is spoken here.
 * A thread serves a connection as long as it is kept, so there must be more threads than connections. Without arguments it is what
 * mod_fcgid starts: the listener is descriptor 0. No answer has a Content-Length, as CGI programs rarely give one. /echo gives back what was posted
 * and /io waits for 10 ms, with FastCGI alone. */

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcgiapp.h>

enum { BODY = 64 * 1024, LARGE = 1024 * 1024, POSTED = 16 * 1024 };
#define HEAD "Content-Type: text/plain\r\n\r\n"
static const char hello[] = HEAD "Hello, World!\n";
static const char wrong[] = "Status: 400 Wrong\r\n" HEAD "wrong\n";
static char large[sizeof HEAD - 1 + LARGE];
static int listener;

/* The whole answer to a path; `posted` bytes of body have been read. */
static const char *answer(const char *uri, long posted, size_t *length)
{
    const char *text = hello;
    *length = sizeof hello - 1;
    if (strncmp(uri, "/body", 5) == 0 || strncmp(uri, "/slow", 5) == 0) {
        text = large;
        *length = sizeof HEAD - 1 + (uri[1] == 'b' ? BODY : LARGE);
    } else if (strncmp(uri, "/post", 5) == 0 ? posted != POSTED : strncmp(uri, "/hello", 6) != 0) {
        text = wrong;
        *length = sizeof wrong - 1;
    }
    return text;
}

static void *serve_fastcgi(void *unused)
{
    FCGX_Request request;
    char block[POSTED];
    FCGX_InitRequest(&request, listener, 0);
    while (FCGX_Accept_r(&request) == 0) {
        const char *uri = FCGX_GetParam("REQUEST_URI", request.envp);
        const int echoes = strncmp(uri, "/echo", 5) == 0;
        long posted = 0;
        if (echoes)
            FCGX_PutStr(HEAD, sizeof HEAD - 1, request.out);
        for (int count; (count = FCGX_GetStr(block, sizeof block, request.in)) > 0; posted += count)
            if (echoes)
                FCGX_PutStr(block, count, request.out);
        if (strncmp(uri, "/io", 3) == 0) {
            usleep(10 * 1000);
            uri = "/hello";
        }
        size_t length;
        const char *text = answer(uri, posted, &length);
        if (!echoes)
            FCGX_PutStr(text, (int) length, request.out);
        FCGX_Finish_r(&request);
    }
    return unused;
}

/* The value of a variable within the `size` bytes of a SCGI head; they end with a NUL. */
static const char *variable(const char *head, size_t size, const char *name)
{
    for (const char *at = head; at < head + size;) {
        const char *value = at + strlen(at) + 1;
        if (value >= head + size)
            break;
        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return "";
}

static void scgi(int connection)
{
    char input[32 * 1024];
    size_t filled = 0, start = 0, size = 0, wanted = 0;
    const char *uri = "";
    long posted = 0;
    while (wanted == 0 || filled < wanted) {
        ssize_t count = read(connection, input + filled, sizeof input - filled);
        if (count <= 0)
            return;
        filled += (size_t) count;
        const char *colon = memchr(input, ':', filled);
        if (wanted || !colon)
            continue;
        start = (size_t) (colon - input) + 1;
        size = strtoul(input, NULL, 10);
        if (size == 0 || size > 8192)
            return;
        if (filled < start + size + 1)
            continue;
        posted = strtol(variable(input + start, size, "CONTENT_LENGTH"), NULL, 10);
        uri = variable(input + start, size, "REQUEST_URI");
        if (posted < 0 || posted > POSTED)
            return;
        wanted = start + size + 1 + (size_t) posted;
    }
    size_t length;
    const char *text = answer(uri, posted, &length);
    while (length > 0) {
        ssize_t count = write(connection, text, length);
        if (count <= 0)
            return;
        text += count;
        length -= (size_t) count;
    }
}

static void *serve_scgi(void *unused)
{
    for (int connection; (connection = accept(listener, NULL, NULL)) >= 0; close(connection))
        scgi(connection);
    return unused;
}

int main(int argc, char **argv)
{
    memcpy(large, HEAD, sizeof HEAD - 1);
    for (size_t at = 0; at < LARGE; at++)
        large[sizeof HEAD - 1 + at] = "0123456789abcdef"[at % 16];
    signal(SIGPIPE, SIG_IGN);
    FCGX_Init();
    if (argc == 1) {
        serve_fastcgi(NULL);
        return 0;
    }
    if (argc != 4)
        return 2;
    umask(0);
    listener = FCGX_OpenSocket(argv[2], 1024);
    if (listener < 0)
        return 1;
    void *(*serve)(void *) = strcmp(argv[1], "scgi") == 0 ? serve_scgi : serve_fastcgi;
    for (long count = strtol(argv[3], NULL, 10); count > 1; count--) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve, NULL);
    }
    serve(NULL);
    return 0;
}
