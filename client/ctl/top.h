/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_TOP_H
#define SVAD_CTL_TOP_H
/* svadctl top's two halves: figures (top_sample.c) and screen (top.c). Single-threaded. */
#include <stdio.h>

#include "rpc.h"

struct top_device {
	uint32_t id;
	char name[64];
	unsigned health;
	uint32_t engines, busy, bonds, draining, quarantined;
	uint64_t jobs, bytes, faults;
	double jobs_s, bytes_s, faults_s; /* since the sample before; below 0: there is none */
};

struct top_client {
	uint64_t id;
	int32_t pid;
	uint32_t uid, bonds, draining, quarantined;
	uint64_t faults, requests;
	double requests_s;
	char comm[64], program[64];
};

struct top_sample {
	uint64_t
		monotonic_ns; /* the daemon's clock: rates do not depend on how long an answer took to come */
	char version[32], backend[16];
	bool backend_up;
	uint64_t uptime_ns, violations;
	uint32_t n_clients_all, bonds, draining, quarantined;
	struct top_device *devices;
	size_t n_devices;
	struct top_client *clients; /* most bonds first */
	size_t n_clients;
};

/* Takes a sample; before: the last one, for rates, or NULL. Exit code. top_sample_free() takes half-built
 * ones. */
int top_sample_take(struct rpc *rpc, const struct top_sample *before, struct top_sample *ret);
void top_sample_free(struct top_sample *s);
/* width, height 0: unlimited. eol ends each line. */
int top_sample_print(const struct top_sample *s, FILE *out, unsigned width, unsigned height, const char *eol);
int top_sample_json(const struct top_sample *s);

#endif
