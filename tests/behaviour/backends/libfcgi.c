/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A FastCGI application on libfcgi: `libfcgi PORT THREADS`, or without words on the socket that is its descriptor 0. Each thread serves a connection, as long as it is kept. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcgiapp.h>

static int listener;
static const char *name = "";

static void json_string(FCGX_Stream *out, const char *text, size_t length)
{
    FCGX_PutChar('"', out);
    for (size_t at = 0; at < length; at++) {
        unsigned char byte = (unsigned char) text[at];
        if (byte == '"' || byte == '\\' || byte < 0x20 || byte > 0x7e)
            FCGX_FPrintF(out, "\\u%04x", byte);
        else
            FCGX_PutChar(byte, out);
    }
    FCGX_PutChar('"', out);
}

static void env(FCGX_Request *request)
{
    FCGX_FPrintF(request->out, "Content-Type: application/json\r\n\r\n{");
    for (char **one = request->envp; *one; one++) {
        const char *equals = strchr(*one, '=');
        if (one != request->envp)
            FCGX_PutChar(',', request->out);
        json_string(request->out, *one, (size_t) (equals - *one));
        FCGX_PutChar(':', request->out);
        json_string(request->out, equals + 1, strlen(equals + 1));
    }
    FCGX_PutChar('}', request->out);
}

static void echo(FCGX_Request *request)
{
    const char *text = FCGX_GetParam("CONTENT_LENGTH", request->envp);
    long length = text ? strtol(text, NULL, 10) : 0;
    char block[65536];
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\nX-Length: %d\r\n\r\n", (int) length);
    for (int count; (count = FCGX_GetStr(block, sizeof block, request->in)) > 0;)
        FCGX_PutStr(block, count, request->out);
}

static void large(FCGX_Request *request)
{
    const char *query = FCGX_GetParam("QUERY_STRING", request->envp);
    long left = strtol(strchr(query, '=') + 1, NULL, 10);
    char block[65536];
    for (size_t at = 0; at < sizeof block; at++)
        block[at] = (char) (at % 256);
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n\r\n");
    while (left > 0) {
        int count = left < (long) sizeof block ? (int) left : (int) sizeof block;
        if (FCGX_PutStr(block, count, request->out) != count)
            return;
        left -= count;
    }
}

static void answer(FCGX_Request *request)
{
    const char *uri = FCGX_GetParam("REQUEST_URI", request->envp);
    if (strstr(uri, "/hello"))
        FCGX_FPrintF(request->out, "Content-Type: text/plain\r\nX-Backend: %s\r\n\r\nhello", name);
    else if (strstr(uri, "/env"))
        env(request);
    else if (strstr(uri, "/echo"))
        echo(request);
    else if (strstr(uri, "/large"))
        large(request);
    else if (strstr(uri, "/missing"))
        FCGX_FPrintF(request->out, "Status: 404 Not There\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n"
                                   "Set-Cookie: b=2\r\n\r\nnothing here");
    else if (strstr(uri, "/redirect"))
        FCGX_FPrintF(request->out, "Status: 303 See Other\r\nLocation: http://other.example/\r\n\r\n");
    else if (strstr(uri, "/complain")) {
        FCGX_FPrintF(request->err, "a complaint of the application\n");
        FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n\r\ncomplained");
    } else
        FCGX_FPrintF(request->out, "Status: 500 Unknown\r\n\r\n");
}

static void *serve(void *unused)
{
    FCGX_Request request;
    FCGX_InitRequest(&request, listener, 0);
    while (FCGX_Accept_r(&request) == 0) {
        answer(&request);
        FCGX_Finish_r(&request);
    }
    return unused;
}

int main(int argc, char **argv)
{
    char address[32];
    if (getenv("BACKEND"))
        name = getenv("BACKEND");
    FCGX_Init();
    if (argc == 1) {
        serve(NULL);
        return 0;
    }
    if (argc != 3)
        return 2;
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    listener = FCGX_OpenSocket(address, 512);
    if (listener < 0)
        return 1;
    for (long count = strtol(argv[2], NULL, 10); count > 1; count--) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve, NULL);
    }
    serve(NULL);
    return 0;
}
