// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: every open control fd has a queue of its own, allocated when it is opened, so that
 * telling what happened never fails for want of memory. A reader that falls behind loses events,
 * but not the knowledge that it did: LOST comes in their place, and then it lists.
 *
 * Locks: svab_event_lock is innermost; svab_queue.read_lock is held around copying to the reader
 * and so outside mmap_lock. Events are queued under svab_lock, in the order of the states that
 * they tell.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "svabroker_private.h"

#define SVAB_QUEUE_EVENTS 4096u
#define SVAB_QUEUE_BATCH 32u

struct svab_queue {
	struct list_head link;
	wait_queue_head_t wait;
	struct mutex read_lock; /* one reader at a time; batch */
	struct svab_event batch[SVAB_QUEUE_BATCH];
	u32 first;
	u32 count;
	u64 lost;
	struct svab_event *ring;
};

static DEFINE_SPINLOCK(svab_event_lock);
static LIST_HEAD(svab_queues);
static u64 svab_lost;

struct svab_queue *svab_queue_new(void)
{
	struct svab_queue *queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);

	if (!queue)
		return NULL;
	queue->ring = kvcalloc(SVAB_QUEUE_EVENTS, sizeof(*queue->ring), GFP_KERNEL_ACCOUNT);
	if (!queue->ring) {
		kfree(queue);
		return NULL;
	}
	init_waitqueue_head(&queue->wait);
	mutex_init(&queue->read_lock);
	spin_lock_irq(&svab_event_lock);
	list_add_tail(&queue->link, &svab_queues);
	spin_unlock_irq(&svab_event_lock);
	return queue;
}

void svab_queue_free(struct svab_queue *queue)
{
	spin_lock_irq(&svab_event_lock);
	list_del(&queue->link);
	spin_unlock_irq(&svab_event_lock);
	kvfree(queue->ring);
	kfree(queue);
}

/* In order: nothing may follow a gap before the gap was told. */
static void svab_queue_add(struct svab_queue *queue, const struct svab_event *event)
{
	if (queue->lost || queue->count == SVAB_QUEUE_EVENTS) {
		queue->lost++;
		svab_lost++;
	} else {
		queue->ring[(queue->first + queue->count) % SVAB_QUEUE_EVENTS] = *event;
		queue->count++;
	}
	wake_up_interruptible_poll(&queue->wait, EPOLLIN | EPOLLRDNORM);
}

/**
 * svab_event() - tell every control fd
 * @event: size and time are filled in
 *
 * Any context.
 */
void svab_event(struct svab_event *event)
{
	struct svab_queue *queue;
	unsigned long flags;

	event->size = sizeof(*event);
	event->time_ns = ktime_get_ns();
	spin_lock_irqsave(&svab_event_lock, flags);
	list_for_each_entry(queue, &svab_queues, link)
		svab_queue_add(queue, event);
	spin_unlock_irqrestore(&svab_event_lock, flags);
}

/**
 * svab_event_bond() - tell something of a bond
 * @bond: the bond
 * @hold: whose ctx and grant to name; NULL: those of the first hold
 * @type: what
 * @value: goes with it
 */
void svab_event_bond(struct svab_bond *bond, const struct svab_hold *hold,
		     enum svab_event_type type, u64 value)
{
	struct svab_event event = {
		.type = type,
		.bond = bond->id,
		.device = bond->device->id,
		.pasid = bond->pasid,
		.state = bond->state,
		.cause = bond->cause,
		.value = value,
	};

	lockdep_assert_held(&svab_lock);
	if (!hold)
		hold = list_first_entry_or_null(&bond->holds, struct svab_hold, of_bond);
	if (hold) {
		event.cookie = hold->ctx->cookie;
		event.grant = hold->grant;
	}
	svab_event(&event);
}

u64 svab_events_lost(void)
{
	u64 lost;

	spin_lock_irq(&svab_event_lock);
	lost = svab_lost;
	spin_unlock_irq(&svab_event_lock);
	return lost;
}

static bool svab_queue_ready(struct svab_queue *queue)
{
	bool ready;

	spin_lock_irq(&svab_event_lock);
	ready = queue->count || queue->lost;
	spin_unlock_irq(&svab_event_lock);
	return ready;
}

/* Copies without taking: what cannot be handed over is not lost. */
static u32 svab_queue_peek(struct svab_queue *queue, u32 room, u64 *lost)
{
	u32 n;

	room = min(room, SVAB_QUEUE_BATCH);
	*lost = 0;
	spin_lock_irq(&svab_event_lock);
	for (n = 0; n < room && n < queue->count; n++)
		queue->batch[n] = queue->ring[(queue->first + n) % SVAB_QUEUE_EVENTS];
	if (n < room && n == queue->count && queue->lost) {
		*lost = queue->lost;
		queue->batch[n++] = (struct svab_event){
			.size = sizeof(struct svab_event),
			.type = SVAB_EV_LOST,
			.time_ns = ktime_get_ns(),
			.value = queue->lost,
		};
	}
	spin_unlock_irq(&svab_event_lock);
	return n;
}

static void svab_queue_take(struct svab_queue *queue, u32 n, u64 lost)
{
	spin_lock_irq(&svab_event_lock);
	if (lost)
		n--;
	queue->first = (queue->first + n) % SVAB_QUEUE_EVENTS;
	queue->count -= n;
	/* More may have been lost since: they are told next. */
	queue->lost -= lost;
	spin_unlock_irq(&svab_event_lock);
}

ssize_t svab_queue_read(struct svab_queue *queue, struct file *file, char __user *buf, size_t size)
{
	size_t done = 0;
	ssize_t r = 0;
	u64 lost;
	u32 n;

	if (size < sizeof(struct svab_event))
		return -EINVAL;
	for (;;) {
		if (mutex_lock_interruptible(&queue->read_lock))
			return -ERESTARTSYS;
		while (!r && size - done >= sizeof(struct svab_event)) {
			size_t room = (size - done) / sizeof(struct svab_event);

			n = svab_queue_peek(queue, min_t(size_t, room, SVAB_QUEUE_BATCH), &lost);
			if (!n)
				break;
			if (copy_to_user(buf + done, queue->batch, n * sizeof(queue->batch[0]))) {
				r = -EFAULT;
				break;
			}
			svab_queue_take(queue, n, lost);
			done += n * sizeof(queue->batch[0]);
		}
		mutex_unlock(&queue->read_lock);
		if (done)
			return done;
		if (r)
			return r;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(queue->wait, svab_queue_ready(queue)))
			return -ERESTARTSYS;
	}
}

__poll_t svab_queue_poll(struct svab_queue *queue, struct file *file, poll_table *wait)
{
	poll_wait(file, &queue->wait, wait);
	return svab_queue_ready(queue) ? EPOLLIN | EPOLLRDNORM : 0;
}
