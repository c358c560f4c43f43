/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BENCH_H
#define SVAD_BENCH_H
/*
 * The benchmark: svad's figures beside those of a peer that does the same kind of work, taken in the same
 * run, in rounds that alternate, so that whatever else the machine does falls on both. What counts is the
 * ratio of the medians.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../system/live.h"

struct bench {
	const char *builddir, *libexecdir;
	bool quick;
	unsigned failed; /* measurements that could not be made */
};

/* ---- rows (bench.c) ---- */

#define NO_REACH 0.0
#define NOTHING (-1.0)
/* ratio: how many times the peer it costs us, ours / peer for costs; for rates (more is better) ours / peer
 * too: the caller says which by at_most. reach NO_REACH: nothing was asked for. ours or peer NOTHING: it
 * could not be measured, note says why. */
void row(const char *name, const char *unit, double ours, double peer, double reach, bool at_most,
	 const char *note, ...) __attribute__((format(printf, 7, 8)));

/* ---- figures ---- */
struct samples {
	double *at;
	size_t n, room;
};
void sample(struct samples *s, double value);
double percentile(struct samples *s, double p); /* sorts; NAN when there are none */
double median(struct samples *s);
void samples_free(struct samples *s);

/* ---- processes (bench-proc.c) ---- */
bool pin(pid_t pid, int cpu); /* all its threads; cpu -1: all CPUs. 0: ourselves */
pid_t spawn_pinned(int cpu, void (*fn)(void *arg), void *arg); /* forks; ends with us */
void end_process(pid_t pid);
pid_t live_broker(int admin); /* the broker's pid */
/* Between rounds: waits until svad has seen the last client of the one before go, so that it does not pay for it
 * in the next, nor a peer. */
void settle(int admin);
uint64_t pss_kib(pid_t pid);
bool raise_fd_limit(unsigned want);

/* ---- the peers (bench-dbus.c): message buses of one's own ---- */
struct bus {
	pid_t pid;
	char dir[64], path[96];
	void *controller; /* dbus-broker: sd_bus */
};
bool bus_start_broker(struct bus *bus, char *why, size_t size);
bool bus_start_daemon(struct bus *bus, char *why, size_t size);
void bus_stop(struct bus *bus);
/* Connects, authenticates, says Hello: fd or -errno. */
int bus_connect(const struct bus *bus);
/* The message that a load is made of: a call that the bus answers itself. Its length. */
size_t bus_request(unsigned char *buf, size_t size);
/* Length of the whole message at buf when n bytes are there; 0: not enough to tell. */
size_t bus_message_length(const unsigned char *buf, size_t n);

/* ---- what is measured ---- */
void bench_bind(struct bench *b);
void bench_requests(struct bench *b);
void bench_memory(struct bench *b);
void bench_kill(struct bench *b);
void bench_drain(struct bench *b);
void bench_dma(struct bench *b);
void bench_containers(struct bench *b);

#endif
