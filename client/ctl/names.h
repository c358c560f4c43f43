/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_NAMES_H
#define SVAD_CTL_NAMES_H
/*
 * The wire's numbers as words. Never NULL; a number of a later version is "unknown". Thread-safe.
 */
#include <stddef.h>
#include <stdint.h>

#include "term.h"

const char *name_state(unsigned state); /* "BOUND" */
enum style style_state(unsigned state);
const char *name_cause(unsigned cause);	  /* "client gone" */
const char *name_health(unsigned health); /* "degraded" */
enum style style_health(unsigned health);
const char *name_event(unsigned kind); /* "BOUND" */
enum style style_event(unsigned kind);
const char *name_container_state(unsigned state); /* "active" */
enum style style_container_state(unsigned state);
const char *name_timeline(unsigned kind); /* "removal asked" */
const char *name_fault(unsigned code); /* "no mapping there" */
/* "copy fill": bits of Device.operations, Device.capabilities. Returns buf. */
char *name_operations(uint64_t bits, char *buf, size_t size);
char *name_capabilities(uint64_t bits, char *buf, size_t size);

#endif
