/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_FAKE_KMOD_H
#define SVAD_TESTS_FAKE_KMOD_H
/*
 * The kernel module as kmod/svabroker.h describes it, played in memory for the broker's backend: contexts, grants, bonds, devices, an event
 * queue that runs over, listings in pages. What clients and devices do is done by the fake_ functions. One module a process.
 */
#include <stdbool.h>
#include <stdint.h>

#include "../../daemon/backend_kmod.h"

extern const struct kmod_sys fake_kmod_sys;

/* Faults, set at will. */
struct fake_kmod_knobs {
	unsigned queue;       /* records that the event queue has room for */
	unsigned page;        /* SVAB_LIST returns no more entries at once; 0: as many as asked for */
	unsigned record;      /* bytes of an event record, as a later (or earlier) module has it */
	unsigned interrupts;  /* so many calls end with EINTR, nothing done */
	unsigned long fails;  /* this ioctl ends with fail_error; 0: none */
	int fail_error;
	int read_error;       /* of read(); 0: none */
	bool slow_stop;       /* a bond that ends stays STOPPING until fake_stopped() */
	bool hold_reset;      /* SVAB_DEV_RESET waits, see fake_reset_held() */
	void (*on_list)(void); /* runs before each page of a listing, as what happens meanwhile does */
};
extern struct fake_kmod_knobs fake_knobs;

void fake_kmod_load(void);   /* a new module without anything; knobs as they should be */
void fake_kmod_unload(void); /* everything is given back */
int fake_kmod_open(void);    /* a control fd with an empty queue; the one before hears nothing any more */

uint32_t fake_device_add(const char *name, uint64_t caps);
void fake_device_gone(uint32_t id); /* as unregistering begins; its bonds end */
void fake_device_forget(uint32_t id); /* as it has ended */

/* What a client's ioctl would: bond id > 0, or -errno. mm: whose address space, any number. */
int64_t fake_bind(uint64_t cookie, uint32_t device, unsigned mm);
/* Drops the ctx's reference. */
void fake_unbind(uint64_t cookie, uint64_t bond);
void fake_mm_gone(unsigned mm);
void fake_ctx_closed(uint64_t cookie); /* last close */
void fake_stopped(uint64_t bond, bool in_time); /* the device has stopped, or the deadline has passed */
void fake_fault(uint64_t bond, uint64_t address);
void fake_event(uint32_t type, uint64_t value); /* any other */

/* What is there. */
unsigned fake_bonds(void), fake_ctxs(void), fake_grants(void), fake_lists(void); /* lists: SVAB_LIST calls so far */
uint32_t fake_bond_state(uint64_t bond), fake_bond_cause(uint64_t bond); /* SVAB_PASID_NONE: no such bond */
uint64_t fake_last_ctx(void); /* cookie of the ctx made last */
bool fake_reset_held(void); /* waits until a reset is held */
void fake_reset_release(void);

#endif
