/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_ADMIN_H
#define SVA_ADMIN_H
/*
 * The administrators' half of libsvaclient: containers are registered and removed through svad's admin.sock, which is root's.
 *
 * Every function that returns int returns 0 or a positive value on success and a negative errno value on failure;
 * sva_admin_strerror() puts the last failure into words. Every call has an end: the connection's patience, unless it says otherwise.
 * A connection is for one thread at a time; different connections are independent of each other. It does not reconnect: after
 * -ECONNRESET, -EPROTO or -ETIMEDOUT disconnect and connect again. After fork() the child's calls return -EOWNERDEAD.
 *
 * size, first in each struct, is sizeof(the struct) as the caller was compiled: set it, in results too. What an older caller does not
 * have room for is left out; what a newer one knows and this library does not is zero.
 *
 * What svad refuses has the errno values of libsvaclient(3); see sva_admin_strerror() for what it said.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sva_admin; /* a connection to admin.sock */

/* Connects. address: path of the socket, NULL for $SVAD_ADMIN_SOCKET, else the built-in default. timeout_ms (<= 0: 5 s) is the
 * patience of this and of later calls. -ECONNREFUSED: no svad there; -EACCES: the socket is root's; -ETIMEDOUT: it does not answer;
 * -EPROTONOSUPPORT: of another version. *ret_admin is owned by the caller: sva_admin_disconnect(). */
int sva_admin_connect(const char *address, int timeout_ms, struct sva_admin **ret_admin);
void sva_admin_disconnect(struct sva_admin *admin); /* NULL is fine */

/* The patience of later calls. 0, -EINVAL when it is not positive. */
int sva_admin_set_timeout(struct sva_admin *admin, int timeout_ms);

/* The last failure of this connection in words; admin may be NULL: of a failed sva_admin_connect() of this thread. Never NULL; valid until
 * the next call on the connection (NULL: until the thread's next). */
const char *sva_admin_strerror(const struct sva_admin *admin, int error);

/* ---- what a container is ------------------------------------------------------------------------ */

/* One network of one container, as CNI names it. */
struct sva_attachment {
	const char *network;      /* 1 to 255 bytes */
	const char *container_id; /* 1 to 255 bytes, a letter or digit, then those and _ . - */
	const char *ifname;       /* up to 15 bytes; NULL or "" where no CNI is used */
};

struct sva_netns {
	uint32_t size;
	uint32_t own; /* 1: it is the calling thread's */
	uint64_t cookie; /* SO_NETNS_COOKIE: never used twice within a boot */
	uint64_t dev, inode;
};

/* Which network namespace a path or an fd names. path NULL: the calling thread's own. Another one than the caller's takes CAP_SYS_ADMIN;
 * a thread of its own enters it and ends, the caller never leaves its netns. -ENOTTY: no network namespace; -EPERM; -ENOPROTOOPT: a
 * kernel before 5.14; -EINVAL: size; -ENOENT and what else open() says. Thread-safe; no words for sva_admin_strerror(). */
int sva_netns_identify(const char *path, struct sva_netns *ret_netns);
int sva_netns_identify_fd(int fd, struct sva_netns *ret_netns);

/* 0: not limited here. */
struct sva_container_limits {
	uint32_t bonds;
	uint32_t connections;
	uint32_t requests_per_second;
	uint32_t drain_deadline_ms;
};

/* ---- registering --------------------------------------------------------------------------------- */

struct sva_registration {
	uint32_t size;
	int32_t pid; /* of the container's first process where known, else 0 */
	struct sva_attachment attachment;
	uint64_t netns_cookie, netns_dev, netns_inode; /* sva_netns_identify() */
	const char *netns_path; /* as the runtime named it; strings may be NULL from here on */
	const char *pod_namespace, *pod_name, *pod_uid;
	const char *const *devices; /* globs of device names; none: whatever policy allows */
	size_t n_devices;
	struct sva_container_limits limits;
	const char *by; /* "cni", "oci", "svadctl" */
};

struct sva_registered {
	uint32_t size;
	uint32_t existed; /* 1: this attachment was there already, with the same netns */
	uint64_t container;
	uint32_t n_devices; /* that it may use now */
	char devices[1020]; /* their names with a space between, cut at the end */
};

/* Registers an attachment; svad has stored it when this returns. ret_registered may be NULL. */
int sva_admin_register(struct sva_admin *admin, const struct sva_registration *registration,
		       struct sva_registered *ret_registered);

/* ---- removing ------------------------------------------------------------------------------------ */

struct sva_removed {
	uint32_t size;
	int32_t result; /* 0: every bond has ended; -ETIMEDOUT: pending > 0; else why svad refused this one */
	uint32_t known; /* 0: svad knows no such attachment, which is no error */
	uint32_t ended, clean, quarantined, pending;
	uint32_t attachments_left; /* of the same container: its bonds end with the last */
	uint64_t slowest_ns;
};

struct sva_bond_end {
	uint64_t bond;
	uint64_t duration_ns; /* since the drain began */
	const char *device;
	uint32_t pasid;
	uint32_t state; /* enum svab_pasid_state of svabroker.h: CLEAN, QUARANTINED, or what it was in when time was up */
	uint32_t cause; /* enum svab_cause */
	int32_t pid;
};

/* Told of each bond that ended, at most 256 of an attachment. which: the attachment's index. end lives for the call only. It must not
 * call on this connection. */
typedef void (*sva_bond_end_handler)(void *userdata, size_t which, const struct sva_bond_end *end);

/* Ends an attachment, and with the container's last one all its bonds; returns when each is CLEAN or QUARANTINED, or after
 * drain_timeout_ms, and waits for the answer as long as the connection's patience beyond that. drain_timeout_ms <= 0: svad's choice (the
 * slowest drain deadline and a second; at most a minute is waited for). network NULL, and ifname NULL: every attachment of the container
 * id. 0; -ETIMEDOUT with pending > 0: the drains go on in svad's care and the connection is well; -ETIMEDOUT with pending 0: svad did not
 * answer. by: who asks ("cni", "gc"). ret_removed may be NULL. */
int sva_admin_remove(struct sva_admin *admin, const struct sva_attachment *attachment, int drain_timeout_ms, const char *by,
		     sva_bond_end_handler handler, void *userdata, struct sva_removed *ret_removed);

/* The same for many at once, several requests under way at a time. drain_timeout_ms is each one's, total_timeout_ms everybody's (<= 0:
 * the connection's patience and drain_timeout_ms). ret_removed: n of them, each with its size set; result is -ECANCELED where svad was not
 * asked or did not answer. 0: svad answered for all; -ETIMEDOUT, -ECONNRESET, -EPROTO: not. */
int sva_admin_remove_many(struct sva_admin *admin, const struct sva_attachment *attachments, size_t n, int drain_timeout_ms,
			  int total_timeout_ms, const char *by, sva_bond_end_handler handler, void *userdata, struct sva_removed *ret_removed);

/* ---- looking ------------------------------------------------------------------------------------- */

enum sva_container_state { SVA_CONTAINER_ACTIVE = 0, SVA_CONTAINER_REMOVING = 1, SVA_CONTAINER_REMOVED = 2 };

struct sva_container {
	uint32_t size;
	uint32_t state; /* enum sva_container_state */
	uint64_t id;
	const char *name;
	const struct sva_attachment *attachments;
	size_t n_attachments;
	const char *pod_namespace, *pod_name, *pod_uid, *netns_path, *policy, *by; /* never NULL */
	uint64_t netns_cookie, netns_inode;
	struct sva_container_limits limits; /* what holds: the smaller of what was registered and of policy */
	uint32_t clients, connections, bonds, draining, quarantined;
	int32_t pid;
	uint64_t faults, requests, refused, age_ns;
};

/* Zero or NULL: not asked about. */
struct sva_container_filter {
	uint32_t size;
	uint32_t removed;		 /* 1: those too that svad remembers */
	const char *only;		 /* a container's id, or the beginning of exactly one's (else -ENOENT, -EBUSY) */
	const char *network;		 /* those with an attachment to it */
	const struct sva_attachment *attachment; /* exactly this one; none of its name: -ENOENT */
};

/* Lives for the call only; must not call on this connection. 0 goes on; anything else ends the list and is returned. */
typedef int (*sva_container_handler)(void *userdata, const struct sva_container *container);

/* All of them, page by page. filter may be NULL. The patience is each page's. Returns how many, or what handler returned. */
int sva_admin_list(struct sva_admin *admin, const struct sva_container_filter *filter, sva_container_handler handler, void *userdata);

struct sva_reconciled {
	uint32_t size;
	uint32_t looked_at, removed;
};

/* Has svad look for containers whose netns is dead and remove them. ret_reconciled may be NULL. */
int sva_admin_reconcile(struct sva_admin *admin, struct sva_reconciled *ret_reconciled);

struct sva_admin_status {
	uint32_t size;
	uint32_t backend_up, shutting_down;
	uint32_t clients, bonds, draining, quarantined, devices, devices_degraded;
	int32_t broker_pid;
	uint64_t uptime_ns;
	char backend[16], version[40];
};

int sva_admin_status(struct sva_admin *admin, struct sva_admin_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif /* SVA_ADMIN_H */
