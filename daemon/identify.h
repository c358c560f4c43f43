/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_IDENTIFY_H
#define SVAD_IDENTIFY_H
/*
 * Which container a client is of. Its socket tells: the cookie of the network namespace that the socket was made in. A process can use a socket that
 * was made elsewhere; so the supervisor, which may look, is asked in which namespace the process itself is, and the two must agree. Clients with
 * the host's cookie are not asked for: they pay nothing. A connection is not read from until the answer is there. Broker's loop only.
 */
#include "broker.h"

struct client;
struct container;

int identify_init(struct broker *broker); /* cannot fail today; 0 */

/* The host's cookie from a listening socket of its: the network namespace of whoever made it, which is the service manager's with socket
 * activation, also when svad itself has been put into one of its own. 0 when the kernel has none: no container can be told then. */
uint64_t identify_host_cookie(int listening);

/* Of a connection whose cookie is not the host's. Before conn_new(), which holds the connection while client->identification is set; after
 * container_join() with the container that has the cookie, if there is one. 0 or -ENOMEM. */
int identify_connected(struct client *client);
/* Of a client that a listing has named: it has no socket, its process tells all. broker_listen() waits for these. */
void identify_listed(struct client *client);
/* The client goes: nobody waits for its answer. Fine when none is under way. */
void identify_cancel(struct client *client);
/* A container has come (or come back): clients that had been in its network namespace before join it. */
void identify_registered(struct container *container);
/* The settings have changed: clients of no container may be refused now. */
void identify_enforce(struct broker *broker);
/* Clients of a listing that are not told yet: neither policy nor limits can be known for them. */
bool identify_pending(const struct client *client);
bool identify_listing(const struct broker *broker);

void identify_answer(struct broker *broker, uint64_t number, const void *payload, size_t len); /* CHAN_IDENTIFIED */
void identify_tick(struct broker *broker, uint64_t now); /* deadlines */

#endif
