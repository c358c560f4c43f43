/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_FIXTURE_H
#define VM_HW_FIXTURE_H
/* What the suites of the model have in common: the world of the test that runs, made by the suite's setup. */
#include "control.h"
#include "world.h"

extern struct world *w;
extern struct space sp; /* the address space of WORLD_SSID, once the setup has made it */

/* world_new() and an empty space. */
void fixture_world(const struct world_options *o);
void fixture_free(void);
extern char answer[CONTROL_LINE];
const char *ask(const char *line); /* the control channel's answer */
uint16_t next_stag(void); /* the next event is of a stall: its tag */
/* A group of tests, each in a world of its own. */
TCase *group(Suite *s, const char *name, void (*setup)(void), void (*teardown)(void));

#endif
