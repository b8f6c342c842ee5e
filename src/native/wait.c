/*
 * ttyspy-wait: the parent of a shell on a terminal. It is there to end later than the shell.
 *
 *     ttyspy-wait PATH ARGV0 [ARG...]
 *
 * Descriptor 0 is the terminal that the shell gets, 1 the connection to ttyspyd.
 *
 * sshd takes the end of its child for the end of all output: what reaches the terminal a moment later, it throws away
 * (OpenSSH, channels.c, `force` in channel_handle_rfd). su and login then go on with the terminal themselves. But what
 * a shell printed last is still on its way through ttyspyd when the shell ends: seen on a busy machine, the user
 * missed it in every second login. So this process waits for the shell, then for ttyspyd to hang up, which it does
 * when everything is shown and the terminal is as it was before, and then ends as the shell did.
 *
 * It records nothing and has no terminal open; who kills it hangs up the session that it belongs to. Signals that it
 * gets are meant for the shell and passed on. There is one beside every session, so it is written without libc: it has
 * 12 KiB of its own this way, and 100 otherwise.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/wait.h>
#include <stddef.h>

enum { TERMINAL = 0, CONNECTION = 1 };

/* sysexits.h; and what shells say of commands that cannot be run */
enum { EX_USAGE = 64, EX_OSERR = 71, CANNOT_RUN = 126, NOT_FOUND = 127 };

static long call(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	/* clone's fifth argument */
	register long x4 __asm__("x4") = 0;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
#else
#error "no system calls for this machine"
#endif
}

static const unsigned long all_signals = ~0UL;

static void set_mask(const unsigned long *mask, unsigned long *before)
{
	call(__NR_rt_sigprocmask, SIG_SETMASK, (long)mask, (long)before, sizeof(*mask));
}

static void set_action(int number, const struct sigaction *action, struct sigaction *before)
{
	call(__NR_rt_sigaction, number, (long)action, (long)before, sizeof(unsigned long));
}

static void say(const char *text)
{
	long length = 0;

	while (text[length] != '\0')
		length++;
	call(__NR_write, 2, (long)text, length, 0);
}

static void __attribute__((noreturn)) leave(int status)
{
	for (;;)
		call(__NR_exit_group, status, 0, 0, 0);
}

/* The shell, on the terminal and nothing else, with signals as they were found. */
static void __attribute__((noreturn)) become_shell(char **argv, char **envp, const unsigned long *mask,
						   const struct sigaction *child_action)
{
	long error;

	call(__NR_setsid, 0, 0, 0, 0);
	call(__NR_ioctl, TERMINAL, TIOCSCTTY, 0, 0);
	call(__NR_dup3, TERMINAL, 1, 0, 0);
	call(__NR_dup3, TERMINAL, 2, 0, 0);
	call(__NR_close_range, 3, ~0U, 0, 0);
	set_action(SIGCHLD, child_action, NULL);
	set_mask(mask, NULL);
	error = call(__NR_execve, (long)argv[0], (long)(argv + 1), (long)envp, 0);
	say("ttyspy: ");
	say(argv[0]);
	say(error == -ENOENT ? ": there is no such program\r\n" : ": cannot be run\r\n");
	leave(error == -ENOENT ? NOT_FOUND : CANNOT_RUN);
}

/* Returns its status as wait(2) gives it. */
static int wait_for(long child)
{
	int status = 0;

	for (;;) {
		long number = call(__NR_rt_sigtimedwait, (long)&all_signals, 0, 0, sizeof(all_signals));

		if (number == SIGCHLD) {
			if (call(__NR_wait4, child, (long)&status, WNOHANG, 0) == child)
				return status;
		} else if (number > 0) {
			/* As sshd and the terminal would: all of the shell's process group, once it leads one. */
			if (call(__NR_kill, -child, number, 0, 0) < 0)
				call(__NR_kill, child, number, 0, 0);
		}
	}
}

/* Until ttyspyd hangs up, or is gone. The connection's own time limit (EAGAIN) is for the hello. */
static void wait_for_hangup(void)
{
	char ignored[16];
	long length;

	do
		length = call(__NR_read, CONNECTION, (long)ignored, sizeof(ignored), 0);
	while (length > 0 || length == -EAGAIN || length == -EINTR);
}

static void __attribute__((noreturn)) end_like(int status)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	int number = status & 0x7f;
	unsigned long mask;

	if (number == 0)
		leave(status >> 8 & 0xff);
	set_action(number, &plain, NULL);
	call(__NR_kill, call(__NR_getpid, 0, 0, 0, 0), number, 0, 0);
	mask = all_signals & ~(1UL << (number - 1));
	set_mask(&mask, NULL);
	leave(128 + number);
}

/* From the stack as the kernel left it: argc, argv, NULL, envp. */
void __attribute__((noreturn, used)) begin(long *stack)
{
	struct sigaction plain = { .sa_handler = SIG_DFL }, child_action;
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
	unsigned long mask;
	int status;
	long child;

	if (stack[0] < 3) {
		say("ttyspy-wait: started by ttyspy, not by hand\r\n");
		leave(EX_USAGE);
	}
	set_mask(&all_signals, &mask);
	/* Ignored, it would take the shell's status away. */
	set_action(SIGCHLD, &plain, &child_action);
	child = call(__NR_clone, SIGCHLD, 0, 0, 0);
	if (child == 0)
		become_shell(argv + 1, envp, &mask, &child_action);
	if (child < 0) {
		say("ttyspy: no process can be started\r\n");
		leave(EX_OSERR);
	}
	/* Neither traced by the user, nor leaving a core when it dies of the shell's signal. */
	call(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0);
	call(__NR_close, TERMINAL, 0, 0, 0);
	call(__NR_close_range, CONNECTION + 1, ~0U, 0, 0);
	status = wait_for(child);
	wait_for_hangup();
	end_like(status);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl begin\n");
#endif
