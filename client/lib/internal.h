/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_INTERNAL_H
#define SVA_INTERNAL_H
/*
 * The objects of libsvaclient and who owns them.
 *
 *   struct sva       the connection. Its lock guards everything here but what is said to be atomic. Lock
 * order: sva->lock, then the fd table's (fork.c). Neither is held over anything that blocks. struct sva_ctx
 * a ctx fd: held by the connection while it is the current one and by each bond that was bound through it,
 * because its last close ends them all struct sva_bond  refs: the program's references; mem: the memory's
 * (the program's handle is one, each queued event another) struct call      a request that waits for its
 * reply; lives on its caller's stack
 *
 * The library has no thread. Whoever waits for a reply reads the socket for everybody ("pumps"), one thread
 * at a time; the others wait on the condition variable.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "../../kmod/svabroker.h"
#include "../../proto/status.h"
#include "../../proto/wire.h"
#include "ctx_transport.h"

#define SVA_TIMEOUT_MS 5000
#define SVA_DRAIN_MARGIN_MS 2000 /* on top of a device's drain deadline */
#define SVA_EVENTS_MAX 1024
#define SVA_TEXT_MAX 512

/* ---- fork.c: who we are, and every fd that the library owns ------------------------------------- */

uint64_t sva_process(void);	       /* a number that differs in a forked child; 0: no memory */
bool sva_process_is(uint64_t process); /* one memory read, no system call */
/* Around the birth of an fd: fork() waits meanwhile, so a child never has a copy that the table does not
 * know. */
void sva_fds_lock(void);
void sva_fds_unlock(void);
int sva_fd_own_locked(int fd); /* fd, or -ENOMEM and it is closed; a negative fd is passed through */
int sva_fd_own(int fd);
void sva_fd_close(int *fd); /* closes if the table has it (in a child it may not); leaves -1 */

/* ---- error.c ------------------------------------------------------------------------------------ */

/* Keeps the words for sva_strerror() of this thread; returns r. */
int sva_fail(const struct sva *sva, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int sva_fail_owner(const struct sva *sva);

/* ---- time --------------------------------------------------------------------------------------- */

uint64_t sva_now_ns(void);
uint64_t sva_deadline(int timeout_ms);
int sva_remaining_ms(uint64_t deadline);		     /* rounded up; 0: over */
int sva_poll_until(int fd, short events, uint64_t deadline); /* revents > 0, 0 on timeout, -errno */

/* ---- ctx.c -------------------------------------------------------------------------------------- */

struct sva_ctx {
	const struct ctx_transport *transport;
	int fd;
	uint64_t cookie;
	unsigned refs; /* under sva->lock */
	uint32_t seq;  /* of the binder, one at a time */
};

int sva_ctx_new(const struct sva *sva, int fd, uint64_t cookie,
		struct sva_ctx **ret);		    /* takes fd, also on failure */
struct sva_ctx *sva_ctx_unref(struct sva_ctx *ctx); /* NULL */
bool sva_hung_up(int fd);

/* ---- bonds -------------------------------------------------------------------------------------- */

struct sva_ring { /* memory that the device reads: freed when the bond has ended, not before */
	struct sva_ring *next;
	struct sva_demo_desc *desc;
	uint32_t entries;
	struct sva_demo_completion
		done; /* for sva_copy() and its like: the device may write it after they gave up */
};

struct sva_bond {
	struct sva_bond *next;
	struct sva *sva;
	struct sva_ctx *ctx;
	int fd;
	uint64_t id;
	uint32_t device;
	uint32_t pasid;
	uint32_t drain_ms;
	char name[64];
	void *portal;
	size_t portal_size;
	atomic_uint refs;
	unsigned mem;
	bool ending; /* the last sva_unbind() is under way */
	bool hup_seen;
	bool told; /* SVA_REVOKED was queued */
	atomic_bool revoked;
	uint32_t final; /* CLEAN or QUARANTINED once an event said so */
	atomic_uint seq;
	struct sva_ring *rings; /* the current one first */
	uint32_t tail;		/* descriptors written so far, as the doorbell counts */
	bool has_queue;
};

/* Lock held. */
struct sva_bond *sva_bond_by_id(struct sva *sva, uint64_t id);
void sva_bond_mark_revoked(struct sva_bond *bond, uint32_t state, uint32_t cause);
void sva_bond_unlink(struct sva_bond *bond);
void sva_bond_unref_mem(struct sva_bond *bond);
void sva_bond_close(struct sva_bond *bond);
void sva_bonds_check(struct sva *sva); /* looks for hang-ups */

/* ---- the connection ----------------------------------------------------------------------------- */

struct queued_event {
	struct queued_event *next;
	struct sva_bond *bond; /* one mem reference, or NULL */
	struct sva_event event;
};

struct call {
	struct call *next;
	uint64_t id;
	bool done;
	int result; /* 0 or -errno */
	/* Lock held; takes what it needs out of the reply: all of it dies when this returns. 0 or -errno. */
	int (*parse)(struct call *call, const Svad__V1__Reply *reply, struct wire_fds *fds);
	void *out;
	char text[SVA_TEXT_MAX];
};

enum conn_state { CONN_DOWN, CONN_HELLO, CONN_UP };

struct sva {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	uint64_t process;
	char *path;
	int timeout_ms;

	int epoll_fd, timer_fd, wake_fd;
	int fd; /* the socket, -1 when down. Closed only with the lock held and nobody pumping */
	enum conn_state state;
	bool pumping; /* one thread reads the socket or waits for the broker to come back, without the lock */
	bool binding; /* one bind at a time */
	bool was_up;  /* tell of SVA_RECONNECTED */
	int backoff_ms;
	uint64_t next_id, hello_id, subscribe_id, client;
	struct call *calls;
	int hello_error; /* why the last handshake was refused */
	char hello_text[SVA_TEXT_MAX];

	struct sva_ctx *ctx;   /* the current one, NULL: ask for one */
	struct sva_bond *bonds;

	struct queued_event *events, **events_tail;
	size_t n_events;
	sva_revoked_handler handler;
	void *userdata;

	struct wire_arena arena;
	unsigned char *rx, *tx, *arena_memory;
};

static inline bool sva_alive(const struct sva *sva)
{
	return sva_process_is(sva->process);
}

/* connection.c. Lock held on entry and exit. */
int sva_conn_try(struct sva *sva); /* DOWN: connects and sends Hello; 0, -errno with words in hello_text */
int sva_conn_await_up(struct sva *sva, uint64_t deadline, bool patient);
void sva_conn_lost(struct sva *sva, int error);	   /* nobody pumping, or the caller is the pump */
void sva_conn_read(struct sva *sva, unsigned max); /* handles at most max packets; never blocks */

/* call.c: sends req (its id is set here) and waits. Lock held on entry and exit, released meanwhile. Tried
 * again when the connection breaks in between. 0, or -errno with words kept for sva_strerror(). */
int sva_rpc(struct sva *sva, Svad__V1__Request *req, struct call *call, uint64_t deadline);
void sva_calls_fail(struct sva *sva, int error);
void sva_cond_wait(struct sva *sva, uint64_t deadline);
/* Lock held; waits for the socket, as the pump or for the pump, until something was handled or the deadline.
 */
void sva_pump(struct sva *sva, uint64_t deadline);

/* event.c. Lock held. */
void sva_event_push(struct sva *sva, struct sva_bond *bond, const struct sva_event *event);
void sva_event_received(struct sva *sva, const Svad__V1__Event *event);
void sva_events_clear(struct sva *sva);
void sva_timer_arm(struct sva *sva, int ms); /* when sva_dispatch() should look again; -1: never */

/* portal.c: access that survives revocation. */
struct portal_guard;
int portal_guard_new(void *base, size_t size, struct portal_guard **ret);
void portal_guard_free(struct portal_guard *guard);
bool portal_guard_dead(const struct portal_guard *guard);

#endif
