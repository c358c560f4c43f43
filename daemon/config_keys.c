/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every key that svad.conf knows, one row each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "../client/lib/sva/demo_accel.h"
#include "../kmod/svabroker.h"
#include "config_private.h"

static const struct config_name backends[] = { { "sim", BACKEND_SIM },
					       { "kmod", BACKEND_KMOD },
					       { NULL, 0 } };
static const struct config_name unregistered[] = { { "host", UNREGISTERED_HOST },
						   { "refuse", UNREGISTERED_REFUSE },
						   { NULL, 0 } };
static const struct config_name stops[] = {
	{ "flushed", STOP_FLUSHED },
	{ "clean", STOP_CLEAN },
	{ "none", STOP_NONE },
	{ NULL, 0 },
};
static const struct config_name levels[] = {
	{ "err", LOG_ERR },   { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
	{ "info", LOG_INFO }, { "debug", LOG_DEBUG },	  { NULL, 0 },
};
static const struct config_name operations[] = {
	{ "copy", 1u << SVA_DEMO_COPY },     { "fill", 1u << SVA_DEMO_FILL },
	{ "crc32c", 1u << SVA_DEMO_CRC32C }, { "compare", 1u << SVA_DEMO_COMPARE },
	{ "nop", 1u << SVA_DEMO_NOP },	     { NULL, 0 },
};
static const struct config_name capabilities[] = {
	{ "stall", SVAB_DEV_CAP_STALL },
	{ "pri", SVAB_DEV_CAP_PRI },
	{ "ats", SVAB_DEV_CAP_ATS },
	{ NULL, 0 },
};

#define AT(member) offsetof(struct config, member)
#define DEV(member) offsetof(struct config_device, member)
#define POL(member) offsetof(struct config_policy, member)
#define DAY_MS 86400000u
#define STRING(s, n, o, lo, hi, d)                                                                           \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_string, .offset = o, .min = lo, .max = hi,     \
		.def = d, .fixed = true                                                                      \
	}
#define NUMBER(s, n, o, lo, hi, d)                                                                           \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_u32, .offset = o, .min = lo, .max = hi,        \
		.def = d                                                                                     \
	}
#define TIME(s, n, o, lo, hi, d)                                                                             \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_ms, .offset = o, .min = lo, .max = hi,         \
		.def = d                                                                                     \
	}
#define MODE(s, n, o, d)                                                                                     \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_mode, .offset = o, .def = d, .fixed = true     \
	}
#define BOOL(s, n, o, inverted, d)                                                                           \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_bool, .offset = o, .max = inverted, .def = d   \
	}
#define WORD(s, n, o, w, d)                                                                                  \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_word, .offset = o, .names = w, .def = d        \
	}
#define FLAGS(s, n, o, w, d)                                                                                 \
	{                                                                                                    \
		.section = s, .name = n, .type = &config_type_flags, .offset = o, .names = w, .def = d       \
	}

const struct config_key config_keys[] = {
	{ .section = "daemon",
	  .name = "backend",
	  .type = &config_type_word,
	  .offset = AT(backend),
	  .names = backends,
	  .def = "sim",
	  .fixed = true },
	STRING("daemon", "user", AT(user), 1, 32, "svad"),
	STRING("daemon", "runtime_dir", AT(runtime_dir), 1, CONFIG_SUN_PATH_MAX - 2, NULL),
	STRING("daemon", "socket", AT(socket), 1, CONFIG_SUN_PATH_MAX, NULL),
	MODE("daemon", "socket_mode", AT(socket_mode), "0666"),
	STRING("daemon", "socket_group", AT(socket_group), 0, 32, ""),
	STRING("daemon", "admin_socket", AT(admin_socket), 1, CONFIG_SUN_PATH_MAX, NULL),
	MODE("daemon", "admin_socket_mode", AT(admin_socket_mode), "0600"),
	STRING("daemon", "admin_socket_group", AT(admin_socket_group), 0, 32, ""),
	WORD("daemon", "log_level", AT(log_level), levels, "info"),
	TIME("daemon", "restart_backoff_min_ms", AT(restart_backoff_min_ms), 1, DAY_MS, "50"),
	TIME("daemon", "restart_backoff_max_ms", AT(restart_backoff_max_ms), 1, DAY_MS, "5000"),
	TIME("daemon", "child_timeout_ms", AT(child_timeout_ms), 2000, DAY_MS, "10000"),

	NUMBER("limits", "connections", AT(connections), 1, UINT32_MAX, "16384"),
	NUMBER("limits", "connections_per_uid", AT(connections_per_uid), 1, UINT32_MAX, "4096"),
	NUMBER("limits", "requests_in_flight", AT(requests_in_flight), 1, UINT32_MAX, "64"),
	NUMBER("limits", "requests_per_second", AT(requests_per_second), 1, UINT32_MAX, "20000"),
	NUMBER("limits", "bonds_per_client", AT(bonds_per_client), 1, UINT32_MAX, "64"),
	NUMBER("limits", "bonds_per_uid", AT(bonds_per_uid), 1, UINT32_MAX, "16384"),
	NUMBER("limits", "bonds_per_container", AT(bonds_per_container), 1, UINT32_MAX, "4096"),
	NUMBER("limits", "connections_per_container", AT(connections_per_container), 1, UINT32_MAX, "1024"),
	NUMBER("limits", "requests_per_second_per_container", AT(requests_per_second_per_container), 1,
	       UINT32_MAX, "20000"),
	NUMBER("limits", "backlog_bytes", AT(backlog_bytes), 1, UINT32_MAX, "262144"),
	NUMBER("limits", "event_backlog", AT(event_backlog), 1, UINT32_MAX, "4096"),

	{ .section = "drain",
	  .name = "deadline",
	  .alias = "drain_deadline",
	  .type = &config_type_ms,
	  .offset = AT(drain_deadline_ms),
	  .min = 1,
	  .max = DAY_MS,
	  .def = "2000" },
	TIME("drain", "shutdown_deadline", AT(shutdown_deadline_ms), 1, DAY_MS, "10000"),

	WORD("containers", "unregistered", AT(unregistered), unregistered, "host"),
	STRING("containers", "state_dir", AT(containers_state_dir), 1, CONFIG_SUN_PATH_MAX, NULL),
	STRING("containers", "socket_dir", AT(containers_socket_dir), 1, CONFIG_SUN_PATH_MAX - 10, NULL),
	TIME("containers", "reconcile", AT(reconcile_ms), 0, DAY_MS, "10000"),

	STRING("sim", "fault_socket", AT(fault_socket), 0, CONFIG_SUN_PATH_MAX, ""),
	{ .section = "sim",
	  .name = "procmap_query",
	  .type = &config_type_bool,
	  .offset = AT(procmap_query),
	  .def = "yes",
	  .fixed = true },

	NUMBER("device", "engines", DEV(engines), 1, 64, "2"),
	WORD("device", "stop", DEV(stop), stops, "flushed"),
	BOOL("device", "reset", DEV(reset), 0, "yes"),
	{ .section = "device",
	  .name = "numa_node",
	  .type = &config_type_i32,
	  .offset = DEV(numa_node),
	  .max = 1023,
	  .def = "-1" },
	FLAGS("device", "operations", DEV(operations), operations, "copy fill crc32c compare nop"),
	FLAGS("device", "capabilities", DEV(capabilities), capabilities, "stall"),
	NUMBER("device", "max_bonds", DEV(max_bonds), 0, UINT32_MAX, "0"),
	TIME("device", "drain_deadline", DEV(drain_deadline_ms), 0, DAY_MS, "0"),
	NUMBER("device", "pasid_bits", DEV(pasid_bits), 1, 20, "16"),
	BOOL("device", "portal", DEV(portal), 0, "yes"),

	{ .section = "policy", .name = "uid", .type = &config_type_uids },
	{ .section = "policy", .name = "gid", .type = &config_type_gids },
	{ .section = "policy", .name = "container", .type = &config_type_globs, .offset = POL(containers) },
	{ .section = "policy", .name = "pod", .type = &config_type_globs, .offset = POL(pods) },
	{ .section = "policy", .name = "network", .type = &config_type_globs, .offset = POL(networks) },
	{ .section = "policy", .name = "devices", .type = &config_type_globs, .offset = POL(devices) },
	BOOL("policy", "allow", POL(deny), 1, "yes"),
	NUMBER("policy", "bonds_per_client", POL(bonds_per_client), 0, UINT32_MAX, "0"),
	NUMBER("policy", "bonds_per_uid", POL(bonds_per_uid), 0, UINT32_MAX, "0"),
	NUMBER("policy", "bonds_per_container", POL(bonds_per_container), 0, UINT32_MAX, "0"),
	NUMBER("policy", "connections_per_container", POL(connections_per_container), 0, UINT32_MAX, "0"),
	NUMBER("policy", "requests_per_second_per_container", POL(requests_per_second_per_container), 0,
	       UINT32_MAX, "0"),
	TIME("policy", "drain_deadline", POL(drain_deadline_ms), 0, DAY_MS, "0"),
	{ .section = NULL },
};

static bool same_name(const char *a, const char *b, bool duration)
{
	size_t n = strlen(a), m = strlen(b);

	if (duration) {
		n -= n > 3 && strcmp(a + n - 3, "_ms") == 0 ? 3 : 0;
		m -= m > 3 && strcmp(b + m - 3, "_ms") == 0 ? 3 : 0;
	}
	return n == m && strncmp(a, b, n) == 0;
}

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (const struct config_key *k = config_keys; k->section; k++) {
		bool duration = k->type == &config_type_ms;

		if (strcmp(k->section, section) != 0)
			continue;
		if (same_name(k->name, name, duration) || (k->alias && same_name(k->alias, name, duration)))
			return k;
	}
	return NULL;
}

/* Levenshtein, on words so short that a row on the stack does. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[64];

	if (n >= 63 || strlen(a) >= 63)
		return 64;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static void nearer(const char *candidate, const char *name, const char **best, size_t *best_distance)
{
	size_t d = distance(name, candidate);

	/* deadline and deadline_ms, say, are near by meaning, though not by letters */
	if (strncmp(name, candidate, strlen(candidate)) == 0 || strncmp(candidate, name, strlen(name)) == 0)
		d = d > 1 ? 1 : d;
	if (d < *best_distance) {
		*best = candidate;
		*best_distance = d;
	}
}

const char *config_key_nearest(const char *section, const char *name)
{
	size_t d = strlen(name) / 2 + 1;
	const char *best = NULL;

	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, section) == 0)
			nearer(k->name, name, &best, &d);
	}
	return best;
}

const char *config_section_nearest(const char *section)
{
	size_t d = strlen(section) / 2 + 1;
	const char *best = NULL;

	for (const struct config_key *k = config_keys; k->section; k++)
		nearer(k->section, section, &best, &d);
	return best;
}

int config_defaults(void *object, const char *section)
{
	for (const struct config_key *k = config_keys; k->section; k++) {
		char *why = NULL;

		if (strcmp(k->section, section) != 0 || !k->def)
			continue;
		if (k->type->parse(k, object, k->def, &why) < 0) {
			free(why);
			return -ENOMEM; /* a default that is a mistake of its own is caught by the unit test
					 */
		}
	}
	return 0;
}

bool config_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= 63 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == n;
}
