/* SPDX-License-Identifier: MIT OR Apache-2.0
 * ceiling PROGRAM SECONDS: posix_spawn, read the output, wait; again and again. Prints how often. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int count, char **words) {
    if (count != 3) return 2;
    long runs = 0;
    for (double end = now() + atof(words[2]); now() < end; runs++) {
        int output[2];
        pid_t pid;
        posix_spawn_file_actions_t actions;
        char buffer[4096], *arguments[] = {words[1], NULL};
        if (pipe2(output, O_CLOEXEC) != 0) return 1;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, output[1], 1);
        if (posix_spawn(&pid, words[1], &actions, NULL, arguments, environ) != 0) return 1;
        close(output[1]);
        while (read(output[0], buffer, sizeof buffer) > 0) {}
        close(output[0]);
        waitpid(pid, NULL, 0);
        posix_spawn_file_actions_destroy(&actions);
    }
    printf("%ld\n", runs);
    return 0;
}
