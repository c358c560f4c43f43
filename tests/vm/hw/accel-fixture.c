/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An accelerator with a ring, of one process with a few pages. */
#include "accel-fixture.h"

#include <string.h>

struct sva_demo_desc *ring;
struct sva_demo_completion *done; /* 8 of them */
uint8_t *src, *dst;

static void start(const struct world_options *o)
{
	fixture_world(o);
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

void accel_begin(void)
{
	world_slot_command(w, 0, SVAD_ACCEL_CMD_ENABLE, WORLD_SSID);
	world_ring(w, 0, RING);
}

void accel_setup(void)
{
	start(NULL);
	accel_begin();
}

void accel_setup_clean(void)
{
	start(&(struct world_options){ .features = SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN |
						   SVAD_ACCEL_F_RESET });
	accel_begin();
}

void accel_setup_nostop(void)
{
	start(&(struct world_options){ .features = SVAD_ACCEL_F_RESET });
	accel_begin();
}

void accel_teardown(void)
{
	ck_assert_str_eq(ask("violations"), "ok 0");
	fixture_free();
}

struct sva_demo_desc desc(unsigned op, uint64_t from, uint64_t to, uint64_t len, uint64_t arg)
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
struct sva_demo_completion run(struct sva_demo_desc d)
{
	memset(done, 0, sizeof(*done));
	world_submit(w, 0, ring, &d);
	return done[0];
}

struct sva_demo_completion run_ok(struct sva_demo_desc d)
{
	struct sva_demo_completion c = run(d);

	ck_assert_uint_eq(c.status, SVA_DEMO_OK);
	ck_assert_uint_eq(c.tag, 77);
	ck_assert_uint_eq(c.bytes, d.op == SVA_DEMO_NOP ? 0 : d.len);
	return c;
}

/* A byte of the process, by its virtual address. */
uint8_t *byte(uint64_t va)
{
	uint64_t *e = world_pte(w, &sp, va, 3);

	return (uint8_t *)world_at(w, *e & 0xfffffffff000) + (va & 4095);
}

void unmap(uint64_t va)
{
	*world_pte(w, &sp, va, 3) = 0;
	world_command(w, CMD_TLBI_NH_VA | (uint64_t)WORLD_ASID << 48, va);
	world_sync(w);
}

void expect_state(uint32_t state)
{
	ck_assert_uint_eq(world_slot(w, 0, SVAD_ACCEL_SLOT_STATE), state);
}
