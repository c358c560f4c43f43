/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_JSON_H
#define SVAD_CTL_JSON_H
/*
 * JSON of the wire's objects. Numbers are integers; times end in _ns; states and the like are words. A number
 * above 2^63 - 1 becomes a decimal string, because JSON libraries (ours too) have signed 64 bits. NULL: no
 * memory. The caller owns what it gets.
 */
#include <jansson.h>
#include <stdbool.h>

#include "svad.pb-c.h"

json_t *json_u64(uint64_t value);
json_t *json_device(const Svad__V1__Device *device);
json_t *json_bond(const Svad__V1__Bond *bond);
json_t *json_client(const Svad__V1__Client *client);
json_t *json_event(const Svad__V1__Event *event);
/* Without its timeline. */
json_t *json_container(const Svad__V1__Container *container);
json_t *json_bond_end(const Svad__V1__BondEnd *end);
json_t *json_timeline_entry(const Svad__V1__TimelineEntry *entry);

/* Adds a member, taking value. Errors are remembered nowhere: a member that could not be added for lack of
 * memory shows in json_print(), which then fails. */
void json_add(json_t *object, const char *key, json_t *value);
#define json_add_u64(o, k, v) json_add(o, k, json_u64(v))
#define json_add_str(o, k, v) json_add(o, k, json_string(v))
#define json_add_bool(o, k, v) json_add(o, k, json_boolean(v))

/* Prints to stdout and drops the reference. lines: one line (for streams), flushed. Exit code. */
int json_print(json_t *root, bool lines);

#endif
