/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_CLIENT_H
#define SVAD_CTL_CLIENT_H
/* What `client` and `container` share. Single-threaded. */
#include "json.h"
#include "rpc.h"
#include "table.h"

/* The clients, or one container's (its whole id), as a table or as JSON, the caller's; the other one is NULL. */
int client_list_gather(struct rpc *rpc, bool json, const char *container, struct table **ret_table, json_t **ret_json);

#endif
