/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Engines: they take slots from the ready queue in turn and make their accesses. */
#include <inttypes.h>
#include <time.h>

#include "../../../kmod/svabroker.h"
#include "accel.h"

enum turn { TURN_GO_ON, TURN_OVER };

static bool data_phase(const struct job *j)
{
	return j->phase == PHASE_READ || j->phase == PHASE_READ_OTHER || j->phase == PHASE_WRITE;
}

/* ---- outcomes. Device's lock ------------------------------------------------------------------------ */

static void job_over(struct slot *s)
{
	struct accel *d = s->dev;
	const uint32_t status = s->job->completion.status;

	if (status == SVA_DEMO_OK)
		d->jobs++;
	else if (status != SVA_DEMO_ABORTED)
		d->errors++;
	slot_job_end(s);
}

static void made(struct slot *s, uint32_t len)
{
	struct accel *d = s->dev;
	struct job *j = s->job;
	const enum phase before = j->phase;

	if (data_phase(j))
		d->pages++;
	if (job_advance(d, j, len) == JOB_DONE) {
		job_over(s);
		return;
	}
	if (before == PHASE_FETCH && j->phase != PHASE_FETCH) {
		s->head++;
		store32(slot_regs(s) + SVAD_ACCEL_SLOT_JOBS, 1);
		store32(slot_portal(s) + SVA_DEMO_REG_INFLIGHT, 1);
		store32(slot_portal(s) + SVA_DEMO_REG_HEAD, s->head);
		if (j->phase == PHASE_RECORD && j->completion.status == SVA_DEMO_BAD_DESCRIPTOR)
			slot_fault(s, SVAB_FAULT_DESCRIPTOR, j->at);
	}
	if (j->phase == PHASE_STATUS) {
		/* Whoever sees the status may say that nothing is outstanding. */
		store32(slot_regs(s) + SVAD_ACCEL_SLOT_JOBS, 0);
		store32(slot_portal(s) + SVA_DEMO_REG_INFLIGHT, 0);
	}
}

static void refused(struct slot *s, uint64_t va, uint8_t event, bool off)
{
	const bool permission = event == F_PERMISSION;
	struct job *j = s->job;

	if (j->phase == PHASE_FETCH || off) {
		/* Nothing more can come of this ring. */
		slot_ring_fail(s, off ? SVAB_FAULT_MM_GONE : SVAB_FAULT_RING, va);
		if (j->phase != PHASE_FETCH)
			s->dev->errors++;
		slot_job_end(s);
		return;
	}
	slot_fault(s, permission ? SVAB_FAULT_PERMISSION : SVAB_FAULT_UNMAPPED, va);
	if (job_abort(j, permission ? SVA_DEMO_FAULT_PERMISSION : SVA_DEMO_FAULT_UNMAPPED, va) == JOB_DONE) {
		s->dev->errors++;
		slot_job_end(s);
	}
}

/* ---- before an access. Device's lock ------------------------------------------------------------------ */

/* A stop was asked for. True: the job goes on for now. */
static bool stopping(struct slot *s)
{
	struct job *j = s->job;

	if (j->sent || j->aborting)
		return true; /* what was sent arrives first; what is being aborted finishes its record */
	j->aborting = true;
	if (!data_phase(j) && j->phase != PHASE_FETCH)
		return true;
	if (job_abort(j, SVA_DEMO_ABORTED, 0) == JOB_MORE)
		return true;
	slot_job_end(s);
	return false;
}

/* True: an injected fault has put the slot aside. */
static bool put_aside(struct slot *s, const struct access *a)
{
	struct accel *d = s->dev;
	struct job *j = s->job;

	if (j->sent || !a->len)
		return false;
	if (d->faults.hold && !s->stopping && data_phase(j)) {
		if (!d->faults.hold_after) {
			s->run = RUN_HELD;
			d->held++;
			return true;
		}
		d->faults.hold_after--;
	}
	return d->faults.late_ms && transit_begin(s, a, d->faults.late_ms);
}

static void nap_us(unsigned us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

	nanosleep(&ts, NULL);
}

/* ---- one access ---------------------------------------------------------------------------------------- */

/* Device's lock, given up for the access itself. */
static enum turn step(struct slot *s)
{
	struct accel *d = s->dev;
	enum access_result r;
	struct job *j = s->job;
	struct access a;
	unsigned pace;

	if (s->kill) {
		slot_job_end(s);
		slot_rest(s);
		return TURN_OVER;
	}
	if (!s->has_job) {
		if (!slot_latch(s)) {
			slot_rest(s);
			return TURN_OVER;
		}
		j = slot_job_begin(s);
	}
	if (s->stopping && !stopping(s))
		return TURN_GO_ON;

	a = (struct access){
		.sid = d->opt.sid, .ssid = s->pasid, .ssv = true, .gen = j->gen, .waiter = &s->waiter
	};
	job_next_access(j, &a);
	if (s->answered) {
		s->answered = false;
		if (s->answer == ANSWER_ABORT) {
			refused(s, a.va, j->event, false);
			j->sent = false;
			return TURN_GO_ON;
		}
		if (s->answer == ANSWER_ZERO) {
			if (!a.write)
				__builtin_memset(a.data, 0, a.len);
			j->sent = false;
			made(s, a.len);
			return TURN_GO_ON;
		}
	}
	if (put_aside(s, &a)) {
		if (s->stopping || s->kill)
			slot_push_out(s);
		return TURN_OVER;
	}
	if (!a.len) {
		made(s, 0);
		return TURN_GO_ON;
	}
	pace = data_phase(j) && !s->stopping ? d->faults.pace_us : 0;

	pthread_mutex_unlock(&d->lock);
	if (pace)
		nap_us(pace);
	r = smmu_access(d->smmu, &a);
	pthread_mutex_lock(&d->lock);

	if (!s->gen)
		s->gen = j->gen = a.gen;
	j->sent = false;
	switch (r) {
	case ACCESS_OK:
	case ACCESS_ZERO:
		made(s, a.len);
		return TURN_GO_ON;
	case ACCESS_ABORT:
		refused(s, a.va, a.event, a.off);
		return TURN_GO_ON;
	case ACCESS_STALLED:
		break;
	}
	j->event = a.event;
	j->sent = true; /* it is the SMMU's now: an answer makes it go on there */
	if (s->answered)
		return TURN_GO_ON; /* already */
	s->run = RUN_STALLED;
	if (s->stopping || s->kill)
		slot_push_out(s);
	return TURN_OVER;
}

static void take_turn(struct accel *d, struct slot *s)
{
	s->run = RUN_ENGINE;
	d->on_engine++;
	for (unsigned n = 0; step(s) == TURN_GO_ON; n++)
		if (n >= ACCEL_SLICE && d->ready) {
			slot_ready(s);
			break;
		}
	d->on_engine--;
}

static struct slot *next_ready(struct accel *d)
{
	struct slot *s = d->ready;

	if (!s)
		return NULL;
	d->ready = s->next;
	if (!d->ready)
		d->ready_tail = &d->ready;
	return s;
}

bool accel_work_one(struct accel *d)
{
	struct slot *s;

	pthread_mutex_lock(&d->lock);
	s = next_ready(d);
	if (s)
		take_turn(d, s);
	pthread_mutex_unlock(&d->lock);
	return s;
}

void accel_work(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	while (!d->quit) {
		struct slot *s = next_ready(d);

		if (s)
			take_turn(d, s);
		else
			pthread_cond_wait(&d->work, &d->lock);
	}
	pthread_mutex_unlock(&d->lock);
}

void accel_quit(struct accel *d)
{
	pthread_mutex_lock(&d->lock);
	d->quit = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
}
