/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_BOND_H
#define SVAD_CTL_BOND_H
/* What `bond`, `drain` and `quarantine` share. Single-threaded. */
#include "json.h"
#include "rpc.h"
#include "table.h"

/* Prints a table (or JSON) of the bonds that the filter selects, and of one container only, if that is not NULL: its id or the
 * beginning of it. none: what to say when there is none. */
int bond_list(struct ctl *ctl, Svad__V1__AdminListBonds *filter, const char *container, const char *none);
/* The same as a table or as JSON, the caller's; the other one is NULL. container: the whole id, or NULL. */
int bond_list_gather(struct rpc *rpc, bool json, Svad__V1__AdminListBonds *filter, const char *container,
		     struct table **ret_table, json_t **ret_json);

/* The deadline of a Revoke: --timeout when it was given, else 0 for the daemon's choice; and how long to wait
 * for its answer. */
void revoke_times(const struct ctl *ctl, uint32_t *ret_daemon_ms, int *ret_wait_ms);

/* The outcome as the last line (or JSON) and an exit code. */
int revoke_result(const struct ctl *ctl, const Svad__V1__RevokeReply *reply, const char *what);

#endif
