/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_VFIO_TEXT_H
#define SVAD_CTL_VFIO_TEXT_H
/* What is known of a vfio device, in words. Each writes into buf and returns it. Thread-safe. */
#include <jansson.h>
#include <stddef.h>

#include "svad.pb-c.h"

char *vfio_text_own(const Svad__V1__VfioDevice *dev, char *buf, size_t size);	 /* "16 PASID bits, ATS" */
char *vfio_text_iommu(const Svad__V1__VfioDevice *dev, char *buf, size_t size); /* "SMMUv3, 16 PASID bits, can stall" */
/* What would make the kernel tell; NULL: nothing that is known. */
const char *vfio_text_remedy(const char *untold);
json_t *vfio_json(const Svad__V1__VfioDevice *dev);
/* All of it, a line each, as svadctl device show has it. */
void vfio_print(const Svad__V1__VfioDevice *dev);

#endif
