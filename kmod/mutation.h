/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deliberate faults, for testing the tests: built in by SVAB_MUTATIONS=1 only, chosen by the module
 * parameter "mutation" (names: mutation.c). Each must make some scenario of the VM tier fail.
 */
#ifndef SVAB_MUTATION_H
#define SVAB_MUTATION_H

#include <linux/types.h>

enum svab_mutation {
	SVAB_MUT_NONE,
	SVAB_MUT_UNBIND_BEFORE_STOP, /* detached while the device still works */
	SVAB_MUT_UNBIND_BEFORE_FLUSH, /* FLUSHED taken for CLEAN */
	SVAB_MUT_NO_STOP, /* the device is never asked to stop */
	SVAB_MUT_NO_ZAP, /* the portal stays mapped */
	SVAB_MUT_REFAULT, /* the portal comes back at the next access */
	SVAB_MUT_EARLY_MMDROP, /* the PASID is let go when the drain begins */
	SVAB_MUT_QUARANTINE_MMDROP, /* a quarantined PASID is let go */
	SVAB_MUT_LOST_REF, /* the second ctx of a bond takes no reference */
	SVAB_MUT_DOUBLE_DRAIN, /* a second cause drains again */
	SVAB_MUT_NO_RELEASE, /* the end of the address space goes unnoticed */
	SVAB_MUT_KEEP_GRANT, /* a grant is not used up */
	SVAB_MUT_LOST_EVENT, /* DRAINED is never told */
	SVAB_MUT_ANY_MM, /* an fd works in any address space */
	SVAB_MUT_QUARANTINE_REBIND, /* a quarantined pair can be bound again */
	SVAB_MUT_FLUSH_NO_EVENTQ, /* the hardware's queue is not awaited */
	SVAB_MUT_FLUSH_NO_IRQ, /* the interrupt's thread is not awaited */
	SVAB_MUT_FLUSH_NO_IOPF, /* the fault queue is not awaited */
	SVAB_MUT_FLUSH_NO_SECOND_LOOK, /* records until the detaching are not awaited */
	SVAB_MUT_FLUSH_NO_FULL, /* a full queue is taken for an empty one */
};

#ifdef SVAB_MUTATIONS
bool svab_mutated(enum svab_mutation which);
#else
static inline bool svab_mutated(enum svab_mutation which)
{
	return false;
}
#endif

#endif /* SVAB_MUTATION_H */
