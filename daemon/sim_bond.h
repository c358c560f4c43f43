/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_BOND_H
#define SVAD_SIM_BOND_H
/*
 * Bonds: one (device, mm) pair and the owner of its drain. Loop only, but for what says otherwise. Contexts hold a bond (struct
 * sim_hold), each by one socket or more (struct sim_ref, sim_ref.c).
 */
#include "sim.h"

struct sim_bond *sim_bond_ref(struct sim_bond *bond); /* any thread */
void sim_bond_unref(struct sim_bond *bond); /* any thread */
void sim_bond_tell(struct sim_bond *bond, uint32_t news); /* any thread */
void sim_bond_fault(struct sim_bond *bond, enum svab_fault code, uint64_t address); /* any thread: counts, and tells */

/* Binds mm to device and gives the bond its first hold of ctx, or a further one. *ret is lent. 0, -ENODEV, -ENOSPC, -EBUSY, -ENOMEM,
 * -errno of a memfd. The grant goes from the ctx to the hold. */
int sim_bond_get(struct sim_ctx *ctx, struct sim_device *device, struct sim_mm *mm, uint64_t at_random,
		 struct sim_hold **ret);

struct sim_bond *sim_bond_find(uint64_t id);

/* Feeds the drain, and keeps its deadline armed. */
bool sim_bond_input(struct sim_bond *bond, enum drain_input input, enum svab_cause cause);

/* A kick for which no thread could be made: tries again soon. */
void sim_bond_retry_kick(struct sim_bond *bond);

/* Something ends it; a QUARANTINED one is asked to stop once more. */
void sim_bond_revoke(struct sim_bond *bond, enum svab_cause cause);
void sim_bonds_mm_released(struct sim_mm *mm);

void sim_hold_free(struct sim_hold *hold);
/* The hold ends: its sockets close. With it the bond, when no other ctx holds it; else SVAB_EV_UNREF. */
void sim_hold_end(struct sim_hold *hold, enum svab_cause cause);

/* The device was reset or died: -1: nothing to do; 0: it is CLEAN or on its way; 1: a worker is inside an access, it stays. */
int sim_bond_device_reset(struct sim_bond *bond, enum svab_cause cause);

/* ---- sim_ref.c ---- */

/* One more bond socket for the hold: *ret_client_fd is the client's end, the caller's. */
int sim_ref_new(struct sim_hold *hold, int *ret_client_fd);
/* The bond ends: answers what is pending, closes every socket that awaits nothing. */
void sim_refs_revoke(struct sim_bond *bond);
/* Closes those of one hold. */
void sim_refs_close(struct sim_hold *hold);

#endif
