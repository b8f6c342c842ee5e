/* The addon's entry, and the plumbing between JavaScript values and C. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

napi_value throw_errno(napi_env env, const char *syscall, int error)
{
	char text[160];
	const char *name = strerrorname_np(error);
	napi_value code, message, object;

	if (name == NULL)
		name = "EUNKNOWN";
	snprintf(text, sizeof(text), "%s: %s, %s", name, strerrordesc_np(error), syscall);
	napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code);
	napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
	napi_create_error(env, code, message, &object);
	set_member(env, object, "errno", make_int(env, -error));
	napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &message);
	set_member(env, object, "syscall", message);
	napi_throw(env, object);
	return NULL;
}

napi_value throw_type(napi_env env, const char *what)
{
	napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", what);
	return NULL;
}

bool get_args(napi_env env, napi_callback_info info, size_t want, struct args *args)
{
	args->count = MAX_ARGS;
	if (napi_get_cb_info(env, info, &args->count, args->value, NULL, NULL) != napi_ok || args->count < want) {
		throw_type(env, "too few arguments");
		return false;
	}
	return true;
}

bool get_int(napi_env env, napi_value value, int *result)
{
	double number;

	/* napi_get_value_int32 would wrap a number that is too large into another descriptor. */
	if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= INT_MIN && number <= INT_MAX) ||
	    number != (double)(int)number) {
		throw_type(env, "not an integer");
		return false;
	}
	*result = (int)number;
	return true;
}

bool get_string(napi_env env, napi_value value, char *buffer, size_t size)
{
	size_t length;

	if (napi_get_value_string_latin1(env, value, NULL, 0, &length) != napi_ok) {
		throw_type(env, "not a string");
		return false;
	}
	if (length >= size) {
		throw_errno(env, "string", ENAMETOOLONG);
		return false;
	}
	napi_get_value_string_latin1(env, value, buffer, size, &length);
	if (strlen(buffer) != length) {
		throw_type(env, "NUL in a string");
		return false;
	}
	return true;
}

bool get_whole(napi_env env, napi_value array, uint8_t **data, size_t *size)
{
	napi_typedarray_type type;
	bool is = false;
	void *start;

	napi_is_typedarray(env, array, &is);
	if (!is || napi_get_typedarray_info(env, array, &type, size, &start, NULL, NULL) != napi_ok ||
	    type != napi_uint8_array) {
		throw_type(env, "not a Uint8Array");
		return false;
	}
	*data = start;
	return true;
}

bool get_bytes(napi_env env, napi_value array, napi_value offset, napi_value length, uint8_t **data, size_t *size)
{
	int from, count;

	if (!get_whole(env, array, data, size) || !get_int(env, offset, &from) || !get_int(env, length, &count))
		return false;
	if (from < 0 || count < 0 || (size_t)from > *size || (size_t)count > *size - (size_t)from) {
		throw_type(env, "range outside of the buffer");
		return false;
	}
	*data += from;
	*size = (size_t)count;
	return true;
}

bool get_element(napi_env env, napi_value array, uint32_t index, napi_value *element)
{
	bool pending = true;

	if (napi_get_element(env, array, index, element) == napi_ok)
		return true;
	napi_is_exception_pending(env, &pending);
	if (!pending)
		throw_type(env, "not an array");
	return false;
}

static char *copy_string(napi_env env, napi_value value)
{
	size_t length;
	char *text;

	if (napi_get_value_string_latin1(env, value, NULL, 0, &length) != napi_ok) {
		throw_type(env, "not a string");
		return NULL;
	}
	text = malloc(length + 1);
	if (text == NULL) {
		throw_errno(env, "malloc", ENOMEM);
		return NULL;
	}
	napi_get_value_string_latin1(env, value, text, length + 1, &length);
	if (strlen(text) != length) {
		free(text);
		throw_type(env, "NUL in a string");
		return NULL;
	}
	return text;
}

char **get_strings(napi_env env, napi_value array)
{
	uint32_t count;
	char **strings;

	if (napi_get_array_length(env, array, &count) != napi_ok) {
		throw_type(env, "not an array");
		return NULL;
	}
	strings = calloc((size_t)count + 1, sizeof(*strings));
	if (strings == NULL) {
		throw_errno(env, "calloc", ENOMEM);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		napi_value value;

		if (!get_element(env, array, i, &value) || (strings[i] = copy_string(env, value)) == NULL) {
			free_strings(strings);
			return NULL;
		}
	}
	return strings;
}

void free_strings(char **strings)
{
	if (strings == NULL)
		return;
	for (size_t i = 0; strings[i] != NULL; i++)
		free(strings[i]);
	free(strings);
}

napi_value make_int(napi_env env, int64_t value)
{
	napi_value result;

	napi_create_int64(env, value, &result);
	return result;
}

napi_value make_undefined(napi_env env)
{
	napi_value result;

	napi_get_undefined(env, &result);
	return result;
}

void set_member(napi_env env, napi_value object, const char *name, napi_value value)
{
	napi_set_named_property(env, object, name, value);
}

void export_function(napi_env env, napi_value exports, const char *name, napi_callback function)
{
	napi_value value;

	napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
	set_member(env, exports, name, value);
}

NAPI_MODULE_INIT()
{
	descriptor_exports(env, exports);
	foreign_exports(env, exports);
	guard_exports(env, exports);
	message_exports(env, exports);
	poll_exports(env, exports);
	process_exports(env, exports);
	socket_exports(env, exports);
	tty_exports(env, exports);
	return exports;
}
