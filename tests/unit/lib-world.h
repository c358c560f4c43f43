/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_LIB_WORLD_H
#define SVAD_TESTS_LIB_WORLD_H
/* What the tests of libsvaclient stand in: a fake svad, and connections to it. */
#include <sva/sva.h>

#include "fake-svad.h"
#include "tap.h"

extern struct fake fake;

void world_setup(void);
void world_teardown(void); /* nothing may be left: not here, and not at the fake device */

/* Calls that are answered have much time; what shall time out is asked on another connection, with little, where what is
 * answered may time out too on a machine that stands still, and is asked again. */
#define PATIENT ((int)(10000 * tap_patience()))
#define HASTY ((int)(150 * tap_slow()))

struct sva *connected(int timeout_ms);
struct sva_bond *bound(struct sva *sva, const char *name);
int listed(struct sva *sva); /* how many devices */
/* r is what was expected, and its words say this. */
void ck_words(struct sva *sva, int r, int expected, const char *words);

#endif
