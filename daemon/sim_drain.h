/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_DRAIN_H
#define SVAD_SIM_DRAIN_H
/* What a bond's drain does (sim_drain.c), for sim_bond.c, which makes bonds and hears from their threads. Loop only. */
#include "sim.h"

extern const struct drain_ops sim_drain_ops;
void sim_drain_deadline(struct sim_timer *timer); /* bond->deadline's */
void sim_drain_find_stops(struct sim_device *device); /* stops that were lost reach it now */
void sim_drain_acked(struct sim_bond *bond); /* the device acknowledged its stop: it sends nothing more */
void sim_drain_portal_gone(struct sim_bond *bond); /* the client has no portal any more */
void sim_pasid_release(struct sim_mm *mm); /* from here on its PASID may be another's */

#endif
