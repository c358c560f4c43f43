/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events: from the broker and from hang-ups of bonds, queued until the program dispatches. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"

static void drain_counter(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count)); /* eventfd or timerfd, non-blocking */

	(void)n;
}

void sva_timer_arm(struct sva *sva, int ms)
{
	struct itimerspec t = { 0 };

	if (ms > 0) {
		t.it_value.tv_sec = ms / 1000;
		t.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
	} else if (ms == 0) {
		t.it_value.tv_nsec = 1;
	}

	(void)timerfd_settime(sva->timer_fd, 0, &t, NULL);
}

void sva_event_push(struct sva *sva, struct sva_bond *bond, const struct sva_event *event)
{
	static const uint64_t one = 1;
	struct queued_event *q;
	ssize_t n;

	/* A program that never dispatches must not grow. Its bonds still know that they were revoked. */
	if (!sva->handler || (sva->n_events >= SVA_EVENTS_MAX && event->reason != SVA_REVOKED))
		return;
	q = malloc(sizeof(*q));
	if (!q)
		return;
	*q = (struct queued_event){ .bond = bond, .event = *event };
	q->event.size = sizeof(q->event);
	if (bond)
		bond->mem++;
	*sva->events_tail = q;
	sva->events_tail = &q->next;
	sva->n_events++;
	n = write(sva->wake_fd, &one, sizeof(one)); /* sva_fd() becomes readable whoever read the event */
	(void)n;
}

static struct queued_event *pop(struct sva *sva)
{
	struct queued_event *q = sva->events;

	if (!q)
		return NULL;
	sva->events = q->next;
	if (!q->next)
		sva->events_tail = &sva->events;
	if (--sva->n_events == 0)
		drain_counter(sva->wake_fd);
	return q;
}

void sva_events_clear(struct sva *sva)
{
	struct queued_event *q;

	while ((q = sva->events)) {
		sva->events = q->next;
		if (q->bond)
			sva_bond_unref_mem(q->bond);
		free(q);
	}
	sva->events_tail = &sva->events;
	sva->n_events = 0;
}

void sva_event_received(struct sva *sva, const Svad__V1__Event *event)
{
	struct sva_bond *bond;

	if (event->kind == SVAD__V1__EVENT_KIND__EVENT_LOST) {
		sva_bonds_check(sva); /* what was lost may have been a revocation */
		return;
	}
	bond = event->bond ? sva_bond_by_id(sva, event->bond) : NULL;
	if (!bond)
		return;

	switch (event->kind) {
	case SVAD__V1__EVENT_KIND__EVENT_STOPPING:
	case SVAD__V1__EVENT_KIND__EVENT_FLUSHED:
		sva_bond_mark_revoked(bond, (uint32_t)event->state, (uint32_t)event->cause);
		break;
	case SVAD__V1__EVENT_KIND__EVENT_CLEAN:
		bond->final = SVAB_PASID_CLEAN;
		sva_bond_mark_revoked(bond, SVAB_PASID_CLEAN, (uint32_t)event->cause);
		break;
	case SVAD__V1__EVENT_KIND__EVENT_QUARANTINED:
		bond->final = SVAB_PASID_QUARANTINED;
		sva_bond_mark_revoked(bond, SVAB_PASID_QUARANTINED, (uint32_t)event->cause);
		break;
	case SVAD__V1__EVENT_KIND__EVENT_FAULT:
		sva_event_push(sva, bond,
			       &(struct sva_event){
				       .reason = SVA_FAULT,
				       .state = (uint32_t)event->state,
				       .cause = (uint32_t)event->cause,
				       .address = event->address,
				       .code = event->code,
				       .pasid = bond->pasid,
			       });
		break;
	default:
		break;
	}
}

int sva_set_revoked_handler(struct sva *sva, sva_revoked_handler handler, void *userdata)
{
	if (!sva)
		return sva_fail(NULL, -EINVAL, "no connection was given");
	if (!sva_alive(sva))
		return sva_fail_owner(sva);
	pthread_mutex_lock(&sva->lock);
	sva->handler = handler;
	sva->userdata = userdata;
	if (!handler) {
		sva_events_clear(sva);
		drain_counter(sva->wake_fd);
	}
	pthread_mutex_unlock(&sva->lock);
	return 0;
}

int sva_fd(const struct sva *sva)
{
	if (!sva)
		return sva_fail(NULL, -EINVAL, "no connection was given");
	return sva_alive(sva) ? sva->epoll_fd : sva_fail_owner(sva);
}

/* Bonds that hung up since the last time, found through the epoll fd so that the cost is that of what
 * happened. */
static void check_hung_up(struct sva *sva)
{
	struct epoll_event found[32];
	int n = epoll_wait(sva->epoll_fd, found, 32, 0);

	for (int i = 0; i < n; i++) {
		struct sva_bond *bond;

		/* Small numbers are the connection's own fds; a bond's id may be one of these too, hence the
		 * pointer. */
		if (found[i].data.u64 < 16)
			continue;
		bond = found[i].data.ptr;
		sva_bond_mark_revoked(bond, SVAB_PASID_STOPPING, SVAB_CAUSE_NONE);
		if (!bond->hup_seen) { /* it would be reported for ever */
			bond->hup_seen = true;
			(void)epoll_ctl(sva->epoll_fd, EPOLL_CTL_DEL, bond->fd, NULL);
		}
	}
}

int sva_dispatch(struct sva *sva)
{
	struct queued_event *q;
	int delivered = 0;
	size_t budget;

	if (!sva)
		return sva_fail(NULL, -EINVAL, "no connection was given");
	if (!sva_alive(sva))
		return sva_fail_owner(sva);

	pthread_mutex_lock(&sva->lock);
	if (!sva->pumping) {
		sva_conn_read(sva, 64);
		if (sva->state == CONN_DOWN) {
			(void)sva_conn_try(sva);
			sva_conn_read(sva, 64);
		}
	}
	check_hung_up(sva); /* after the broker's events: those know the cause */

	/* What arrives meanwhile is the next call's. */
	for (budget = sva->n_events; budget > 0 && (q = pop(sva)); budget--) {
		sva_revoked_handler handler = sva->handler;
		void *userdata = sva->userdata;

		/* A bond that was unbound after its event was queued: nobody holds that handle any more. */
		if (handler && (!q->bond || atomic_load(&q->bond->refs) > 0)) {
			pthread_mutex_unlock(&sva->lock);
			handler(sva, q->bond, &q->event, userdata);
			pthread_mutex_lock(&sva->lock);
			delivered++;
		}
		if (q->bond)
			sva_bond_unref_mem(q->bond);
		free(q);
	}
	pthread_mutex_unlock(&sva->lock);
	return delivered;
}
