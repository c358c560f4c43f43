// SPDX-License-Identifier: GPL-2.0-only
/* Deliberate faults: see mutation.h. Built in with SVAB_MUTATIONS=1 only. */
#include <linux/module.h>
#include <linux/string.h>

#include "mutation.h"

static const char *const svab_mutation_names[] = {
	[SVAB_MUT_NONE] = "none",
#define SVAB_MUTATION_NAME(id, name) [SVAB_MUT_##id] = name,
	SVAB_MUTATION_LIST(SVAB_MUTATION_NAME)
#undef SVAB_MUTATION_NAME
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
