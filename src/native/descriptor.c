/* Reading, writing and closing descriptors, under the guard where somebody else may share them; pipes and pairs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* The n_tty line discipline hands out at most 4095 bytes a read; a read much shorter emptied it. */
#define SHORT_READ 2048
/*
 * A terminal in full flow hands its next 4 KiB over microseconds after the last. Waiting for it here, rather than in
 * another turn of the event loop, makes one event and one write of eight: two thirds of the CPU time of bulk output.
 * Bounded, since everybody else waits meanwhile: a quarter of a millisecond at most, usually a fifth of that.
 */
#define FLOW_WAITS 8
#define FLOW_WAIT_NS 30000L

static bool more_flows(int fd)
{
	const struct timespec wait = { .tv_nsec = FLOW_WAIT_NS };
	struct pollfd readable = { .fd = fd, .events = POLLIN };

	return ppoll(&readable, 1, &wait, NULL) == 1;
}

/*
 * read(fd, buffer, offset, length): the bytes read, as many as can be had without waiting; 0 at the end;
 * -1 when it would wait.
 */
static napi_value js_read(napi_env env, napi_callback_info info)
{
	struct args args;
	size_t size, total = 0;
	ssize_t n = -1;
	uint8_t *data;
	int fd, error = 0, waits = 0;
	bool more;

	if (!get_args(env, info, 4, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_bytes(env, args.value[1], args.value[2], args.value[3], &data, &size))
		return NULL;
	do {
		guard_enter();
		n = read(fd, data + total, size - total);
		error = errno;
		guard_leave();
		if (n > 0)
			total += (size_t)n;
		else if (n < 0 && error == EINTR && made_blocking(fd))
			error = EDEADLK;
		more = n >= SHORT_READ || (n < 0 && error == EINTR) ||
		       (n < 0 && error == EAGAIN && total > 0 && waits++ < FLOW_WAITS && more_flows(fd));
	} while (more && total < size);
	/* What was read before an error or the end is delivered first; the next call meets it again. */
	if (total > 0 || n == 0)
		return make_int(env, (int64_t)total);
	if (error == EAGAIN)
		return make_int(env, -1);
	return throw_errno(env, "read", error);
}

/* write(fd, buffer, offset, length): the bytes written, fewer (or 0) when the rest would have to wait. */
static napi_value js_write(napi_env env, napi_callback_info info)
{
	struct args args;
	size_t size, total = 0;
	ssize_t n;
	uint8_t *data;
	int fd, error;

	if (!get_args(env, info, 4, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_bytes(env, args.value[1], args.value[2], args.value[3], &data, &size))
		return NULL;
	while (total < size) {
		guard_enter();
		n = write(fd, data + total, size - total);
		error = errno;
		guard_leave();
		if (n > 0)
			total += (size_t)n;
		if (total == size || (n < 0 && error == EAGAIN))
			break;
		/* Less than asked for: there is no more room, or the guard interrupted what would have waited. */
		if ((n >= 0 || error == EINTR) && made_blocking(fd))
			return throw_errno(env, "write", EDEADLK);
		if (n >= 0)
			break;
		if (error != EINTR)
			return throw_errno(env, "write", error);
	}
	return make_int(env, (int64_t)total);
}

/* pwrite(fd, buffer, offset, length, position): all of it; what stands there after an error is undefined. */
static napi_value js_pwrite(napi_env env, napi_callback_info info)
{
	struct args args;
	size_t size, total = 0;
	int64_t position;
	uint8_t *data;
	int fd;

	if (!get_args(env, info, 5, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_bytes(env, args.value[1], args.value[2], args.value[3], &data, &size))
		return NULL;
	if (napi_get_value_int64(env, args.value[4], &position) != napi_ok || position < 0)
		return throw_type(env, "not a position");
	while (total < size) {
		ssize_t n = pwrite(fd, data + total, size - total, position + (int64_t)total);

		if (n < 0 && errno != EINTR)
			return throw_errno(env, "pwrite", errno);
		if (n > 0)
			total += (size_t)n;
	}
	return make_undefined(env);
}

static napi_value js_close(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd, result, error;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	/*
	 * Guarded, too: with the last descriptor of a Unix socket go the descriptors that were sent to it and never received,
	 * and closing a TCP socket among them waits as long as its SO_LINGER says, or until it is interrupted.
	 */
	guard_enter();
	result = close(fd);
	error = errno;
	guard_leave();
	/* Linux has closed it even where it reports an error. */
	if (result != 0 && error == EBADF)
		return throw_errno(env, "close", EBADF);
	return make_undefined(env);
}

/* setNonBlocking(fd, on): whether it was before, 0 or 1 */
static napi_value js_set_non_blocking(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd, on, flags;

	if (!get_args(env, info, 2, &args) || !get_int(env, args.value[0], &fd) || !get_int(env, args.value[1], &on))
		return NULL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return throw_errno(env, "fcntl", errno);
	return make_int(env, (flags & O_NONBLOCK) != 0);
}

/* accessMode(fd): O_RDONLY, O_WRONLY or O_RDWR; O_PATH descriptors, which can do nothing, are EBADF. */
static napi_value js_access_mode(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd, flags;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH))
		return throw_errno(env, "fcntl", flags < 0 ? errno : EBADF);
	return make_int(env, flags & O_ACCMODE);
}

static napi_value make_pair(napi_env env, const int fds[2])
{
	napi_value result;

	napi_create_array_with_length(env, 2, &result);
	napi_set_element(env, result, 0, make_int(env, fds[0]));
	napi_set_element(env, result, 1, make_int(env, fds[1]));
	return result;
}

/* pipe(): [read end, write end], close-on-exec */
static napi_value js_pipe(napi_env env, napi_callback_info info)
{
	int fds[2];

	(void)info;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return throw_errno(env, "pipe2", errno);
	return make_pair(env, fds);
}

/* socketPair(): two connected stream sockets, close-on-exec */
static napi_value js_socket_pair(napi_env env, napi_callback_info info)
{
	int fds[2];

	(void)info;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return throw_errno(env, "socketpair", errno);
	return make_pair(env, fds);
}

/* shutdownWrite(fd): the end of what this side sends on a socket */
static napi_value js_shutdown_write(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (shutdown(fd, SHUT_WR) != 0)
		return throw_errno(env, "shutdown", errno);
	return make_undefined(env);
}

void descriptor_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "read", js_read);
	export_function(env, exports, "write", js_write);
	export_function(env, exports, "pwrite", js_pwrite);
	export_function(env, exports, "close", js_close);
	export_function(env, exports, "setNonBlocking", js_set_non_blocking);
	export_function(env, exports, "accessMode", js_access_mode);
	export_function(env, exports, "pipe", js_pipe);
	export_function(env, exports, "socketPair", js_socket_pair);
	export_function(env, exports, "shutdownWrite", js_shutdown_write);
}
