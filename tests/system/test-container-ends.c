/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A container ends in five ways: its process dies (pidfd), its memory goes or the device tells (device), the runtime's DEL, its GC, the reconciler.
 * Each alone, and each pair in both orders, one after the other and one while the other's drains are under way: every bond drains once, all become CLEAN,
 * and the later one finds it done.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netns-world.h"

#define CONFIG                                                                                                     \
	"[device \"sim0\"]\ndrain_deadline = 10min\n[device \"sim1\"]\ndrain_deadline = 10min\n[containers]\n"     \
	"reconcile = 0\n"

enum end { END_PIDFD, END_DEVICE, END_DEL, END_GC, END_RECONCILER, N_ENDS };

struct scene {
	struct box box;
	struct tenant tenant;
	char id[32];
	bool box_alive;
	int waits[2]; /* removals that are not answered yet */
	unsigned n_waits;
	unsigned stopping[TENANT_BONDS], clean[TENANT_BONDS];
	uint64_t drains;
};

static void scene_start(struct scene *s)
{
	static unsigned n;

	memset(s, 0, sizeof(*s));
	snprintf(s->id, sizeof(s->id), "c%u", ++n);
	box_start(&s->box);
	s->box_alive = true;
	ct_registered(&s->box, s->id);
	tenant_start(&s->tenant, &s->box, "sim0 sim1");
	sys_await_counter("svad_bonds", TENANT_BONDS);
	s->drains = sys_counter("svad_drains_total");
	sys_drop_events();
}

static void trigger(struct scene *s, enum end end)
{
	struct tenant *t = &s->tenant;

	switch (end) {
	case END_PIDFD:
		tenant_kill(t);
		break;
	case END_DEVICE:
		if (t->alive && !t->execed) {
			tenant_exec(t);
		} else {
			ck_assert_uint_eq(sys_code(sys_reset("sim0")), SVAD_OK);
			ck_assert_uint_eq(sys_code(sys_reset("sim1")), SVAD_OK);
		}
		break;
	case END_DEL:
	case END_GC:
		s->waits[s->n_waits++] = ct_remove_send("net", s->id, "eth0", 0, end == END_DEL ? "cni" : "gc");
		break;
	case END_RECONCILER:
		if (t->alive && !t->execed)
			tenant_leave(t);
		else
			tenant_kill(t);
		box_kill(&s->box);
		s->box_alive = false;
		(void)ct_reconcile();
		break;
	case N_ENDS:
		break;
	}
}

static void count(struct scene *s, const Svad__V1__Event *event)
{
	for (unsigned i = 0; i < TENANT_BONDS; i++) {
		if (event->bond != s->tenant.bonds[i])
			continue;
		s->stopping[i] += event->kind == SVAD__V1__EVENT_KIND__EVENT_STOPPING;
		s->clean[i] += event->kind == SVAD__V1__EVENT_KIND__EVENT_CLEAN;
		MUST(event->kind != SVAD__V1__EVENT_KIND__EVENT_QUARANTINED);
		if (event->kind == SVAD__V1__EVENT_KIND__EVENT_CLEAN && strcmp(event->container, s->id) != 0)
			sys_fail(__FILE__, __LINE__, "bond's end is told of container '%s'", event->container);
	}
}

static void await(struct scene *s, unsigned *counts)
{
	while (!counts[0] || !counts[1]) {
		const Svad__V1__Event *event = sys_next_event(sys_ms(10000));

		MUST(event != NULL);
		count(s, event);
	}
}

/* Until svad has read that the container is to be removed: it is another connection that is waited for then. */
static void await_asked(struct scene *s)
{
	const Svad__V1__Event *event;

	do {
		event = sys_next_event(sys_ms(10000));
		MUST(event != NULL);
		count(s, event);
	} while (event->kind != SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED);
}

static bool by_removal(enum end end)
{
	return end == END_DEL || end == END_GC || end == END_RECONCILER;
}

/* What the removal is answered: of these bonds, all are CLEAN, and who was first is named. */
static void answered(struct scene *s, unsigned ended, enum end first)
{
	while (s->n_waits) {
		const Svad__V1__Reply *reply = ct_remove_receive(s->waits[--s->n_waits]);
		const Svad__V1__RemoveContainerReply *r = reply->remove_container;

		MUST_EQ(sys_code(reply), SVAD_OK);
		MUST(r->known);
		MUST_EQ(r->pending, 0);
		MUST_EQ(r->quarantined, 0);
		MUST_EQ(r->ended, ended);
		MUST_EQ(r->clean, ended);
		MUST_EQ(r->n_bonds, ended);
		MUST_EQ(r->attachments_left, 0);
		for (unsigned i = 0; i < ended; i++) {
			MUST_EQ((int)r->bonds[i]->state, SVAB_PASID_CLEAN);
			MUST_EQ((int)r->bonds[i]->cause == SVAB_CAUSE_CONTAINER_GONE, by_removal(first));
		}
	}
}

static void scene_end(struct scene *s)
{
	const Svad__V1__Event *event;

	/* Whatever came first, the runtime's last word finds it done. */
	MUST_EQ(sys_code(ct_remove("net", s->id, "eth0", 0, "cni")), SVAD_OK);
	MUST(ct_find(s->id, false) == NULL);
	tenant_kill(&s->tenant);
	if (s->box_alive)
		box_kill(&s->box);
	sys_await_counter("svad_bonds", 0);
	sys_await_counter("svad_clients", 0);
	(void)ct_reconcile();
	MUST_EQ(sys_counter("svad_containers"), 0);
	MUST_EQ(sys_counter("svad_containers_removed"), 0);
	MUST_EQ(sys_counter("svad_drains_total"), s->drains + TENANT_BONDS);
	while ((event = sys_next_event(0)))
		count(s, event);
	for (unsigned i = 0; i < TENANT_BONDS; i++) {
		MUST_EQ(s->stopping[i], 1);
		MUST_EQ(s->clean[i], 1);
	}
}

START_TEST(test_alone)
{
	box_need();
	sys_start(CONFIG);
	for (int end = 0; end < N_ENDS; end++) {
		struct scene s;

		scene_start(&s);
		trigger(&s, (enum end)end);
		await(&s, s.clean);
		answered(&s, TENANT_BONDS, (enum end)end);
		scene_end(&s);
	}
	sys_stop();
}
END_TEST

/* The second comes when all is over. */
START_TEST(test_one_after_the_other)
{
	box_need();
	sys_start(CONFIG);
	for (int first = 0; first < N_ENDS; first++)
		for (int second = 0; second < N_ENDS; second++) {
			struct scene s;

			if (first == second)
				continue;
			scene_start(&s);
			trigger(&s, (enum end)first);
			await(&s, s.clean);
			answered(&s, TENANT_BONDS, (enum end)first);
			/* The client goes once its contexts have. */
			trigger(&s, (enum end)second);
			answered(&s, by_removal((enum end)first) ? TENANT_BONDS : 0, (enum end)first);
			scene_end(&s);
		}
	sys_stop();
}
END_TEST

/* The second comes while the first one's drains are under way: the devices let themselves be waited for. */
START_TEST(test_one_into_the_other)
{
	box_need();
	sys_start(CONFIG);
	for (int first = 0; first < N_ENDS; first++)
		for (int second = 0; second < N_ENDS; second++) {
			struct scene s;

			if (first == second)
				continue;
			scene_start(&s);
			sys_fault_ok("stop sim0 ignore forever");
			sys_fault_ok("stop sim1 ignore forever");
			trigger(&s, (enum end)first);
			await(&s, s.stopping);
			trigger(&s, (enum end)second);
			if (by_removal((enum end)second) && !by_removal((enum end)first))
				await_asked(&s);
			sys_fault_ok("stop sim0 obey");
			sys_fault_ok("stop sim1 obey");
			await(&s, s.clean);
			answered(&s, TENANT_BONDS, (enum end)first);
			scene_end(&s);
		}
	sys_stop();
}
END_TEST

static Suite *ends_suite(void)
{
	Suite *s = suite_create("container-ends");

	sys_test(s, "alone", test_alone);
	sys_test(s, "one-after-the-other", test_one_after_the_other);
	sys_test(s, "one-into-the-other", test_one_into_the_other);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, ends_suite, NULL);
}
