/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_WORK_H
#define SVAD_TESTS_WORK_H
/* Clients with DMA under way, which the test holds: for the tests of what ends a binding or takes its memory. */
#include "harness.h"

#define TARGET ((void *)0x200000000000)
#define BYTES (4u << 20)
#define PATTERN 0x1111111111111111u

/* Fresh memory of BYTES at TARGET, the same address in every process. */
unsigned char *target(void);

/* In the client: bound, and a long FILL of TARGET under way; says "bond N pasid N". */
void start_work(struct raw *raw, struct raw_bond *bond);

void work_and_wait(void *arg); /* start_work(), then waits for "end" */

struct worker {
	struct child child;
	uint64_t bond;
	unsigned pasid;
};

void worker_parse(struct worker *w);
/* Starts a client of this kind and returns when the device holds its job. */
void worker_start(struct worker *w, void (*fn)(void *arg), void *arg);

#endif
