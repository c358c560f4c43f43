/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deliberate faults, for testing the tests: built in by SVAB_MUTATIONS=1 only, chosen by the module
 * parameter "mutation". Each must make some scenario of the VM tier fail.
 */
#ifndef SVAB_MUTATION_H
#define SVAB_MUTATION_H

#include <linux/types.h>

#define SVAB_MUTATION_LIST(X)                                                                    \
	X(UNBIND_BEFORE_STOP, "unbind-before-stop") /* detached while the device still works */  \
	X(UNBIND_BEFORE_FLUSH, "unbind-before-flush") /* FLUSHED taken for CLEAN */              \
	X(NO_STOP, "no-stop") /* the device is never asked to stop */                            \
	X(NO_ZAP, "no-zap") /* the portal stays mapped */                                        \
	X(REFAULT, "refault") /* the portal comes back at the next access */                     \
	X(EARLY_MMDROP, "early-mmdrop") /* the PASID is let go when the drain begins */          \
	X(QUARANTINE_MMDROP, "quarantine-mmdrop") /* a quarantined PASID is let go */            \
	X(LOST_REF, "lost-ref") /* the second ctx of a bond takes no reference */                \
	X(DOUBLE_DRAIN, "double-drain") /* a second cause drains again */                        \
	X(NO_RELEASE, "no-release") /* the end of the address space goes unnoticed */            \
	X(KEEP_GRANT, "keep-grant") /* a grant is not used up */                                 \
	X(LOST_EVENT, "lost-event") /* DRAINED is never told */                                  \
	X(ANY_MM, "any-mm") /* whose address space it is is not asked */                         \
	X(QUARANTINE_REBIND, "quarantine-rebind") /* a quarantined pair can be bound again */    \
	X(FLUSH_NO_EVENTQ, "flush-no-eventq") /* the hardware's queue is not awaited */          \
	X(FLUSH_NO_IRQ, "flush-no-irq") /* the interrupt's thread is not awaited */              \
	X(FLUSH_NO_IOPF, "flush-no-iopf") /* the fault queue is not awaited */

enum svab_mutation {
	SVAB_MUT_NONE,
#define SVAB_MUTATION_ENUM(id, name) SVAB_MUT_##id,
	SVAB_MUTATION_LIST(SVAB_MUTATION_ENUM)
#undef SVAB_MUTATION_ENUM
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
