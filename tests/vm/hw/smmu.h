/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_SMMU_H
#define VM_HW_SMMU_H
/*
 * An SMMUv3 with substreams and stall, stage 1, played in shared memory: its registers are a part of the guest's RAM. No register of
 * the architecture has a read side effect and each write is acknowledged in another register, so polling is enough.
 *
 * Threads: smmu_poll() by one thread (registers and commands); smmu_access() by any. One lock for all state, held for a translation,
 * not for the copy that follows: those in between are counted, and CMD_SYNC waits for the ones that began before it. Wakers of stalled
 * transactions are called without the lock, so a device's lock may be held over calls into here.
 */
#include <pthread.h>

#include "checker.h"
#include "smmu_regs.h"
#include "timer.h"
#include "tlb.h"

#define SMMU_STALLS_MAX 1024u
#define SMMU_CACHED_STES 64u
#define SMMU_CACHED_CDS 4096u
#define SMMU_STALE_NS UINT64_C(2000000000) /* how long the tables may differ from what is in use before that is a violation */

struct smmu_options {
	unsigned stall_max; /* 1..SMMU_STALLS_MAX */
	bool ats; /* ATS and PRI */
	unsigned spi_event, spi_gerror, spi_pri;
};

/* ---- what is sent ---------------------------------------------------------------------------- */

struct event {
	uint32_t sid, ssid;
	uint16_t stag;
	uint8_t id, class;
	bool ssv, stall, privileged, instruction, read;
	uint64_t addr, fetch;
};

enum answer { ANSWER_RETRY, ANSWER_ABORT, ANSWER_ZERO }; /* ZERO: terminated as if it had succeeded, reads zero */

/* Who waits for the answer to a stall. wake() may be called before the access that stalled has returned to its caller. */
struct waiter {
	void (*wake)(struct waiter *w, enum answer a);
	struct waiter *next; /* in smmu.no_stall_free */
	bool queued;
};

enum access_result {
	ACCESS_OK,
	ACCESS_ABORT,
	ACCESS_ZERO, /* terminated without a word: reads zero, a write is ignored */
	ACCESS_STALLED, /* the waiter will be woken (without a waiter: it goes on by itself once answered) */
};

struct access { /* within one page of 4 KiB */
	uint32_t sid, ssid;
	bool ssv, write, privileged, instruction;
	uint32_t len;
	uint64_t va;
	void *data;
	uint32_t gen; /* checker's; 0: not known */
	struct waiter *waiter;
	uint8_t event; /* out: why it was aborted: id of an event; 0: silently */
	bool off; /* out: aborted because there are no tables (any more) */
};

/* ---- inside ---------------------------------------------------------------------------------- */

struct ste {
	uint32_t sid;
	bool valid, condemned;
	uint8_t config, s1fmt, s1cdmax, s1dss, eats;
	bool s1stalld;
	uint64_t s1ctxptr;
};

struct half { /* of the address space, by TTB0 or TTB1 */
	bool off; /* EPD */
	bool tbi;
	struct walk_regime regime;
};

struct cd {
	uint32_t sid, ssid;
	bool valid, condemned;
	bool stall, record, abort;
	uint16_t asid;
	struct half half[2];
};

struct stall {
	bool used, recorded; /* recorded: its event is in the queue (or was) */
	bool late; /* its event is being held back */
	bool until_cfgi, cfgi; /* ... by the fault "evtq late cfgi"; a CMD_CFGI_CD for it has come */
	bool lost; /* the answer was, by injection */
	bool answered; /* ... or is under way: for the checker it was given */
	uint16_t stag;
	struct waiter *waiter; /* NULL: an orphan, its device has forgotten it; data is its own then */
	struct access access;
	struct event event;
};

struct atc_entry {
	bool valid;
	uint32_t sid, ssid;
	uint64_t page, pa;
	bool read, write;
};
#define ATC_ENTRIES 256u

struct smmu_faults { /* injected */
	unsigned cmd_delay_us;
	bool cmd_error;
	unsigned ignore_tlbi, ignore_cfgi;
	unsigned evtq_delay_ms, evtq_late_ms;
	bool evtq_hold, evtq_late_cfgi;
	struct {
		unsigned lose, delay_ms;
	} response[CHECKER_SIDS];
};

struct smmu_stats {
	uint64_t cmds, syncs, tlbi, cfgi, resumes, events, lost_events, stalls, max_stalls, irqs, tlb_hits, walks, gerrors;
};

struct smmu {
	struct ram *ram;
	uint8_t *regs;
	struct smmu_options opt;
	void (*irq)(void *arg, unsigned spi); /* with the lock held: must not wait */
	void *irq_arg;
	struct timers *timers;

	pthread_mutex_t lock;
	pthread_cond_t drained; /* inflight[] fell to zero */
	unsigned epoch, inflight[2]; /* accesses between translation and the end of their copy; records that come late */

	uint32_t cr0, strtab_cfg;
	uint64_t strtab;
	uint32_t cmdq_cons, cmdq_idle_prod; /* prod when the queue was switched off */
	bool cmdq_stopped; /* by CERROR, until GERRORN */
	uint32_t evtq_prod, priq_prod;
	bool evtq_irq_owed; /* withheld */
	unsigned pris; /* page requests unanswered */

	struct ste stes[SMMU_CACHED_STES];
	struct cd *cds; /* SMMU_CACHED_CDS */
	struct tlb tlb;
	struct atc_entry atc[ATC_ENTRIES];
	struct stall *stalls; /* opt.stall_max */
	uint16_t stall_seq;
	unsigned n_stalls;
	struct waiter *no_stall_free, **no_stall_free_tail; /* accesses that wait for room in stalls */

	struct checker checker;
	struct smmu_faults faults;
	struct smmu_stats stats;
	bool trace;
};

/* smmu.c. regs: SMMU_REGS_SIZE bytes within ram. 0 or -errno. */
int smmu_init(struct smmu *s, struct ram *ram, uint64_t regs_pa, const struct smmu_options *opt, struct timers *timers);
void smmu_deinit(struct smmu *s);
bool smmu_poll(struct smmu *s); /* true: there was something to do */
void smmu_gerror(struct smmu *s, uint32_t bits); /* lock */
void smmu_faults_off(struct smmu *s); /* what is held goes on, lost stalls are freed */

static inline uint32_t reg32(const struct smmu *s, uint32_t offset)
{
	return load32(s->regs + offset);
}

static inline void reg32_set(struct smmu *s, uint32_t offset, uint32_t v)
{
	store32(s->regs + offset, v);
}

/* queue.c: free-running indices with a wrap bit above log2 bits. */
struct queue {
	uint64_t base;
	unsigned log2;
};
struct queue queue_at(const struct smmu *s, uint32_t base_reg, unsigned log2_max);
uint32_t queue_next(const struct queue *q, uint32_t index); /* keeps bit 31 */
uint32_t queue_count(const struct queue *q, uint32_t prod, uint32_t cons);
bool queue_full(const struct queue *q, uint32_t prod, uint32_t cons);
/* The entry at index; NULL: not in memory. */
uint64_t *queue_entry(const struct smmu *s, const struct queue *q, uint32_t index, unsigned dwords);

/* config.c, with the lock held. 0: found. Else the id of an event, which *ev has (its sid, ssid, addr are the caller's). */
uint8_t config_ste(struct smmu *s, uint32_t sid, struct ste *ret, struct event *ev);
uint8_t config_cd(struct smmu *s, const struct ste *ste, uint32_t ssid, struct cd *ret, struct event *ev);
void config_drop_condemned(struct smmu *s);
bool config_has_condemned(const struct smmu *s, uint32_t sid, uint32_t ssid);
/* Cached ones that match go. all_ssids: every descriptor of the stream. condemn: they stay, marked. */
void config_forget_cd(struct smmu *s, uint32_t sid, uint32_t ssid, bool all_ssids, bool condemn);
void config_forget_ste(struct smmu *s, uint32_t sid, unsigned range, bool condemn); /* 2^(range+1) StreamIDs */
void config_observe(struct smmu *s, uint32_t sid, uint32_t ssid); /* tells the checker what is in memory now */
void config_observe_stream(struct smmu *s, uint32_t sid);

/* atc.c, with the lock held: what a device with ATS keeps, on its own side. */
struct atc_entry *atc_lookup(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va);
void atc_insert(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va, uint64_t pa, bool read, bool write);
void atc_invalidate(struct smmu *s, uint32_t sid, uint32_t ssid, bool global, uint64_t va, unsigned size); /* 2^size pages */

/* translate.c */
enum access_result smmu_access(struct smmu *s, struct access *a);
void smmu_sync(struct smmu *s); /* returns when each access that was under way has ended */
/* Entries looked at; each that the tables do not hold is a violation. */
unsigned smmu_audit(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va, uint64_t len);

/* event.c, with the lock held. */
bool event_write(struct smmu *s, const struct event *ev); /* false: no room (a stall is written later; any other is lost) */
void event_stalls_pending(struct smmu *s); /* writes events of stalls that found no room */
/* What "evtq late cfgi" holds back: a CMD_CFGI_CD has come, for all substreams or for one; it is written (a CMD_SYNC behind that, or all). */
void event_cfgi(struct smmu *s, uint32_t sid, bool every_ssid, uint32_t ssid);
void event_write_late(struct smmu *s, bool all);
void event_irq(struct smmu *s);
unsigned event_unread(struct smmu *s);

/* stall.c */
/* Lock. False: no room; the waiter will be woken to try again. */
bool stall_add(struct smmu *s, const struct access *a, struct event *ev);
void stall_resume(struct smmu *s, uint32_t sid, uint16_t stag, unsigned resp); /* as CMD_RESUME; no lock */
void stall_terminate(struct smmu *s, uint32_t sid); /* as CMD_STALL_TERM; no lock */
/* The device gives up what a waits for. True: it did, wake() will not be called; the transaction stays until it is answered (one that
 * was not even recorded goes). False: the answer is on its way to wake(). */
bool stall_orphan(struct smmu *s, struct waiter *w);
void stall_free_lost(struct smmu *s, uint32_t sid, bool all); /* those whose answer was lost by injection */
unsigned stall_count(struct smmu *s, uint32_t sid); /* outstanding ones of a stream */
unsigned stall_unanswered(struct smmu *s, uint32_t sid); /* the same, without those whose answer was lost by injection */

/* cmd.c: the one at the head of the queue. CERROR_*. */
unsigned cmd_execute(struct smmu *s, const uint64_t cmd[COMMAND_DWORDS]);

/* pri.c */
bool pri_request(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t addr); /* false: no room, or the queue is off */

#endif
