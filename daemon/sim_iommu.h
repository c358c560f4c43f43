/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_IOMMU_H
#define SVAD_SIM_IOMMU_H
/*
 * The IOMMU: PASID numbers, each device's PASID table, the IOTLB and the page-request path.
 *
 * An IOTLB entry (device, PASID, 2 MiB block) keeps the mm that it was filled with until it is invalidated by PASID, as hardware's
 * does: forget an invalidation, and DMA goes to the old mm. What it does not cache is permission: user space gets no notice of
 * mprotect and munmap, so that is asked of the OS for each access (sim_mm_allows).
 */
#include "sim.h"

int sim_iommu_init(void);
void sim_iommu_deinit(void);

/* Loop. Lowest free first; 0: none up to max. */
uint32_t sim_pasid_alloc(uint32_t max);
void sim_pasid_free(uint32_t pasid);
uint32_t sim_pasids_used(void);

/* Loop. */
int sim_iommu_attach(struct sim_device *device, uint32_t pasid, struct sim_mm *mm, uint64_t bond); /* 0, -ENOMEM */
/* Quarantine: the PASID table entry stays but translates nothing; IOTLB invalidated. */
void sim_iommu_cut(struct sim_device *device, uint32_t pasid);
/* The entry goes; IOTLB invalidated. reset: by a reset of the device, which changes nothing here: the IOTLB is the IOMMU's. */
void sim_iommu_detach(struct sim_device *device, uint32_t pasid, bool reset);

/*
 * The device's side, from a worker. What mm does (bond's device, bond's PASID, address) lead to? *ret is counted. May wait for a page
 * response. 0; positive: enum svab_fault; -EACCES: translation is off (counted as blocked); -ECANCELED: told to stop, or
 * dead, while it waited; -ENOMEM. finishing: a stop that was seen already does not cancel.
 */
int sim_iommu_translate(struct sim_bond *bond, uint64_t address, bool write, bool finishing, struct sim_mm **ret);

/* Begins the access itself: translation is looked up once more and the checker told, atomically with any invalidation. -EAGAIN: the IOTLB
 * entry is gone, translate again. *ret is counted; sim_iommu_end() uncounts it. */
int sim_iommu_begin(struct sim_bond *bond, uint64_t address, struct sim_mm **ret);
void sim_iommu_end(struct sim_bond *bond, struct sim_mm *mm);

/* An access of a bond whose drain is over (sim_late.c). 0: it comes through, as after sim_iommu_begin(); -EACCES: refused, and counted;
 * -ESTALE: the PASID is another bond's by now. */
int sim_iommu_late_begin(struct sim_bond *bond, uint64_t address, struct sim_mm **ret);

/* Loop: wakes a worker of bond that awaits a page response, so that it looks at its orders. */
void sim_iommu_wake(struct sim_bond *bond);

/* Loop: no page request of bond is to be left: queued ones are discarded. True: none is left. False: one is being handled; the bond is
 * told (NEWS_FLUSHED) when that has ended. */
bool sim_iommu_flush(struct sim_bond *bond);

#endif
