/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_CDI_CHECK_H
#define SVAD_TESTS_CDI_CHECK_H
/* The rules of the Container Device Interface, version 0.5.0: those of its schema (members, types, what is required, nothing else), and those of
 * its text that a schema does not say (names). */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* False, and the first rule that is broken, in words. */
bool cdi_check(const json_t *spec, char *why, size_t size);

#endif
