/* Processes: becoming another program, process descriptors, what may be traced. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "addon.h"

/* linux/pidfd.h of Linux 6.15, which Debian 12's headers do not have. */
#define PIDFD_INFO_EXIT_BIT (1ULL << 3)
struct pidfd_information {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t pid, tgid, ppid;
	uint32_t ids[8];
	int32_t exit_code;
};
#define PIDFD_GET_INFORMATION _IOWR(0xFF, 11, struct pidfd_information)

/* setDumpable(on): off: nobody of the same uid may trace this process or read its memory (PR_SET_DUMPABLE) */
static napi_value js_set_dumpable(napi_env env, napi_callback_info info)
{
	struct args args;
	int on;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &on))
		return NULL;
	if (prctl(PR_SET_DUMPABLE, on, 0, 0, 0) != 0)
		return throw_errno(env, "prctl", errno);
	return make_undefined(env);
}

/* ignoreSignal(number, on) */
static napi_value js_ignore_signal(napi_env env, napi_callback_info info)
{
	struct args args;
	int number, on;

	if (!get_args(env, info, 2, &args) || !get_int(env, args.value[0], &number) || !get_int(env, args.value[1], &on))
		return NULL;
	if (signal(number, on ? SIG_IGN : SIG_DFL) == SIG_ERR)
		return throw_errno(env, "signal", errno);
	return make_undefined(env);
}

/* sessionId(): of this process, getsid(2) */
static napi_value js_session_id(napi_env env, napi_callback_info info)
{
	(void)info;
	return make_int(env, getsid(0));
}

/* setsid(): EPERM for the leader of a process group */
static napi_value js_setsid(napi_env env, napi_callback_info info)
{
	(void)info;
	if (setsid() < 0)
		return throw_errno(env, "setsid", errno);
	return make_undefined(env);
}

/* What Node changed of the process it was started as, set back (see launch.c for how it is known). */
static void restore(uint64_t ignored, uint64_t blocked, double nofile)
{
	struct rlimit limit;
	sigset_t mask;

	sigemptyset(&mask);
	for (int number = 1; number < 64; number++) {
		if (number != SIGKILL && number != SIGSTOP)
			signal(number, ignored >> number & 1 ? SIG_IGN : SIG_DFL);
		if (blocked >> number & 1)
			sigaddset(&mask, number);
	}
	if (nofile >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && nofile <= (double)limit.rlim_max) {
		limit.rlim_cur = (rlim_t)nofile;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static bool get_signals(napi_env env, napi_value value, uint64_t *signals)
{
	bool lossless;

	if (napi_get_value_bigint_uint64(env, value, signals, &lossless) == napi_ok && lossless)
		return true;
	throw_type(env, "not a set of signals");
	return false;
}

/* "NAME=value" sets, "NAME" unsets. */
static void change_environment(char **changes)
{
	for (size_t i = 0; changes[i] != NULL; i++) {
		char *equals = strchr(changes[i], '=');

		if (equals == NULL) {
			unsetenv(changes[i]);
		} else {
			*equals = '\0';
			setenv(changes[i], equals + 1, 1);
		}
	}
}

static bool get_three(napi_env env, napi_value array, int fds[3])
{
	for (uint32_t i = 0; i < 3; i++) {
		napi_value value;

		if (!get_element(env, array, i, &value) || !get_int(env, value, &fds[i]))
			return false;
		/* One below 3 would be overwritten by the dup2 of its neighbour. */
		if (fds[i] <= 2 && fds[i] != (int)i) {
			throw_errno(env, "exec", EINVAL);
			return false;
		}
		/* Found out too late, the program would get what was to be kept from it. */
		if (fcntl(fds[i], F_GETFD) < 0) {
			throw_errno(env, "exec", errno);
			return false;
		}
	}
	return true;
}

/*
 * exec(path, argv, changes, [stdin, stdout, stderr], ignored, blocked, nofile): becomes the program, with these three
 * descriptors and no other. path, argv and changes (of the environment) are strings of bytes (latin1): what came from
 * the user need not be UTF-8 and must arrive as it was. ignored and blocked are sets of signals (bigint, bit N for
 * signal N), nofile the soft limit of descriptors (-1: as it is). Returns only by throwing; 0, 1 and 2 are then what
 * was given, and the environment is changed.
 */
static napi_value js_exec(napi_env env, napi_callback_info info)
{
	char path[4096], **argv, **changes;
	uint64_t ignored, blocked;
	int fds[3], error;
	struct args args;
	double nofile;

	if (!get_args(env, info, 7, &args) || !get_string(env, args.value[0], path, sizeof(path)) ||
	    !get_three(env, args.value[3], fds) || !get_signals(env, args.value[4], &ignored) ||
	    !get_signals(env, args.value[5], &blocked))
		return NULL;
	if (napi_get_value_double(env, args.value[6], &nofile) != napi_ok)
		return throw_type(env, "not a limit");
	if ((argv = get_strings(env, args.value[1])) == NULL)
		return NULL;
	if ((changes = get_strings(env, args.value[2])) == NULL) {
		free_strings(argv);
		return NULL;
	}
	for (int i = 0; i < 3; i++)
		/* dup2 of one onto itself would leave it close-on-exec, as Node makes 0, 1 and 2 too. */
		if (fds[i] == i)
			fcntl(i, F_SETFD, 0);
		else
			dup2(fds[i], i);
	change_environment(changes);
	/* Marked rather than closed: Node needs its own if execve fails. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	restore(ignored, blocked, nofile);
	execv(path, argv);
	error = errno;
	signal(SIGPIPE, SIG_IGN);
	free_strings(argv);
	free_strings(changes);
	return throw_errno(env, "execve", error);
}

/* pidfdOpen(pid): readable when that process ended; close-on-exec */
static napi_value js_pidfd_open(napi_env env, napi_callback_info info)
{
	struct args args;
	int pid, fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &pid))
		return NULL;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return throw_errno(env, "pidfd_open", errno);
	return make_int(env, fd);
}

/*
 * pidfdExitStatus(pidfd): as wait(2) gives it, once the process was reaped by its parent; -1 before that.
 * ENOTTY or EINVAL where the kernel does not tell (before Linux 6.15).
 */
static napi_value js_pidfd_exit_status(napi_env env, napi_callback_info info)
{
	struct pidfd_information information = { .mask = PIDFD_INFO_EXIT_BIT };
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (ioctl(fd, PIDFD_GET_INFORMATION, &information) != 0)
		return throw_errno(env, "PIDFD_GET_INFO", errno);
	return make_int(env, information.mask & PIDFD_INFO_EXIT_BIT ? information.exit_code : -1);
}

/* userIds(): [real, effective, saved] uid, then gid: what a process can come back to */
static napi_value js_user_ids(napi_env env, napi_callback_info info)
{
	uid_t uid[3];
	gid_t gid[3];
	napi_value result;

	(void)info;
	if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0)
		return throw_errno(env, "getresuid", errno);
	napi_create_array_with_length(env, 6, &result);
	for (uint32_t i = 0; i < 3; i++) {
		napi_set_element(env, result, i, make_int(env, uid[i]));
		napi_set_element(env, result, i + 3, make_int(env, gid[i]));
	}
	return result;
}

void process_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "setDumpable", js_set_dumpable);
	export_function(env, exports, "ignoreSignal", js_ignore_signal);
	export_function(env, exports, "sessionId", js_session_id);
	export_function(env, exports, "setsid", js_setsid);
	export_function(env, exports, "exec", js_exec);
	export_function(env, exports, "pidfdOpen", js_pidfd_open);
	export_function(env, exports, "pidfdExitStatus", js_pidfd_exit_status);
	export_function(env, exports, "userIds", js_user_ids);
}
