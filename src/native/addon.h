/*
 * What the files of the addon share: arguments from JavaScript, errors to it.
 *
 * Each exported function wraps one family of system calls and nothing more; what they are for is said where they are
 * called (src/os). Errors are exceptions with `code` (EBUSY), `errno` and `syscall`, as Node's own.
 */
#ifndef TTYSPY_ADDON_H
#define TTYSPY_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_ARGS 8

struct args {
	size_t count;
	napi_value value[MAX_ARGS];
};

/* Throw and return NULL, to be returned at once. Where one of the getters failed, an exception is pending. */
napi_value throw_errno(napi_env env, const char *syscall, int error);
napi_value throw_type(napi_env env, const char *what);

bool get_args(napi_env env, napi_callback_info info, size_t want, struct args *args);
bool get_int(napi_env env, napi_value value, int *result);
/* Strings of bytes, latin1: paths and arguments need not be UTF-8. */
bool get_string(napi_env env, napi_value value, char *buffer, size_t size);
/* A view of `length` bytes at `offset` of a Uint8Array; refused when it does not lie within. */
bool get_bytes(napi_env env, napi_value array, napi_value offset, napi_value length, uint8_t **data, size_t *size);
bool get_whole(napi_env env, napi_value array, uint8_t **data, size_t *size);
bool get_element(napi_env env, napi_value array, uint32_t index, napi_value *element);
/* An array of such strings as a NULL-terminated vector, to be given to free_strings. */
char **get_strings(napi_env env, napi_value array);
void free_strings(char **strings);

napi_value make_int(napi_env env, int64_t value);
napi_value make_undefined(napi_env env);
void set_member(napi_env env, napi_value object, const char *name, napi_value value);

void export_function(napi_env env, napi_value exports, const char *name, napi_callback function);

/* Around a call that must not wait: when it does all the same it ends with EINTR. */
void guard_enter(void);
void guard_leave(void);
/* After that: whether somebody made the descriptor blocking. */
bool made_blocking(int fd);
/* As closeForeign of JavaScript: closes what came from somebody else without waiting for it. */
void close_foreign(int fd);

void descriptor_exports(napi_env env, napi_value exports);
void foreign_exports(napi_env env, napi_value exports);
void guard_exports(napi_env env, napi_value exports);
void message_exports(napi_env env, napi_value exports);
void poll_exports(napi_env env, napi_value exports);
void process_exports(napi_env env, napi_value exports);
void socket_exports(napi_env env, napi_value exports);
void tty_exports(napi_env env, napi_value exports);

#endif
