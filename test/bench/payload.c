/*
 * What runs inside a measured session.
 *
 *   payload cat FILE   shows the file
 *   payload echo       says READY, then echoes byte by byte until a control-D
 *   payload hold       says READY, then waits for the hang-up
 */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Raw, so that neither a contender's line discipline nor its choice of modes changes or echoes a byte. */
static void raw_terminal(void)
{
    struct termios raw;
    if (tcgetattr(0, &raw))
        return;
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
}

static int say(const char *text, size_t length)
{
    return write(1, text, length) == (ssize_t)length;
}

int main(int argc, char *argv[])
{
    char key;

    raw_terminal();
    if (argc == 3 && !strcmp(argv[1], "cat")) {
        execl("/bin/cat", "cat", argv[2], (char *)NULL);
        perror("/bin/cat");
        return 70;
    }
    if (argc != 2 || (strcmp(argv[1], "echo") && strcmp(argv[1], "hold")))
        return 64;
    if (!say("READY", 5))
        return 74;
    while (read(0, &key, 1) == 1 && key != 4)
        if (argv[1][0] == 'e' && !say(&key, 1))
            return 74;
    return 0;
}
