/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_RAM_H
#define VM_HW_RAM_H
/*
 * The guest's memory, as QEMU shares it: one file. Registers of the modelled hardware are a part of it that the guest's kernel leaves
 * alone (no-map), everything else is what DMA reaches. All values in it are little-endian, as both machines are.
 */
#include <stdint.h>

struct ram {
	uint8_t *base;
	uint64_t pa, size; /* where the guest sees it */
};

/* Maps path, made or grown to size when it is too small; path NULL: memory of one's own, zeroed. 0 or -errno. */
int ram_open(struct ram *ram, const char *path, uint64_t pa, uint64_t size);
void ram_close(struct ram *ram);

/* NULL when any of the len bytes at pa is not memory. */
static inline void *ram_at(const struct ram *ram, uint64_t pa, uint64_t len)
{
	if (pa < ram->pa || pa - ram->pa > ram->size || len > ram->size - (pa - ram->pa))
		return (void *)0;
	return ram->base + (pa - ram->pa);
}

/* The other side is a processor of another process: each access is one access, in order with what it announces. */
static inline uint32_t load32(const void *p)
{
	return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
}

static inline uint64_t load64(const void *p)
{
	return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}

static inline void store32(void *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)p, v, __ATOMIC_RELEASE);
}

static inline void store64(void *p, uint64_t v)
{
	__atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE);
}

/* Bits hi..lo of v. */
static inline uint64_t bits(uint64_t v, unsigned hi, unsigned lo)
{
	return (v >> lo) & (~UINT64_C(0) >> (63 - (hi - lo)));
}

#define BIT64(n) (UINT64_C(1) << (n))

#endif
