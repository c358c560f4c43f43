/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accelerator: commands of slots, rings, operations, faults, stops of each kind, reset, disappearance. */
#include <string.h>

#include "../../../daemon/sim_crc32c.h"
#include "../../../kmod/svabroker.h"
#include "control.h"
#include "tap.h"
#include "world.h"

#define RING UINT64_C(0x500000000000) /* and after it: completions */
#define DONE (RING + 0x1000)
#define SRC UINT64_C(0x500000100000)
#define DST UINT64_C(0x500000200000)
#define PA UINT64_C(0x60000000)
#define PAGES 16u

static struct world *w;
static struct space sp;
static struct sva_demo_desc *ring;
static struct sva_demo_completion *done; /* 8 of them */
static uint8_t *src, *dst;
static char answer[512];

static const char *ask(const char *line)
{
	control_execute(&w->hw, line, answer, sizeof(answer), NULL);
	return answer;
}

static void start(const struct world_options *o)
{
	w = world_new(o);
	sp = world_space(w, 12, 16, WORLD_ASID);
	for (unsigned i = 0; i < 2; i++)
		world_map(w, &sp, RING + i * 4096, PA + i * 4096, 3);
	for (unsigned i = 0; i < PAGES; i++) {
		/* Not in order: what is next to each other is so by translation alone. */
		world_map(w, &sp, SRC + i * 4096, PA + 0x100000 + (PAGES - i) * 8192, 3);
		world_map(w, &sp, DST + i * 4096, PA + 0x200000 + (PAGES - i) * 8192, 3);
	}
	ring = (void *)world_at(w, PA);
	done = (void *)world_at(w, PA + 4096);
	src = (void *)world_at(w, PA + 0x100000 + PAGES * 8192); /* of the first page */
	dst = (void *)world_at(w, PA + 0x200000 + PAGES * 8192);
	world_cd_set(w, WORLD_SSID, &sp, CD_S | CD_R | CD_A);
}

static void begin(void)
{
	world_slot_command(w, 0, SVAD_ACCEL_CMD_ENABLE, WORLD_SSID);
	world_ring(w, 0, RING);
}

static void setup(void)
{
	start(NULL);
	begin();
}

static void setup_clean(void)
{
	start(&(struct world_options){ .features = SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN |
						   SVAD_ACCEL_F_RESET });
	begin();
}

static void setup_nostop(void)
{
	start(&(struct world_options){ .features = SVAD_ACCEL_F_RESET });
	begin();
}

static void teardown(void)
{
	ck_assert_str_eq(ask("violations"), "ok 0");
	world_free(w);
}

static struct sva_demo_desc desc(unsigned op, uint64_t from, uint64_t to, uint64_t len, uint64_t arg)
{
	return (struct sva_demo_desc){ .op = (uint8_t)op,
				       .tag = 77,
				       .src = from,
				       .dst = to,
				       .len = len,
				       .arg = arg,
				       .completion = DONE };
}

/* Submits; what its record says now. */
static struct sva_demo_completion run(struct sva_demo_desc d)
{
	memset(done, 0, sizeof(*done));
	world_submit(w, 0, ring, &d);
	return done[0];
}

static struct sva_demo_completion run_ok(struct sva_demo_desc d)
{
	struct sva_demo_completion c = run(d);

	ck_assert_uint_eq(c.status, SVA_DEMO_OK);
	ck_assert_uint_eq(c.tag, 77);
	ck_assert_uint_eq(c.bytes, d.op == SVA_DEMO_NOP ? 0 : d.len);
	return c;
}

/* A byte of the process, by its virtual address. */
static uint8_t *byte(uint64_t va)
{
	uint64_t *e = world_pte(w, &sp, va, 3);

	return (uint8_t *)world_at(w, *e & 0xfffffffff000) + (va & 4095);
}

static void unmap(uint64_t va)
{
	*world_pte(w, &sp, va, 3) = 0;
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, va);
	world_sync(w);
}

static uint16_t next_stag(void)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert(ev[1] >> 31 & 1);
	return (uint16_t)ev[1];
}

static void expect_state(uint32_t state)
{
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATE), state);
}

/* ---- registers and commands
 * ---------------------------------------------------------------------------------- */

START_TEST(identification)
{
	const uint8_t *r = w->hw.accels[1].regs;

	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), SVAD_ACCEL_MAGIC);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_VERSION), SVAD_ACCEL_VERSION);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_OPS), 31);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_SLOTS), 8);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_FEATURES),
			  SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN | SVAD_ACCEL_F_RESET);
	ck_assert_uint_eq(load32(w->hw.accels[3].regs + SVAD_ACCEL_REG_FEATURES), SVAD_ACCEL_F_RESET);
	r = world_portal(w, 0);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_MAGIC), SVA_DEMO_MAGIC);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_VERSION), SVA_DEMO_VERSION);
	ck_assert_uint_eq(load32(r + SVA_DEMO_REG_FLAGS), 0);
	ck_assert_uint_eq(load32(world_portal(w, 1) + SVA_DEMO_REG_MAGIC), 0); /* not enabled */
}
END_TEST

START_TEST(commands)
{
	expect_state(SVAD_ACCEL_S_ENABLED);
	ck_assert(world_slot_acked(w, 0));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_ENABLE, 6);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE); /* not stopped */
	world_slot_command(w, 0, 99, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	for (unsigned i = 0; i < 2; i++) { /* twice is once */
		world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
		ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
		expect_state(SVAD_ACCEL_S_STOPPED);
	}
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
	expect_state(SVAD_ACCEL_S_IDLE);
	ck_assert_uint_eq(load64(world_portal(w, 0) + SVA_DEMO_REG_RING_BASE), 0);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	world_slot_command(w, 7, SVAD_ACCEL_CMD_ENABLE, 9); /* the last one there is */
	ck_assert(world_slot_acked(w, 7));
}
END_TEST

START_TEST(interrupts)
{
	uint8_t *r = w->hw.accels[0].regs;
	const uint32_t n = load32(r + SVAD_ACCEL_REG_IRQ_COUNT);

	ck_assert_uint_eq(w->irqs[HW_SPI_ACCEL], 0); /* not asked for */
	ck_assert_uint_ge(n, 1);
	store32(r + SVAD_ACCEL_REG_IRQ_ENABLE, 1);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(w->irqs[HW_SPI_ACCEL], 1);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_IRQ_COUNT), n + 1);
}
END_TEST

/* ---- operations
 * ------------------------------------------------------------------------------------------------ */

START_TEST(op_nop)
{
	run_ok(desc(SVA_DEMO_NOP, 0, 0, 0, 0));
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 1);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 0);
	ck_assert_uint_eq(load64(w->hw.accels[0].regs + SVAD_ACCEL_REG_JOBS), 1);
}
END_TEST

START_TEST(op_fill)
{
	static const uint32_t offsets[] = { 0, 1, 7, 4095, 4090 }, lens[] = { 1, 8, 4096, 9001, 20000 };
	const uint64_t to = DST + offsets[_i], len = lens[_i], arg = UINT64_C(0x0807060504030201);
	unsigned wrong = 0;

	run_ok(desc(SVA_DEMO_FILL, 0, to, len, arg));
	for (uint64_t i = 0; i < len; i++)
		wrong += *byte(to + i) != i % 8 + 1;
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(*byte(to + len), 0);
	if (offsets[_i])
		ck_assert_uint_eq(*byte(to - 1), 0);
}
END_TEST

START_TEST(op_copy)
{
	static const uint32_t from_off[] = { 0, 3, 4000, 1, 100 }, to_off[] = { 0, 5, 1, 4095, 100 };
	const uint64_t from = SRC + from_off[_i], to = DST + to_off[_i], len = 30000;
	unsigned wrong = 0;

	for (uint64_t i = 0; i < PAGES * 4096; i++)
		*byte(SRC + i) = (uint8_t)(i * 7 + i / 256);
	run_ok(desc(SVA_DEMO_COPY, from, to, len, 0));
	for (uint64_t i = 0; i < len; i++)
		wrong += *byte(to + i) != *byte(from + i);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(*byte(to + len), 0);
}
END_TEST

START_TEST(op_crc)
{
	uint8_t flat[10000];

	for (unsigned i = 0; i < sizeof(flat); i++)
		flat[i] = *byte(SRC + 17 + i) = (uint8_t)(i * 31);
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC + 17, 0, sizeof(flat), 0)).result,
			  crc32c(0, flat, sizeof(flat)));
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC, 0, 0, 5)).result, 5);
	memcpy(src, "123456789", 9);
	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_CRC32C, SRC, 0, 9, 0)).result, 0xe3069283);
}
END_TEST

START_TEST(op_compare)
{
	struct sva_demo_completion c;

	ck_assert_uint_eq(run_ok(desc(SVA_DEMO_COMPARE, SRC, DST + 4, 20000, 0)).result, 0);
	*byte(DST + 4 + 9000) = 1;
	c = run(desc(SVA_DEMO_COMPARE, SRC, DST + 4, 20000, 0));
	ck_assert_uint_eq(c.status, SVA_DEMO_OK);
	ck_assert_uint_eq(c.result, 9001);
	ck_assert_uint_eq(c.bytes, 9000);
}
END_TEST

START_TEST(without_record)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, 8, 5);

	d.completion = 0;
	run(d);
	ck_assert_uint_eq(dst[0], 5);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 1);
}
END_TEST

START_TEST(bad_descriptor)
{
	struct sva_demo_desc d = desc(SVA_DEMO_COPY, SRC, DST, 64, 0);

	switch (_i) {
	case 0:
		d.op = 5;
		break;
	case 1:
		d.flags = 1;
		break;
	case 2:
		d.reserved0 = 1;
		break;
	case 3:
		d.reserved1[1] = 1;
		break;
	case 4:
		d.len = ACCEL_LEN_MAX + 1;
		break;
	case 5:
		d.src = UINT64_MAX - 10;
		break;
	case 6:
		d.dst = UINT64_MAX - 10;
		break;
	case 7:
		d.dst = d.src + 63;
		break;
	case 8:
		d.completion = DONE + 4;
		break;
	}
	run(d);
	if (d.completion == DONE)
		ck_assert_uint_eq(done[0].status, SVA_DEMO_BAD_DESCRIPTOR);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_DESCRIPTOR);
	ck_assert_uint_eq(dst[0], 0);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1)); /* the ring goes on */
}
END_TEST

START_TEST(ring_order)
{
	/* All eight at once, each depending on the one before, twice around. */
	for (unsigned n = 0; n < 16; n++) {
		struct sva_demo_desc d = desc(SVA_DEMO_COPY, SRC + n % 8 * 64, SRC + (n + 1) % 8 * 64, 64, 0);

		d.completion = DONE + n % 8 * 32;
		memcpy(&ring[n % 8], &d, sizeof(d));
		if (n % 8 == 7) {
			memset(src, 0, 4096);
			src[0] = (uint8_t)(n + 1);
			store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, n + 1);
			world_run(w);
			ck_assert_uint_eq(src[7 * 64], n + 1);
		}
	}
	ck_assert_uint_eq(w->hw.accels[0].jobs, 16);
}
END_TEST

START_TEST(ring_error)
{
	uint8_t *p = world_portal(w, 0);

	store32(p + SVA_DEMO_REG_ENABLE, 0);
	world_run(w);
	switch (_i) {
	case 0:
		store32(p + SVA_DEMO_REG_RING_SIZE, 3);
		break;
	case 1:
		store32(p + SVA_DEMO_REG_RING_SIZE, 1);
		break;
	case 2:
		store32(p + SVA_DEMO_REG_RING_SIZE, 8192);
		break;
	case 3:
		store64(p + SVA_DEMO_REG_RING_BASE, RING + 4);
		break;
	case 4:
		store64(p + SVA_DEMO_REG_RING_BASE, UINT64_MAX - 63);
		break;
	case 5:
		store32(p + SVA_DEMO_REG_DOORBELL, 9); /* more than there is room for */
		break;
	}
	store32(p + SVA_DEMO_REG_ENABLE, 1);
	world_run(w);
	ck_assert_uint_eq(load32(p + SVA_DEMO_REG_ERROR), SVAB_FAULT_RING);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1); /* once */
	store32(p + SVA_DEMO_REG_ENABLE, 0);
	store32(p + SVA_DEMO_REG_DOORBELL, 0);
	world_run(w);
	ck_assert_uint_eq(load32(p + SVA_DEMO_REG_ERROR), 0);
	world_ring(w, 0, RING);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1));
}
END_TEST

/* ---- faults
 * ------------------------------------------------------------------------------------------------------- */

START_TEST(fault_retried)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, PAGES * 4096, 3);
	uint64_t *e[PAGES], was[PAGES];

	for (unsigned i = 0; i < PAGES; i++) {
		e[i] = world_pte(w, &sp, DST + i * 4096, 3);
		was[i] = *e[i];
		*e[i] = 0;
	}
	ck_assert_uint_eq(run(d).status, SVA_DEMO_PENDING);
	for (unsigned i = 0; i < PAGES; i++) { /* every page through a stall, one at a time */
		uint16_t stag = next_stag();

		ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
		ck_assert_uint_eq(stall_count(w->smmu, 1), 1);
		*e[i] = was[i];
		world_resume(w, stag, RESUME_RETRY);
	}
	ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	ck_assert_uint_eq(done[0].bytes, PAGES * 4096);
	ck_assert_uint_eq(*byte(DST + PAGES * 4096 - 8), 3);
}
END_TEST

START_TEST(fault_aborted)
{
	unmap(DST + 2 * 4096);
	run(desc(SVA_DEMO_FILL, 0, DST, 4 * 4096, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_FAULT_UNMAPPED);
	ck_assert_uint_eq(done[0].fault_addr, DST + 2 * 4096);
	ck_assert_uint_eq(done[0].bytes, 2 * 4096);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(load64(w->hw.accels[0].regs + SVAD_ACCEL_REG_FAULTS), 1);
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 4096, 3));
}
END_TEST

START_TEST(fault_permission)
{
	*world_pte(w, &sp, DST, 3) |= PTE_RO;
	run(desc(SVA_DEMO_COPY, SRC, DST, 64, 0));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_FAULT_PERMISSION);
	ck_assert_uint_eq(done[0].fault_addr, DST);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_PERMISSION);
}
END_TEST

START_TEST(fault_zeroed)
{
	unmap(SRC);
	src[0] = 9;
	run(desc(SVA_DEMO_COPY, SRC, DST, 64, 0));
	dst[0] = 9;
	world_resume(w, next_stag(), RESUME_TERM); /* reads as zero */
	ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	ck_assert_uint_eq(dst[0], 0);
}
END_TEST

START_TEST(fault_of_ring)
{
	unmap(RING);
	store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, 1);
	world_run(w);
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_ERROR), SVAB_FAULT_RING);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
}
END_TEST

START_TEST(fault_of_record)
{
	unmap(DONE);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_CODE), SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 0);
}
END_TEST

START_TEST(process_ended)
{
	uint64_t ev[EVENT_DWORDS];

	world_cd(w, WORLD_SSID)[0] = (world_cd(w, WORLD_SSID)[0] & ~(CD_S | CD_R)) | BIT64(14);
	world_cfgi_cd(w, WORLD_SSID);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_ERROR), SVAB_FAULT_MM_GONE);
	ck_assert(!world_event(w, ev));
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_FAULT_SEQ), 1); /* it does not go on asking */
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

START_TEST(others_go_on)
{
	/* A slot that waits for its page leaves the engines to the others. */
	struct space other = world_space(w, 12, 16, WORLD_ASID + 1);
	struct sva_demo_desc d;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_map(w, &other, RING, PA + 0x300000, 3);
	world_map(w, &other, DONE, PA + 0x301000, 3);
	world_cd_set(w, 9, &other, CD_S | CD_R | CD_A);
	world_slot_command(w, 1, SVAD_ACCEL_CMD_ENABLE, 9);
	world_ring(w, 1, RING);
	d = desc(SVA_DEMO_NOP, 0, 0, 0, 0);
	world_submit(w, 1, world_at(w, PA + 0x300000), &d);
	ck_assert_uint_eq(load32(world_at(w, PA + 0x301000)), SVA_DEMO_OK);
	ck_assert_uint_eq(done[0].status, SVA_DEMO_PENDING);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

/* ---- stop
 * ------------------------------------------------------------------------------------------------------------
 */

START_TEST(stop_flushed)
{
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED); /* all it sent is with the SMMU */
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(done[0].status, SVA_DEMO_ABORTED);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 1);
	/* ... and goes on from there when it is answered. */
	world_map(w, &sp, DST, PA + 0x200000 + PAGES * 8192, 3);
	world_resume(w, next_stag(), RESUME_RETRY);
	ck_assert_uint_eq(dst[0], 3);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	expect_state(SVAD_ACCEL_S_IDLE);
}
END_TEST

START_TEST(stop_clean)
{
	uint16_t stag;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 3 * 4096, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPING);
	ck_assert(!world_slot_acked(w, 0));
	stag = next_stag();
	world_map(w, &sp, DST, PA + 0x200000 + PAGES * 8192, 3);
	world_resume(w, stag, _i ? RESUME_ABORT : RESUME_RETRY);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(done[0].status, _i ? SVA_DEMO_FAULT_UNMAPPED : SVA_DEMO_ABORTED);
	ck_assert_uint_eq(done[0].bytes, _i ? 0 : 4096); /* no page after the one that was out */
	ck_assert_uint_eq(stall_count(w->smmu, 1), 0);
}
END_TEST

START_TEST(stop_while_record_stalls)
{
	unmap(DONE);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(stop_while_fetch_stalls)
{
	unmap(RING);
	store32(world_portal(w, 0) + SVA_DEMO_REG_DOORBELL, 1);
	world_run(w);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(stopped_fetches_nothing)
{
	struct sva_demo_desc d = desc(SVA_DEMO_FILL, 0, DST, 8, 1);

	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	world_submit(w, 0, ring, &d);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_HEAD), 0);
	ck_assert_uint_eq(dst[0], 0);
}
END_TEST

START_TEST(stop_ignored)
{
	ask("stop accel0 ignore forever");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0));
	run_ok(desc(SVA_DEMO_FILL, 0, DST, 8, 1)); /* it works on */
	ck_assert_str_eq(ask("wait-stop accel0 1 0"), "ok 1");
	if (_i) {
		ask("stop accel0 obey");
		world_run(w);
		expect_state(SVAD_ACCEL_S_STOPPED);
	} else {
		store32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_SEQ, 1);
		world_run(w);
		expect_state(SVAD_ACCEL_S_IDLE);
	}
	ck_assert(world_slot_acked(w, 0));
}
END_TEST

START_TEST(stop_fails)
{
	ask("stop 0 fail");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(world_slot_acked(w, 0));
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STOP);
	expect_state(SVAD_ACCEL_S_ENABLED);
}
END_TEST

START_TEST(stop_late)
{
	ask("stop accel0 delay 3600000");
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0));
	w->hw.accels[0].slots[0].obey_at = 1; /* the time has come */
	world_run(w);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

START_TEST(stop_all)
{
	uint8_t *r = w->hw.accels[0].regs;

	world_slot_command(w, 3, SVAD_ACCEL_CMD_ENABLE, 6);
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	store32(r + SVAD_ACCEL_REG_STOP_ALL_SEQ, 1);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_STOP_ALL_ACK), 1);
	expect_state(SVAD_ACCEL_S_STOPPED);
	ck_assert_uint_eq(world_slot(w, 3, SVAD_ACCEL_SLOT_STATE), SVAD_ACCEL_S_STOPPED);
	world_resume(w, next_stag(), RESUME_ABORT);
}
END_TEST

START_TEST(no_stop)
{
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_STATE);
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), SVAD_ACCEL_E_BUSY);
	world_resume(w, next_stag(), RESUME_ABORT);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_DISABLE, 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATUS), 0);
	expect_state(SVAD_ACCEL_S_IDLE);
}
END_TEST

/* ---- hold, late transactions
 * ------------------------------------------------------------------------------------------- */

START_TEST(held)
{
	ask("hold accel0 2");
	run(desc(SVA_DEMO_FILL, 0, DST, 5 * 4096, 3));
	ck_assert_str_eq(ask("wait accel0 held 0"), "ok 1");
	ck_assert_uint_eq(*byte(DST + 4096), 3);
	ck_assert_uint_eq(*byte(DST + 2 * 4096), 0);
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_JOBS), 1);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_INFLIGHT), 1);
	if (_i) {
		world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
		expect_state(SVAD_ACCEL_S_STOPPED);
		ck_assert_uint_eq(done[0].status, SVA_DEMO_ABORTED);
		ck_assert_uint_eq(done[0].bytes, 2 * 4096);
	} else {
		ask("unhold accel0");
		world_run(w);
		ck_assert_uint_eq(done[0].status, SVA_DEMO_OK);
	}
	ck_assert_str_eq(ask("wait-idle accel0 0"), "ok 0");
}
END_TEST

START_TEST(late)
{
	ask("late-dma accel0 1000");
	run(desc(SVA_DEMO_FILL, 0, DST, 8, 3));
	timers_flush(&w->hw.timers); /* the descriptor */
	world_run(w);
	ck_assert_uint_eq(dst[0], 0); /* the data is on its way */
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0)); /* and the stop waits for it */
	for (unsigned i = 0; i < 4; i++) {
		timers_flush(&w->hw.timers);
		world_run(w);
	}
	ck_assert_uint_eq(dst[0], 3);
	expect_state(SVAD_ACCEL_S_STOPPED);
}
END_TEST

/* ---- reset, disappearance
 * --------------------------------------------------------------------------------------------------- */

START_TEST(reset)
{
	uint8_t *r = w->hw.accels[0].regs;

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	store32(r + SVAD_ACCEL_REG_RESET_SEQ, 7);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_RESET_ACK), 7);
	expect_state(SVAD_ACCEL_S_IDLE);
	ck_assert_uint_eq(load32(world_portal(w, 0) + SVA_DEMO_REG_MAGIC), 0);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 1); /* what was sent is the SMMU's */
	world_resume(w, next_stag(), RESUME_ABORT);
	begin();
	run_ok(desc(SVA_DEMO_FILL, 0, DST + 4096, 8, 1));
}
END_TEST

START_TEST(reset_of_lost_answer)
{
	ask("response accel0 lose 1");
	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	world_resume(w, next_stag(), RESUME_ABORT);
	world_slot_command(w, 0, SVAD_ACCEL_CMD_STOP, 0);
	ck_assert(!world_slot_acked(w, 0)); /* it waits for ever */
	store32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_SEQ, 1);
	world_run(w);
	ck_assert_uint_eq(load32(w->hw.accels[0].regs + SVAD_ACCEL_REG_RESET_ACK), 1);
	ck_assert_uint_eq(stall_count(w->smmu, 1), 0);
}
END_TEST

START_TEST(vanished)
{
	uint8_t *r = w->hw.accels[0].regs;
	char ret[64];

	unmap(DST);
	run(desc(SVA_DEMO_FILL, 0, DST, 64, 3));
	accel_vanish(&w->hw.accels[0]);
	world_run(w);
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), UINT32_MAX);
	ck_assert_uint_eq(load32(world_portal(w, 0)), UINT32_MAX);
	world_slot_command(w, 1, SVAD_ACCEL_CMD_ENABLE, 9);
	ck_assert(!world_slot_acked(w, 1));
	accel_return(&w->hw.accels[0]);
	world_run(w);
	control_execute(&w->hw, "return accel0", ret, sizeof(ret), NULL);
	ck_assert_str_eq(ret, "ok 0");
	ck_assert_uint_eq(load32(r + SVAD_ACCEL_REG_MAGIC), SVAD_ACCEL_MAGIC);
	expect_state(SVAD_ACCEL_S_IDLE);
	world_resume(w, next_stag(), RESUME_ABORT);
	begin();
	run_ok(desc(SVA_DEMO_FILL, 0, DST + 4096, 8, 1));
}
END_TEST

static TCase *group(Suite *s, const char *name, void (*fixture)(void))
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, fixture, teardown);
	suite_add_tcase(s, tc);
	return tc;
}

static Suite *suite(void)
{
	Suite *s = suite_create("hw-accel");
	TCase *tc = group(s, "slot", setup);

	tcase_add_test(tc, identification);
	tcase_add_test(tc, commands);
	tcase_add_test(tc, interrupts);
	tc = group(s, "operation", setup);
	tcase_add_test(tc, op_nop);
	tcase_add_loop_test(tc, op_fill, 0, 5);
	tcase_add_loop_test(tc, op_copy, 0, 5);
	tcase_add_test(tc, op_crc);
	tcase_add_test(tc, op_compare);
	tcase_add_test(tc, without_record);
	tcase_add_loop_test(tc, bad_descriptor, 0, 9);
	tcase_add_test(tc, ring_order);
	tcase_add_loop_test(tc, ring_error, 0, 6);
	tc = group(s, "fault", setup);
	tcase_add_test(tc, fault_retried);
	tcase_add_test(tc, fault_aborted);
	tcase_add_test(tc, fault_permission);
	tcase_add_test(tc, fault_zeroed);
	tcase_add_test(tc, fault_of_ring);
	tcase_add_test(tc, fault_of_record);
	tcase_add_test(tc, process_ended);
	tcase_add_test(tc, others_go_on);
	tc = group(s, "stop", setup);
	tcase_add_test(tc, stop_flushed);
	tcase_add_test(tc, stop_while_record_stalls);
	tcase_add_test(tc, stop_while_fetch_stalls);
	tcase_add_test(tc, stopped_fetches_nothing);
	tcase_add_loop_test(tc, stop_ignored, 0, 2);
	tcase_add_test(tc, stop_fails);
	tcase_add_test(tc, stop_late);
	tcase_add_test(tc, stop_all);
	tcase_add_loop_test(group(s, "stop-clean", setup_clean), stop_clean, 0, 2);
	tcase_add_test(group(s, "no-stop", setup_nostop), no_stop);
	tc = group(s, "injected", setup);
	tcase_add_loop_test(tc, held, 0, 2);
	tcase_add_test(tc, late);
	tc = group(s, "reset", setup);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, vanished);
	tcase_add_test(group(s, "reset-clean", setup_clean), reset_of_lost_answer);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
