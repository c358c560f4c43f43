/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions between the device and the SMMU, when an injected fault makes that way a long one. */
#include <stdlib.h>
#include <string.h>

#include "accel.h"

struct transit {
	struct accel *dev;
	struct slot *slot;    /* NULL: on its own */
	struct access access; /* ... with data of its own */
};

static void transit_free(void *arg)
{
	struct transit *t = arg;

	if (!t->slot)
		free(t->access.data);
	free(t);
}

static void arrive(void *arg)
{
	struct transit *t = arg;
	struct slot *s;

	pthread_mutex_lock(&t->dev->lock);
	s = t->slot;
	if (s) {
		s->transit = NULL;
		s->job->sent = true;
		slot_ready(s);
	}
	pthread_mutex_unlock(&t->dev->lock);
	if (!s)
		smmu_access(t->dev->smmu, &t->access);
	transit_free(t);
}

bool transit_begin(struct slot *s, const struct access *a, unsigned ms)
{
	struct transit *t = malloc(sizeof(*t));

	if (!t)
		return false;
	*t = (struct transit){ .dev = s->dev, .slot = s, .access = *a };
	s->transit = t;
	s->run = RUN_TRANSIT;
	if (!timers_add(s->dev->timers, ms, arrive, t, transit_free))
		return true;
	s->transit = NULL;
	s->run = RUN_ENGINE;
	free(t);
	return false;
}

void transit_detach(struct slot *s)
{
	struct transit *t = s->transit;
	void *data = malloc(t->access.len);

	if (!data)
		abort(); /* the model is of no use without */
	if (t->access.write)
		memcpy(data, t->access.data, t->access.len);
	t->access.data = data;
	t->access.waiter = NULL;
	t->slot = NULL;
	s->transit = NULL;
}
