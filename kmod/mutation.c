// SPDX-License-Identifier: GPL-2.0-only
/* Deliberate faults: see mutation.h. Built in with SVAB_MUTATIONS=1 only. */
#include <linux/module.h>
#include <linux/string.h>

#include "mutation.h"

static const char *const svab_mutation_names[] = {
	[SVAB_MUT_NONE] = "none",
	[SVAB_MUT_UNBIND_BEFORE_STOP] = "unbind-before-stop",
	[SVAB_MUT_UNBIND_BEFORE_FLUSH] = "unbind-before-flush",
	[SVAB_MUT_NO_STOP] = "no-stop",
	[SVAB_MUT_NO_ZAP] = "no-zap",
	[SVAB_MUT_REFAULT] = "refault",
	[SVAB_MUT_EARLY_MMDROP] = "early-mmdrop",
	[SVAB_MUT_QUARANTINE_MMDROP] = "quarantine-mmdrop",
	[SVAB_MUT_LOST_REF] = "lost-ref",
	[SVAB_MUT_DOUBLE_DRAIN] = "double-drain",
	[SVAB_MUT_NO_RELEASE] = "no-release",
	[SVAB_MUT_KEEP_GRANT] = "keep-grant",
	[SVAB_MUT_LOST_EVENT] = "lost-event",
	[SVAB_MUT_ANY_MM] = "any-mm",
	[SVAB_MUT_QUARANTINE_REBIND] = "quarantine-rebind",
	[SVAB_MUT_FLUSH_NO_EVENTQ] = "flush-no-eventq",
	[SVAB_MUT_FLUSH_NO_IRQ] = "flush-no-irq",
	[SVAB_MUT_FLUSH_NO_IOPF] = "flush-no-iopf",
	[SVAB_MUT_FLUSH_NO_SECOND_LOOK] = "flush-no-second-look",
	[SVAB_MUT_FLUSH_NO_FULL] = "flush-no-full",
};

static int svab_mutation;

static int svab_mutation_set(const char *value, const struct kernel_param *param)
{
	int i = sysfs_match_string(svab_mutation_names, value);

	if (i < 0)
		return i;
	WRITE_ONCE(svab_mutation, i);
	return 0;
}

static int svab_mutation_get(char *buf, const struct kernel_param *param)
{
	return sysfs_emit(buf, "%s\n", svab_mutation_names[READ_ONCE(svab_mutation)]);
}

static const struct kernel_param_ops svab_mutation_ops = {
	.set = svab_mutation_set,
	.get = svab_mutation_get,
};

module_param_cb(mutation, &svab_mutation_ops, NULL, 0600);
MODULE_PARM_DESC(mutation, "deliberate fault, for testing the tests");

/**
 * svab_mutated() - is this the deliberate fault of the day?
 * @which: the fault
 *
 * Return: yes or no.
 */
bool svab_mutated(enum svab_mutation which)
{
	return READ_ONCE(svab_mutation) == which;
}
