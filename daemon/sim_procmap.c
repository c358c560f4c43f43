/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_procmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The ABI of <linux/fs.h> since 6.11; Debian 12's headers are older. */
struct procmap_query_abi {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start, vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uint32_t vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_IOCTL _IOWR('f', 17, struct procmap_query_abi)
#define PROCMAP_VMA_READABLE 0x1u
#define PROCMAP_VMA_WRITABLE 0x2u

int procmap_query(int maps_fd, uint64_t address, struct procmap_vma *ret)
{
	struct procmap_query_abi q = { .size = sizeof(q), .query_addr = address };

	while (ioctl(maps_fd, PROCMAP_QUERY_IOCTL, &q) < 0)
		if (errno != EINTR)
			return -errno;
	*ret = (struct procmap_vma){
		.start = q.vma_start,
		.end = q.vma_end,
		.readable = q.vma_flags & PROCMAP_VMA_READABLE,
		.writable = q.vma_flags & PROCMAP_VMA_WRITABLE,
	};
	return 0;
}

int procmap_parse_line(const char *line, struct procmap_vma *ret)
{
	uint64_t start, end;
	char perms[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, perms) != 3 || start >= end ||
	    strlen(perms) != 4)
		return -EINVAL;
	*ret = (struct procmap_vma){
		.start = start,
		.end = end,
		.readable = perms[0] == 'r',
		.writable = perms[1] == 'w',
	};
	return 0;
}

int procmap_parse(int maps_fd, uint64_t address, struct procmap_vma *ret)
{
	char buf[8192];
	size_t have = 0;
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(maps_fd, buf + have, sizeof(buf) - 1 - have, at);
		char *line = buf, *nl;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			return at ? -ENOENT : -ESRCH; /* no text at all: the mm has ended */
		at += n;
		have += (size_t)n;
		buf[have] = 0;
		while ((nl = memchr(line, '\n', have - (size_t)(line - buf)))) {
			struct procmap_vma vma;

			*nl = 0;
			if (!procmap_parse_line(line, &vma)) {
				if (address < vma.start)
					return -ENOENT; /* they are in order */
				if (address < vma.end) {
					*ret = vma;
					return 0;
				}
			}
			line = nl + 1;
		}
		have -= (size_t)(line - buf);
		if (have == sizeof(buf) - 1)
			return -E2BIG; /* a line longer than any path */
		memmove(buf, line, have);
	}
}
