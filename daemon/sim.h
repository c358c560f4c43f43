/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_H
#define SVAD_SIM_H
/*
 * svad-simdev: devices, IOMMU and "kernel" in software. The objects that its files share.
 *
 * Threads: the loop (libuv) owns every context, bond, hold, reference and state machine, and never blocks on a client. Workers
 * (one per busy bond, sim_worker.c) execute descriptors; the OS's threads (sim_os.c) answer page requests and do all
 * that may block on a client's memory or fds. They tell the loop by notes (sim_post).
 * Lock order: bond->lock, device->lock, the IOMMU's lock, the checker's lock. Nobody holds one while touching a client's memory.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "../kmod/svabroker.h"
#include "config.h"
#include "drain.h"
#include "idmap.h"
#include "list.h"
#include "mutation.h"

#define SIM_CHUNK (256u << 10) /* bytes of one access */
#define SIM_BLOCK (2u << 20) /* what one IOTLB entry covers */
#define SIM_PAGE 4096u
#define SIM_LEN_MAX (UINT64_C(1) << 40)
#define SIM_MAX_DEVICES 255u /* an IOTLB key has 8 bits for the device */
#define SIM_MAX_ENGINES 64u
#define SIM_FOREVER UINT32_MAX

struct sim;
struct sim_bond;
struct sim_ctx;
struct sim_device;
struct sim_mm;
struct sim_worker;

/* ---- notes: from any thread to the loop ------------------------------------------------------ */

struct sim_note {
	struct sim_note *next;
	void (*run)(struct sim_note *note); /* in the loop; may free the note */
};
/* Any thread. The note must not be queued already. */
void sim_post(struct sim_note *note);

/* ---- timers of the loop: a heap behind one uv_timer ------------------------------------------- */

struct sim_timer {
	uint64_t at; /* CLOCK_MONOTONIC ns */
	size_t slot; /* in the heap + 1; 0: not armed */
	void (*fn)(struct sim_timer *timer);
};
int sim_timers_init(uv_loop_t *loop);
void sim_timers_deinit(void);
int sim_timer_arm(struct sim_timer *timer, uint64_t at_ns); /* arms or moves; -ENOMEM: as it was */
void sim_timer_cancel(struct sim_timer *timer);

uint64_t sim_now(void); /* CLOCK_MONOTONIC, ns */

/* ---- OS work: whatever may block on a client ---------------------------------------------------- */

struct sim_work {
	struct sim_work *next;
	struct sim_os_owner *owner; /* sim_os.c's */
	void (*run)(struct sim_work *work); /* in an OS thread; owns work */
};
int sim_os_init(void);
/* Any thread. uid: of the client that the work may block on. A user has a share of the threads; what is over it waits for that user's
 * own work, and nobody else's waits for it. */
void sim_os_submit(struct sim_work *work, uid_t uid);
void sim_os_close_fd(int fd, uid_t uid); /* close() of a fd that a client sent may block (FUSE): not in the loop. -1 is fine */
/* No new work; waits until the threads that can end have ended (bounded). True: all have. */
bool sim_os_stop(void);

/* ---- objects ------------------------------------------------------------------------------------ */

/* An address space, known by its fds. Reference-counted by whoever may still look at it; its PASID is another matter: that
 * goes when the last bond is CLEAN. */
struct sim_mm {
	struct idmap_node by_pid; /* loop; several of one pid hang on next_same_pid */
	struct sim_mm *next_same_pid;
	struct list all; /* loop: for the sweep */
	atomic_uint refs;
	uint64_t id;
	pid_t pid;
	uid_t uid; /* whose share of the OS's threads its work takes */
	unsigned char random[16];
	int mem_fd, maps_fd;
	pthread_mutex_t maps_lock; /* the text of maps has one position for all */
	uint32_t pasid; /* loop; 0: none */
	unsigned n_bonds; /* loop: not CLEAN yet */
	unsigned n_users; /* loop: contexts tied to it, bonds, binds under way; at 0 nobody can find it any more */
	struct list bonds; /* loop */
	atomic_bool gone;
	atomic_bool probing;
	struct sim_note gone_note;
};

struct sim_slot {
	struct sim_worker *owner; /* NULL: free */
	uint64_t since_ns; /* inside an access since then; 0: not */
};

struct sim_device {
	uint32_t id;
	char name[SVAB_NAME_MAX];
	const struct config_device *config; /* lent from sim.config */
	uint64_t caps;
	uint32_t max_pasid;
	enum svab_dev_state state; /* loop */

	struct list bonds; /* loop */
	struct idmap by_mm; /* loop: mm->id -> bond that is not CLEAN */
	uint32_t n_bonds, draining, quarantined;

	pthread_mutex_t lock;
	struct sim_slot slots[SIM_MAX_ENGINES];
	uint32_t n_slots, slots_busy;
	struct list waiters;

	atomic_ullong jobs, bytes, faults, errors;
	uint64_t stop_failures, drained; /* loop */
	bool resetting; /* loop: until every bond is CLEAN or QUARANTINED */
	uint32_t reset_waits; /* bonds whose reset_wait is armed */
	uint32_t reset_seq; /* of the broker that waits for it, 0: none */
	uint64_t reset_before; /* drained then */

	/* Activity, for `wait` of the fault socket. */
	atomic_uint working, n_held;
	atomic_bool watched;
	struct sim_note activity_note;
	atomic_bool activity_posted;

	/* Injected faults. */
	atomic_uint ignore_stop_ms; /* 0: obeys; SIM_FOREVER */
	atomic_bool held;
	atomic_uint late_dma_count, late_dma_delay_ms;
	atomic_uint lose_responses;
	atomic_uint delay_responses, delay_response_ms;
};

/* One ctx's hold on a bond: what its grant pays for. */
struct sim_hold {
	struct list of_ctx, of_bond;
	struct sim_ctx *ctx;
	struct sim_bond *bond;
	uint64_t grant;
	unsigned refs; /* bond sockets */
};

/* One bond socket. */
struct sim_ref {
	struct list of_bond;
	struct sim_hold *hold; /* NULL: dropped */
	struct sim_bond *bond; /* counted */
	int fd;
	uv_poll_t poll;
	bool unbinding, closed;
	uint32_t unbind_seq, unbind_size;
	struct drain_waiter waiter;
};

enum sim_worker_state { WORKER_NONE, WORKER_IDLE, WORKER_WORKING };

/* What a thread has to tell the loop of a bond. */
#define NEWS_STOPPED (1u << 0)
#define NEWS_FLUSHED (1u << 1)
#define NEWS_FAULT (1u << 2)
#define NEWS_PORTAL (1u << 3)
#define NEWS_REVOKED (1u << 4)

struct sim_pr;

struct sim_bond {
	struct idmap_node by_id, by_mm;
	struct list of_device, of_mm; /* loop */
	atomic_uint refs;
	uint64_t id;
	struct sim_device *device;
	struct sim_mm *mm; /* counted */
	uint32_t pasid;
	int portal_fd; /* -1: the device gives none */
	uint64_t at_random;
	uint64_t bound_ns;

	/* loop */
	struct drain drain;
	struct sim_timer deadline, delay; /* delay: an injected stop that comes late, or late DMA */
	struct list holds, sockets;
	unsigned n_refs;
	enum svab_pasid_state vouched;
	bool was_reset; /* the device has forgotten this bond's work */
	bool draining_counted, quarantine_counted;
	bool stop_lost; /* injected: the device has not heard of its stop */
	bool finished;
	struct sim_work portal_work;
	bool portal_pending; /* the portal is being taken away: no stop is complete before it has gone */
	bool ack_waits; /* for just that */
	struct sim_timer reset_wait; /* a reset waits for just that, so long */
	uint64_t fault_window_ns;
	uint32_t fault_window_n;

	/* bond->lock */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	enum sim_worker_state worker_state;
	bool kicked, acked, in_access, is_held;
	struct sim_worker *worker;
	uint32_t news;
	bool note_posted;
	struct sim_note note;
	uint64_t fault_address;
	uint32_t fault_code;

	atomic_bool executing; /* a descriptor was fetched whose completion is not visible yet */
	atomic_bool dead; /* no access begins any more; set under the lock */
	atomic_bool stop; /* asked, and the device obeys */
	atomic_bool stop_awaits; /* the stop awaits page responses */
	atomic_ullong faults;
	atomic_ullong last_dst; /* where injected late DMA goes */

	/* iommu's lock */
	struct sim_pr *pr; /* in the IOMMU or in the OS's hands: one at most */
	bool pr_waiting, flush_wanted;
	int pr_result;
	pthread_cond_t pr_cond;

	/* the worker alone, kept while no thread runs (handed over under bond->lock) */
	uint32_t head, ring_size;
	uint64_t ring_base;
	bool ring_on, ring_error, inflight;
	uint32_t ring_error_code;
};

struct sim_grant {
	struct list link;
	uint32_t device, deadline_ms;
	uint64_t grant;
};

struct sim_ctx {
	struct idmap_node by_cookie;
	struct list all; /* in order of seq */
	uint64_t seq;
	uint64_t cookie;
	uint32_t uid, gid;
	pid_t pid;
	struct sim_mm *mm; /* used; tied at the first bind */
	struct list grants, holds, sockets;
	unsigned refs; /* the loop's own, sockets being closed, a bind being checked */
	bool ended, gone;
};

struct sim {
	uv_loop_t loop;
	struct config *config;
	uint32_t generation;
	bool stopping, sandboxed;
	uint64_t awake_until; /* no sleep before: a bind is about to come */

	struct sim_device *devices;
	uint32_t n_devices;
	struct idmap ctxs, bonds, mms;
	struct list ctx_list, mm_list;
	uint64_t next_ctx_seq, next_bond, next_mm;
	uint32_t n_bonds, draining, quarantined;
	uint64_t drained;
	int exit_code;
};
extern struct sim sim;

#endif
