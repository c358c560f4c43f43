/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_LATE_H
#define SVAD_SIM_LATE_H
#include "sim.h"

/*
 * Loop. An injected fault: when the device has been told to, it emits one write of 8 bytes some ms after the bond was cut or became CLEAN, through
 * the bond's PASID. A correct IOMMU refuses it (counted as blocked). When the PASID was handed on meanwhile, no IOMMU could tell: then it is
 * not emitted, for that harm would be the lying device's, and not an error in the drain.
 */
void sim_late_dma(struct sim_bond *bond);

#endif
