/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BENCH_CONTAINERS_H
#define SVAD_BENCH_CONTAINERS_H

#include "bench.h"

/* A real container's end: bench-podman.c. */
void bench_podman(struct bench *b);
/* What runs in it: binds, and waits to be killed. Its status when it could not. */
int bench_podman_victim(void);

#endif
