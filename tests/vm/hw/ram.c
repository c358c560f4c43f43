/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int ram_open(struct ram *ram, const char *path, uint64_t pa, uint64_t size)
{
	struct stat st;
	int fd = -1, r = 0;
	void *p;

	if (path) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (fstat(fd, &st) || ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size))) {
			r = -errno;
			close(fd);
			return r;
		}
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r)
		return r;
	*ram = (struct ram){ .base = p, .pa = pa, .size = size };
	return 0;
}

void ram_close(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	ram->base = NULL;
}
