/* A command on a terminal of its own, as sshd starts one, and the user's side of that terminal. */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct session {
    int master;       /* the user's side: what is read here was displayed */
    pid_t pid;        /* the session's leader */
    uint64_t started; /* when it was spawned, nanoseconds of CLOCK_MONOTONIC */
};

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now(void);

/* Says what failed on standard error and exits with 70. */
void die(const char *what) __attribute__((noreturn));

/*
 * Starts argv on a new pseudo terminal of 24 by 80 in raw mode (so that the byte counts of all contenders are the
 * same), as leader of a session whose controlling terminal it is. Returns when argv runs; dies when it cannot.
 */
void session_start(struct session *session, char *const argv[]);

/* Reads what is displayed; 0 when the terminal is closed. */
size_t session_read(struct session *session, void *into, size_t size);

/* Reads up to and including the word, which the command writes when it is ready. Dies when it never comes. */
void session_await(struct session *session, const char *word);

/* Reads and drops what is left, then waits for the leader. Dies when it failed. */
void session_end(struct session *session, struct rusage *usage);

#endif
