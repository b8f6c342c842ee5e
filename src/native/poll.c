/*
 * Poll: a descriptor watched by the event loop (uv_poll_t).
 *
 *     new Poll(fd, callback)   callback(events): READABLE, WRITABLE or both
 *     start(events)            which to wait for; 0 for none
 *     close()                  no callback afterwards; the descriptor stays open and is the caller's to close
 *
 * libuv's own handles for terminals and pipes reopen or block; this one only watches.
 */
#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "addon.h"

struct poll {
	uv_poll_t handle;
	napi_env env;
	napi_ref callback;
	napi_async_context context;
	/* What was asked for last. */
	int events;
	bool closing;
};

static void closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Stops watching; the memory goes when libuv has let go of the handle. */
static void poll_close(struct poll *poll)
{
	if (poll->closing)
		return;
	poll->closing = true;
	uv_poll_stop(&poll->handle);
	napi_delete_reference(poll->env, poll->callback);
	napi_async_destroy(poll->env, poll->context);
	uv_close((uv_handle_t *)&poll->handle, closed);
}

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	poll_close(data);
}

static void ready(uv_poll_t *handle, int status, int events)
{
	struct poll *poll = handle->data;
	napi_value callback, global, argument;
	napi_handle_scope scope;
	napi_env env = poll->env;

	/*
	 * An error is told as readiness: the read or write that follows meets it and says which it is. libuv stops watching
	 * then (uv__poll_io), but more can be there to be read before the error than one read takes: a socket whose other
	 * end closed it with something unread.
	 */
	if (status < 0) {
		events = UV_READABLE | UV_WRITABLE;
		uv_poll_start(handle, poll->events, ready);
	}
	napi_open_handle_scope(env, &scope);
	napi_get_reference_value(env, poll->callback, &callback);
	napi_get_global(env, &global);
	argument = make_int(env, events);
	if (napi_make_callback(env, poll->context, global, callback, 1, &argument, NULL) == napi_pending_exception) {
		napi_value error;

		napi_get_and_clear_last_exception(env, &error);
		napi_fatal_exception(env, error);
	}
	napi_close_handle_scope(env, scope);
}

static struct poll *unwrap(napi_env env, napi_callback_info info, struct args *args)
{
	struct poll *poll = NULL;
	napi_value this;

	args->count = MAX_ARGS;
	if (napi_get_cb_info(env, info, &args->count, args->value, &this, NULL) != napi_ok ||
	    napi_unwrap(env, this, (void **)&poll) != napi_ok)
		throw_type(env, "not a Poll");
	return poll;
}

static napi_value js_new(napi_env env, napi_callback_info info)
{
	napi_value this, name, target;
	struct args args = { .count = MAX_ARGS };
	napi_valuetype type;
	struct poll *poll;
	uv_loop_t *loop;
	int fd, error;

	napi_get_cb_info(env, info, &args.count, args.value, &this, NULL);
	if (napi_get_new_target(env, info, &target) != napi_ok || target == NULL)
		return throw_type(env, "a Poll is made with new");
	if (args.count < 2)
		return throw_type(env, "too few arguments");
	if (!get_int(env, args.value[0], &fd))
		return NULL;
	if (napi_typeof(env, args.value[1], &type) != napi_ok || type != napi_function)
		return throw_type(env, "not a function");
	poll = calloc(1, sizeof(*poll));
	if (poll == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
		free(poll);
		return throw_errno(env, "calloc", ENOMEM);
	}
	error = uv_poll_init(loop, &poll->handle, fd);
	if (error != 0) {
		free(poll);
		return throw_errno(env, "epoll_ctl", -error);
	}
	poll->handle.data = poll;
	poll->env = env;
	napi_create_string_utf8(env, "ttyspy:Poll", NAPI_AUTO_LENGTH, &name);
	napi_create_reference(env, args.value[1], 1, &poll->callback);
	/* Without a resource: with `this` as one, a Poll that nobody closes would never be collected. */
	napi_async_init(env, NULL, name, &poll->context);
	if (napi_wrap(env, this, poll, finalize, NULL, NULL) != napi_ok) {
		poll_close(poll);
		return throw_type(env, "cannot be a Poll");
	}
	return this;
}

static napi_value js_start(napi_env env, napi_callback_info info)
{
	struct args args;
	struct poll *poll = unwrap(env, info, &args);
	int events, error;

	if (poll != NULL && args.count < 1)
		return throw_type(env, "too few arguments");
	if (poll == NULL || !get_int(env, args.value[0], &events))
		return NULL;
	if (poll->closing)
		return make_undefined(env);
	poll->events = events & (UV_READABLE | UV_WRITABLE);
	error = poll->events ? uv_poll_start(&poll->handle, poll->events, ready) : uv_poll_stop(&poll->handle);
	if (error != 0)
		return throw_errno(env, "epoll_ctl", -error);
	return make_undefined(env);
}

static napi_value js_close(napi_env env, napi_callback_info info)
{
	struct args args;
	struct poll *poll = unwrap(env, info, &args);
	napi_value this;

	if (poll == NULL)
		return NULL;
	napi_get_cb_info(env, info, &args.count, args.value, &this, NULL);
	napi_remove_wrap(env, this, NULL);
	poll_close(poll);
	return make_undefined(env);
}

void poll_exports(napi_env env, napi_value exports)
{
	const napi_property_descriptor methods[] = {
		{ .utf8name = "start", .method = js_start, .attributes = napi_default_method },
		{ .utf8name = "close", .method = js_close, .attributes = napi_default_method },
	};
	napi_value class;

	napi_define_class(env, "Poll", NAPI_AUTO_LENGTH, js_new, NULL, sizeof(methods) / sizeof(methods[0]), methods, &class);
	set_member(env, exports, "Poll", class);
	set_member(env, exports, "READABLE", make_int(env, UV_READABLE));
	set_member(env, exports, "WRITABLE", make_int(env, UV_WRITABLE));
}
