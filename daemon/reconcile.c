/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "log.h"

#define SUSPECT_LOOKS 3u /* a container's processes do not all die at once */
#define SUSPECT_FIRST_MS 200u
#define SUSPECT_NEXT_MS 1000u
#define ANSWER_MS 30000u /* the supervisor has a deadline of its own, which is shorter */
#define NAMES_MAX 256u
#define BY "reconciler"

/* What was asked for, so that what has been registered anew meanwhile is not taken for what was found dead.
 */
struct asked {
	uint64_t id, generation;
};

struct reconcile {
	struct broker *broker;
	uv_timer_t timer;
	struct list waiters; /* for the look under way */
	struct list next;    /* for the one after it */
	bool active;
	bool full; /* the look under way is at all of them */
	uint64_t number;
	uint64_t full_due_ns;	 /* 0: never by itself */
	uint64_t suspect_due_ns; /* 0: there is none */
	uint64_t answer_due_ns;
	struct asked *asked;
	size_t n_asked;
};

static void on_timer(uv_timer_t *timer);
static void begin(struct reconcile *r);

static uint64_t interval_ns(const struct reconcile *r)
{
	return r->broker->config ? r->broker->config->reconcile_ms * UINT64_C(1000000) : 0;
}

static void schedule(struct reconcile *r)
{
	uint64_t at = UINT64_MAX, now = now_ns();

	if (r->active)
		at = r->answer_due_ns;
	else if (!list_empty(&r->next))
		at = now;
	else if (r->full_due_ns)
		at = r->full_due_ns;
	if (!r->active && r->suspect_due_ns && r->suspect_due_ns < at)
		at = r->suspect_due_ns;
	if (at == UINT64_MAX)
		uv_timer_stop(&r->timer);
	else
		uv_timer_start(&r->timer, on_timer, at > now ? (at - now) / 1000000u + 1 : 0, 0);
}

/* ---- the question ---- */

struct gather {
	struct reconcile *r;
	unsigned char *bytes;
	size_t len, room, asked_room;
	bool failed;
};

static void *room_for(struct gather *g, size_t size)
{
	if (g->room - g->len < size) {
		size_t room = (g->room + size) * 2;
		unsigned char *more = realloc(g->bytes, room);

		if (!more)
			return NULL;
		g->bytes = more;
		g->room = room;
	}
	g->len += size;
	return g->bytes + g->len - size;
}

static int gather_one(struct container *c, void *userdata)
{
	struct gather *g = userdata;
	struct reconcile *r = g->r;
	struct chan_scan e = {
		.id = c->id,
		.dev = c->netns_dev,
		.inode = c->netns_inode,
		.cookie = c->cookie,
		.path_len = (uint32_t)strlen(c->netns_path),
	};
	unsigned char *at;

	if (!r->full && !c->suspect)
		return 0;
	/* Without its inode there is nothing to look for. */
	if (!c->netns_inode || c->netns_dead)
		return 0;
	if (e.path_len > CHAN_SCAN_PATH_MAX)
		e.path_len = 0;
	/* Its first process may not have got there yet. */
	if (now_ns() - c->since_ns < interval_ns(r))
		e.pid = c->pid;
	if (r->n_asked == g->asked_room) {
		size_t room = g->asked_room ? g->asked_room * 2 : 16;
		struct asked *more = reallocarray(r->asked, room, sizeof(*more));

		if (!more)
			return g->failed = true, -ENOMEM;
		r->asked = more;
		g->asked_room = room;
	}
	at = room_for(g, sizeof(e) + ((e.path_len + 7u) & ~7u));
	if (!at)
		return g->failed = true, -ENOMEM;
	memset(at, 0, sizeof(e) + ((e.path_len + 7u) & ~7u));
	memcpy(at, &e, sizeof(e));
	memcpy(at + sizeof(e), c->netns_path, e.path_len);
	r->asked[r->n_asked++] = (struct asked){ c->id, c->generation };
	return 0;
}

/* ---- the answer ---- */

const char *reconcile_why(int error)
{
	switch (error) {
	case EPERM:
		return "svad may not look at the namespaces of all processes: it takes CAP_SYS_PTRACE, which "
		       "its systemd unit gives it, and no security module that forbids it";
	case ETIMEDOUT:
		return "the look at all processes did not end in time; the log names it";
	case EBUSY:
		return "an earlier look has not ended yet; try again in a moment";
	case ESHUTDOWN:
		return "svad is stopping";
	default:
		return strerror(error);
	}
}

static void finish(struct reconcile *r, int error, const struct reconciled *result)
{
	static const struct reconciled nothing;
	struct list waiters, *pos, *tmp;

	if (error)
		r->broker->counters.reconcile_failing = 1;
	else if (r->n_asked)
		r->broker->counters.reconcile_failing = 0;
	r->broker->counters.reconciles += !error && r->n_asked;
	r->active = false;
	r->n_asked = 0;
	/* Those that come while these are told are the next look's. */
	list_init(&waiters);
	list_for_each_safe(pos, tmp, &r->waiters) {
		list_remove(pos);
		list_append(&waiters, pos);
	}
	while (!list_empty(&waiters)) {
		struct reconcile_waiter *w = container_of(waiters.next, struct reconcile_waiter, link);

		list_remove(&w->link);
		w->done(w, error, error ? &nothing : result);
	}
	schedule(r);
}

struct bury {
	const struct asked *asked;
	size_t n_asked;
	const uint64_t *dead; /* in the order of asking, which is by id; so are the containers */
	uint32_t n_dead;
	struct reconciled result;
	const char *names[NAMES_MAX];
	struct container *held[NAMES_MAX];
};

static int bury_one(struct container *c, void *userdata)
{
	struct bury *b = userdata;
	bool was_active = c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;

	while (b->n_dead && *b->dead < c->id)
		b->dead++, b->n_dead--;
	while (b->n_asked && b->asked->id < c->id)
		b->asked++, b->n_asked--;
	if (!b->n_dead || *b->dead != c->id || !b->n_asked || b->asked->id != c->id ||
	    b->asked->generation != c->generation)
		return 0;
	if (was_active) {
		if (b->result.n_names < NAMES_MAX) {
			b->held[b->result.n_names] = container_ref(c);
			b->names[b->result.n_names++] = c->name;
		}
		b->result.removed++;
	}
	container_netns_dead(c, BY);
	return 0;
}

static int unsuspect_one(struct container *c, void *userdata)
{
	struct reconcile *r = userdata;

	if (c->suspect && --c->suspect)
		r->suspect_due_ns = now_ns() + SUSPECT_NEXT_MS * UINT64_C(1000000);
	return 0;
}

void reconcile_answer(struct broker *broker, uint64_t number, const void *payload, size_t len)
{
	struct reconcile *r = broker->reconcile;
	const struct chan_scanned *s = payload;
	static uint64_t dead[CHAN_SCANNED_MAX]; /* one thread; and the payload is not aligned for it */
	struct bury b = { 0 };
	static int said;
	int error;

	if (!r->active || number != r->number)
		return;
	error = len < sizeof(*s) ? EBADMSG : s->error;
	if (!error && (s->n > CHAN_SCANNED_MAX || len != sizeof(*s) + s->n * sizeof(s->dead[0])))
		error = EBADMSG;
	if (error && error != said)
		log_warning("Dead network namespaces cannot be found: %s", reconcile_why(error));
	said = error;
	if (!error) {
		b.asked = r->asked;
		b.n_asked = r->n_asked;
		b.dead = dead;
		b.n_dead = s->n;
		memcpy(dead, (const char *)payload + sizeof(*s), s->n * sizeof(dead[0]));
		b.result.looked_at = (uint32_t)r->n_asked;
		b.result.names = b.names;
		container_each(broker, bury_one, &b);
	}
	container_each(broker, unsuspect_one, r);
	finish(r, error, &b.result);
	for (size_t i = 0; i < b.result.n_names; i++)
		container_put(b.held[i]);
}

/* ---- when ---- */

static void begin(struct reconcile *r)
{
	struct gather g = { .r = r };
	uint64_t now = now_ns();
	struct list *pos, *tmp;
	int fd, e;

	/* All of them when somebody asks, or it is time; else those that may just have died. */
	r->full = !list_empty(&r->next) || (r->full_due_ns && now >= r->full_due_ns);
	if (r->full && interval_ns(r))
		r->full_due_ns = now + interval_ns(r);
	r->suspect_due_ns = 0;
	list_for_each_safe(pos, tmp, &r->next) {
		list_remove(pos);
		list_append(&r->waiters, pos);
	}
	r->active = true;
	r->n_asked = 0;
	r->answer_due_ns = now + ANSWER_MS * UINT64_C(1000000);
	container_each(r->broker, gather_one, &g);
	if (g.failed) {
		free(g.bytes);
		finish(r, ENOMEM, NULL);
		return;
	}
	if (!r->n_asked) {
		struct reconciled none = { 0 };

		free(g.bytes);
		finish(r, 0, &none);
		return;
	}
	fd = chan_memfd("svad-netns", g.bytes, g.len);
	free(g.bytes);
	e = fd < 0 ? fd : chan_send(r->broker->chan, CHAN_NETNS_SCAN, ++r->number, NULL, 0, &fd, 1);
	if (fd >= 0)
		close(fd);
	if (e < 0)
		finish(r, -e, NULL);
	else
		schedule(r);
}

static void on_timer(uv_timer_t *timer)
{
	struct reconcile *r = container_of(timer, struct reconcile, timer);

	if (!r->active) {
		begin(r);
	} else if (now_ns() >= r->answer_due_ns) {
		r->number++; /* its answer is nobody's any more */
		finish(r, ETIMEDOUT, NULL);
	} else {
		schedule(r);
	}
}

int reconcile_init(struct broker *broker)
{
	struct reconcile *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->broker = broker;
	list_init(&r->waiters);
	list_init(&r->next);
	uv_timer_init(&broker->loop, &r->timer);
	broker->reconcile = r;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct reconcile *r = container_of((uv_timer_t *)handle, struct reconcile, timer);

	free(r->asked);
	free(r);
}

void reconcile_stop(struct broker *broker)
{
	struct reconcile *r = broker->reconcile;

	if (!r)
		return;
	broker->reconcile = NULL;
	uv_close((uv_handle_t *)&r->timer, on_closed);
}

void reconcile_configure(struct broker *broker)
{
	struct reconcile *r = broker->reconcile;

	r->full_due_ns = interval_ns(r) ? now_ns() + interval_ns(r) : 0;
	schedule(r);
}

void reconcile_now(struct broker *broker, struct reconcile_waiter *waiter)
{
	struct reconcile *r = broker->reconcile;

	list_append(&r->next, &waiter->link);
	schedule(r);
}

void reconcile_cancel(struct reconcile_waiter *waiter)
{
	list_remove(&waiter->link);
}

void reconcile_suspect(struct container *container)
{
	struct reconcile *r = container->broker->reconcile;
	uint64_t at = now_ns() + SUSPECT_FIRST_MS * UINT64_C(1000000);

	if (!r || !interval_ns(r) || container->broker->ending)
		return;
	container->suspect = SUSPECT_LOOKS;
	/* Not sooner for the next one: those that die together are looked at together. */
	if (!r->suspect_due_ns) {
		r->suspect_due_ns = at;
		schedule(r);
	}
}
