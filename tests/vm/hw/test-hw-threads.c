/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All threads at once, as vm-hw has them: jobs that fault on every page, answered as a driver would, while
 * translations are taken away under them and slots are stopped. Nothing may be lost, nothing may be stale. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tap.h"
#include "world.h"

#define VA UINT64_C(0x500000000000)
#define PA UINT64_C(0x60000000)
#define SLOTS 4u
#define PAGES 64u

static struct world *w;
static struct space spaces[SLOTS];
static bool quit;

static bool over(void)
{
	return __atomic_load_n(&quit, __ATOMIC_ACQUIRE);
}

static void *smmu_main(void *arg)
{
	(void)arg;
	while (!over())
		if (!smmu_poll(w->smmu))
			sched_yield();
	return NULL;
}

static void *accel_main(void *arg)
{
	(void)arg;
	while (!over()) {
		accel_poll(&w->hw.accels[0]);
		sched_yield();
	}
	return NULL;
}

static void *engine_main(void *arg)
{
	accel_work(arg);
	return NULL;
}

static uint64_t data_va(unsigned page)
{
	return VA + 0x100000 + page * UINT64_C(4096);
}

static uint64_t data_pa(unsigned slot, unsigned page)
{
	return PA + 0x1000000 + slot * UINT64_C(0x100000) + page * UINT64_C(4096);
}

/* The test's thread is the driver's, and the only one that queues commands. */
static void command(uint64_t c0, uint64_t c1)
{
	const uint32_t mask = (2u << w->queue_log2) - 1;
	uint64_t *e;

	while (((w->cmdq_prod - reg32(w->smmu, CMDQ_CONS)) & mask) >= (mask + 1) / 2)
		sched_yield();
	e = world_at(w, w->cmdq + (w->cmdq_prod & (mask >> 1)) * 16);
	store64(&e[0], c0);
	store64(&e[1], c1);
	w->cmdq_prod = (w->cmdq_prod + 1) & mask;
	reg32_set(w->smmu, CMDQ_PROD, w->cmdq_prod);
}

static void command_sync(void)
{
	command(CMD_SYNC, 0);
	while ((reg32(w->smmu, CMDQ_CONS) & ((2u << w->queue_log2) - 1)) != w->cmdq_prod)
		sched_yield();
}

/* One event, if there is one: the page is mapped, the transaction goes on. */
static void serve(void)
{
	const uint32_t mask = (2u << w->queue_log2) - 1, prod = reg32(w->smmu, EVTQ_PROD);
	uint64_t *e, d0, d1, d2;
	unsigned slot, page;

	if (((prod ^ w->evtq_cons) & mask) == 0)
		return;
	e = world_at(w, w->evtq + (w->evtq_cons & (mask >> 1)) * 32);
	d0 = load64(&e[0]);
	d1 = load64(&e[1]);
	d2 = load64(&e[2]);
	w->evtq_cons = (w->evtq_cons + 1) & mask;
	reg32_set(w->smmu, EVTQ_CONS, w->evtq_cons);
	slot = (unsigned)(d0 >> 12 & 0xfffff) - 1;
	page = (unsigned)((d2 - data_va(0)) / 4096);
	if (slot >= SLOTS || page >= PAGES)
		ck_abort_msg("an event of nobody's");
	store64(world_pte(w, &spaces[slot], data_va(page), 3),
		data_pa(slot, page) | PTE_AF | PTE_NG | PTE_USER | 3);
	command(CMD_RESUME | RESUME_RETRY << 12 | UINT64_C(1) << 32, d1 & 0xffff);
}

START_TEST(all_at_once)
{
	const unsigned rounds = tap_scale(20);
	pthread_t threads[4];
	unsigned take = 0;

	w = world_new(&(struct world_options){
		.features = SVAD_ACCEL_F_STOP | (_i ? SVAD_ACCEL_F_STOP_CLEAN : 0) | SVAD_ACCEL_F_RESET,
		.stall_max = 3 });
	for (unsigned i = 0; i < SLOTS; i++) {
		spaces[i] = world_space(w, 12, 16, (uint16_t)(i + 1));
		world_map(w, &spaces[i], VA, PA + i * 8192, 3);
		world_map(w, &spaces[i], VA + 4096, PA + i * 8192 + 4096, 3);
		(void)world_pte(w, &spaces[i], data_va(0), 3); /* the tables of the data */
		world_cd_set(w, i + 1, &spaces[i], CD_S | CD_R | CD_A);
		world_slot_command(w, i, SVAD_ACCEL_CMD_ENABLE, i + 1);
		world_ring(w, i, VA);
	}
	quit = false;
	pthread_create(&threads[0], NULL, smmu_main, NULL);
	pthread_create(&threads[1], NULL, accel_main, NULL);
	pthread_create(&threads[2], NULL, engine_main, &w->hw.accels[0]);
	pthread_create(&threads[3], NULL, engine_main, &w->hw.accels[0]);

	for (unsigned round = 1; round <= rounds; round++) {
		unsigned done = 0;

		for (unsigned i = 0; i < SLOTS; i++) {
			struct sva_demo_desc *d = (void *)world_at(w, PA + i * 8192 + (round - 1) % 8 * 64);

			*d = (struct sva_demo_desc){ .op = SVA_DEMO_FILL,
						     .tag = round,
						     .dst = data_va(0),
						     .len = PAGES * 4096,
						     .arg = round,
						     .completion = VA + 4096 };
			store32(world_at(w, PA + i * 8192 + 4096), SVA_DEMO_PENDING);
			store32(world_portal(w, i) + SVA_DEMO_REG_DOORBELL, round);
		}
		while (done < SLOTS) {
			serve();
			/* A page goes away under the device: gone from the tables, then from the caches, then
			 * it is really gone. */
			if (take++ % 16 == 0) {
				const unsigned slot = take / 16 % SLOTS, page = take / 7 % PAGES;

				store64(world_pte(w, &spaces[slot], data_va(page), 3), 0);
				command(CMD_TLBI_NH_VA | (uint64_t)(slot + 1) << 48, data_va(page));
				command_sync();
			}
			done = 0;
			for (unsigned i = 0; i < SLOTS; i++)
				done += load32(world_at(w, PA + i * 8192 + 4096)) == SVA_DEMO_OK;
			sched_yield();
		}
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		uint8_t *b = w->hw.accels[0].regs + SVAD_ACCEL_SLOT_BASE + i * SVAD_ACCEL_SLOT_SIZE;

		store32(b + SVAD_ACCEL_SLOT_CMD, SVAD_ACCEL_CMD_STOP);
		store32(b + SVAD_ACCEL_SLOT_SEQ, load32(b + SVAD_ACCEL_SLOT_SEQ) + 1);
		while (!world_slot_acked(w, i))
			sched_yield();
		ck_assert_uint_eq(world_slot(w, i, SVAD_ACCEL_SLOT_STATE), SVAD_ACCEL_S_STOPPED);
	}
	__atomic_store_n(&quit, true, __ATOMIC_RELEASE);
	accel_quit(&w->hw.accels[0]);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(w->hw.accels[0].jobs, rounds * SLOTS);
	ck_assert_uint_eq(w->hw.accels[0].running, 0);
	ck_assert_uint_eq(w->smmu->n_stalls, 0);
	ck_assert_uint_le(w->smmu->stats.max_stalls, 3);
	ck_assert_uint_gt(w->smmu->stats.stalls, PAGES * SLOTS - 1);
	ck_assert_uint_eq(world_violations(w), 0);
	world_free(w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hw-threads");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, all_at_once, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, suite, NULL);
}
