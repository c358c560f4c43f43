/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CNI_PLUGIN_H
#define SVAD_CNI_PLUGIN_H
/*
 * The `sva` CNI plugin: one invocation. The runtime's request comes in by environment and stdin (request.c), a command answers it on
 * stdout (add.c, del.c, ...), errors go to stdout too and what was decided to stderr. Single-threaded. Commands return 0, or
 * the code that plugin_fail() was given.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <sva/admin.h>

/* 1 to 99 are the specification's; 100 and above are ours. */
enum cni_code {
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_UNSUPPORTED_FIELD = 2,
	CNI_UNKNOWN_CONTAINER = 3, /* never said: a runtime may then leave out the DELs of the whole chain */
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_DECODE_FAILURE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_TRY_AGAIN = 11,
	CNI_NOT_AVAILABLE = 50,
	CNI_LIMITED_CONNECTIVITY = 51,
	CNI_REFUSED = 100,      /* svad said no */
	CNI_NO_NETNS = 101,     /* CNI_NETNS cannot be identified */
	CNI_NONSENSE = 102,     /* svad's answer makes no sense, or is of another version */
	CNI_NOT_ATTACHED = 103, /* CHECK: svad does not know the attachment, or with another netns */
	CNI_QUARANTINED = 104,  /* CHECK: a device did not stop */
};

enum cni_command { CNI_NONE, CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION };

/* Versions of the specification, oldest first; an index into this list. */
#define CNI_VERSIONS_NEWEST 6
extern const char *const cni_versions[CNI_VERSIONS_NEWEST + 1];
enum { CNI_0_1_0, CNI_0_2_0, CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0 };
int cni_version_index(const char *text); /* -1: none of ours */

struct plugin {
	enum cni_command command;
	const char *container_id, *netns, *ifname; /* environment; empty where not given */
	char *pod_namespace, *pod_name, *pod_uid;  /* of CNI_ARGS, NULL: not given */

	int version; /* asked for, and of all that goes to stdout */
	char *version_text; /* VERSION: as it was asked */
	json_t *conf; /* what stdin said; the strings below live in it */
	const char *network;
	const char *admin_socket; /* NULL: libsvaclient's default */
	char *state_dir;
	const char **devices; /* the configuration's, narrowed by runtimeConfig */
	size_t n_devices;
	struct sva_container_limits limits;
	int timeout_ms, del_timeout_ms;
	bool strict_del;
	json_t *prev_result;      /* NULL: first in the chain */
	json_t *valid_attachments; /* GC: a set of "ID\nIFNAME"; NULL: the runtime did not say */

	enum cni_code code;
	char msg[512], details[1200];
};

/* ---- plugin.c: words ---- */

/* Notes the error that goes to stdout at the end; details may be NULL. Returns code. */
int plugin_fail(struct plugin *p, enum cni_code code, const char *details, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* One line on stderr. */
void plugin_log(const struct plugin *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One JSON document on stdout; takes json. */
int plugin_print(struct plugin *p, json_t *json);
/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t plugin_now_ms(void);
/* What a failed call of the library is to the runtime; its words are the details. */
int plugin_fail_svad(struct plugin *p, const struct sva_admin *admin, int r, const char *what);

/* ---- request.c: environment and stdin ---- */

int request_read(struct plugin *p);
void request_free(struct plugin *p);

/* ---- conf.c ---- */

/*
 * The network configuration, as far as the command needs it: a wrong type is code 7 with the key named; for DEL and GC, where it is
 * none of what names attachments, a line on stderr and the default.
 */
int conf_read(struct plugin *p);

/* ---- result.c ---- */

/* The result of an ADD: prevResult in the asked version, or the smallest one there is. */
int result_print(struct plugin *p);

/* ---- one a file ---- */

int command_add(struct plugin *p);
int command_check(struct plugin *p);
int command_del(struct plugin *p);
int command_gc(struct plugin *p);
int command_status(struct plugin *p);
int command_version(struct plugin *p);

#endif
