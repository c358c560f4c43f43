/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define TABLES UINT64_C(0x48000000)

static void count_irq(void *arg, unsigned spi)
{
	struct world *w = arg;

	w->irqs[spi]++;
}

uint64_t *world_at(struct world *w, uint64_t pa)
{
	uint64_t *p = ram_at(&w->ram, pa, 8);

	/* Check notes each assertion by a system call: not where a test comes by ten thousand times. */
	if (!p)
		ck_abort_msg("%#llx is not memory", (unsigned long long)pa);
	return p;
}

uint64_t world_alloc(struct world *w, uint64_t size, uint64_t align)
{
	uint64_t at = (w->next + align - 1) & ~(align - 1);

	w->next = at + size;
	ck_assert_ptr_nonnull(ram_at(&w->ram, at, size));
	return at;
}

uint64_t world_page(struct world *w)
{
	return world_alloc(w, 65536, 65536);
}

/* ---- the SMMU's tables and queues, as a driver sets them up ---------------------------------------- */

static void reg(struct world *w, uint32_t offset, uint32_t v)
{
	reg32_set(w->smmu, offset, v);
}

static void reg64(struct world *w, uint32_t offset, uint64_t v)
{
	store64(w->smmu->regs + offset, v);
}

static void setup_strtab(struct world *w, bool two_level)
{
	uint64_t leaf = world_alloc(w, 256 * 64, 65536);

	w->strtab = leaf;
	if (two_level) { /* 16 bits, 8 of them in a leaf; the first leaf only */
		uint64_t l1 = world_alloc(w, 256 * 8, 65536);

		*world_at(w, l1) = leaf | 9;
		reg64(w, STRTAB_BASE, l1);
		reg(w, STRTAB_BASE_CFG, 16 | 8 << 6 | 1 << 16);
	} else {
		reg64(w, STRTAB_BASE, leaf);
		reg(w, STRTAB_BASE_CFG, 8);
	}
}

static void setup_cdtab(struct world *w, unsigned fmt)
{
	uint64_t leaf = world_alloc(w, 1024 * 64, 65536);

	w->cdtab = leaf;
	if (fmt) {
		uint64_t l1 = world_alloc(w, 65536, 65536);

		*world_at(w, l1) = leaf | 1;
		w->cdtab = l1;
	}
}

static struct world_options given;

struct world *world_new(const struct world_options *o)
{
	struct world *w = calloc(1, sizeof(*w));
	struct hw_options ho;

	ck_assert_ptr_nonnull(w);
	given = o ? *o : (struct world_options){ 0 };
	ck_assert_int_eq(ram_open(&w->ram, NULL, HW_RAM_BASE, WORLD_SIZE), 0);
	hw_options_default(&ho);
	if (given.stall_max)
		ho.stall_max = given.stall_max;
	ho.ats = !given.no_ats;
	if (given.features)
		ho.features[0] = given.features;
	ho.slots = 8;
	ho.irq = count_irq;
	ho.irq_arg = w;
	ck_assert_int_eq(hw_init(&w->hw, &w->ram, &ho), 0);
	w->smmu = &w->hw.smmu;
	w->next = TABLES;
	w->queue_log2 = given.queue_log2 ? given.queue_log2 : 4;

	setup_strtab(w, given.strtab_2level);
	setup_cdtab(w, given.cd_fmt);
	w->cmdq = world_page(w);
	w->evtq = world_page(w);
	w->priq = world_page(w);
	reg64(w, CMDQ_BASE, w->cmdq | w->queue_log2);
	reg64(w, EVTQ_BASE, w->evtq | w->queue_log2);
	reg64(w, PRIQ_BASE, w->priq | w->queue_log2);
	reg(w, IRQ_CTRL, 7);
	reg(w, CR0, CR0_SMMUEN | CR0_PRIQEN | CR0_EVENTQEN | CR0_CMDQEN);
	world_run(w);
	ck_assert_uint_eq(reg32(w->smmu, CR0ACK), reg32(w->smmu, CR0));
	if (!given.no_stream)
		world_ste_set(w, WORLD_SID, STE_CONFIG_S1);
	return w;
}

void world_free(struct world *w)
{
	hw_deinit(&w->hw);
	ram_close(&w->ram);
	free(w);
}

uint64_t *world_ste(struct world *w, uint32_t sid)
{
	return world_at(w, w->strtab + sid * UINT64_C(64));
}

uint64_t *world_cd(struct world *w, uint32_t ssid)
{
	uint64_t at = given.cd_fmt ? (*world_at(w, w->cdtab) & ~UINT64_C(1)) : w->cdtab;

	return world_at(w, at + ssid * UINT64_C(64));
}

void world_ste_set(struct world *w, uint32_t sid, unsigned config)
{
	uint64_t *ste = world_ste(w, sid);

	/* 16 bits of SubstreamIDs through tables, 8 without */
	ste[1] = STE_S1DSS_SSID0;
	ste[0] = STE_V | (uint64_t)config << 1 | (uint64_t)given.cd_fmt << 4 | w->cdtab |
		 (uint64_t)(given.cd_fmt ? 16 : 8) << 59;
	world_command(w, CMD_CFGI_STE | (uint64_t)sid << 32, 1);
	world_sync(w);
}

/* ---- page tables ------------------------------------------------------------------------------------- */

struct space world_space(struct world *w, unsigned granule, unsigned tsz, uint16_t asid)
{
	return (struct space){ .ttb = world_page(w), .granule = granule, .tsz = tsz, .asid = asid };
}

uint64_t *world_pte(struct world *w, const struct space *sp, uint64_t va, unsigned level)
{
	/* Written out, and not as walk.c has it: bits of the address that index each level. */
	static const unsigned shifts[3][4] = { { 39, 30, 21, 12 }, { 47, 36, 25, 14 }, { 64, 42, 29, 16 } };
	const unsigned *shift = shifts[(sp->granule - 12) / 2];
	const unsigned input = 64 - sp->tsz;
	uint64_t table = sp->ttb, *e;
	unsigned at = 0;

	while (shift[at] >= input)
		at++;
	for (;; at++) {
		uint64_t index = va >> shift[at];

		index &= (UINT64_C(1) << (sp->granule - 3)) - 1;
		e = world_at(w, table + index * 8);
		if (at == level)
			return e;
		if (!*e)
			*e = world_page(w) | 3;
		table = *e & 0xffffffff0000;
	}
}

uint64_t *world_map(struct world *w, const struct space *sp, uint64_t va, uint64_t pa, unsigned level)
{
	uint64_t *e = world_pte(w, sp, va, level);

	*e = pa | PTE_AF | PTE_NG | PTE_USER | (level == 3 ? 3 : 1);
	return e;
}

void world_cd_set(struct world *w, uint32_t ssid, const struct space *sp, uint64_t sra)
{
	static const uint64_t tg0[3] = { 0, 2, 1 }; /* 4, 16, 64 KiB */
	uint64_t *cd = world_cd(w, ssid);

	if (sp) {
		cd[1] = sp->ttb;
		cd[0] = sp->tsz | tg0[(sp->granule - 12) / 2] << 6 | BIT64(30) /* EPD1 */ | BIT64(31) |
			UINT64_C(5) << 32 | BIT64(41) | sra | (uint64_t)sp->asid << 48;
	} else {
		cd[0] = 0;
	}
	world_cfgi_cd(w, ssid);
}

/* ---- the driver ---------------------------------------------------------------------------------------- */

void world_run(struct world *w)
{
	bool any = true;

	/* What an engine holds back or a stall keeps is not "something happens": the poll of a busy device
	 * says so for ever. */
	for (unsigned quiet = 0; quiet < 3; quiet = any ? 0 : quiet + 1) {
		any = smmu_poll(w->smmu);
		for (unsigned i = 0; i < HW_ACCELS; i++) {
			accel_poll(&w->hw.accels[i]);
			while (accel_work_one(&w->hw.accels[i]))
				any = true;
		}
	}
}

unsigned world_command(struct world *w, uint64_t c0, uint64_t c1)
{
	uint64_t *e = world_at(w, w->cmdq + (w->cmdq_prod & ((1u << w->queue_log2) - 1)) * 16);

	e[0] = c0;
	e[1] = c1;
	w->cmdq_prod = (w->cmdq_prod + 1) & ((2u << w->queue_log2) - 1);
	reg(w, CMDQ_PROD, w->cmdq_prod);
	world_run(w);
	return reg32(w->smmu, CMDQ_CONS) >> 24;
}

void world_sync(struct world *w)
{
	uint64_t before = w->smmu->stats.syncs;

	ck_assert_uint_eq(world_command(w, CMD_SYNC | 2 << 12, 0), 0);
	ck_assert_uint_eq(w->smmu->stats.syncs, before + 1);
}

void world_cfgi_cd(struct world *w, uint32_t ssid)
{
	ck_assert_uint_eq(world_command(w, CMD_CFGI_CD | (uint64_t)ssid << 12 | (uint64_t)WORLD_SID << 32, 1),
			  0);
	world_sync(w);
}

bool world_event(struct world *w, uint64_t ev[EVENT_DWORDS])
{
	const uint32_t mask = (2u << w->queue_log2) - 1, prod = reg32(w->smmu, EVTQ_PROD);
	const uint64_t *e = world_at(w, w->evtq + (w->evtq_cons & (mask >> 1)) * 32);

	if (((prod ^ w->evtq_cons) & mask) == 0)
		return false;
	memcpy(ev, e, 32);
	w->evtq_cons = (w->evtq_cons + 1) & mask;
	reg(w, EVTQ_CONS, w->evtq_cons | (reg32(w->smmu, EVTQ_CONS) & QUEUE_OVFLG));
	world_run(w);
	return true;
}

void world_resume(struct world *w, uint16_t stag, unsigned resp)
{
	ck_assert_uint_eq(
		world_command(w, CMD_RESUME | (uint64_t)resp << 12 | (uint64_t)WORLD_SID << 32, stag), 0);
}

/* ---- a device ---------------------------------------------------------------------------------------------
 */

struct access world_access(uint64_t va, void *data, uint32_t len, bool write)
{
	return (struct access){ .sid = WORLD_SID,
				.ssid = WORLD_SSID,
				.ssv = true,
				.va = va,
				.data = data,
				.len = len,
				.write = write };
}

enum access_result world_read(struct world *w, uint64_t va, uint64_t *ret)
{
	struct access a = world_access(va, ret, 8, false);

	return smmu_access(w->smmu, &a);
}

enum access_result world_write(struct world *w, uint64_t va, uint64_t v)
{
	struct access a = world_access(va, &v, 8, true);

	return smmu_access(w->smmu, &a);
}

uint64_t world_violations(const struct world *w)
{
	return w->smmu->checker.violations;
}

/* ---- an accelerator
 * ------------------------------------------------------------------------------------------ */

static uint8_t *slot_block(struct world *w, uint32_t slot)
{
	return w->hw.accels[0].regs + SVAD_ACCEL_SLOT_BASE + slot * SVAD_ACCEL_SLOT_SIZE;
}

void world_slot_command(struct world *w, uint32_t slot, uint32_t cmd, uint32_t pasid)
{
	uint8_t *b = slot_block(w, slot);

	if (cmd == SVAD_ACCEL_CMD_ENABLE)
		store32(b + SVAD_ACCEL_SLOT_PASID, pasid);
	store32(b + SVAD_ACCEL_SLOT_CMD, cmd);
	store32(b + SVAD_ACCEL_SLOT_SEQ, load32(b + SVAD_ACCEL_SLOT_SEQ) + 1);
	world_run(w);
}

uint32_t world_slot(struct world *w, uint32_t slot, uint32_t offset)
{
	return load32(slot_block(w, slot) + offset);
}

bool world_slot_acked(struct world *w, uint32_t slot)
{
	return world_slot(w, slot, SVAD_ACCEL_SLOT_ACK) == world_slot(w, slot, SVAD_ACCEL_SLOT_SEQ);
}

uint8_t *world_portal(struct world *w, uint32_t slot)
{
	return w->hw.accels[0].regs + SVAD_ACCEL_PORTAL_BASE + slot * SVAD_ACCEL_PORTAL_SIZE;
}

void world_ring(struct world *w, uint32_t slot, uint64_t va)
{
	uint8_t *p = world_portal(w, slot);

	store64(p + SVA_DEMO_REG_RING_BASE, va);
	store32(p + SVA_DEMO_REG_RING_SIZE, 8);
	store32(p + SVA_DEMO_REG_ENABLE, 1);
}

void world_submit(struct world *w, uint32_t slot, void *ring, const struct sva_demo_desc *d)
{
	uint8_t *p = world_portal(w, slot);
	uint32_t bell = load32(p + SVA_DEMO_REG_DOORBELL);

	memcpy((struct sva_demo_desc *)ring + bell % 8, d, sizeof(*d));
	store32(p + SVA_DEMO_REG_DOORBELL, bell + 1);
	world_run(w);
}
