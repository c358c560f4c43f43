/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_MUTATION_H
#define SVAD_MUTATION_H
/* Deliberate bugs, each chosen by $SVAD_MUTATION, in builds with --enable-mutations only: they show that the tests would find them. */
#include <stdbool.h>

#ifdef SVAD_MUTATIONS
bool sim_mutated(const char *name);
#define MUTATED(name) sim_mutated(name)
#else
#define MUTATED(name) false
#endif

#endif
