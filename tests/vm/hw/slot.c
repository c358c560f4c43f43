/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slot: its commands, its ring, and where it is. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../../kmod/svabroker.h"
#include "accel.h"
#include "log.h"

uint8_t *slot_regs(const struct slot *s)
{
	return s->dev->regs + SVAD_ACCEL_SLOT_BASE + s->index * SVAD_ACCEL_SLOT_SIZE;
}

uint8_t *slot_portal(const struct slot *s)
{
	return s->dev->regs + SVAD_ACCEL_PORTAL_BASE + s->index * SVAD_ACCEL_PORTAL_SIZE;
}

/* ---- where it is --------------------------------------------------------------------------------- */

void slot_ready(struct slot *s)
{
	struct accel *d = s->dev;

	if (s->run == RUN_REST)
		d->running++;
	if (s->run == RUN_HELD)
		d->held--;
	s->run = RUN_READY;
	s->next = NULL;
	*d->ready_tail = s;
	d->ready_tail = &s->next;
	pthread_cond_signal(&d->work);
}

void slot_rest(struct slot *s)
{
	if (s->run != RUN_REST)
		s->dev->running--;
	if (s->run == RUN_HELD)
		s->dev->held--;
	s->run = RUN_REST;
	s->kill = false;
	slot_quiet(s);
}

void slot_wake(struct waiter *w, enum answer a)
{
	struct slot *s = (struct slot *)w;

	pthread_mutex_lock(&s->dev->lock);
	s->answered = true;
	s->answer = a;
	if (s->run == RUN_STALLED)
		slot_ready(s);
	pthread_mutex_unlock(&s->dev->lock);
}

struct job *slot_job_begin(struct slot *s)
{
	struct job *j = s->job;
	uint8_t *a, *b;
	uint32_t gen;

	if (!j) {
		j = calloc(1, sizeof(*j));
		a = malloc(ACCEL_PIECE);
		b = malloc(ACCEL_PIECE);
		if (!j || !a || !b)
			abort(); /* the model is of no use without */
		s->job = j;
	} else {
		a = j->a;
		b = j->b;
	}
	pthread_mutex_lock(&s->dev->smmu->lock);
	gen = checker_job_begin(&s->dev->smmu->checker, s->dev->opt.sid, s->pasid);
	pthread_mutex_unlock(&s->dev->smmu->lock);
	if (!s->gen)
		s->gen = gen;
	*j = (struct job){ .phase = PHASE_FETCH, .gen = s->gen, .a = a, .b = b };
	j->at = s->ring_base + (uint64_t)(s->head & (s->ring_size - 1)) * sizeof(struct sva_demo_desc);
	s->has_job = true;
	return j;
}

void slot_job_end(struct slot *s)
{
	if (!s->has_job)
		return;
	s->has_job = false;
	s->answered = false;
	store32(slot_regs(s) + SVAD_ACCEL_SLOT_JOBS, 0);
	store32(slot_portal(s) + SVA_DEMO_REG_INFLIGHT, 0);
	pthread_mutex_lock(&s->dev->smmu->lock);
	checker_job_end(&s->dev->smmu->checker, s->dev->opt.sid, s->pasid);
	pthread_mutex_unlock(&s->dev->smmu->lock);
}

void slot_push_out(struct slot *s)
{
	struct accel *d = s->dev;

	switch (s->run) {
	case RUN_REST:
		s->kill = false;
		slot_quiet(s);
		break;
	case RUN_READY:
	case RUN_ENGINE:
		break; /* an engine will see it */
	case RUN_HELD:
		slot_ready(s);
		break;
	case RUN_STALLED:
		/* A stop that awaits its responses does just that. */
		if (!s->kill && (d->opt.features & SVAD_ACCEL_F_STOP_CLEAN))
			break;
		if (!stall_orphan(d->smmu, &s->waiter))
			break; /* answered, and about to be woken */
		if (!s->kill && job_abort(s->job, SVA_DEMO_ABORTED, 0) == JOB_MORE) {
			s->job->aborting = true;
			s->job->sent = false;
			slot_ready(s);
			break;
		}
		slot_job_end(s);
		slot_rest(s);
		break;
	case RUN_TRANSIT:
		/* An honest device knows what it has sent. */
		if (!d->gone && !d->faults.late_lie)
			break;
		transit_detach(s);
		s->job->sent = false;
		slot_ready(s);
		break;
	}
}

/* ---- ring ------------------------------------------------------------------------------------------ */

void slot_fault(struct slot *s, uint32_t code, uint64_t address)
{
	uint8_t *r = slot_regs(s);

	s->dev->n_faults++;
	store32(r + SVAD_ACCEL_SLOT_FAULT_CODE, code);
	store64(r + SVAD_ACCEL_SLOT_FAULT_ADDR, address);
	store32(r + SVAD_ACCEL_SLOT_FAULT_SEQ, load32(r + SVAD_ACCEL_SLOT_FAULT_SEQ) + 1);
	store64(s->dev->regs + SVAD_ACCEL_REG_FAULTS, s->dev->n_faults); /* before the interrupt */
	trace("%s slot %" PRIu32 " PASID %" PRIu32 " fault %" PRIu32 " at %#" PRIx64, s->dev->opt.name,
	      s->index, s->pasid, code, address);
	accel_raise(s->dev);
}

void slot_ring_fail(struct slot *s, uint32_t code, uint64_t address)
{
	s->ring_error = true; /* until the program disables the ring */
	store32(slot_portal(s) + SVA_DEMO_REG_ERROR, code);
	slot_fault(s, code, address);
}

bool slot_latch(struct slot *s)
{
	uint8_t *p = slot_portal(s);
	uint32_t doorbell, size;
	uint64_t base;

	if (s->state != SVAD_ACCEL_S_ENABLED || s->stopping)
		return false;
	if (!load32(p + SVA_DEMO_REG_ENABLE)) {
		if (s->ring_on || s->ring_error) {
			store32(p + SVA_DEMO_REG_ERROR, 0);
			store32(p + SVA_DEMO_REG_HEAD, 0);
		}
		s->ring_on = s->ring_error = false;
		s->head = 0;
		return false;
	}
	if (s->ring_error)
		return false;
	base = load64(p + SVA_DEMO_REG_RING_BASE);
	size = load32(p + SVA_DEMO_REG_RING_SIZE);
	if (!s->ring_on || s->ring_base != base || s->ring_size != size) {
		if (size < 2 || size > SVA_DEMO_RING_MAX || (size & (size - 1)) || base % 8 ||
		    base + (uint64_t)size * sizeof(struct sva_demo_desc) < base) {
			slot_ring_fail(s, SVAB_FAULT_RING, base);
			return false;
		}
		s->ring_base = base;
		s->ring_size = size;
		s->ring_on = true;
	}
	doorbell = load32(p + SVA_DEMO_REG_DOORBELL);
	if (doorbell - s->head > size) {
		slot_ring_fail(s, SVAB_FAULT_RING, base);
		return false;
	}
	return doorbell != s->head;
}

/* ---- commands --------------------------------------------------------------------------------------- */

static void acknowledge(struct slot *s, uint32_t status)
{
	uint8_t *r = slot_regs(s);

	store32(r + SVAD_ACCEL_SLOT_STATE, s->state);
	store32(r + SVAD_ACCEL_SLOT_STATUS, status);
	store32(r + SVAD_ACCEL_SLOT_ACK, load32(r + SVAD_ACCEL_SLOT_SEQ));
	s->obey_at = 0;
	trace("%s slot %" PRIu32 " PASID %" PRIu32 " command %" PRIu32 " status %" PRIu32 " state %" PRIu32,
	      s->dev->opt.name, s->index, s->pasid, load32(r + SVAD_ACCEL_SLOT_CMD), status, s->state);
	accel_raise(s->dev);
}

static void portal_reset(struct slot *s, bool on)
{
	uint8_t *p = slot_portal(s);

	memset(p, 0, SVAD_ACCEL_PORTAL_SIZE);
	s->ring_on = s->ring_error = false;
	s->head = 0;
	if (!on)
		return;
	store32(p + SVA_DEMO_REG_VERSION, SVA_DEMO_VERSION);
	store32(p + SVA_DEMO_REG_OPS, load32(s->dev->regs + SVAD_ACCEL_REG_OPS));
	store32(p + SVA_DEMO_REG_MAGIC, SVA_DEMO_MAGIC);
}

static void set_state(struct slot *s, uint32_t state)
{
	s->state = state;
	store32(slot_regs(s) + SVAD_ACCEL_SLOT_STATE, state);
}

static void enable(struct slot *s)
{
	struct owner *o;

	if (s->state != SVAD_ACCEL_S_IDLE) {
		acknowledge(s, SVAD_ACCEL_E_STATE);
		return;
	}
	s->pasid = load32(slot_regs(s) + SVAD_ACCEL_SLOT_PASID);
	pthread_mutex_lock(&s->dev->smmu->lock);
	o = checker_owner(&s->dev->smmu->checker, s->dev->opt.sid, s->pasid);
	s->gen = o && o->live ? o->gen : 0; /* 0: whoever owns the PASID when it is first used */
	pthread_mutex_unlock(&s->dev->smmu->lock);
	if (s->dev->top <= s->index)
		s->dev->top = s->index + 1;
	portal_reset(s, true);
	set_state(s, SVAD_ACCEL_S_ENABLED);
	acknowledge(s, 0);
}

void slot_quiet(struct slot *s)
{
	uint8_t *r = slot_regs(s);

	if (!s->stopping)
		return;
	s->stopping = false;
	set_state(s, SVAD_ACCEL_S_STOPPED);
	if (load32(r + SVAD_ACCEL_SLOT_SEQ) != load32(r + SVAD_ACCEL_SLOT_ACK) &&
	    load32(r + SVAD_ACCEL_SLOT_CMD) == SVAD_ACCEL_CMD_STOP)
		acknowledge(s, 0);
}

void slot_stop_begin(struct slot *s)
{
	if (s->stopping || s->state != SVAD_ACCEL_S_ENABLED)
		return;
	s->stopping = true;
	set_state(s, SVAD_ACCEL_S_STOPPING);
	slot_push_out(s);
}

static void stop(struct slot *s)
{
	struct accel *d = s->dev;
	const uint32_t seq = load32(slot_regs(s) + SVAD_ACCEL_SLOT_SEQ);

	if (!(d->opt.features & SVAD_ACCEL_F_STOP) || s->state == SVAD_ACCEL_S_IDLE) {
		acknowledge(s, SVAD_ACCEL_E_STATE);
		return;
	}
	if (s->stop_seen != seq) {
		s->stop_seen = seq;
		d->stops++;
	}
	if (s->state == SVAD_ACCEL_S_STOPPED) {
		acknowledge(s, 0);
		return;
	}
	if (d->faults.stop_fail) {
		acknowledge(s, SVAD_ACCEL_E_STOP);
		return;
	}
	if (d->faults.stop_ignore || d->faults.stop_ignore_one)
		return;
	if (d->faults.stop_delay_ms) {
		if (!s->obey_at)
			s->obey_at = now_ns() + d->faults.stop_delay_ms * UINT64_C(1000000);
		if (now_ns() < s->obey_at)
			return;
	}
	slot_stop_begin(s);
}

static void disable(struct slot *s)
{
	const bool may = s->state == SVAD_ACCEL_S_STOPPED ||
			 (s->state == SVAD_ACCEL_S_ENABLED && !(s->dev->opt.features & SVAD_ACCEL_F_STOP));

	if (!may) {
		acknowledge(s, SVAD_ACCEL_E_STATE);
		return;
	}
	if (s->run != RUN_REST) {
		/* Its last status has been written, the engine is about to let go: that is not outstanding
		 * work. */
		if ((s->run == RUN_ENGINE || s->run == RUN_READY) &&
		    !load32(slot_regs(s) + SVAD_ACCEL_SLOT_JOBS) &&
		    load32(slot_portal(s) + SVA_DEMO_REG_DOORBELL) == s->head)
			return;
		acknowledge(s, SVAD_ACCEL_E_BUSY);
		return;
	}
	portal_reset(s, false);
	set_state(s, SVAD_ACCEL_S_IDLE);
	s->gen = 0;
	acknowledge(s, 0);
}

void slot_command(struct slot *s)
{
	const uint8_t *r = slot_regs(s);

	if (load32(r + SVAD_ACCEL_SLOT_SEQ) == load32(r + SVAD_ACCEL_SLOT_ACK) || s->stopping)
		return;
	switch (load32(r + SVAD_ACCEL_SLOT_CMD)) {
	case SVAD_ACCEL_CMD_ENABLE:
		enable(s);
		break;
	case SVAD_ACCEL_CMD_STOP:
		stop(s);
		break;
	case SVAD_ACCEL_CMD_DISABLE:
		disable(s);
		break;
	default:
		acknowledge(s, SVAD_ACCEL_E_STATE);
	}
}

void slot_reset(struct slot *s)
{
	uint8_t *r = slot_regs(s);
	const bool owed = load32(r + SVAD_ACCEL_SLOT_SEQ) != load32(r + SVAD_ACCEL_SLOT_ACK);

	s->stopping = false;
	s->obey_at = 0;
	s->gen = 0;
	if (s->state != SVAD_ACCEL_S_IDLE)
		portal_reset(s, false);
	set_state(s, SVAD_ACCEL_S_IDLE);
	if (owed)
		acknowledge(s, 0); /* a stop that was asked for: it has stopped */
}
