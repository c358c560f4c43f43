// SPDX-License-Identifier: GPL-2.0-or-later
/* main() of the plugin, its words on stdout and stderr, and the time limit on all of it. */
#include "plugin.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const cni_versions[CNI_VERSIONS_NEWEST + 1] = {
	"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
};

static const struct {
	const char *name;
	int (*run)(struct plugin *p);
} commands[] = {
	[CNI_NONE] = { "-", NULL },
	[CNI_ADD] = { "ADD", command_add },
	[CNI_DEL] = { "DEL", command_del },
	[CNI_CHECK] = { "CHECK", command_check },
	[CNI_GC] = { "GC", command_gc },
	[CNI_STATUS] = { "STATUS", command_status },
	[CNI_VERSION] = { "VERSION", command_version },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int cni_version_index(const char *text)
{
	for (int i = 0; i <= CNI_VERSIONS_NEWEST; i++)
		if (strcmp(text, cni_versions[i]) == 0)
			return i;
	return -1;
}

uint64_t plugin_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* ---- words ---- */

/* What came from outside may be any bytes. */
static void printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int plugin_fail(struct plugin *p, enum cni_code code, const char *details, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(p->msg, sizeof(p->msg), fmt, args);
	va_end(args);
	(void)snprintf(p->details, sizeof(p->details), "%s", details ?: "");
	p->code = code;
	return (int)code;
}

void plugin_log(const struct plugin *p, const char *fmt, ...)
{
	char text[2048], line[3072];
	va_list args;
	int n;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	n = snprintf(line, sizeof(line), "sva: %s", commands[p->command].name);
	if (p->network)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " network=%s", p->network);
	if (*p->container_id)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " container=%.255s ifname=%.15s",
			      p->container_id, p->ifname);
	(void)snprintf(line + n, sizeof(line) - (size_t)n, ": %s", text);
	printable(line);
	(void)fprintf(stderr, "%s\n", line); /* unbuffered: one write */
}

static int write_all(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int plugin_print(struct plugin *p, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int r;

	json_decref(json);
	if (!text)
		return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	r = write_all(text, strlen(text));
	if (r == 0)
		r = write_all("\n", 1);
	free(text);
	if (r < 0)
		return plugin_fail(p, CNI_IO_FAILURE, strerror(-r), "cannot write to stdout");
	return 0;
}

/* Not UTF-8: what is not ASCII goes. */
static json_t *json_text(const char *text)
{
	char copy[sizeof(((struct plugin *)0)->details)];
	json_t *json = json_string(text);

	if (json)
		return json;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return json_string(copy);
}

static void print_error(struct plugin *p)
{
	struct plugin failed = *p; /* of printing the error nothing is to be said but on stderr */
	json_t *json = json_pack("{s:s, s:i, s:o}", "cniVersion", cni_versions[p->version], "code",
				 (int)p->code, "msg", json_text(p->msg));

	if (json && *p->details)
		(void)json_object_set_new(json, "details", json_text(p->details));
	if (plugin_print(&failed, json))
		plugin_log(p, "%s", failed.msg);
}

int plugin_fail_svad(struct plugin *p, const struct sva_admin *admin, int r, const char *what)
{
	char words[sizeof(p->details)];

	(void)snprintf(words, sizeof(words), "%s", sva_admin_strerror(admin, r));
	switch (r) {
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ETIMEDOUT:
	case -ENODEV: /* UNAVAILABLE */
		return plugin_fail(p, CNI_TRY_AGAIN, words, "%s: svad is not available now", what);
	case -ENOSPC:
		return plugin_fail(p, CNI_TRY_AGAIN, words, "%s: a limit of svad is reached", what);
	case -EPROTO:
	case -EPROTOTYPE:
	case -EPROTONOSUPPORT:
	case -EOPNOTSUPP:
		return plugin_fail(p, CNI_NONSENSE, words,
				   "%s: svad and this plugin do not understand each other", what);
	case -EINVAL:
		return plugin_fail(p, CNI_INVALID_CONFIG, words, "%s: svad does not take what it was given",
				   what);
	default:
		return plugin_fail(p, CNI_REFUSED, words, "%s: svad refuses", what);
	}
}

/* ---- the time limit on everything ---- */

static char too_late[256];
static size_t too_late_len;
static int too_late_status;

static void on_alarm(int sig)
{
	(void)sig;
	if (write(STDOUT_FILENO, too_late, too_late_len) < 0)
		_exit(1);
	_exit(too_late_status);
}

/* Each wait has a limit of its own; this one is for what cannot have any: a file system that hangs. */
static void watchdog(const struct plugin *p)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int ms = p->timeout_ms + p->del_timeout_ms + 5000;

	too_late_len = 0;
	too_late_status = p->command == CNI_DEL && !p->strict_del ? 0 : 1;
	if (too_late_status)
		too_late_len = (size_t)snprintf(
			too_late, sizeof(too_late),
			"{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"not done after %d ms\"}\n",
			cni_versions[p->version], CNI_TRY_AGAIN, ms);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)alarm((unsigned)(ms + 999) / 1000);
}

/* ---- main ---- */

static enum cni_command command_of(const char *name)
{
	for (unsigned i = CNI_ADD; i < N_COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return (enum cni_command)i;
	return CNI_NONE;
}

static void about(FILE *f)
{
	(void)fprintf(f,
		      "svad's CNI plugin %s: a container's processes may use accelerators through svad. CNI",
		      SVAD_VERSION);
	for (int i = 0; i <= CNI_VERSIONS_NEWEST; i++)
		(void)fprintf(f, " %s", cni_versions[i]);
	(void)fprintf(f, ".\nA container runtime starts it, with CNI_COMMAND in its environment and a "
			 "network's configuration on\n"
			 "stdin. See sva-cni(8).\n");
}

static int run(struct plugin *p)
{
	const char *name = getenv("CNI_COMMAND");
	int r;

	if (!name || !*name) {
		about(stderr);
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL, "CNI_COMMAND is not set");
	}
	p->command = command_of(name);
	watchdog(p);
	r = request_read(p);
	if (r)
		return r;
	watchdog(p); /* with the configuration's own times */
	return commands[p->command].run(p);
}

int main(int argc, char **argv)
{
	struct plugin p = {
		.container_id = "",
		.netns = "",
		.ifname = "",
		.version = CNI_VERSIONS_NEWEST,
		.timeout_ms = 5000,
		.del_timeout_ms = 5000,
	};
	int r;

	if (argc > 1) {
		bool asked = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0;

		about(asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	r = run(&p);
	if (r) {
		plugin_log(&p, "error %d: %s%s%s", r, p.msg, *p.details ? ": " : "", p.details);
		print_error(&p);
	}
	request_free(&p);
	return r ? 1 : 0;
}
