/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_EVENTS_H
#define SVAD_EVENTS_H
/* Who is told what: administrators that watch get everything, a client what concerns its own bonds and devices. */
#include "broker.h"

struct bond;
struct container;
struct device;

void event_bond(struct bond *bond, Svad__V1__EventKind kind, uint64_t time_ns, uint64_t duration_ns);
void event_fault(struct bond *bond, const struct svab_event *event);
void event_device(struct device *device, Svad__V1__EventKind kind);
void event_client(struct client *client, Svad__V1__EventKind kind, const char *text);
void event_container(struct container *container, Svad__V1__EventKind kind, const char *text);
void event_broker(struct broker *broker, Svad__V1__EventKind kind, const char *text);

#endif
