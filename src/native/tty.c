/* Terminals: pty pairs, termios, window size, exclusive use, the controlling terminal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "addon.h"

static napi_value int_ioctl(napi_env env, napi_callback_info info, unsigned long request, const char *name)
{
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (ioctl(fd, request, 0) != 0)
		return throw_errno(env, name, errno);
	return make_undefined(env);
}

/* openPty(): [master, slave], close-on-exec, neither of them controlling */
static napi_value js_open_pty(napi_env env, napi_callback_info info)
{
	napi_value result;
	int master, slave, error;

	(void)info;
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return throw_errno(env, "posix_openpt", errno);
	/* The slave by its master, not by its name: a name can be another's by now, or not be mounted here. */
	if (grantpt(master) != 0 || unlockpt(master) != 0 ||
	    (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		error = errno;
		close(master);
		return throw_errno(env, "openpty", error);
	}
	napi_create_array_with_length(env, 2, &result);
	napi_set_element(env, result, 0, make_int(env, master));
	napi_set_element(env, result, 1, make_int(env, slave));
	return result;
}

/* ptyNumber(master): N of /dev/pts/N; ENOTTY for what is no master of a pty */
static napi_value js_pty_number(napi_env env, napi_callback_info info)
{
	unsigned int number;
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (ioctl(fd, TIOCGPTN, &number) != 0)
		return throw_errno(env, "TIOCGPTN", errno);
	return make_int(env, number);
}

/* ttyName(fd): such as /dev/pts/3; ENOTTY for what is no terminal */
static napi_value js_tty_name(napi_env env, napi_callback_info info)
{
	napi_value result;
	struct args args;
	char name[256];
	int fd, error;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	error = ttyname_r(fd, name, sizeof(name));
	if (error != 0)
		return throw_errno(env, "ttyname_r", error);
	napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
	return result;
}

/* getTermios(fd): the settings, to be given to setTermios */
static napi_value js_get_termios(napi_env env, napi_callback_info info)
{
	struct termios settings;
	napi_value result;
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (tcgetattr(fd, &settings) != 0)
		return throw_errno(env, "tcgetattr", errno);
	napi_create_buffer_copy(env, sizeof(settings), &settings, NULL, &result);
	return result;
}

/* setTermios(fd, settings): at once, losing no typed-ahead input */
static napi_value js_set_termios(napi_env env, napi_callback_info info)
{
	struct termios settings;
	struct args args;
	uint8_t *data;
	size_t size;
	int fd;

	if (!get_args(env, info, 2, &args) || !get_int(env, args.value[0], &fd) ||
	    !get_whole(env, args.value[1], &data, &size))
		return NULL;
	if (size != sizeof(settings))
		return throw_type(env, "not settings of a terminal");
	memcpy(&settings, data, sizeof(settings));
	if (tcsetattr(fd, TCSANOW, &settings) != 0)
		return throw_errno(env, "tcsetattr", errno);
	return make_undefined(env);
}

/* makeRaw(fd): cfmakeraw(3): bytes pass as they are, both ways */
static napi_value js_make_raw(napi_env env, napi_callback_info info)
{
	struct termios settings;
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (tcgetattr(fd, &settings) != 0)
		return throw_errno(env, "tcgetattr", errno);
	cfmakeraw(&settings);
	if (tcsetattr(fd, TCSANOW, &settings) != 0)
		return throw_errno(env, "tcsetattr", errno);
	return make_undefined(env);
}

/* getWindowSize(fd): rows * 65536 + columns: one number, since it is asked for often */
static napi_value js_get_window_size(napi_env env, napi_callback_info info)
{
	struct winsize size;
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	if (ioctl(fd, TIOCGWINSZ, &size) != 0)
		return throw_errno(env, "TIOCGWINSZ", errno);
	return make_int(env, (int64_t)size.ws_row << 16 | size.ws_col);
}

/* copyWindowSize(from, to): pixels too; tells the foreground process group of `to` (SIGWINCH) */
static napi_value js_copy_window_size(napi_env env, napi_callback_info info)
{
	struct winsize size;
	struct args args;
	int from, to;

	if (!get_args(env, info, 2, &args) || !get_int(env, args.value[0], &from) || !get_int(env, args.value[1], &to))
		return NULL;
	if (ioctl(from, TIOCGWINSZ, &size) != 0)
		return throw_errno(env, "TIOCGWINSZ", errno);
	if (ioctl(to, TIOCSWINSZ, &size) != 0)
		return throw_errno(env, "TIOCSWINSZ", errno);
	return make_undefined(env);
}

/* setExclusive(fd): from now on open(2) of this terminal fails with EBUSY, but for CAP_SYS_ADMIN */
static napi_value js_set_exclusive(napi_env env, napi_callback_info info)
{
	return int_ioctl(env, info, TIOCEXCL, "TIOCEXCL");
}

static napi_value js_unset_exclusive(napi_env env, napi_callback_info info)
{
	return int_ioctl(env, info, TIOCNXCL, "TIOCNXCL");
}

/* releaseControllingTerminal(fd): a session's leader gives it up for all of the session (SIGHUP, SIGCONT) */
static napi_value js_release_controlling_terminal(napi_env env, napi_callback_info info)
{
	return int_ioctl(env, info, TIOCNOTTY, "TIOCNOTTY");
}

/* controllingSession(fd): the session whose controlling terminal it is, from one of its processes; else -1 */
static napi_value js_controlling_session(napi_env env, napi_callback_info info)
{
	struct args args;
	int fd;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &fd))
		return NULL;
	return make_int(env, tcgetsid(fd));
}

/* setControllingTerminal(fd): of a session's leader that has none */
static napi_value js_set_controlling_terminal(napi_env env, napi_callback_info info)
{
	return int_ioctl(env, info, TIOCSCTTY, "TIOCSCTTY");
}

void tty_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "openPty", js_open_pty);
	export_function(env, exports, "ptyNumber", js_pty_number);
	export_function(env, exports, "ttyName", js_tty_name);
	export_function(env, exports, "getTermios", js_get_termios);
	export_function(env, exports, "setTermios", js_set_termios);
	export_function(env, exports, "makeRaw", js_make_raw);
	export_function(env, exports, "getWindowSize", js_get_window_size);
	export_function(env, exports, "copyWindowSize", js_copy_window_size);
	export_function(env, exports, "setExclusive", js_set_exclusive);
	export_function(env, exports, "unsetExclusive", js_unset_exclusive);
	export_function(env, exports, "releaseControllingTerminal", js_release_controlling_terminal);
	export_function(env, exports, "controllingSession", js_controlling_session);
	export_function(env, exports, "setControllingTerminal", js_set_controlling_terminal);
}
