/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_RPC_H
#define SVAD_RPC_H
/* Handlers of rpc.c's table. Each answers once, or starts a struct op that will. The request lives in the arena: gone after the call. */
#include "conn.h"

#define PAGE_DEFAULT 100u
#define PAGE_MAX 200u
#define PAGE_BYTES (WIRE_MAX - 1024u) /* of its rows, however wide they are */
#define PAGE_ROW 8u /* tag and length of a row in its page, at most */

typedef void (*rpc_handler)(struct conn *conn, const Svad__V1__Request *request);

void rpc_hello(struct conn *conn, const Svad__V1__Request *request);
void rpc_list_devices(struct conn *conn, const Svad__V1__Request *request);
void rpc_bind(struct conn *conn, const Svad__V1__Request *request);
void rpc_list_bonds(struct conn *conn, const Svad__V1__Request *request);
void rpc_subscribe(struct conn *conn, const Svad__V1__Request *request);

void rpc_get_status(struct conn *conn, const Svad__V1__Request *request);
void rpc_get_stats(struct conn *conn, const Svad__V1__Request *request);
void rpc_list_clients(struct conn *conn, const Svad__V1__Request *request);
void rpc_admin_list_bonds(struct conn *conn, const Svad__V1__Request *request);
void rpc_admin_list_devices(struct conn *conn, const Svad__V1__Request *request);
void rpc_revoke(struct conn *conn, const Svad__V1__Request *request);
void rpc_reset_device(struct conn *conn, const Svad__V1__Request *request);
void rpc_watch(struct conn *conn, const Svad__V1__Request *request);
void rpc_reload(struct conn *conn, const Svad__V1__Request *request);
void rpc_probe_hardware(struct conn *conn, const Svad__V1__Request *request);
/* The supervisor's CHAN_PROBE_RESULT: answers everybody who waits. */
void rpc_probed(struct broker *broker, int error, const void *payload, size_t len);

/* Figures are the backend's: whoever shows them has them fetched first. answer is called once, with what was asked, unless the connection
 * closes before. */
struct figures_ask {
	uint64_t after;
	uint32_t size;
	char only[SVAB_NAME_MAX];
};
typedef void (*figures_fn)(struct conn *conn, uint64_t id, const struct figures_ask *ask);
void rpc_figures(struct conn *conn, uint64_t id, figures_fn answer, const struct figures_ask *ask);
/* They arrived, or will not (info NULL): answers everybody who waits. */
void rpc_figures_ready(struct broker *broker, const struct svab_info *info);

struct device;
void device_fill(const struct device *device, bool admin, Svad__V1__Device *msg, char reason[256]);
uint32_t page_size(const Svad__V1__Page *page);

#endif
