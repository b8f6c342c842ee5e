#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void die(const char *what)
{
    if (errno)
        perror(what);
    else
        fprintf(stderr, "%s\n", what);
    exit(70);
}

static void become(int slave, int report, char *const argv[])
{
    if (setsid() != -1 && ioctl(slave, TIOCSCTTY, 0) == 0 && dup2(slave, 0) == 0 && dup2(slave, 1) == 1 &&
        dup2(slave, 2) == 2)
        execv(argv[0], argv);
    int error = errno;
    if (write(report, &error, sizeof error) < 0)
        _exit(71);
    _exit(70);
}

void session_start(struct session *session, char *const argv[])
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct termios raw;
    int slave, report[2], error = 0;

    if (openpty(&session->master, &slave, NULL, NULL, &size) || pipe2(report, O_CLOEXEC))
        die("openpty");
    /* No other session may inherit these: a terminal held open never ends. */
    fcntl(session->master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);

    session->started = now();
    session->pid = fork();
    if (session->pid == -1)
        die("fork");
    if (session->pid == 0)
        become(slave, report[1], argv);
    /* The slave stays open until the command runs: a terminal that nobody has open reads as closed. */
    close(report[1]);
    if (read(report[0], &error, sizeof error) > 0) {
        errno = error;
        die(argv[0]);
    }
    close(report[0]);
    close(slave);
}

size_t session_read(struct session *session, void *into, size_t size)
{
    for (;;) {
        ssize_t got = read(session->master, into, size);
        if (got >= 0)
            return (size_t)got;
        if (errno == EIO)
            return 0;
        if (errno != EINTR && errno != EAGAIN)
            die("read from the terminal");
    }
}

void session_await(struct session *session, const char *word)
{
    char seen[4096];
    size_t have = 0;

    while (have < sizeof seen - 1) {
        size_t got = session_read(session, seen + have, sizeof seen - 1 - have);
        if (got == 0)
            break;
        have += got;
        seen[have] = 0;
        if (strstr(seen, word))
            return;
    }
    errno = 0;
    seen[have] = 0;
    fprintf(stderr, "the command was never ready; it said: %s\n", seen);
    die("drive: no session");
}

void session_end(struct session *session, struct rusage *usage)
{
    char rest[4096];
    int status;

    while (session_read(session, rest, sizeof rest) > 0)
        ;
    close(session->master);
    while (wait4(session->pid, &status, 0, usage) == -1)
        if (errno != EINTR)
            die("wait4");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    errno = 0;
    fprintf(stderr, "drive: the command ended with wait status 0x%x\n", (unsigned)status);
    exit(70);
}
