/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_TOP_H
#define SVAD_CTL_TOP_H
/* svadctl top's two halves: figures (top_sample.c) and screen (top.c). Single-threaded. */
#include <stdio.h>

#include "json.h"
#include "rpc.h"
#include "table.h"

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
	char container[80]; /* its id, or the first of it */
};

struct top_container {
	uint64_t id;
	char name[80], pod[128];
	unsigned state;
	uint32_t clients, bonds, max_bonds, draining, quarantined;
	uint64_t faults, requests, refused;
	double requests_s, refused_s;
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
	bool by_container; /* containers are shown instead of clients */
	struct top_container *containers; /* most bonds first */
	size_t n_containers;
};

/* Takes a sample, of containers too if that is asked for; before: the last one, for rates, or NULL. Exit code. top_sample_free() takes half-built
 * ones. */
int top_sample_take(struct rpc *rpc, bool by_container, const struct top_sample *before, struct top_sample *ret);
/* The part of it that containers are: top_containers.c. */
int top_containers_take(struct rpc *rpc, const struct top_sample *before, struct top_sample *s);
int top_containers_table(const struct top_sample *s, struct table **ret); /* the caller's, when this returns CTL_OK */
json_t *top_containers_json(const struct top_sample *s);
/* Of a counter, a second; below 0: not known. */
double top_rate(uint64_t now, uint64_t before, uint64_t ns);
void top_rate_cell(struct table *t, double rate, const char *unit);
void top_sample_free(struct top_sample *s);
/* width, height 0: unlimited. eol ends each line. */
int top_sample_print(const struct top_sample *s, FILE *out, unsigned width, unsigned height, const char *eol);
int top_sample_json(const struct top_sample *s);

#endif
