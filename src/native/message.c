/* Messages on Unix sockets: bytes, and descriptors that are sent along with them (SCM_RIGHTS). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "addon.h"

#define MAX_FDS 8

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
};

/* sendMessage(fd, bytes, fds): all bytes; the descriptors go with the first of them. */
static napi_value js_send_message(napi_env env, napi_callback_info info)
{
	union control control = { 0 };
	struct msghdr message = { 0 };
	struct iovec vector;
	struct args args;
	size_t size, sent = 0;
	uint32_t count = 0;
	uint8_t *data;
	int fd;

	if (!get_args(env, info, 3, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_whole(env, args.value[1], &data, &size))
		return NULL;
	if (napi_get_array_length(env, args.value[2], &count) != napi_ok || count > MAX_FDS)
		return throw_type(env, "not an array of at most eight descriptors");
	if (size == 0)
		return throw_type(env, "no bytes to send");
	if (count > 0) {
		struct cmsghdr *header = &control.align;

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (uint32_t i = 0; i < count; i++) {
			napi_value value;
			int passed;

			if (!get_element(env, args.value[2], i, &value) || !get_int(env, value, &passed))
				return NULL;
			memcpy(CMSG_DATA(header) + sizeof(int) * i, &passed, sizeof(int));
		}
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	}
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	while (sent < size) {
		ssize_t n;

		vector.iov_base = data + sent;
		vector.iov_len = size - sent;
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return throw_errno(env, "sendmsg", errno);
		if (n > 0) {
			sent += (size_t)n;
			message.msg_control = NULL;
			message.msg_controllen = 0;
		}
	}
	return make_undefined(env);
}

/* Takes the descriptors of a message; more than `most` are all closed and -1 is returned. */
static int take_fds(struct msghdr *message, int *fds, int most)
{
	int count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		size_t length;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		length = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < length && count < MAX_FDS; i++, count++)
			memcpy(&fds[count], CMSG_DATA(header) + sizeof(int) * i, sizeof(int));
	}
	if (count <= most && !(message->msg_flags & MSG_CTRUNC))
		return count;
	for (int i = 0; i < count; i++)
		close_foreign(fds[i]);
	return -1;
}

/*
 * receiveMessage(fd, buffer, offset, length, most): {length, fds}: bytes (0 at the end, -1 when none wait) and the
 * descriptors that came with them, close-on-exec. More descriptors than `most`: EMSGSIZE, and all are closed.
 */
static napi_value js_receive_message(napi_env env, napi_callback_info info)
{
	union control control;
	struct msghdr message = { 0 };
	struct iovec vector;
	napi_value result, array;
	struct args args;
	int fd, most, count, fds[MAX_FDS];
	size_t size;
	ssize_t n;
	uint8_t *data;

	if (!get_args(env, info, 5, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_bytes(env, args.value[1], args.value[2], args.value[3], &data, &size) ||
	    !get_int(env, args.value[4], &most))
		return NULL;
	if (most < 0)
		return throw_type(env, "not a number of descriptors");
	vector.iov_base = data;
	vector.iov_len = size;
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	message.msg_control = control.bytes;
	message.msg_controllen = sizeof(control.bytes);
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return throw_errno(env, "recvmsg", errno);
	count = n < 0 ? 0 : take_fds(&message, fds, most);
	if (count < 0)
		return throw_errno(env, "recvmsg", EMSGSIZE);
	napi_create_array_with_length(env, (size_t)count, &array);
	for (int i = 0; i < count; i++)
		napi_set_element(env, array, (uint32_t)i, make_int(env, fds[i]));
	napi_create_object(env, &result);
	set_member(env, result, "length", make_int(env, n));
	set_member(env, result, "fds", array);
	return result;
}

void message_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "sendMessage", js_send_message);
	export_function(env, exports, "receiveMessage", js_receive_message);
}
