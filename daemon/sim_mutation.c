/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mutation.h"

#ifdef SVAD_MUTATIONS
#include <stdlib.h>
#include <string.h>

/* The one bug that $SVAD_MUTATION names. Only a build made to test the tests has this. */
bool sim_mutated(const char *name)
{
	const char *on = getenv("SVAD_MUTATION");

	return on && !strcmp(on, name);
}
#else
typedef int sim_mutation_empty; /* ISO C wants a declaration in every file */
#endif
