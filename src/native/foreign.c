/*
 * Descriptors that came from somebody else, of whatever kind, before it is known that they are harmless.
 *
 * A file may lie on a file system whose server is a process of the sender (FUSE). Asking for its attributes, and even
 * closing it, waits for that process, which need not answer, ever; and closing a TCP socket waits as long as its
 * SO_LINGER says. So what is asked here the kernel knows by itself, and what is not certain to close at once is closed
 * by a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "addon.h"

/* include/uapi/linux/major.h: what is in memory only; terminals and pty masters */
enum { MEM = 1, TTYAUX = 5, PTS_FIRST = 136, PTS_LAST = 143 };

static int look_at(int fd, struct statx *found)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MODE | STATX_UID, found);
}

/* describe(fd): {mode, uid, rdev} as fstat(2) has them, without asking a file system's server */
static napi_value js_describe(napi_env env, napi_callback_info info)
{
	struct statx found;
	napi_value result;
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (look_at(fd, &found) != 0)
		return throw_errno(env, "statx", errno);
	napi_create_object(env, &result);
	set_member(env, result, "mode", make_int(env, found.stx_mode));
	set_member(env, result, "uid", make_int(env, found.stx_uid));
	set_member(env, result, "rdev", make_int(env, (int64_t)makedev(found.stx_rdev_major, found.stx_rdev_minor)));
	return result;
}

static bool closes_at_once(int fd)
{
	socklen_t size = sizeof(int);
	struct statx found;
	int domain = 0;

	if (look_at(fd, &found) != 0)
		return false;
	switch (found.stx_mode & S_IFMT) {
	case S_IFIFO:
		return true;
	case S_IFSOCK:
		return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
	case S_IFCHR:
		return found.stx_rdev_major == MEM || found.stx_rdev_major == TTYAUX ||
		       (found.stx_rdev_major >= PTS_FIRST && found.stx_rdev_major <= PTS_LAST);
	default:
		return false;
	}
}

static void *close_it(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

void close_foreign(int fd)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	pthread_t thread;

	if (closes_at_once(fd)) {
		close(fd);
		return;
	}
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 65536);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* Without a thread it stays open: one descriptor less is better than everybody's session at a standstill. */
	pthread_create(&thread, &attributes, close_it, (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
}

/* closeForeign(fd): returns at once, whatever it is; it may be closed a little later, or never where its server hangs */
static napi_value js_close_foreign(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (fcntl(fd, F_GETFD) < 0)
		return throw_errno(env, "close", errno);
	close_foreign(fd);
	return make_undefined(env);
}

void foreign_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "describe", js_describe);
	export_function(env, exports, "closeForeign", js_close_foreign);
}
