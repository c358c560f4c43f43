/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The world of the test that runs. */
#include "fixture.h"

#define TEST_SECONDS 60

struct world *w;
struct space sp;
char answer[CONTROL_LINE];

void fixture_world(const struct world_options *o)
{
	w = world_new(o);
	sp = world_space(w, 12, 16, WORLD_ASID);
}

void fixture_free(void)
{
	world_free(w);
}

const char *ask(const char *line)
{
	control_execute(&w->hw, line, answer, sizeof(answer), NULL);
	return answer;
}

uint16_t next_stag(void)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert(ev[1] >> 31 & 1);
	return (uint16_t)ev[1];
}

TCase *group(Suite *s, const char *name, void (*setup)(void), void (*teardown)(void))
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, TEST_SECONDS);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(s, tc);
	return tc;
}
