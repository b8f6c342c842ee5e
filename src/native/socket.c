/* Unix sockets: connect, listen, accept, who is at the other end. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "addon.h"

/* Since Linux 6.5; Debian 12's headers do not have it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static bool get_address(napi_env env, napi_value value, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	return get_string(env, value, address->sun_path, sizeof(address->sun_path));
}

static int unix_socket(int flags)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

/*
 * connect(path, milliseconds): a blocking socket whose every send and receive gives up with EAGAIN after that time.
 * A full backlog waits no longer than that either.
 */
static napi_value js_connect(napi_env env, napi_callback_info info)
{
	struct sockaddr_un address;
	struct timeval limit;
	struct args args;
	int fd, milliseconds, error;

	if (!get_args(env, info, 2, &args) || !get_address(env, args.value[0], &address) ||
	    !get_int(env, args.value[1], &milliseconds))
		return NULL;
	limit.tv_sec = milliseconds / 1000;
	limit.tv_usec = milliseconds % 1000 * 1000;
	fd = unix_socket(0);
	if (fd < 0)
		return throw_errno(env, "socket", errno);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		error = errno;
		close(fd);
		return throw_errno(env, "connect", error);
	}
	return make_int(env, fd);
}

/* listen(path, mode, backlog): a non-blocking listening socket; the path must be free. */
static napi_value js_listen(napi_env env, napi_callback_info info)
{
	struct sockaddr_un address;
	struct args args;
	int fd, mode, backlog, error;

	if (!get_args(env, info, 3, &args) || !get_address(env, args.value[0], &address) ||
	    !get_int(env, args.value[1], &mode) || !get_int(env, args.value[2], &backlog))
		return NULL;
	fd = unix_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return throw_errno(env, "socket", errno);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		error = errno;
		close(fd);
		return throw_errno(env, "bind", error);
	}
	if (chmod(address.sun_path, (mode_t)mode) != 0 || listen(fd, backlog) != 0) {
		error = errno;
		close(fd);
		unlink(address.sun_path);
		return throw_errno(env, "listen", error);
	}
	return make_int(env, fd);
}

/* isListening(fd): whether it is a Unix stream socket that listens */
static napi_value js_is_listening(napi_env env, napi_callback_info info)
{
	int fd, domain = 0, type = 0, listens = 0;
	socklen_t size = sizeof(int);
	napi_value result;
	struct args args;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0)
		return throw_errno(env, "getsockopt", errno);
	napi_get_boolean(env, domain == AF_UNIX && type == SOCK_STREAM && listens, &result);
	return result;
}

/*
 * isConnected(fd): whether it is a Unix stream socket with somebody at the other end. No other socket may come from a
 * client: closing a TCP socket waits as long as its SO_LINGER says, even a non-blocking one.
 */
static napi_value js_is_connected(napi_env env, napi_callback_info info)
{
	int fd, domain = 0, type = 0;
	socklen_t size = sizeof(int);
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	napi_value result;
	struct args args;
	bool is;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
		return throw_errno(env, "getsockopt", errno);
	is = domain == AF_UNIX && type == SOCK_STREAM && getpeername(fd, (struct sockaddr *)&address, &length) == 0;
	napi_get_boolean(env, is, &result);
	return result;
}

/* accept(fd): a non-blocking connection; -1 when none waits */
static napi_value js_accept(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd, connection;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	/* ECONNABORTED: the one that waited has gone. Nothing is wrong with the listener. */
	if (connection < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return make_int(env, -1);
	if (connection < 0)
		return throw_errno(env, "accept4", errno);
	return make_int(env, connection);
}

/*
 * peerCredentials(fd): {pid, uid, gid, pidfd}: who connected, or who called listen(2), from the kernel (unix(7)).
 * pidfd is -1 where the kernel does not have SO_PEERPIDFD or the process is gone.
 */
static napi_value js_peer_credentials(napi_env env, napi_callback_info info)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	napi_value result;
	struct args args;
	int fd, pidfd = -1;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return throw_errno(env, "getsockopt", errno);
	size = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0)
		pidfd = -1;
	napi_create_object(env, &result);
	set_member(env, result, "pid", make_int(env, peer.pid));
	set_member(env, result, "uid", make_int(env, peer.uid));
	set_member(env, result, "gid", make_int(env, peer.gid));
	set_member(env, result, "pidfd", make_int(env, pidfd));
	return result;
}

void socket_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "connect", js_connect);
	export_function(env, exports, "listen", js_listen);
	export_function(env, exports, "isListening", js_is_listening);
	export_function(env, exports, "isConnected", js_is_connected);
	export_function(env, exports, "accept", js_accept);
	export_function(env, exports, "peerCredentials", js_peer_credentials);
}
