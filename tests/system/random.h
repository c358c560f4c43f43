/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_RANDOM_H
#define SVAD_TESTS_RANDOM_H
/* What the driver of the randomized test (test-random.c) and its workers (random-worker.c) say to one
 * another. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_DEVICES 4
extern const char *const random_device[RANDOM_DEVICES];

enum random_op {
	OP_BIND,   /* one reference more */
	OP_UNBIND, /* one less */
	OP_DMA,	   /* one job, waited for, verified */
	OP_ASYNC, /* jobs that go on behind the answer; the next operation, if there is one, waits for them */
	OP_FAULT, /* a job on memory that is not there, or read-only */
	OP_UNMAP, /* memory taken away under a job */
	OP_FORK,  /* a child that may not use our handle, and has its own */
	OP_FORK_KILL,  /* a child that is killed in the middle of DMA */
	OP_EXEC,       /* jobs on their way, and another image */
	OP_EXIT,       /* with jobs on their way */
	OP_CRASH,      /* SIGSEGV, the same */
	OP_DISCONNECT, /* with bonds left */
	OP_THREADS,    /* two threads bind at once */
	OP_SECOND,     /* another connection of the same process */
	OP_QUIT,       /* in order: everything unbound */
	N_RANDOM_OPS,
};
extern const char *const random_op_name[N_RANDOM_OPS];

struct random_command {
	uint32_t seq;
	uint32_t op;
	uint32_t device;
	uint32_t pad;
	uint64_t arg; /* a random number: sizes, offsets, which variant */
};

struct random_answer {
	uint32_t seq;
	int32_t result; /* what the library said: not judged by the driver */
	uint32_t wrong; /* the worker found something that must not be: text */
	uint32_t pad;
	uint64_t bond;	/* the last that it held */
	uint64_t bytes; /* verified */
	char text[168];
};

/* The worker's main(): test-random --worker FD SALT SEQ SLOW. SEQ not 0: the image that an OP_EXEC asked for,
 * which answers it. */
int random_worker(int argc, char **argv);

/* Memory (random-memory.c): filled with what the state draws; its CRC-32C by the CPU; mapped at an address,
 * or elsewhere when that is taken (aborts when there is none). */
void random_paint(uint64_t *state, unsigned char *p, size_t len);
uint32_t random_crc32c(uint32_t crc, const unsigned char *p, size_t len);
unsigned char *random_area(uintptr_t at, size_t len);

static inline uint64_t addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* May a bind fail so, through no fault of anybody's? */
static inline bool bind_may(int r)
{
	return r == -EBUSY || r == -ENODEV || r == -ENOSPC || r == -EACCES;
}

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#endif
