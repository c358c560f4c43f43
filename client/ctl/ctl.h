/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_H
#define SVAD_CTL_H
/*
 * svadctl: one file per verb, a table of commands, and what they share. Single-threaded.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes; svadctl(1) documents them, scripts rely on them. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,	     /* the daemon refused, or the thing failed */
	CTL_USAGE = 2,	     /* wrong arguments */
	CTL_UNREACHABLE = 3, /* no daemon, or it does not answer */
	CTL_REMAINS = 4,     /* something stayed undrained or quarantined */
	CTL_CONFIG = 5,	     /* the configuration is invalid */
	CTL_GO = -1,	     /* ctl_parse(): the arguments are good, carry on */
};

struct ctl_command;

struct ctl {
	const char *socket; /* --socket, or NULL */
	int timeout_ms;	    /* --timeout: for each answer of the daemon */
	bool timeout_given;
	bool json;
	const struct ctl_command *command; /* the one that runs */
};

struct ctl_command {
	const char *verb, *sub; /* "device", "list"; sub NULL: a verb of one word */
	const char *args;	/* "NAME" */
	const char *summary;	/* one line for the overview */
	const char *help;	/* more for its own --help, or NULL */
	int (*run)(struct ctl *ctl, int argc, char **argv); /* argv without the verb; returns enum ctl_exit */
};

/* An option of a command. Exactly one of flag and value is set. The strings that come back are argv's own. */
struct ctl_option {
	const char *name; /* "client" of --client */
	char letter;	  /* 'n' of -n, 0: none */
	const char *arg;  /* "ID" for the help; with value */
	const char *help;
	bool *flag;
	const char **value;
};
#define CTL_OPTIONS_END                                                                                      \
	{                                                                                                    \
		NULL, 0, NULL, NULL, NULL, NULL                                                              \
	}

/* Parses a command's arguments: its own options (ended by CTL_OPTIONS_END; may be NULL) and the global ones,
 * anywhere; the rest, min..max of them, goes to pos (room for max, NULL-padded). Answers --help itself.
 * CTL_GO, or what to exit with. */
int ctl_parse(struct ctl *ctl, int argc, char **argv, const struct ctl_option *options, const char **pos,
	      int min, int max);

/* "svadctl: ..." on stderr, sanitized, with a newline. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same and a pointer to --help; returns CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whole-string numbers. False: not one (and *ret is untouched). */
bool ctl_u64(const char *text, uint64_t *ret);
/* "1500", "1500ms", "2s", "1min" -> ms, at most one day. */
bool ctl_duration_ms(const char *text, uint32_t *ret);

int cmd_status(struct ctl *ctl, int argc, char **argv);
int cmd_device_list(struct ctl *ctl, int argc, char **argv);
int cmd_device_show(struct ctl *ctl, int argc, char **argv);
int cmd_device_reset(struct ctl *ctl, int argc, char **argv);
int cmd_client_list(struct ctl *ctl, int argc, char **argv);
int cmd_bond_list(struct ctl *ctl, int argc, char **argv);
int cmd_bond_show(struct ctl *ctl, int argc, char **argv);
int cmd_bond_revoke(struct ctl *ctl, int argc, char **argv);
int cmd_drain(struct ctl *ctl, int argc, char **argv);
int cmd_quarantine_list(struct ctl *ctl, int argc, char **argv);
int cmd_quarantine_release(struct ctl *ctl, int argc, char **argv);
int cmd_watch(struct ctl *ctl, int argc, char **argv);
int cmd_top(struct ctl *ctl, int argc, char **argv);
int cmd_metrics(struct ctl *ctl, int argc, char **argv);
int cmd_container_list(struct ctl *ctl, int argc, char **argv);
int cmd_container_show(struct ctl *ctl, int argc, char **argv);
int cmd_container_register(struct ctl *ctl, int argc, char **argv);
int cmd_container_remove(struct ctl *ctl, int argc, char **argv);
int cmd_container_reconcile(struct ctl *ctl, int argc, char **argv);
int cmd_cdi_generate(struct ctl *ctl, int argc, char **argv);
int cmd_cdi_list(struct ctl *ctl, int argc, char **argv);
int cmd_doctor(struct ctl *ctl, int argc, char **argv);
int cmd_config_check(struct ctl *ctl, int argc, char **argv);
int cmd_version(struct ctl *ctl, int argc, char **argv);

#endif
