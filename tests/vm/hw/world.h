/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_WORLD_H
#define VM_HW_WORLD_H
/*
 * For the unit tests: all of the modelled hardware in memory of its own, without threads, and the test in the driver's place: it builds
 * tables by hand, queues commands, reads events. Nothing happens but when a test says so (world_run()).
 */
#include <check.h>

#include "hw.h"

#define WORLD_SIZE (UINT64_C(1) << 30)
#define WORLD_SID 1u /* accel0's */
#define WORLD_SSID 5u
#define WORLD_ASID 7u

struct world {
	struct ram ram;
	struct hw hw;
	struct smmu *smmu;
	uint64_t next; /* memory that is not given out yet */
	uint64_t strtab, cdtab, cmdq, evtq, priq;
	unsigned queue_log2;
	uint32_t cmdq_prod, evtq_cons;
	unsigned irqs[256];
};

/* How a test wants it; zeroed: what most want. */
struct world_options {
	bool strtab_2level;
	unsigned cd_fmt; /* S1Fmt: 0 linear, 1 leaves of 4 KiB, 2 leaves of 64 KiB */
	unsigned queue_log2; /* 0: 4 */
	unsigned stall_max; /* 0: 64 */
	bool no_ats;
	bool no_stream; /* no entry for WORLD_SID */
	uint32_t features; /* accel0's, when not 0 */
};

struct world *world_new(const struct world_options *o);
void world_free(struct world *w);

uint64_t world_page(struct world *w); /* 64 KiB of zeroed memory, so aligned: its address */
uint64_t world_alloc(struct world *w, uint64_t size, uint64_t align);
uint64_t *world_at(struct world *w, uint64_t pa);

/* ---- tables ---- */
uint64_t *world_ste(struct world *w, uint32_t sid);
uint64_t *world_cd(struct world *w, uint32_t ssid);
void world_ste_set(struct world *w, uint32_t sid, unsigned config); /* valid, with the context descriptor table of the world */

struct space { /* an address space */
	uint64_t ttb;
	unsigned granule, tsz;
	uint16_t asid;
};

struct space world_space(struct world *w, unsigned granule, unsigned tsz, uint16_t asid);
/* The entry for va at a level, the tables above it made as needed. */
uint64_t *world_pte(struct world *w, const struct space *sp, uint64_t va, unsigned level);
/* A page (or block, by the level) for EL0: valid, accessed, not global, writable. Returns its entry. */
uint64_t *world_map(struct world *w, const struct space *sp, uint64_t va, uint64_t pa, unsigned level);
#define PTE_RO BIT64(7)
#define PTE_AF BIT64(10)
#define PTE_NG BIT64(11)
#define PTE_USER BIT64(6)
#define PTE_CONT BIT64(52)
#define PTE_UXN BIT64(54)

#define CD_S BIT64(44)
#define CD_R BIT64(45)
#define CD_A BIT64(46)
/* A context descriptor as Linux makes it for SVA, with S, R, A of your choice; and its invalidation. */
void world_cd_set(struct world *w, uint32_t ssid, const struct space *sp, uint64_t sra);

/* ---- the driver ---- */
void world_run(struct world *w); /* polls and engines, until nothing happens any more */
unsigned world_command(struct world *w, uint64_t c0, uint64_t c1); /* queued and carried out; CONS.ERR */
void world_sync(struct world *w);
void world_cfgi_cd(struct world *w, uint32_t ssid);
bool world_event(struct world *w, uint64_t ev[EVENT_DWORDS]); /* takes the next one */
void world_resume(struct world *w, uint16_t stag, unsigned resp);

/* ---- a device ---- */
struct access world_access(uint64_t va, void *data, uint32_t len, bool write); /* of WORLD_SID, WORLD_SSID */
enum access_result world_read(struct world *w, uint64_t va, uint64_t *ret);
enum access_result world_write(struct world *w, uint64_t va, uint64_t v);

uint64_t world_violations(const struct world *w);

/* ---- an accelerator: WORLD_SID's, slot by slot ---- */
void world_slot_command(struct world *w, uint32_t slot, uint32_t cmd, uint32_t pasid); /* written, not waited for */
uint32_t world_slot(struct world *w, uint32_t slot, uint32_t reg); /* read */
bool world_slot_acked(struct world *w, uint32_t slot);
uint8_t *world_portal(struct world *w, uint32_t slot);
/* Ring of 8 at va (mapped), enabled; then descriptors put into it, of which the bell tells. */
void world_ring(struct world *w, uint32_t slot, uint64_t va);
void world_submit(struct world *w, uint32_t slot, void *ring, const struct sva_demo_desc *d);

#endif
