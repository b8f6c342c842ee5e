/*
 * The guard over calls on descriptors that somebody else may share.
 *
 * A descriptor handed over by a client shares its file status flags with every copy the client kept. O_NONBLOCK set
 * here can be cleared there at any time, and then one write(2) to a full terminal would stop the daemon and everybody's
 * session with it. So a thread interrupts a call that lasts too long, and a descriptor that is found blocking then is
 * refused with EDEADLK.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "addon.h"

#define GUARD_TICK_NS 50000000L

static pthread_t guarded_thread;
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t guard_changed = PTHREAD_COND_INITIALIZER;
static bool guard_wanted;
/* Counts calls: odd while one is under way. */
static atomic_uint call_count;
static bool guard_runs;

static void interrupted(int signal_number)
{
	(void)signal_number;
}

/* Sleeps while nobody wants it, and ticks while somebody does. */
static void *guard(void *unused)
{
	unsigned int seen = 0;

	(void)unused;
	pthread_mutex_lock(&guard_lock);
	for (;;) {
		struct timespec next;
		unsigned int now;

		if (!guard_wanted) {
			pthread_cond_wait(&guard_changed, &guard_lock);
			continue;
		}
		now = atomic_load(&call_count);
		if ((now & 1) && now == seen)
			pthread_kill(guarded_thread, SIGURG);
		seen = now;
		clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_nsec += GUARD_TICK_NS;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000L;
		}
		pthread_cond_clockwait(&guard_changed, &guard_lock, CLOCK_MONOTONIC, &next);
	}
	return NULL;
}

static int start_guard(void)
{
	struct sigaction action = { .sa_handler = interrupted };
	pthread_t thread;
	sigset_t all, old;
	int error;

	guarded_thread = pthread_self();
	sigaction(SIGURG, &action, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, NULL, guard, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		pthread_detach(thread);
	return error;
}

/* guard(on): whether calls from this thread that last longer than two ticks are interrupted. */
static napi_value js_guard(napi_env env, napi_callback_info info)
{
	struct args args;
	int on, error;

	if (!get_args(env, info, 1, &args) || !get_int(env, args.value[0], &on))
		return NULL;
	if (on && !guard_runs) {
		if ((error = start_guard()) != 0)
			return throw_errno(env, "pthread_create", error);
		guard_runs = true;
	}
	/* The thread stays, asleep: waiting for its end would hold up whoever logs in next. */
	pthread_mutex_lock(&guard_lock);
	guard_wanted = on;
	pthread_cond_signal(&guard_changed);
	pthread_mutex_unlock(&guard_lock);
	return make_undefined(env);
}

void guard_enter(void)
{
	atomic_fetch_add(&call_count, 1);
}

void guard_leave(void)
{
	atomic_fetch_add(&call_count, 1);
}

bool made_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_NONBLOCK);
}

void guard_exports(napi_env env, napi_value exports)
{
	export_function(env, exports, "guard", js_guard);
}
