/*
 * The measuring user: runs a command on a terminal and measures what reaches the user's side. In C because Node's own
 * jitter is larger than what is measured. Results are one JSON object a line on descriptor 3; times in nanoseconds.
 *
 *   drive bulk BYTES COMMAND...        everything the command shows, which then goes to standard output
 *   drive echo COUNT SEED COMMAND...   round trips of one key
 *   drive spawn COMMAND...             until the first byte
 *   drive hold COMMAND...              keeps as many sessions open as each line of standard input says;
 *                                      {} in the command becomes the session's number
 */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RESULT = 3, READ_SIZE = 65536, SLACK = 1 << 20, MOST_SESSIONS = 4096, AT_ONCE = 4 };

static unsigned long long microseconds(struct timeval time)
{
    return (unsigned long long)time.tv_sec * 1000000u + (unsigned long long)time.tv_usec;
}

static void write_all(int fd, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t wrote = write(fd, from, length);
        if (wrote < 0)
            die("write of the result");
        from += wrote;
        length -= (size_t)wrote;
    }
}

/* Memory for what is shown is there beforehand, and is not copied by fork: neither is to be measured. */
static char *capture_buffer(size_t size)
{
    char *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (buffer == MAP_FAILED || madvise(buffer, size, MADV_DONTFORK))
        die("mmap");
    return buffer;
}

static void bulk(size_t expected, char *argv[])
{
    size_t size = expected + SLACK, have = 0, got;
    char *shown = capture_buffer(size);
    struct session session;
    struct rusage usage;

    session_start(&session, argv);
    uint64_t first = 0;
    while (size - have >= READ_SIZE && (got = session_read(&session, shown + have, READ_SIZE)) > 0) {
        if (!first)
            first = now();
        have += got;
    }
    uint64_t end = now();
    session_end(&session, &usage);
    dprintf(RESULT, "{\"bytes\":%zu,\"first\":%llu,\"end\":%llu,\"user\":%llu,\"system\":%llu}\n", have,
            (unsigned long long)(first - session.started), (unsigned long long)(end - session.started),
            microseconds(usage.ru_utime), microseconds(usage.ru_stime));
    write_all(1, shown, have);
}

/* Between keys 0.2 to 1 ms, at random, so that no period of a contender's is met or missed every time. */
static void pause_a_little(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    struct timespec pause = {.tv_nsec = 200000 + (long)(*random % 800000)};
    nanosleep(&pause, NULL);
}

static void echo(size_t count, uint64_t seed, char *argv[])
{
    uint64_t *times = calloc(count, sizeof *times);
    struct session session;
    struct rusage usage;
    char back[16];

    session_start(&session, argv);
    session_await(&session, "READY");
    for (size_t i = 0; i < count; i++) {
        char key = (char)('a' + i % 26);
        pause_a_little(&seed);
        uint64_t pressed = now();
        if (write(session.master, &key, 1) != 1)
            die("write of a key");
        size_t got = session_read(&session, back, sizeof back);
        times[i] = now() - pressed;
        errno = 0;
        if (got != 1 || back[0] != key)
            die("drive: another byte came back than was sent");
    }
    if (write(session.master, "\004", 1) != 1)
        die("write of the last key");
    session_end(&session, &usage);
    FILE *result = fdopen(RESULT, "w");
    for (size_t i = 0; i < count; i++)
        fprintf(result, "%s%llu", i ? "," : "{\"times\":[", (unsigned long long)times[i]);
    fprintf(result, "]}\n");
    fclose(result);
    free(times);
}

static void spawn(char *argv[])
{
    struct session session;
    struct rusage usage;
    char first[256];

    session_start(&session, argv);
    errno = 0;
    if (session_read(&session, first, sizeof first) == 0)
        die("drive: the command said nothing");
    uint64_t end = now();
    session_end(&session, &usage);
    dprintf(RESULT, "{\"first\":%llu,\"user\":%llu,\"system\":%llu}\n", (unsigned long long)(end - session.started),
            microseconds(usage.ru_utime), microseconds(usage.ru_stime));
}

/* The command with {} in it replaced by the session's number. Freed with the process. */
static char **numbered(char *argv[], size_t number)
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        char *mark = strstr(argv[i], "{}");
        if (mark) {
            if (asprintf(&copy[i], "%.*s%zu%s", (int)(mark - argv[i]), argv[i], number, mark + 2) < 0)
                die("asprintf");
        } else
            copy[i] = argv[i];
    }
    return copy;
}

static void hold(char *argv[])
{
    static struct session sessions[MOST_SESSIONS];
    size_t open = 0, target;

    while (scanf("%zu", &target) == 1 && target <= MOST_SESSIONS) {
        while (open < target) {
            size_t ready = open;
            /* A few at once, so that a contender that starts slowly still uses every core. */
            for (; open < target && open - ready < AT_ONCE; open++)
                session_start(&sessions[open], numbered(argv, open));
            for (; ready < open; ready++)
                session_await(&sessions[ready], "READY");
        }
        dprintf(RESULT, "{\"open\":%zu}\n", open);
    }
    for (size_t i = 0; i < open; i++)
        close(sessions[i].master);
    for (size_t i = 0; i < open; i++)
        waitpid(sessions[i].pid, NULL, 0);
}

/*
 * Keeps idle processors awake, as cyclictest(8) does (Linux, PM QoS; root only): otherwise waking them, in a virtual
 * machine 50 to 200 us at each hop, drowns what the recorders take. Holds until the descriptor is closed at exit.
 */
static void stay_awake(void)
{
    int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    int32_t microseconds = 0;
    if (fd >= 0 && write(fd, &microseconds, sizeof microseconds) < 0)
        close(fd);
}

int main(int argc, char *argv[])
{
    const char *mode = argc > 2 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN);
    if (strcmp(mode, "hold"))
        stay_awake();
    if (!strcmp(mode, "bulk") && argc > 3)
        bulk(strtoull(argv[2], NULL, 10), argv + 3);
    else if (!strcmp(mode, "echo") && argc > 4)
        echo(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), argv + 4);
    else if (!strcmp(mode, "spawn"))
        spawn(argv + 2);
    else if (!strcmp(mode, "hold"))
        hold(argv + 2);
    else
        return 64;
    return 0;
}
