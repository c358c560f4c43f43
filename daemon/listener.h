/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_LISTENER_H
#define SVAD_LISTENER_H
/* A listening socket that the supervisor handed over. Running out of fds or memory while accepting drops that one client, never the
 * daemon, and never spins. */
#include "conn.h"

struct listener;
int listener_new(struct broker *broker, int fd, enum conn_kind kind, struct listener **ret); /* takes fd */
void listener_free(struct listener *listener); /* NULL is fine */

#endif
