/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_IRQ_H
#define VM_HW_IRQ_H
/*
 * Interrupts into the guest: pulses on the inputs of QEMU's interrupt controller, by its qtest socket. irq_raise() only notes; a thread
 * sends. One that is noted already is one interrupt, as on a wire with an edge.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IRQ_SPIS 256u

struct irqs {
	const char *qtest, *qmp; /* socket paths */
	char gic[128]; /* QOM path */
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t raised;
	uint64_t pending[IRQ_SPIS / 64];
	uint64_t sent;
	bool stop;
};

void irqs_init(struct irqs *q, const char *qtest, const char *qmp, const char *gic);
void irqs_deinit(struct irqs *q);
void irq_raise(void *irqs, unsigned spi); /* a leaf: never waits */
/* A thread: connects to QEMU, however late it starts, and sends until irqs_stop() or QEMU is gone. 0, or -errno with a word in the log. */
int irqs_run(struct irqs *q);
void irqs_stop(struct irqs *q);

/* The QOM path of the GIC out of qom-list's answer about /machine/unattached. False: none there. */
bool irq_find_gic(const char *answer, char *ret, unsigned size);

#endif
