/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_FAKE_KMOD_PRIVATE_H
#define SVAD_TESTS_FAKE_KMOD_PRIVATE_H
/* Shared by fake-kmod*.c: what the module that is played has. All of it under its lock. */
#include <pthread.h>

#include "fake-kmod.h"

#define MAX_DEVICES 16
#define MAX_CTXS 64
#define MAX_BONDS 4096
#define MAX_HOLDS 4096

struct fake_device {
	struct svab_dev_info info; /* id 0: free */
};

struct fake_ctx {
	uint64_t cookie; /* 0: free */
	struct svab_ctx_create labels;
	unsigned mm; /* 0: not tied yet */
	bool ended;
	int client_fd; /* the client's end, until somebody takes it */
};

struct fake_bond {
	uint64_t id; /* 0: free */
	uint32_t device, pasid, state, cause, deadline_ms;
	unsigned mm;
	uint64_t bound_ns, stopping_ns, faults;
};

struct fake_hold { /* a grant, used (bond) or not */
	uint64_t cookie; /* 0: free */
	uint32_t device, deadline_ms;
	uint64_t grant, bond;
};

struct fake_module {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct fake_device devices[MAX_DEVICES];
	struct fake_ctx ctxs[MAX_CTXS];
	struct fake_bond bonds[MAX_BONDS];
	struct fake_hold holds[MAX_HOLDS];
	uint64_t last_bond, last_ctx, lost, drained;
	uint32_t last_device, last_pasid;
	unsigned lists;
	int event_fd;
	bool reset_held;
	struct svab_event *queue;
	unsigned n_queue;
};

extern struct fake_module fake_m;

#define each(it, array) for ((it) = (array); (it) < (array) + sizeof(array) / sizeof((array)[0]); (it)++)

uint64_t fake_clock_ns(void);
struct fake_device *fake_device_by(uint32_t id);
struct fake_ctx *fake_ctx_by(uint64_t cookie);
struct fake_bond *fake_bond_by(uint64_t id);
struct fake_hold *fake_hold_by(uint64_t cookie, uint32_t device);
void fake_emit(struct svab_event e);
void fake_bond_emit(const struct fake_bond *b, uint32_t type, uint64_t value);
void fake_bond_clean(struct fake_bond *b);
void fake_bond_end(struct fake_bond *b, uint32_t cause);
void fake_hold_end(struct fake_hold *h, uint32_t cause);
void fake_ctx_end(struct fake_ctx *c, uint32_t cause);

#endif
