/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_ACCEL_H
#define VM_HW_ACCEL_H
/*
 * An accelerator with SVA: registers of kmod/accel/svad_accel_regs.h, descriptors of sva/demo_accel.h, DMA through the SMMU a page at
 * a time. Each slot executes its ring in order, one descriptor at a time; slots share the engines. A slot whose transaction stalls
 * leaves its engine: no client can block another.
 *
 * Threads: accel_poll() by one (registers and doorbells), accel_work() by the engines. Each slot is in one place (enum run); it gets
 * into the ready queue only by ready(), and an answer that comes before its engine has parked it is kept in the slot: so no wakeup can
 * be lost. Lock order: device, then SMMU. Registers are written with the device's lock held.
 */
#include "../../../client/lib/sva/demo_accel.h"
#include "../../../kmod/accel/svad_accel_regs.h"
#include "smmu.h"

#define ACCEL_PIECE 4096u /* bytes of one access, at most; never over a page's end */
#define ACCEL_SLICE 64u /* accesses before another slot has its turn */
#define ACCEL_LEN_MAX (UINT64_C(1) << 40)

struct accel_options {
	const char *name;
	uint32_t sid;
	unsigned spi;
	uint32_t features; /* SVAD_ACCEL_F_* */
	uint32_t slots, engines;
};

enum run {
	RUN_REST, /* nothing to do */
	RUN_READY, /* in the ready queue */
	RUN_ENGINE, /* an engine has it */
	RUN_STALLED, /* the SMMU has its transaction */
	RUN_HELD, /* by an injected hold */
	RUN_TRANSIT, /* its transaction is on its way, by an injected delay */
};

enum phase { PHASE_FETCH, PHASE_READ, PHASE_READ_OTHER, PHASE_WRITE, PHASE_RECORD, PHASE_STATUS };

struct job {
	enum phase phase;
	struct sva_demo_desc desc;
	struct sva_demo_completion completion;
	uint64_t at; /* address of the descriptor */
	uint64_t done, result; /* whole pieces */
	uint32_t piece; /* bytes in hand */
	uint32_t xfer; /* of the transfer of this phase: bytes done */
	uint32_t gen; /* the checker's */
	bool sent; /* the transaction that comes next has left the device: it is made whatever happens */
	bool aborting; /* being stopped: finishes its record, no more */
	uint8_t event; /* of the stall that it waits for */
	uint8_t *a, *b; /* ACCEL_PIECE each */
};

struct transit;

struct slot {
	struct waiter waiter; /* first */
	struct accel *dev;
	uint32_t index;
	uint32_t pasid, gen;
	uint32_t state; /* SVAD_ACCEL_S_* */
	enum run run;
	struct slot *next; /* in the ready queue */
	struct job *job; /* its memory; a descriptor in hand: */
	bool has_job;
	bool answered;
	enum answer answer;
	bool stopping; /* CMD_STOP under way */
	uint64_t obey_at; /* CMD_STOP is obeyed from then on (injected delay); 0: not seen yet */
	uint32_t stop_seen; /* the sequence number of the last one counted */
	bool kill; /* reset or vanished: the engine drops it at once */
	struct transit *transit;

	bool ring_on, ring_error;
	uint32_t ring_error_code;
	uint64_t ring_base;
	uint32_t ring_size, head;
};

struct accel_faults {
	bool stop_ignore, stop_ignore_one, stop_fail;
	unsigned stop_delay_ms;
	unsigned late_ms;
	bool late_lie;
	unsigned pace_us;
	bool hold;
	uint64_t hold_after; /* pages still allowed */
};

struct accel {
	struct accel_options opt;
	struct smmu *smmu;
	uint8_t *regs;
	struct timers *timers;
	void (*irq)(void *arg, unsigned spi);
	void *irq_arg;

	pthread_mutex_t lock;
	pthread_cond_t work; /* something is in the ready queue, or quit */
	bool quit;
	struct slot *ready, **ready_tail;
	struct slot *slots;
	uint32_t top; /* slots below this were enabled once */
	unsigned polls;
	unsigned running; /* slots that are not at rest */
	unsigned on_engine;
	bool gone; /* vanished */
	bool blank; /* ... and its registers read as ones */
	bool resetting, returning;
	uint32_t reset_seq, stop_all_seq;
	bool stopping_all;
	struct accel_faults faults;
	uint64_t jobs, pages, bytes, n_faults, errors, stops, resets;
	unsigned held;
};

/* accel.c */
int accel_init(struct accel *d, struct ram *ram, uint64_t regs_pa, const struct accel_options *opt, struct smmu *smmu,
	       struct timers *timers);
void accel_deinit(struct accel *d); /* engines have ended */
bool accel_poll(struct accel *d); /* true: there was something to do */
void accel_faults_off(struct accel *d); /* what is held goes on */
void accel_release(struct accel *d); /* ... by a hold alone */
void accel_vanish(struct accel *d);
void accel_return(struct accel *d); /* once all that was under way has died */

/* slot.c: with the device's lock held. */
void slot_ready(struct slot *s); /* from any place but the ready queue */
void slot_rest(struct slot *s);
void slot_wake(struct waiter *w, enum answer a); /* no lock */
bool slot_latch(struct slot *s); /* reads the portal. True: there is a descriptor to fetch */
void slot_fault(struct slot *s, uint32_t code, uint64_t address);
void slot_ring_fail(struct slot *s, uint32_t code, uint64_t address);
void slot_command(struct slot *s); /* looks for one, and carries it out as far as it goes */
void slot_quiet(struct slot *s); /* its job is over: what waited for that */
struct job *slot_job_begin(struct slot *s);
void slot_job_end(struct slot *s);
void slot_reset(struct slot *s);
void slot_stop_begin(struct slot *s);
void slot_push_out(struct slot *s); /* wherever it is parked, so that a stop, a reset or a disappearance can go on */
uint8_t *slot_regs(const struct slot *s);
uint8_t *slot_portal(const struct slot *s);
void accel_raise(struct accel *d); /* its interrupt */

/* transit.c: transactions that take their time to arrive (injected). Device's lock. */
bool transit_begin(struct slot *s, const struct access *a, unsigned ms); /* false: not to be had */
void transit_detach(struct slot *s); /* its transaction arrives, but nobody waits for that any more */

/* engine.c */
void accel_work(struct accel *d); /* a thread: until quit */
bool accel_work_one(struct accel *d); /* unit tests: a turn of one slot. False: nothing was ready */
void accel_quit(struct accel *d);

/* job.c: no lock. The access that comes next, or its consequence. */
bool job_good(const struct accel *d, const struct sva_demo_desc *desc);
void job_next_access(struct job *j, struct access *a); /* a->len 0: the phase needs none */
enum job_step { JOB_MORE, JOB_DONE } job_advance(struct accel *d, struct job *j, uint32_t len); /* the access was made */
enum job_step job_abort(struct job *j, enum sva_demo_status status, uint64_t fault_addr); /* ... or will not be */

#endif
