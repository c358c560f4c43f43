/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_EVENT_H
#define SVAD_SIM_EVENT_H
/* Events for the broker, and all else that goes out on the control socket (sim_control.c), in one order. Loop only. */
#include "sim.h"

/* Queues; size and time_ns are filled in. Without a broker events are dropped: a new one lists. */
void sim_event(struct svab_event *event);

/* With the ctx and grant of this hold. */
static inline void sim_event_bond_hold(struct sim_hold *hold, enum svab_event_type type)
{
	struct svab_event e = {
		.type = type,
		.cookie = hold->ctx->cookie,
		.bond = hold->bond->id,
		.grant = hold->grant,
		.device = hold->bond->device->id,
		.pasid = hold->bond->pasid,
		.state = hold->bond->drain.state,
	};

	sim_event(&e);
}

/* With those of the bond's first hold. */
static inline void sim_event_bond(struct sim_bond *bond, enum svab_event_type type, uint64_t value)
{
	struct sim_hold *hold = list_empty(&bond->holds) ? NULL :
							   container_of(bond->holds.next, struct sim_hold, of_bond);
	struct svab_event e = {
		.type = type,
		.cookie = hold ? hold->ctx->cookie : 0,
		.bond = bond->id,
		.grant = hold ? hold->grant : 0,
		.device = bond->device->id,
		.pasid = bond->pasid,
		.state = bond->drain.state,
		.cause = bond->drain.cause,
		.value = value,
	};

	sim_event(&e);
}

#endif
