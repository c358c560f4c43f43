/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_PROCMAP_H
#define SVAD_SIM_PROCMAP_H
/*
 * What is mapped at an address of the address space behind a /proc/PID/maps fd: by the PROCMAP_QUERY ioctl (Linux 6.11), else by
 * that file's text. Both are tied to the mm, not the pid. May block on the mm's lock: never call it in the loop.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct procmap_vma {
	uint64_t start, end;
	bool readable, writable;
};

/* 0; -ENOENT: nothing is mapped at address; -ESRCH: the mm has ended; -ENOTTY: no such ioctl; other -errno. */
int procmap_query(int maps_fd, uint64_t address, struct procmap_vma *ret);

/* The same from the text. The fd has one position: one caller at a time. */
int procmap_parse(int maps_fd, uint64_t address, struct procmap_vma *ret);

/* One line of maps. 0 or -EINVAL. */
int procmap_parse_line(const char *line, struct procmap_vma *ret);

#endif
