/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_RPC_H
#define SVAD_CTL_RPC_H
/*
 * A connection to svad's administrators' socket: connect, Hello, calls, paged lists, events. Every wait has
 * an end
 * (--timeout). A failure is complained about on stderr where it is found, with what to do about it, and comes
 * back as an exit code (enum ctl_exit). Single-threaded.
 *
 * Replies live until the next call on the same connection.
 */
#include "../../proto/status.h"
#include "../../proto/wire.h"
#include "ctl.h"

struct rpc;

typedef Svad__V1__Request rpc_request;
typedef Svad__V1__Reply rpc_reply;
typedef Svad__V1__Event rpc_event;

/* Connects and says Hello. CTL_OK and *ret (rpc_close()), else an exit code. */
int rpc_open(const struct ctl *ctl, struct rpc **ret);
/* The same; the complaint goes to why instead of stderr when why is not NULL. */
int rpc_open_quiet(const struct ctl *ctl, struct rpc **ret, char *why, size_t size);
void rpc_close(struct rpc *rpc);

/* Called for each event that arrives while a call waits; the event lives for that call only. NULL (default):
 * dropped. */
void rpc_on_event(struct rpc *rpc, void (*handler)(void *userdata, const rpc_event *event), void *userdata);
/* Waits end with CTL_FAILED and no complaint once this fd is readable (a signalfd). -1: none. */
void rpc_interrupt_fd(struct rpc *rpc, int fd);
/* Keeps the complaints: rpc_error() has the last one. */
void rpc_quiet(struct rpc *rpc);
const char *rpc_error(const struct rpc *rpc);

/* One request and its answer. req->id and fds are filled in here. CTL_OK: the answer's status is OK, and its
 * body is the one that belongs to the request. CTL_FAILED: refused; *ret_reply is the refusal when the daemon
 * gave one (its status is not NULL), else NULL. */
int rpc_call(struct rpc *rpc, rpc_request *req, const rpc_reply **ret_reply);
/* The same with a time of one's own instead of --timeout. */
int rpc_call_timeout(struct rpc *rpc, rpc_request *req, int timeout_ms, const rpc_reply **ret_reply);

/* The halves of a call, for those who wait for more than the answer. rpc_receive() takes one packet without
 * waiting: CTL_OK and *ret_reply (id 0: an event; the handler is not called), CTL_GO when there is none yet.
 */
int rpc_send(struct rpc *rpc, rpc_request *req, uint64_t *ret_id);
int rpc_receive(struct rpc *rpc, const rpc_reply **ret_reply);
int rpc_fd(const struct rpc *rpc);
/* Waits for the next answer, whichever request it belongs to (its status may be a refusal); events go to the
 * handler. */
int rpc_wait(struct rpc *rpc, int timeout_ms, const rpc_reply **ret_reply);
/* Complains about a refusal (status not OK): CTL_FAILED, or CTL_OK. */
int rpc_check(struct rpc *rpc, const rpc_reply *reply);

/* Lists: calls item for each, over all pages. item returns CTL_OK, or an exit code that ends the list. It
 * must not call on this connection. A daemon whose pages do not advance is refused. */
typedef int (*rpc_bond_item)(void *userdata, const Svad__V1__Bond *bond);
typedef int (*rpc_device_item)(void *userdata, const Svad__V1__Device *device);
typedef int (*rpc_client_item)(void *userdata, const Svad__V1__Client *client);
typedef int (*rpc_container_item)(void *userdata, const Svad__V1__Container *container);
int rpc_bonds(struct rpc *rpc, Svad__V1__AdminListBonds *filter, rpc_bond_item item, void *userdata);
int rpc_devices(struct rpc *rpc, Svad__V1__AdminListDevices *filter, rpc_device_item item, void *userdata);
int rpc_clients(struct rpc *rpc, Svad__V1__ListClients *filter, rpc_client_item item, void *userdata);
int rpc_containers(struct rpc *rpc, Svad__V1__ListContainers *filter, rpc_container_item item, void *userdata);

/* Where the socket is: --socket, $SVAD_ADMIN_SOCKET, $XDG_RUNTIME_DIR/svad/admin.sock when it exists,
 * /run/svad/admin.sock. */
const char *rpc_socket_path(const struct ctl *ctl, char *buf, size_t size);
/* Why connect() to path failed, in words. */
void rpc_connect_reason(const char *path, int err, char *buf, size_t size);

#endif
