// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Arguments. A table of options serves the parser and --help alike, so that the help cannot lie. Global
 * options are taken before and after the verb.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "term.h"

static void vcomplain(const char *fmt, va_list ap)
{
	char text[2048], clean[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "svadctl: %s\n", text_clean(text, clean, sizeof(clean)));
}

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
}

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
	if (ctl->command)
		fprintf(stderr, "Try: svadctl %s%s%s --help\n", ctl->command->verb,
			ctl->command->sub ? " " : "", ctl->command->sub ? ctl->command->sub : "");
	else
		fprintf(stderr, "Try: svadctl --help\n");
	return CTL_USAGE;
}

bool ctl_u64(const char *text, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	/* strtoull() takes "-1" and leading blanks; we take digits. */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = v;
	return true;
}

bool ctl_duration_ms(const char *text, uint32_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{ "", 1 }, { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 },
	};
	char digits[16];
	size_t n = strspn(text, "0123456789");
	uint64_t v;

	if (!n || n >= sizeof(digits))
		return false;
	memcpy(digits, text, n);
	digits[n] = 0;
	if (!ctl_u64(digits, &v))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + n, units[i].unit))
			continue;
		if (v > 86400000 / units[i].ms)
			return false;
		*ret = (uint32_t)(v * units[i].ms);
		return true;
	}
	return false;
}

static void help_option(const struct ctl_option *o)
{
	char left[64];
	char letter[8] = "    ";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-26s %s\n", left, o->help);
}

static void help_command(const struct ctl_command *c, const struct ctl_option *own,
			 const struct ctl_option *global)
{
	printf("Usage: svadctl %s%s%s [OPTIONS]%s%s\n\n%s.\n", c->verb, c->sub ? " " : "",
	       c->sub ? c->sub : "", c->args && *c->args ? " " : "", c->args ? c->args : "", c->summary);
	if (c->help)
		printf("\n%s", c->help);
	printf("\nOptions:\n");
	for (const struct ctl_option *o = own; o && o->name; o++)
		help_option(o);
	for (const struct ctl_option *o = global; o->name; o++)
		help_option(o);
	printf("\nExit codes: 0 done, 1 refused or failed, 2 usage, 3 svad not reachable,\n"
	       "4 something stayed undrained or quarantined, 5 configuration invalid. See svadctl(1).\n");
}

static const struct ctl_option *find_option(const struct ctl_option *table, const char *name, size_t len)
{
	for (const struct ctl_option *o = table; o && o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct ctl_option *find_letter(const struct ctl_option *table, char letter)
{
	for (const struct ctl_option *o = table; o && o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

int ctl_parse(struct ctl *ctl, int argc, char **argv, const struct ctl_option *options, const char **pos,
	      int min, int max)
{
	const char *timeout = NULL;
	bool help = false, plain = false;
	const struct ctl_option global[] = {
		{ "json", 0, NULL, "JSON for programs, on stdout", &ctl->json, NULL },
		{ "socket", 0, "PATH", "the administrators' socket", NULL, &ctl->socket },
		{ "timeout", 0, "TIME", "wait that long for an answer: 500ms, 10s, 2min", NULL, &timeout },
		{ "help", 'h', NULL, "this text", &help, NULL },
		CTL_OPTIONS_END,
	};
	int n = 0;

	for (int i = 0; i < max; i++)
		pos[i] = NULL;

	for (int i = 0; i < argc; i++)
		for (const char *c = argv[i]; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				return ctl_usage(ctl, "control characters in \"%s\"", argv[i]);

	for (int i = 0; i < argc; i++) {
		const struct ctl_option *o;
		const char *value = NULL;

		if (plain || argv[i][0] != '-' || !argv[i][1]) {
			if (n >= max)
				return ctl_usage(ctl, "unexpected argument \"%s\"", argv[i]);
			pos[n++] = argv[i];
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			plain = true;
			continue;
		}
		if (argv[i][1] == '-') {
			const char *name = argv[i] + 2;
			size_t len = strcspn(name, "=");

			o = find_option(options, name, len);
			if (!o)
				o = find_option(global, name, len);
			if (name[len] == '=')
				value = name + len + 1;
		} else {
			o = find_letter(options, argv[i][1]);
			if (!o)
				o = find_letter(global, argv[i][1]);
			if (argv[i][2])
				value = argv[i] + 2;
		}
		if (!o)
			return ctl_usage(ctl, "unknown option \"%s\"", argv[i]);
		if (o->flag) {
			if (value)
				return ctl_usage(ctl, "--%s takes no value", o->name);
			*o->flag = true;
			continue;
		}
		if (!value) {
			if (i + 1 >= argc)
				return ctl_usage(ctl, "--%s needs a value: %s", o->name, o->arg);
			value = argv[++i];
		}
		*o->value = value;
	}

	if (help) {
		help_command(ctl->command, options, global);
		return CTL_OK;
	}
	if (timeout) {
		uint32_t ms;

		if (!ctl_duration_ms(timeout, &ms) || !ms)
			return ctl_usage(ctl, "--timeout: \"%s\" is not a time; write 500ms, 10s or 2min",
					 timeout);
		ctl->timeout_ms = (int)ms;
		ctl->timeout_given = true;
	}
	if (ctl->socket && !*ctl->socket)
		return ctl_usage(ctl, "--socket: the path is empty");
	if (n < min)
		return ctl_usage(ctl, "an argument is missing: %s", ctl->command->args);
	return CTL_GO;
}
