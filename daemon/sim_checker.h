/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_CHECKER_H
#define SVAD_SIM_CHECKER_H
/*
 * The checker: an independent record of who may touch what. It is told what was announced (assignments, stops acknowledged, CLEAN) and
 * every access that is really made, and looks at nothing else: none of the structures that it checks. Thread-safe; a leaf lock.
 * A violation is logged (SVAD_MSG_VIOLATION), counted, and the last ones are kept as text.
 */
#include <stdint.h>
#include <stdio.h>

#define CHECKER_TEXTS 16u
#define CHECKER_TEXT_MAX 192u

int checker_init(void);
void checker_deinit(void);

/* Announcements. */
void checker_assign(uint32_t pasid, uint64_t mm); /* the PASID is handed to an mm that had none */
void checker_bind(uint64_t bond, uint32_t device, uint32_t pasid, uint64_t mm);
void checker_stopping(uint64_t bond, int64_t portal_size); /* portal_size: as fstat sees it now */
void checker_stopped(uint64_t bond); /* the stop was acknowledged */
void checker_cut(uint64_t bond); /* QUARANTINED: translation is off */
void checker_clean(uint64_t bond);

/* Accesses that happen: memory of mm is about to be read or written through pasid for bond. */
void checker_access_begin(uint64_t bond, uint32_t pasid, uint64_t mm);
void checker_access_end(uint64_t bond);
/* A page request of bond was answered out of mm. */
void checker_page_request(uint64_t bond, uint32_t pasid, uint64_t mm);
/* An access that the IOMMU refused because translation was off: no violation, but counted. */
void checker_blocked(void);

struct checker_counts {
	uint64_t violations, accesses, blocked;
};
void checker_counts(struct checker_counts *ret);
/* The i-th kept text, oldest first; NULL when there is none. Copied into buf. */
const char *checker_text(unsigned i, char buf[CHECKER_TEXT_MAX]);

#endif
