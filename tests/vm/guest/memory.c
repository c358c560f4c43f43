/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This process's memory, and what the kernel says about it. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PM_PRESENT (1ull << 63)
#define PM_FRAME ((1ull << 55) - 1)

void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_SYS(p != MAP_FAILED);
	return p;
}

void *pages_at(void *where, size_t size)
{
	void *p = mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	MUST_SYS(p == where);
	return p;
}

void fill_cpu(void *memory, uint64_t pattern, size_t len)
{
	for (size_t i = 0; i < len / sizeof(pattern); i++)
		memcpy((char *)memory + i * sizeof(pattern), &pattern, sizeof(pattern));
}

bool filled(const void *memory, uint64_t pattern, size_t len)
{
	const volatile uint64_t *p = memory;

	for (size_t i = 0; i < len / sizeof(pattern); i++)
		if (p[i] != pattern) {
			note("%#llx at offset %zu, not %#llx", (unsigned long long)p[i], i * sizeof(pattern),
			     (unsigned long long)pattern);
			return false;
		}
	return true;
}

size_t resident(const void *memory, size_t size)
{
	size_t n = 0, count = (size + 4095) / 4096;

	for (size_t i = 0; i < count; i++)
		n += present((const char *)memory + i * 4096);
	return n;
}

static uint64_t pagemap(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	MUST_SYS(fd >= 0);
	MUST_SYS(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / 4096 * sizeof(entry))) ==
		 sizeof(entry));
	close(fd);
	return entry;
}

bool present(const void *page)
{
	return (pagemap(page) & PM_PRESENT) != 0;
}

uint64_t frame(const void *page)
{
	uint64_t entry = pagemap(page);

	return entry & PM_PRESENT ? entry & PM_FRAME : 0;
}

uint64_t smaps_kib(const void *memory, const char *field)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false;
	uint64_t sum = 0;

	MUST_SYS(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long from, to, kib;
		size_t len = strlen(field);

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			inside = (uintptr_t)memory >= from && (uintptr_t)memory < to;
		else if (inside && strncmp(line, field, len) == 0 && line[len] == ':' &&
			 sscanf(line + len + 1, "%llu", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum;
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return n == (ssize_t)strlen(text);
}

uint64_t read_number(const char *path)
{
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return UINT64_MAX;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return UINT64_MAX;
	text[n] = 0;
	return strtoull(text, NULL, 10);
}
