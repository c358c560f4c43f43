/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONFIG_H
#define SVAD_CONFIG_H
/*
 * Configuration: INI files read with inih, one table {section, key, parser, field}. The supervisor reads the files and names
 * file:line for each mistake; the broker and simdev parse the same settings again from the text that it hands them
 * (config_to_text), never from disk. A struct config is immutable once loaded; sharing it needs no lock.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum config_backend { BACKEND_SIM = 0, BACKEND_KMOD = 1 };
enum config_unregistered { UNREGISTERED_HOST = 0, UNREGISTERED_REFUSE = 1 };
enum config_stop { STOP_FLUSHED = 0, STOP_CLEAN = 1, STOP_NONE = 2 };

struct config_device { /* [device "NAME"]; with backend = sim each is one simulated device, with kmod settings for a real one */
	char *name;            /* [A-Za-z0-9._:-]{1,63} */
	uint32_t engines;      /* sim: 1..64, default 2 */
	enum config_stop stop; /* sim: flushed | clean | none, default flushed */
	bool reset;            /* sim: can be reset, default yes */
	int32_t numa_node;     /* sim: -1 default */
	uint64_t operations;   /* sim: "copy fill crc32c compare nop", default all */
	uint64_t capabilities; /* sim: "stall" | "pri" | "ats" in any mix, default stall; SVAB_DEV_CAP_* bits */
	uint32_t max_bonds;    /* 0: no limit of its own */
	uint32_t drain_deadline_ms; /* 0: [drain] deadline */
	uint32_t pasid_bits;   /* sim: 1..20, default 16 */
	bool portal;           /* sim: bonds have a portal, default yes */
};

struct config_range { uint32_t first, last; };

struct config_globs { /* GLOB..., fnmatch(3) */
	char **items;
	size_t n;
};

struct config_policy { /* [policy "NAME"]; see policy.h for how they combine */
	char *name;
	bool any_uid;                  /* uid = * */
	struct config_range *uids;     /* uid = 1000 1005-1010 alice (names are resolved when read) */
	size_t n_uids;
	struct config_range *gids;     /* gid = ...: primary or supplementary */
	size_t n_gids;
	struct config_globs containers; /* container = GLOB...: of container ids */
	struct config_globs pods;      /* pod = GLOB...: of "namespace/name" */
	struct config_globs networks;  /* network = GLOB... */
	bool of_containers;            /* one of the three is set: it is for clients of containers, and only for them */
	struct config_globs devices;   /* devices = GLOB... */
	bool deny;                     /* allow = no */
	uint32_t bonds_per_client;     /* 0: [limits] */
	uint32_t bonds_per_uid;        /* 0: [limits] */
	/* of containers; 0: [limits] */
	uint32_t bonds_per_container, connections_per_container, requests_per_second_per_container;
	uint32_t drain_deadline_ms;    /* of containers; 0: the device's */
};

struct config {
	char *origin; /* first file read, for people */

	/* [daemon] */
	enum config_backend backend;   /* backend = sim | kmod, default sim */
	char *user;                    /* user = svad: whom broker and simdev run as when the supervisor is root */
	char *runtime_dir;             /* default: /run/svad for root, $XDG_RUNTIME_DIR/svad else */
	char *socket;                  /* default: RUNTIME_DIR/svad.sock */
	mode_t socket_mode;            /* 0666 */
	char *socket_group;            /* "" */
	char *admin_socket;            /* default: RUNTIME_DIR/admin.sock */
	mode_t admin_socket_mode;      /* 0600 */
	char *admin_socket_group;      /* "" */
	int log_level;                 /* log_level = err|warning|notice|info|debug; LOG_* of syslog.h, default info */
	uint32_t restart_backoff_min_ms; /* 50 */
	uint32_t restart_backoff_max_ms; /* 5000 */
	uint32_t child_timeout_ms;     /* 10000: a child that does not ping for so long is killed and started anew */

	/* [limits]; each 1..UINT32_MAX */
	uint32_t connections;          /* 16384 in all */
	uint32_t connections_per_uid;  /* 4096 */
	uint32_t requests_in_flight;   /* 64 per connection */
	uint32_t requests_per_second;  /* 20000 per connection; above: answered RESOURCE_EXHAUSTED */
	uint32_t bonds_per_client;     /* 64 */
	uint32_t bonds_per_uid;        /* 16384 */
	uint32_t backlog_bytes;        /* 262144 per connection of events that wait to be read; above: EVENT_LOST */
	uint32_t bonds_per_container;  /* 4096 */
	uint32_t connections_per_container; /* 1024 */
	uint32_t requests_per_second_per_container; /* 20000, of all its connections together */
	uint32_t event_backlog;        /* 4096 events per subscriber; above: EVENT_LOST */

	/* [drain] */
	uint32_t drain_deadline_ms;    /* 2000 */
	uint32_t shutdown_deadline_ms; /* 10000 */

	/* [containers] */
	enum config_unregistered unregistered; /* clients whose network namespace is neither svad's nor a container's: host (default) | refuse */
	char *containers_state_dir;    /* state_dir; default: RUNTIME_DIR/state */
	char *containers_socket_dir;   /* socket_dir; default: RUNTIME_DIR/containers */
	uint32_t reconcile_ms;         /* reconcile; 10000, 0: off */

	/* [sim] */
	char *fault_socket;            /* path; "" (default): no fault injection at all */
	bool procmap_query;            /* yes; no: parse /proc/PID/maps as on kernels before 6.11 */

	struct config_device *devices; /* with backend = sim and none configured: sim0 (2 engines, flushed) and sim1 (clean) */
	size_t n_devices;
	struct config_policy *policies;
	size_t n_policies;
	size_t n_container_policies;   /* of these, of_containers */
};

/* Mistakes, in the order of the files: "file:line: what is wrong; what to write instead". */
struct config_errors {
	char **lines;
	size_t n;
};
void config_errors_clear(struct config_errors *errors);

/* Reads path (NULL: the built-in default SYSCONFDIR/svad/svad.conf, which may be absent) and then path + ".d"/ *.conf in order of name.
 * 0 and *ret; -EINVAL with errors filled (all of them, not the first); -errno when a named file cannot be read (also in errors).
 * Checks whatever can be known without running: duplicates, unknown keys and sections, ranges, users, globs, socket path length. */
int config_load(const char *path, struct config **ret, struct config_errors *errors);

/* The effective settings as one INI text that config_from_text() reads back to an equal struct. malloc()ed; NULL: no memory. */
char *config_to_text(const struct config *config);
int config_from_text(const char *text, size_t len, struct config **ret, struct config_errors *errors);

/* Keys that a running daemon cannot change (sockets, user, backend, [sim], the simulated devices): 0, or -EBUSY and in why (malloc()ed) the keys that
 * differ. */
int config_reloadable(const struct config *now, const struct config *next, char **ret_why);

const struct config_device *config_device(const struct config *config, const char *name); /* NULL: none */
void config_free(struct config *config); /* NULL is fine */

#endif
