/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_SVA_H
#define SVA_SVA_H
/*
 * libsvaclient: use an accelerator on this process's own memory, through svad.
 *
 * Every function that returns int returns 0 or a positive value on success and a negative errno value on failure;
 * sva_strerror() puts the last failure of a connection into words, with what to do about it.
 * All functions are thread-safe. After fork() the child owns nothing: every call with the parent's objects returns -EOWNERDEAD
 * (sva_connect() in the child works), except sva_disconnect(), which frees the child's copies.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sva;      /* a connection to svad */
struct sva_bond; /* one (device, this address space) pair, reference-counted */

/* What unbind vouches for. */
enum sva_state {
	SVA_STATE_NONE = 0,    /* nothing: svad stops the device itself */
	SVA_STATE_FLUSHED = 3, /* the device sends nothing more for this bond */
	SVA_STATE_CLEAN = 4,   /* and every page request was answered */
};

enum sva_device_health { SVA_HEALTH_OK = 0, SVA_HEALTH_DEGRADED = 1, SVA_HEALTH_GONE = 2, SVA_HEALTH_RESETTING = 3 };

struct sva_device {
	uint32_t size; /* of this struct, for later growth */
	uint32_t id;
	char name[64];
	int32_t numa_node; /* -1: none */
	uint32_t pasid_bits;
	uint64_t operations;   /* bit (1 << enum sva_demo_op) */
	uint64_t capabilities; /* SVAB_DEV_CAP_* of svabroker.h */
	uint32_t health;       /* enum sva_device_health */
	uint32_t engines;
	uint32_t bonds;
	uint32_t reserved;
};

struct sva_selector {
	uint32_t size; /* sizeof(struct sva_selector) */
	uint32_t flags; /* SVA_SELECT_* */
	uint64_t operations;   /* all of these */
	uint64_t capabilities; /* all of these */
	int32_t numa_node; /* with SVA_SELECT_NUMA: nearest to this */
	uint32_t reserved;
};
#define SVA_SELECT_NUMA 0x1u

enum sva_revoked_reason { SVA_REVOKED = 1, SVA_FAULT = 2, SVA_DISCONNECTED = 3, SVA_RECONNECTED = 4 };

struct sva_event {
	uint32_t size;
	uint32_t reason;  /* enum sva_revoked_reason */
	uint32_t state;   /* enum svab_pasid_state */
	uint32_t cause;   /* enum svab_cause */
	uint64_t address; /* SVA_FAULT */
	uint32_t code;    /* SVA_FAULT: enum svab_fault */
	uint32_t pasid;
};

/* Connects. address: path of the socket, NULL for $SVAD_SOCKET, else $XDG_RUNTIME_DIR/svad/svad.sock when it exists, else the
 * built-in default. Blocks at most timeout_ms (-1: 5 s), which is also the patience of later calls on this connection (0: 5 s there).
 * No svad at the address: -ECONNREFUSED at once; a connection that breaks later is made again within that time. *ret_sva is owned by the caller: sva_disconnect(). */
int sva_connect(const char *address, int timeout_ms, struct sva **ret_sva);

/* Frees the connection and every bond that is left (their drain is svad's; does not wait for it). NULL is fine. */
void sva_disconnect(struct sva *sva);

/* Fills at most max entries; returns how many devices there are (may be more than max). devices may be NULL when max is 0. */
int sva_list_devices(struct sva *sva, struct sva_device *devices, size_t max);

/* Binds this process's address space to a device. Binding the same device again, from any thread, gives the same bond with one more
 * reference; each is ended by one sva_unbind(). name: NULL or "": any device that policy allows. selector: NULL: the same. */
int sva_bind(struct sva *sva, const char *name, struct sva_bond **ret_bond);
int sva_bind_selector(struct sva *sva, const struct sva_selector *selector, struct sva_bond **ret_bond);

/* Drops one reference. With the last one: drains, and returns when that has ended: 0 CLEAN, -EBUSY QUARANTINED (the bond is gone for
 * the caller all the same). While others remain: returns 1 at once. -EINVAL: state is none of enum sva_state, or is NONE where
 * the device cannot stop by itself; -EEXIST: a vouched state that is not so; -EPERM: bound by another address space; in these cases the
 * reference is kept. Any other error (-ETIMEDOUT, -ECONNREFUSED): how the drain ended is not known, it is svad's; the bond is gone.
 * The last reference here while another connection of this process holds the same bond: 1, and this handle is gone. */
int sva_unbind(struct sva_bond *bond, enum sva_state state);

uint32_t sva_bond_pasid(const struct sva_bond *bond);
uint64_t sva_bond_id(const struct sva_bond *bond);
unsigned sva_bond_references(const struct sva_bond *bond);
/* Copies the device's name; returns its length. */
int sva_bond_device(const struct sva_bond *bond, char *name, size_t size);

/* The portal's registers (sva/demo_accel.h), NULL when there are none. Valid until sva_unbind() drops the last reference. When
 * svad revokes the bond the mapping is taken away, and only then the bond hangs up (sva_bond_revoked()): an access raises SIGBUS, perhaps
 * before the event is there. Handle that signal, or use sva_queue (sva/queue.h), which returns -ESHUTDOWN instead. */
volatile void *sva_bond_portal(const struct sva_bond *bond, size_t *ret_size);

/* Wakes a device made of software; 0 and no system call where none is needed. */
int sva_bond_kick(struct sva_bond *bond);

/* 1 once the bond was revoked and its portal is gone, 0 before. */
int sva_bond_revoked(const struct sva_bond *bond);

/* Called from sva_dispatch() (never from a thread of the library's: it has none). bond is NULL for SVA_DISCONNECTED and SVA_RECONNECTED. */
typedef void (*sva_revoked_handler)(struct sva *sva, struct sva_bond *bond, const struct sva_event *event, void *userdata);
int sva_set_revoked_handler(struct sva *sva, sva_revoked_handler handler, void *userdata);

/* For any event loop: poll the fd for POLLIN, then dispatch. sva_dispatch() never blocks; returns how many events it delivered. The
 * fd stays the same for the connection's life (it is an epoll fd). */
int sva_fd(const struct sva *sva);
int sva_dispatch(struct sva *sva);

/* The last failure on this connection (by the calling thread), in words; never NULL; valid until the thread's next call. sva may be NULL: a
 * failed sva_connect(). */
const char *sva_strerror(const struct sva *sva, int error);

#ifdef __cplusplus
}
#endif
#endif /* SVA_SVA_H */
