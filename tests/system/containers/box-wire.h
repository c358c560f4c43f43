/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_BOX_WIRE_H
#define SVAD_TESTS_BOX_WIRE_H
/* Connections to svad beside the library, for programs that mean no good. */
#include <stdbool.h>

#include "box.h"
#include "wire.h"

/* A connection to the socket at path (NULL or "-": $SVAD_SOCKET), or -errno. */
int box_dial(const char *path);
/* The answer to a request, events are passed over; NULL: the connection is closed, or nothing came. Good until the next call.
 * The fds that came are the caller's; NULL: they are closed. */
Svad__V1__Reply *box_exchange(int fd, Svad__V1__Request *req, struct wire_fds *ret_fds);
Svad__V1__Reply *box_hello(int fd);
/* Says what became of the request; true when it was answered with OK. */
bool box_answered(const struct box_call *call, const Svad__V1__Reply *reply);

#endif
