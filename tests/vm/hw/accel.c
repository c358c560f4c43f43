/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device as a whole: its registers, reset, disappearance. */
#include "accel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SCAN_MARGIN                                                                                          \
	64u /* slots above the highest ever used that each poll looks at; the others now and then */
#define SCAN_ALL_EVERY 16u

void accel_raise(struct accel *d)
{
	store32(d->regs + SVAD_ACCEL_REG_IRQ_COUNT, load32(d->regs + SVAD_ACCEL_REG_IRQ_COUNT) + 1);
	if (d->irq && load32(d->regs + SVAD_ACCEL_REG_IRQ_ENABLE) == 1)
		d->irq(d->irq_arg, d->opt.spi);
}

static void power_on(struct accel *d)
{
	/* Not the portals of slots that are not there: they would be memory for nothing. */
	memset(d->regs, 0, SVAD_ACCEL_SLOT_BASE + d->opt.slots * SVAD_ACCEL_SLOT_SIZE);
	memset(d->regs + SVAD_ACCEL_PORTAL_BASE, 0, d->opt.slots * SVAD_ACCEL_PORTAL_SIZE);
	d->reset_seq = d->stop_all_seq = 0;
	d->resetting = d->stopping_all = d->gone = d->blank = d->returning = false;
	d->top = 0;
	for (uint32_t i = 0; i < d->opt.slots; i++) {
		d->slots[i].state = SVAD_ACCEL_S_IDLE;
		d->slots[i].stopping = false;
		d->slots[i].gen = 0;
		d->slots[i].stop_seen = 0;
		d->slots[i].obey_at = 0;
		d->slots[i].ring_on = d->slots[i].ring_error = false;
		d->slots[i].head = 0;
	}
	store32(d->regs + SVAD_ACCEL_REG_VERSION, SVAD_ACCEL_VERSION);
	store32(d->regs + SVAD_ACCEL_REG_OPS, (1u << SVA_DEMO_NOP) | (1u << SVA_DEMO_COPY) |
						      (1u << SVA_DEMO_FILL) | (1u << SVA_DEMO_CRC32C) |
						      (1u << SVA_DEMO_COMPARE));
	store32(d->regs + SVAD_ACCEL_REG_FEATURES, d->opt.features);
	store32(d->regs + SVAD_ACCEL_REG_SLOTS, d->opt.slots);
	store32(d->regs + SVAD_ACCEL_REG_ENGINES, d->opt.engines);
	store32(d->regs + SVAD_ACCEL_REG_MAGIC, SVAD_ACCEL_MAGIC);
}

int accel_init(struct accel *d, struct ram *ram, uint64_t regs_pa, const struct accel_options *opt,
	       struct smmu *smmu, struct timers *timers)
{
	memset(d, 0, sizeof(*d));
	d->opt = *opt;
	d->smmu = smmu;
	d->timers = timers;
	d->regs = ram_at(ram, regs_pa, SVAD_ACCEL_SIZE);
	if (!d->regs || !opt->slots || opt->slots > SVAD_ACCEL_SLOTS_MAX || !opt->engines)
		return -EINVAL;
	d->slots = calloc(opt->slots, sizeof(*d->slots));
	if (!d->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < opt->slots; i++)
		d->slots[i] = (struct slot){ .waiter.wake = slot_wake, .dev = d, .index = i };
	d->ready_tail = &d->ready;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	power_on(d);
	return 0;
}

void accel_deinit(struct accel *d)
{
	for (uint32_t i = 0; d->slots && i < d->opt.slots; i++) {
		struct job *j = d->slots[i].job;

		if (j) {
			free(j->a);
			free(j->b);
			free(j);
		}
	}
	free(d->slots);
	d->slots = NULL;
	pthread_cond_destroy(&d->work);
	pthread_mutex_destroy(&d->lock);
}

/* ---- polling. Device's lock ---------------------------------------------------------------------------- */

static void kill_all(struct accel *d)
{
	for (uint32_t i = 0; i < d->opt.slots; i++) {
		struct slot *s = &d->slots[i];

		if (s->run == RUN_REST)
			continue;
		s->kill = true;
		slot_push_out(s);
	}
}

static bool poll_reset(struct accel *d)
{
	const uint32_t seq = load32(d->regs + SVAD_ACCEL_REG_RESET_SEQ);

	if (!d->resetting && seq != d->reset_seq) {
		d->resetting = true;
		d->resets++;
		kill_all(d);
		/* Transactions whose answer never came die with the reset. Their wakers take our lock. */
		pthread_mutex_unlock(&d->lock);
		stall_free_lost(d->smmu, d->opt.sid, false);
		pthread_mutex_lock(&d->lock);
	}
	if (!d->resetting)
		return false;
	if (d->running)
		return true;
	for (uint32_t i = 0; i < d->opt.slots; i++)
		slot_reset(&d->slots[i]);
	d->resetting = false;
	d->stopping_all = false;
	d->stop_all_seq = load32(d->regs + SVAD_ACCEL_REG_STOP_ALL_SEQ);
	store32(d->regs + SVAD_ACCEL_REG_STOP_ALL_ACK, d->stop_all_seq);
	d->reset_seq = load32(d->regs + SVAD_ACCEL_REG_RESET_SEQ);
	store32(d->regs + SVAD_ACCEL_REG_RESET_ACK, d->reset_seq);
	trace("%s reset %u", d->opt.name, d->reset_seq);
	accel_raise(d);
	return true;
}

static bool poll_stop_all(struct accel *d)
{
	const uint32_t seq = load32(d->regs + SVAD_ACCEL_REG_STOP_ALL_SEQ);

	if (seq != d->stop_all_seq && !d->stopping_all) {
		d->stops++;
		d->stopping_all = true;
	}
	if (!d->stopping_all || d->faults.stop_ignore || d->faults.stop_fail)
		return false;
	for (uint32_t i = 0; i < d->top; i++)
		slot_stop_begin(&d->slots[i]);
	for (uint32_t i = 0; i < d->top; i++)
		if (d->slots[i].stopping)
			return true;
	d->stopping_all = false;
	d->stop_all_seq = seq;
	store32(d->regs + SVAD_ACCEL_REG_STOP_ALL_ACK, seq);
	accel_raise(d);
	return true;
}

static bool poll_slots(struct accel *d)
{
	const bool all = d->polls++ % SCAN_ALL_EVERY == 0;
	const uint32_t end = all || d->opt.slots - d->top < SCAN_MARGIN ? d->opt.slots : d->top + SCAN_MARGIN;
	bool any = false;

	for (uint32_t i = 0; i < end; i++) {
		const uint8_t *r = slot_regs(&d->slots[i]);

		if (load32(r + SVAD_ACCEL_SLOT_SEQ) == load32(r + SVAD_ACCEL_SLOT_ACK))
			continue;
		any = true;
		slot_command(&d->slots[i]);
	}
	for (uint32_t i = 0; i < d->top; i++) {
		struct slot *s = &d->slots[i];

		if (s->run == RUN_REST && s->state == SVAD_ACCEL_S_ENABLED && slot_latch(s)) {
			slot_ready(s);
			any = true;
		}
	}
	return any;
}

static void update(struct accel *d, uint32_t reg, uint64_t v)
{
	if (load64(d->regs + reg) != v)
		store64(d->regs + reg, v);
}

bool accel_poll(struct accel *d)
{
	bool any = true;

	pthread_mutex_lock(&d->lock);
	if (d->gone) {
		any = false;
		if (!d->running && d->returning)
			power_on(d);
		else if (!d->running && !d->blank) {
			memset(d->regs, 0xff, SVAD_ACCEL_PORTAL_BASE + d->opt.slots * SVAD_ACCEL_PORTAL_SIZE);
			d->blank = true;
		}
	} else if (!poll_reset(d)) {
		any = poll_stop_all(d);
		any |= poll_slots(d);
		update(d, SVAD_ACCEL_REG_JOBS, d->jobs);
		update(d, SVAD_ACCEL_REG_BYTES, __atomic_load_n(&d->bytes, __ATOMIC_RELAXED));
		update(d, SVAD_ACCEL_REG_ERRORS, d->errors);
		store32(d->regs + SVAD_ACCEL_REG_BUSY, d->on_engine);
	}
	any |= d->running > d->held;
	pthread_mutex_unlock(&d->lock);
	return any;
}

/* ---- injected --------------------------------------------------------------------------------------------
 */

void accel_release(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	d->faults.hold = false;
	for (uint32_t i = 0; i < d->top; i++)
		if (d->slots[i].run == RUN_HELD)
			slot_ready(&d->slots[i]);
	pthread_mutex_unlock(&d->lock);
}

void accel_faults_off(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	memset(&d->faults, 0, sizeof(d->faults));
	d->stops = 0;
	pthread_mutex_unlock(&d->lock);
	accel_release(d);
}

void accel_vanish(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	if (!d->gone) {
		d->gone = true;
		kill_all(d);
	}
	pthread_mutex_unlock(&d->lock);
}

void accel_return(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	d->returning = d->gone;
	pthread_mutex_unlock(&d->lock);
}
