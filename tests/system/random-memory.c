/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "random.h"

const char *const random_device[RANDOM_DEVICES] = { "flushed", "clean", "nostop", "pri" };
const char *const random_op_name[N_RANDOM_OPS] = {
	"bind", "unbind", "dma",   "async",	 "fault",   "unmap",  "fork", "fork-kill",
	"exec", "exit",	  "crash", "disconnect", "threads", "second", "quit",
};

void random_paint(uint64_t *state, unsigned char *p, size_t len)
{
	uint64_t x = random_next(state);

	for (size_t i = 0; i + 8 <= len; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		memcpy(p + i, &x, 8);
	}
}

uint32_t random_crc32c(uint32_t crc, const unsigned char *p, size_t len)
{
	static uint32_t table[256];

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int k = 0; k < 8; k++)
				c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
			table[i] = c;
		}
	for (crc = ~crc; len--; p++)
		crc = crc >> 8 ^ table[(crc ^ *p) & 0xff];
	return ~crc;
}

unsigned char *random_area(uintptr_t at, size_t len)
{
	void *p = mmap((void *)at, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != MAP_FAILED && (uintptr_t)p != at) {
		munmap(p, len); /* a kernel that does not know the flag */
		p = MAP_FAILED;
	}
	if (p == MAP_FAILED)
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	return p;
}
