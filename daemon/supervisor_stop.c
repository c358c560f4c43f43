/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end, in order: the broker stops accepting, drains, says what would not drain, and exits; then the
 * device; then we. Each step has a deadline; a second SIGTERM does not shorten any, because what it would cut
 * short is somebody's DMA.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "log.h"
#include "notify.h"
#include "supervisor_private.h"

#define BROKER_GRACE_NS (2 * NS_PER_S) /* beyond the deadline that it was given */
#define DEVICE_DEADLINE_MS 1000u
#define DEVICE_GRACE_NS (2 * NS_PER_S)

static void stop_device(struct supervisor *s)
{
	struct child *device = &s->child[CHILD_SIMDEV];

	s->phase = PHASE_STOP_DEVICE;
	s->stop_deadline_ns = now_ns() + DEVICE_DEADLINE_MS * NS_PER_MS + DEVICE_GRACE_NS;
	if (device->pid <= 0)
		s->phase = PHASE_DONE;
	else
		child_send(device, CHAN_SHUTDOWN, DEVICE_DEADLINE_MS, NULL, 0, NULL, 0);
}

void stop_begin(struct supervisor *s)
{
	struct child *broker = &s->child[CHILD_BROKER];

	if (s->phase != PHASE_RUN)
		return;
	notify_stopping();
	if (!s->failed) {
		notify_status("stopping: draining what is bound, for %u ms at most",
			      s->config->shutdown_deadline_ms);
		log_info("stopping: draining what is bound, for %u ms at most",
			 s->config->shutdown_deadline_ms);
	}
	s->phase = PHASE_STOP_BROKER;
	s->reload.again = false;
	reload_cancel(s, "svad is stopping");
	for (int i = 0; i < N_CHILDREN; i++)
		s->child[i].restart_ns = 0;

	s->stop_deadline_ns = now_ns() + s->config->shutdown_deadline_ms * NS_PER_MS + BROKER_GRACE_NS;
	if (broker->pid > 0) {
		child_send(broker, CHAN_SHUTDOWN, s->config->shutdown_deadline_ms, NULL, 0, NULL, 0);
		return;
	}
	/* It had never been ready: nobody was ever bound. Else: nobody is there who could say. */
	if (!s->announced)
		s->drained_known = true;
	else
		log_write(LOG_WARNING, SVAD_MSG_UNDRAINED,
			  "the broker is not running, so nothing can be drained in order; %s",
			  s->config->backend == BACKEND_KMOD
				  ? "the kernel module drains each bond when its process ends or lets go"
				  : "the device ends all bonds");
	stop_device(s);
}

void stop_done(struct supervisor *s, uint64_t undrained, const char *text)
{
	if (s->phase == PHASE_RUN)
		return;
	s->drained_known = true;
	s->undrained = undrained;
	if (undrained == 0)
		return;
	log_write(LOG_WARNING, SVAD_MSG_UNDRAINED, "%" PRIu64 " bonds would not drain:", undrained);
	while (*text) {
		int n = (int)strcspn(text, "\n");

		if (n > 0)
			log_write(LOG_WARNING, SVAD_MSG_UNDRAINED, "would not drain: %.*s", n, text);
		text += n + (text[n] == '\n');
	}
	notify_status("stopping: %" PRIu64 " bonds would not drain", undrained);
}

void stop_child_died(struct supervisor *s, enum child_kind kind)
{
	if (s->phase == PHASE_STOP_BROKER && kind == CHILD_BROKER) {
		if (!s->drained_known && !s->announced)
			s->drained_known = true;
		if (!s->drained_known)
			log_write(LOG_WARNING, SVAD_MSG_UNDRAINED,
				  "the broker ended before it could say whether all was drained");
		stop_device(s);
	} else if (s->phase == PHASE_STOP_DEVICE && kind == CHILD_SIMDEV) {
		s->phase = PHASE_DONE;
	}
}

void stop_tick(struct supervisor *s, uint64_t now)
{
	if (now < s->stop_deadline_ns)
		return;
	if (s->phase == PHASE_STOP_BROKER) {
		child_kill(&s->child[CHILD_BROKER], "did not finish by its deadline");
		s->stop_deadline_ns = UINT64_MAX; /* its SIGCHLD goes on from here */
	} else if (s->phase == PHASE_STOP_DEVICE) {
		child_kill(&s->child[CHILD_SIMDEV], "did not finish by its deadline");
		s->stop_deadline_ns = UINT64_MAX;
	}
}
