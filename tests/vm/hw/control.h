/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_CONTROL_H
#define VM_HW_CONTROL_H
/* The control socket: see control.c for the requests. */
#include "hw.h"

struct control;

int control_new(struct control **ret, struct hw *hw, const char *path); /* listens. 0 or -errno */
void control_run(struct control *c); /* a thread: until control_stop() */
void control_stop(struct control *c);
void control_free(struct control *c);

/* One request: its answer, without a newline, into buf. cancel: a wait ends when it becomes true (NULL: never). */
void control_execute(struct hw *hw, const char *line, char *buf, unsigned size, const bool *cancel);

#define CONTROL_LINE 512u

#endif
