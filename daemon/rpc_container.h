/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_RPC_CONTAINER_H
#define SVAD_RPC_CONTAINER_H
/* What administrators and runtimes ask of the registry. Broker's loop only. */
#include "rpc.h"

struct bond_end;
struct container;

void rpc_register_container(struct conn *conn, const Svad__V1__Request *request);
void rpc_remove_container(struct conn *conn, const Svad__V1__Request *request);
void rpc_list_containers(struct conn *conn, const Svad__V1__Request *request);
void rpc_reconcile_containers(struct conn *conn, const Svad__V1__Request *request);

void bond_end_fill(const struct bond_end *end, Svad__V1__BondEnd *msg);

/* Its removal has nothing left to wait for: answers everybody who asked. */
void rpc_container_removed(struct container *container);

#endif
