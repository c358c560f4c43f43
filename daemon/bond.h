/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BOND_H
#define SVAD_BOND_H
/* A bond as the broker follows it: the drain state machine fed with the backend's events. */
#include "broker.h"
#include "drain.h"

struct container;
struct device;
struct hold;

struct bond {
	struct idmap_node node; /* broker->bonds */
	struct list link; /* broker->bond_list, by id */
	struct list holds; /* of each ctx that holds it; empty once they let go */
	struct broker *broker;
	struct device *device;
	struct drain drain;
	struct container *container; /* of its first client; a reference, or NULL */
	struct list container_link; /* container->bond_list */
	bool counted_live, in_removal, end_named, counted_stuck; /* stuck: among the removal's quarantined */
	uint32_t end; /* which of container->removal.ends, when named */
	uint32_t pasid;
	uint32_t generation;
	bool counted_draining, counted_quarantined; /* in the broker's two counts */
	uint64_t bound_ns;
	uint64_t faults;
	uint64_t client; /* who bound it first, for people; the client may be gone */
	pid_t pid;
	uid_t uid;
};

int bond_new(struct broker *broker, struct device *device, uint64_t id, uint32_t pasid, struct bond **ret);
struct bond *bond_find(struct broker *broker, uint64_t id);
void bond_attach(struct bond *bond, struct hold *hold);
/* Feeds one of the backend's events about it. May free the bond. */
void bond_event(struct bond *bond, const struct svab_event *event);
/* A listing's state of it. May free the bond. */
void bond_sync(struct bond *bond, enum svab_pasid_state state, enum svab_cause cause, uint64_t stopping_ns);
/* The backend is gone and with it all its DMA. Frees the bond. */
void bond_lost(struct bond *bond);
void bond_fill(const struct bond *bond, Svad__V1__Bond *msg, char comm[32]);

#endif
