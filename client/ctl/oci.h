/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_OCI_H
#define SVAD_CTL_OCI_H
/* The state of a container as an OCI runtime tells it to a hook, on stdin. Single-threaded. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oci_state {
	char id[256];
	int32_t pid; /* 0: none (any more) */
	char status[32]; /* "creating", "created", "running", "stopped"; empty: not told */
};

/* Reads it to the end, at most a MiB. Members that are of no use here are not looked at. False, and why, in words. */
bool oci_read_state(int fd, struct oci_state *ret, char *why, size_t size);

/* Whether svad takes it as a container id or a network's name: 1 to 255 bytes, a letter or digit, then those and _ . - */
bool oci_valid_id(const char *text);

#endif
