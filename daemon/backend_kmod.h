/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BACKEND_KMOD_H
#define SVAD_BACKEND_KMOD_H
/*
 * The kernel module as a backend. What it asks of the kernel goes through two calls, so that a test can play the module.
 */
#include <uv.h>

#include "backend.h"

struct kmod_sys { /* as ioctl(2) and read(2) */
	int (*ioctl)(int fd, unsigned long request, void *arg); /* also from a thread of its own (SVAB_DEV_RESET) */
	ssize_t (*read)(int fd, void *buf, size_t len);
};

/* sys NULL: the kernel. */
int backend_kmod_new(uv_loop_t *loop, const struct kmod_sys *sys, const struct backend_handler *handler, void *userdata,
		     struct backend **ret);

#endif
