/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring, its doorbell, and waiting for completion records. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define SPINS 512 /* a few microseconds: what a short job takes */
#define NAP_MIN_NS 20000
#define NAP_MAX_NS 1000000
#define RESET_MS 1000

struct sva_queue {
	struct sva_bond *bond;
	struct sva_ring *ring;
	struct portal_guard *guard;
	volatile uint8_t *portal;
	uint32_t entries; /* this queue's; the ring may have more */
	bool kick;
};

static uint32_t reg_read(const struct sva_queue *q, uint32_t reg)
{
	return __atomic_load_n((volatile uint32_t *)(q->portal + reg), __ATOMIC_ACQUIRE);
}

static void reg_write(const struct sva_queue *q, uint32_t reg, uint32_t value)
{
	__atomic_store_n((volatile uint32_t *)(q->portal + reg), value, __ATOMIC_RELEASE);
}

static bool gone(const struct sva_queue *q)
{
	/* After an access of the portal. The compiler may not move the look before it. */
	atomic_signal_fence(memory_order_seq_cst);
	if (!portal_guard_dead(q->guard))
		return atomic_load_explicit(&q->bond->revoked, memory_order_relaxed);
	atomic_store(&q->bond->revoked, true);
	return true;
}

static int shut_down(const struct sva_queue *q)
{
	return sva_fail(q->bond->sva, -ESHUTDOWN, "the bond with %s was revoked", q->bond->name);
}

static struct sva_ring *ring_new(uint32_t entries)
{
	struct sva_ring *ring = calloc(1, sizeof(*ring));
	void *desc;

	if (!ring)
		return NULL;
	if (posix_memalign(&desc, sizeof(struct sva_demo_desc), entries * sizeof(struct sva_demo_desc)) !=
	    0) {
		free(ring);
		return NULL;
	}
	memset(desc, 0, entries * sizeof(struct sva_demo_desc));
	ring->desc = desc;
	ring->entries = entries;
	return ring;
}

/* Switches the ring off and waits until the device has forgotten its position in it. */
static int reset_ring(struct sva_queue *q)
{
	uint64_t deadline = sva_deadline(RESET_MS), nap = NAP_MIN_NS;
	struct pollfd p = { .fd = q->bond->fd };

	reg_write(q, SVA_DEMO_REG_ENABLE, 0);
	if (q->kick && sva_bond_kick(q->bond) < 0)
		return shut_down(q);
	while (reg_read(q, SVA_DEMO_REG_HEAD) != 0 || reg_read(q, SVA_DEMO_REG_ERROR) != 0) {
		struct timespec t = { .tv_nsec = (long)nap };

		if (gone(q) || (ppoll(&p, 1, &t, NULL) > 0 && (p.revents & (POLLHUP | POLLERR))))
			return shut_down(q);
		if (sva_now_ns() >= deadline)
			return sva_fail(q->bond->sva, -EBUSY, "%s does not let go of its old ring",
					q->bond->name);
		nap = nap * 2 > NAP_MAX_NS ? NAP_MAX_NS : nap * 2;
	}
	return gone(q) ? shut_down(q) : 0;
}

/* The device's view of the ring: base, size, and where the counters stand. */
static int program_ring(struct sva_queue *q, uint32_t entries)
{
	struct sva_bond *bond = q->bond;
	bool broken = reg_read(q, SVA_DEMO_REG_ERROR) != 0;
	struct sva_ring *ring;
	int r;

	if (bond->rings && bond->rings->entries >= entries && !broken) {
		q->ring = bond->rings; /* the device knows it, and goes on where it stands */
		return 0;
	}
	/* A bigger ring than the one the device has: only while it reads nothing from that. */
	if (bond->rings && !broken &&
	    (reg_read(q, SVA_DEMO_REG_HEAD) != bond->tail || reg_read(q, SVA_DEMO_REG_INFLIGHT)))
		return sva_fail(bond->sva, -EBUSY,
				"work of an earlier queue is outstanding on %s: wait for it", bond->name);
	ring = ring_new(entries);
	if (!ring)
		return sva_fail(bond->sva, -ENOMEM, "out of memory");
	r = reset_ring(q);
	if (r < 0) {
		free(ring->desc);
		free(ring);
		return r;
	}

	bond->tail = 0;
	reg_write(q, SVA_DEMO_REG_DOORBELL, 0);
	__atomic_store_n((volatile uint64_t *)(q->portal + SVA_DEMO_REG_RING_BASE),
			 (uint64_t)(uintptr_t)ring->desc, __ATOMIC_RELEASE);
	reg_write(q, SVA_DEMO_REG_RING_SIZE, entries);
	reg_write(q, SVA_DEMO_REG_ENABLE, 1);
	ring->next = bond->rings;
	bond->rings = ring; /* the bond's from here: the device may read it until that has ended */
	q->ring = ring;
	return gone(q) ? shut_down(q) : 0;
}

int sva_queue_new(struct sva_bond *bond, unsigned entries, struct sva_queue **ret_queue)
{
	struct sva_queue *q;
	bool taken;
	int r;

	if (!bond || !ret_queue)
		return sva_fail(NULL, -EINVAL, "no bond, or no place for the queue, was given");
	if (!sva_alive(bond->sva))
		return sva_fail_owner(bond->sva);
	if (entries < 2 || entries > SVA_DEMO_RING_MAX || (entries & (entries - 1)))
		return sva_fail(bond->sva, -EINVAL, "a queue has 2, 4, 8, ... %u entries, not %u",
				SVA_DEMO_RING_MAX, entries);
	if (!bond->portal || bond->portal_size < SVA_DEMO_PORTAL_SIZE)
		return sva_fail(bond->sva, -ENOTSUP, "%s has no portal of the demo accelerator's kind",
				bond->name);
	if (sva_bond_revoked(bond))
		return sva_fail(bond->sva, -ESHUTDOWN, "the bond with %s was revoked", bond->name);

	pthread_mutex_lock(&bond->sva->lock);
	taken = bond->has_queue;
	bond->has_queue = true;
	pthread_mutex_unlock(&bond->sva->lock);
	if (taken)
		return sva_fail(bond->sva, -EBUSY, "this bond has a queue already: its portal has one ring");

	q = calloc(1, sizeof(*q));
	if (!q) {
		r = sva_fail(bond->sva, -ENOMEM, "out of memory");
		goto fail;
	}
	q->bond = bond;
	q->portal = bond->portal;
	q->entries = entries;
	r = portal_guard_new(bond->portal, bond->portal_size, &q->guard);
	if (r < 0) {
		r = sva_fail(bond->sva, r, "cannot guard the portal: %s", strerrordesc_np(-r));
		goto fail;
	}
	if (reg_read(q, SVA_DEMO_REG_MAGIC) != SVA_DEMO_MAGIC ||
	    reg_read(q, SVA_DEMO_REG_VERSION) != SVA_DEMO_VERSION) {
		r = gone(q) ? shut_down(q)
			    : sva_fail(bond->sva, -ENOTSUP, "%s has no portal of the demo accelerator's kind",
				       bond->name);
		goto fail;
	}
	q->kick = (reg_read(q, SVA_DEMO_REG_FLAGS) & SVA_DEMO_FLAG_KICK) != 0;
	r = program_ring(q, entries);
	if (r < 0)
		goto fail;
	*ret_queue = q;
	return 0;
fail:
	if (q)
		portal_guard_free(q->guard);
	free(q);
	pthread_mutex_lock(&bond->sva->lock);
	bond->has_queue = false;
	pthread_mutex_unlock(&bond->sva->lock);
	return r;
}

void sva_queue_free(struct sva_queue *queue)
{
	if (!queue)
		return;
	/* The ring stays the bond's, and enabled: what was submitted is still done. */
	if (sva_alive(queue->bond->sva)) {
		pthread_mutex_lock(&queue->bond->sva->lock);
		queue->bond->has_queue = false;
		pthread_mutex_unlock(&queue->bond->sva->lock);
	}
	portal_guard_free(queue->guard);
	free(queue);
}

int sva_queue_submit(struct sva_queue *queue, const struct sva_demo_desc *desc,
		     struct sva_demo_completion *done)
{
	struct sva_bond *bond;
	struct sva_demo_desc *slot;
	uint32_t used;

	if (!queue || !desc)
		return sva_fail(NULL, -EINVAL, "no queue, or no descriptor, was given");
	bond = queue->bond;
	if (!sva_alive(bond->sva))
		return sva_fail_owner(bond->sva);
	used = bond->tail - reg_read(queue, SVA_DEMO_REG_HEAD);
	if (gone(queue))
		return shut_down(queue);
	if (used >= queue->entries)
		return sva_fail(bond->sva, -EAGAIN,
				"the queue's %u entries are in use: wait for a completion", queue->entries);

	if (done)
		__atomic_store_n(&done->status, SVA_DEMO_PENDING, __ATOMIC_RELAXED);
	slot = &queue->ring->desc[bond->tail & (queue->ring->entries - 1)];
	*slot = *desc;
	slot->completion = (uint64_t)(uintptr_t)done;
	reg_write(queue, SVA_DEMO_REG_DOORBELL, ++bond->tail);
	if (queue->kick) {
		/* Store the doorbell, then look whether it sleeps; the device says that it sleeps, then looks
		 * at the doorbell. */
		atomic_thread_fence(memory_order_seq_cst);
		if (reg_read(queue, SVA_DEMO_REG_IDLE) && sva_bond_kick(bond) == -ESHUTDOWN) {
			atomic_store(&bond->revoked, true);
			return shut_down(queue);
		}
	}
	return gone(queue) ? shut_down(queue) : 0;
}

static bool complete(const struct sva_demo_completion *done)
{
	return __atomic_load_n(&done->status, __ATOMIC_ACQUIRE) != SVA_DEMO_PENDING;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int sva_queue_wait(struct sva_queue *queue, struct sva_demo_completion *done, int timeout_ms)
{
	uint64_t deadline = 0, nap = NAP_MIN_NS;
	struct pollfd p;

	if (!queue || !done)
		return sva_fail(NULL, -EINVAL, "no queue, or no completion record, was given");
	if (!sva_alive(queue->bond->sva))
		return sva_fail_owner(queue->bond->sva);
	for (unsigned i = 0; i < SPINS; i++) {
		if (complete(done))
			return 0;
		relax();
	}
	if (timeout_ms >= 0)
		deadline = sva_deadline(timeout_ms);

	/* The device writes memory and nothing else; the bond's fd tells of the end. */
	p = (struct pollfd){ .fd = queue->bond->fd };
	for (;;) {
		struct timespec t = { .tv_nsec = (long)nap };
		int n = ppoll(&p, 1, &t, NULL);

		if (complete(done))
			return 0;
		if ((n > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL))) ||
		    atomic_load_explicit(&queue->bond->revoked, memory_order_relaxed)) {
			atomic_store(&queue->bond->revoked, true);
			return complete(done) ? 0 : shut_down(queue);
		}
		/* A ring that the device cannot read completes nothing any more. */
		if (reg_read(queue, SVA_DEMO_REG_ERROR) != 0 && !gone(queue))
			return sva_fail(queue->bond->sva, -EIO,
					"%s cannot read its ring and has stopped: free this queue and make "
					"another",
					queue->bond->name);
		if (timeout_ms >= 0 && sva_now_ns() >= deadline)
			return sva_fail(queue->bond->sva, -ETIMEDOUT,
					"%s has not completed the work in %d ms", queue->bond->name,
					timeout_ms);
		nap = nap * 2 > NAP_MAX_NS ? NAP_MAX_NS : nap * 2;
	}
}

static int run(struct sva_queue *queue, struct sva_demo_desc *desc, uint64_t *ret_result, uint64_t *ret_fault)
{
	struct sva_demo_completion *done;
	int r;

	if (!queue)
		return sva_fail(NULL, -EINVAL, "no queue was given");
	if (!sva_alive(queue->bond->sva))
		return sva_fail_owner(queue->bond->sva);
	done = &queue->ring->done;
	r = sva_queue_submit(queue, desc, done);
	if (r < 0)
		return r;
	r = sva_queue_wait(queue, done, -1);
	if (r < 0)
		return r;

	switch (done->status) {
	case SVA_DEMO_OK:
		if (ret_result)
			*ret_result = done->result;
		return 0;
	case SVA_DEMO_FAULT_UNMAPPED:
	case SVA_DEMO_FAULT_PERMISSION:
		if (ret_fault)
			*ret_fault = done->fault_addr;
		return sva_fail(queue->bond->sva, -EFAULT, "the device faulted at %#llx: %s",
				(unsigned long long)done->fault_addr,
				done->status == SVA_DEMO_FAULT_UNMAPPED
					? "nothing is mapped there"
					: "the mapping does not allow this access");
	case SVA_DEMO_BAD_DESCRIPTOR:
		return sva_fail(queue->bond->sva, -EINVAL,
				"%s does not accept this descriptor: operation %u, %llu bytes",
				queue->bond->name, desc->op, (unsigned long long)desc->len);
	case SVA_DEMO_ABORTED:
		return sva_fail(queue->bond->sva, -ECANCELED,
				"the bond with %s was stopped before the work was done", queue->bond->name);
	default:
		return sva_fail(queue->bond->sva, -EIO, "%s completed with unknown status %u",
				queue->bond->name, done->status);
	}
}

int sva_copy(struct sva_queue *queue, void *dst, const void *src, size_t len, uint64_t *ret_fault)
{
	struct sva_demo_desc desc = {
		.op = SVA_DEMO_COPY,
		.src = (uintptr_t)src,
		.dst = (uintptr_t)dst,
		.len = len,
	};

	return run(queue, &desc, NULL, ret_fault);
}

int sva_fill(struct sva_queue *queue, void *dst, uint64_t pattern, size_t len, uint64_t *ret_fault)
{
	struct sva_demo_desc desc = {
		.op = SVA_DEMO_FILL, .dst = (uintptr_t)dst, .len = len, .arg = pattern
	};

	return run(queue, &desc, NULL, ret_fault);
}

int sva_crc32c(struct sva_queue *queue, const void *src, size_t len, uint32_t *ret_crc, uint64_t *ret_fault)
{
	struct sva_demo_desc desc = { .op = SVA_DEMO_CRC32C, .src = (uintptr_t)src, .len = len };
	uint64_t result = 0;
	int r = run(queue, &desc, &result, ret_fault);

	if (r == 0 && ret_crc)
		*ret_crc = (uint32_t)result;
	return r;
}

int sva_compare(struct sva_queue *queue, const void *a, const void *b, size_t len, uint64_t *ret_difference,
		uint64_t *ret_fault)
{
	struct sva_demo_desc desc = {
		.op = SVA_DEMO_COMPARE,
		.src = (uintptr_t)a,
		.dst = (uintptr_t)b,
		.len = len,
	};

	return run(queue, &desc, ret_difference, ret_fault);
}
