// SPDX-License-Identifier: GPL-2.0-only
/*
 * The drain: everything between "this bond must end" and "this PASID may be reused".
 *
 *            BEGIN             device stopped: FLUSHED           all done: CLEAN
 *   BOUND ---------> STOPPING -----------------------> FLUSHED ------------------> CLEAN
 *                      |  |                               |                        ^  ^
 *                      |  +---- device stopped CLEAN -----|------------------------+  |
 *                      |                                  |                           |
 *                      +------ FAILED, DEADLINE ----------+---> QUARANTINED ----------+
 *                                                                |   the stop that was out came
 *                      FLUSHED <--------- FLUSHED ---------------+   back, a retry, a reset
 *
 * svab_bond_input_locked() makes every transition and nothing else does, so whatever races to end
 * a bond begins one drain. One work item carries a drain out: it cannot run twice at once. The
 * deadline is a timer's, so it passes on time even while the provider has the work in its stop():
 * a second work item cuts translation and makes it QUARANTINED; if that cannot have its locks for
 * SVAB_CUT_WAIT_MS, the timer does. The stop may still come back, and is believed then.
 *
 * A QUARANTINED bond is tried again by itself, ever more rarely: a device that comes round, or a
 * flush that took too long because an interrupt or one page was late, takes no reset.
 *
 * QUARANTINED means that the PASID stays with the mm_struct, which stays counted, and that it was
 * detached from the IOMMU: translation is cut. That is never done while one of its page requests is
 * being handled (svab_flush_detach()): where one is for long, or where the locks are held for long,
 * the cut follows the state.
 *
 * Locks: the works hold none but svab_bond.attach_lock, around detaching; svab_lock for inputs,
 * which may come from any context.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>

#include "flush.h"
#include "svabroker_private.h"

/* How long and how often a cut is tried; in vain while one of the PASID's faults is handled. */
#define SVAB_CUT_TRY_MS 250
#define SVAB_CUT_AGAIN_MS 1000

/* How long QUARANTINED waits for the first try, which needs locks that all others take, too. */
#define SVAB_CUT_WAIT_MS 1000

/* How soon a QUARANTINED bond's device is asked again by itself; twice as long each time. */
#define SVAB_ASK_MIN_MS 1000
#define SVAB_ASK_MAX_MS 64000

static void svab_count_draining(struct svab_bond *bond, int by)
{
	bond->device->draining += by;
	svab.draining += by;
}

static void svab_count_quarantined(struct svab_bond *bond, int by)
{
	bond->device->quarantined += by;
	svab.quarantined += by;
}

static void svab_drain_arm(struct svab_bond *bond)
{
	bond->deadline = ktime_add_ms(ktime_get(), bond->deadline_ms);
	bond->cut_asked = false;
	mod_timer(&bond->timer, jiffies + msecs_to_jiffies(bond->deadline_ms) + 1);
}

static void svab_drain_queue(struct svab_bond *bond)
{
	if (!queue_work(bond->device->wq, &bond->drain))
		return;
	kref_get(&bond->refs);
	bond->device->working++;
}

/* Not in the device's queue, which may be full of stops that wait. */
static void svab_cut_queue(struct svab_bond *bond)
{
	if (mod_delayed_work(svab.wq, &bond->cut, 0))
		return;
	kref_get(&bond->refs);
	bond->device->working++;
}

static void svab_enter_stopping(struct svab_bond *bond, enum svab_cause cause)
{
	bond->state = SVAB_PASID_STOPPING;
	bond->cause = cause;
	bond->began_ns = ktime_get_ns();
	/* Only here: a bond whose device stops, but whose flush fails, is QUARANTINED each time. */
	bond->ask_ms = SVAB_ASK_MIN_MS;
	svab_count_draining(bond, 1);
	svab_drain_arm(bond);
	if (cause == SVAB_CAUSE_MM_RELEASED)
		svab_event_bond(bond, NULL, SVAB_EV_MM_RELEASED, 0);
	svab_event_bond(bond, NULL, SVAB_EV_STOPPING, 0);
	svab_drain_queue(bond);
}

static void svab_enter_flushed(struct svab_bond *bond)
{
	/* A stop that came late has a flush with a deadline of its own. */
	if (bond->state == SVAB_PASID_QUARANTINED) {
		svab_count_quarantined(bond, -1);
		svab_count_draining(bond, 1);
		svab_drain_arm(bond);
	}
	bond->state = SVAB_PASID_FLUSHED;
	svab_event_bond(bond, NULL, SVAB_EV_FLUSHED, 0);
}

static void svab_enter_quarantined(struct svab_bond *bond)
{
	bond->state = SVAB_PASID_QUARANTINED;
	bond->ended_ns = ktime_get_ns();
	svab_count_draining(bond, -1);
	svab_count_quarantined(bond, 1);
	bond->device->stop_failures++;
	mod_timer(&bond->timer, jiffies + msecs_to_jiffies(bond->ask_ms));
	svab_event_bond(bond, NULL, SVAB_EV_STOP_FAILED, 0);
	svab_event_bond(bond, NULL, SVAB_EV_QUARANTINED, bond->ended_ns - bond->began_ns);
	svab_cut_queue(bond); /* for what the first try could not */
}

static void svab_enter_clean(struct svab_bond *bond)
{
	struct svab_hold *hold, *next;

	if (bond->state == SVAB_PASID_QUARANTINED)
		svab_count_quarantined(bond, -1);
	else
		svab_count_draining(bond, -1);
	bond->state = SVAB_PASID_CLEAN;
	bond->ended_ns = ktime_get_ns();
	bond->device->drained++;
	svab.drained++;
	timer_delete(&bond->timer);
	if (!svab_mutated(SVAB_MUT_LOST_EVENT))
		svab_event_bond(bond, NULL, SVAB_EV_DRAINED, bond->ended_ns - bond->began_ns);
	hash_del(&bond->hash);
	hash_del(&bond->of_pasid);
	list_del(&bond->of_device);
	list_del(&bond->of_mm);
	bond->device->n_bonds--;
	svab.n_bonds--;
	list_for_each_entry_safe(hold, next, &bond->holds, of_bond)
		svab_hold_free_locked(hold);
	svab_bond_put(bond); /* the registry's; whoever makes the transition has one, too */
}

/**
 * svab_bond_input_locked() - the one function that changes the state of a bond
 * @bond: the bond; who calls it for what leads to CLEAN holds a reference
 * @input: what happened
 * @cause: of BEGIN
 *
 * Return: whether it meant something in this state.
 */
bool svab_bond_input_locked(struct svab_bond *bond, enum svab_input input, enum svab_cause cause)
{
	enum svab_pasid_state state = bond->state;

	lockdep_assert_held(&svab_lock);
	switch (input) {
	case SVAB_INPUT_BEGIN:
		if (state != SVAB_PASID_BOUND &&
		    !(svab_mutated(SVAB_MUT_DOUBLE_DRAIN) && state == SVAB_PASID_STOPPING))
			return false;
		svab_enter_stopping(bond, cause);
		break;
	case SVAB_INPUT_FLUSHED:
		if (state != SVAB_PASID_STOPPING && state != SVAB_PASID_QUARANTINED)
			return false;
		svab_enter_flushed(bond);
		break;
	case SVAB_INPUT_FAILED:
	case SVAB_INPUT_DEADLINE:
		if (state != SVAB_PASID_STOPPING && state != SVAB_PASID_FLUSHED)
			return false;
		svab_enter_quarantined(bond);
		break;
	case SVAB_INPUT_CLEAN:
		if (state == SVAB_PASID_BOUND || state == SVAB_PASID_CLEAN)
			return false;
		svab_enter_clean(bond);
		break;
	}
	wake_up_all(&bond->wait);
	wake_up_all(&bond->device->settled);
	return true;
}

static bool svab_bond_input(struct svab_bond *bond, enum svab_input input)
{
	bool r;

	spin_lock_irq(&svab_lock);
	r = svab_bond_input_locked(bond, input, SVAB_CAUSE_NONE);
	spin_unlock_irq(&svab_lock);
	return r;
}

/**
 * svab_bond_retry_locked() - have a QUARANTINED bond's device asked once more
 * @bond: in any state; the others do not care
 */
void svab_bond_retry_locked(struct svab_bond *bond)
{
	lockdep_assert_held(&svab_lock);
	if (bond->state != SVAB_PASID_QUARANTINED || !bond->device->ops)
		return;
	svab_drain_queue(bond);
}

/**
 * svab_bond_revoke_locked() - end a bond, or ask its device once more
 * @bond: in any state
 * @cause: why
 */
void svab_bond_revoke_locked(struct svab_bond *bond, enum svab_cause cause)
{
	if (bond->state != SVAB_PASID_QUARANTINED)
		svab_bond_input_locked(bond, SVAB_INPUT_BEGIN, cause);
	else if (bond->device->state != SVAB_DEV_GONE)
		svab_bond_retry_locked(bond);
}

static bool svab_drain_is_late(struct svab_bond *bond)
{
	return (bond->state == SVAB_PASID_STOPPING || bond->state == SVAB_PASID_FLUSHED) &&
	       ktime_compare(ktime_get(), bond->deadline) >= 0;
}

static void svab_drain_late(struct svab_bond *bond)
{
	s64 left = ktime_to_ns(ktime_sub(bond->deadline, ktime_get()));

	/* It may have been armed anew while this waited for the lock, and jiffies may run ahead. */
	if (left > 0) {
		mod_timer(&bond->timer, jiffies + nsecs_to_jiffies(left) + 1);
	} else if (!bond->cut_asked) {
		bond->cut_asked = true;
		mod_timer(&bond->timer, jiffies + msecs_to_jiffies(SVAB_CUT_WAIT_MS));
		svab_cut_queue(bond);
	} else {
		/* The cut is held up; whoever waits for the bond is not, and it follows. */
		svab_bond_input_locked(bond, SVAB_INPUT_DEADLINE, SVAB_CAUSE_NONE);
	}
}

static void svab_drain_ask(struct svab_bond *bond)
{
	/* The end of a device asks by itself, and nothing may come after that. */
	if (bond->device->state == SVAB_DEV_GONE)
		return;
	/* It has stopped, and nothing can tell what it left: only a reset may change that. */
	if (bond->device->flush || bond->stopped != SVAB_PASID_FLUSHED)
		svab_bond_retry_locked(bond);
	bond->ask_ms = min(bond->ask_ms * 2, SVAB_ASK_MAX_MS);
	mod_timer(&bond->timer, jiffies + msecs_to_jiffies(bond->ask_ms));
}

static void svab_drain_timer(struct timer_list *timer)
{
	struct svab_bond *bond = container_of(timer, struct svab_bond, timer);
	unsigned long flags;

	spin_lock_irqsave(&svab_lock, flags);
	if (bond->state == SVAB_PASID_STOPPING || bond->state == SVAB_PASID_FLUSHED)
		svab_drain_late(bond);
	else if (bond->state == SVAB_PASID_QUARANTINED)
		svab_drain_ask(bond);
	spin_unlock_irqrestore(&svab_lock, flags);
}

/* The mm_struct, and with it the PASID, is let go. */
static void svab_drain_let_go(struct svab_bond *bond)
{
	bool held;

	spin_lock_irq(&svab_lock);
	held = bond->mm_held;
	bond->mm_held = false;
	if (held)
		svab_mm_unpin_locked(bond->smm);
	spin_unlock_irq(&svab_lock);
	if (held)
		mmdrop(bond->mm);
}

/* How the device has stopped, if it has: once known that stays so, for the portal is gone. */
static enum svab_pasid_state svab_drain_stopped(struct svab_bond *bond)
{
	enum svab_pasid_state state;

	spin_lock_irq(&svab_lock);
	state = bond->stopped;
	spin_unlock_irq(&svab_lock);
	return state;
}

static ktime_t svab_drain_until(struct svab_bond *bond)
{
	ktime_t deadline;

	spin_lock_irq(&svab_lock);
	deadline = bond->deadline;
	spin_unlock_irq(&svab_lock);
	return deadline;
}

/*
 * A process that vouches for its device spares the device a stop that it has not got, and nothing
 * else: its word does not stand between two address spaces, so there is a flush in any case.
 */
static int svab_drain_vouched(struct svab_bond *bond)
{
	const struct svab_device *device = bond->device;

	if (bond->vouched == SVAB_PASID_NONE)
		return -EOPNOTSUPP;
	/* It could still submit between its word and the end of its portal. */
	if (device->ops->busy && device->ops->busy(device->dev, bond->pasid))
		return -EBUSY;
	return SVAB_PASID_FLUSHED;
}

/* SVAB_PASID_FLUSHED, SVAB_PASID_CLEAN or -errno. */
static int svab_drain_stop(struct svab_bond *bond)
{
	const struct svab_device *device = bond->device;
	int r = svab_drain_stopped(bond);
	bool cut;

	if (r)
		return r;
	if (svab_mutated(SVAB_MUT_NO_STOP))
		return SVAB_PASID_CLEAN;
	if (device->ops->stop)
		r = device->ops->stop(device->dev, bond->pasid, svab_drain_until(bond));
	else
		r = svab_drain_vouched(bond);
	/* A reset while it was being asked is as good as an answer. */
	if (r != SVAB_PASID_FLUSHED && r != SVAB_PASID_CLEAN)
		return svab_drain_stopped(bond) ?: r < 0 ? r : -EIO;
	mutex_lock(&bond->attach_lock);
	cut = !bond->sva;
	mutex_unlock(&bond->attach_lock);
	spin_lock_irq(&svab_lock);
	/*
	 * What a reset has stopped did not await its answers, whatever is seen of it afterwards. To
	 * what was cut the IOMMU's abort was the answer, and Linux may have the request before it.
	 */
	if (bond->stopped)
		r = bond->stopped;
	else if (device->in_reset || cut)
		r = SVAB_PASID_FLUSHED;
	bond->stopped = r;
	spin_unlock_irq(&svab_lock);
	return r;
}

/*
 * Another driver has bound the same two since: letting go would not detach, and neither "CLEAN" nor
 * "cut" would be true. It is the device's own driver's then, under the generic provider.
 */
static bool svab_bond_is_shared(struct svab_bond *bond)
{
	/*
	 * A device that goes takes its driver, and with it the other's use, along. One that is
	 * taken back from the generic provider need not: that use goes on and keeps the PASID.
	 */
	if (refcount_read(&bond->sva->users) == 1 ||
	    READ_ONCE(bond->device->state) == SVAB_DEV_GONE)
		return false;
	pr_warn_ratelimited("svabroker: %s: PASID %u is bound by another driver, too: it stays attached until that lets go\n",
			    bond->device->name, bond->pasid);
	return true;
}

static int svab_drain_detach(struct svab_bond *bond, bool clean)
{
	struct svab_device *device = bond->device;
	ktime_t deadline = svab_drain_until(bond);
	bool detached;
	int r = 0;

	mutex_lock(&bond->attach_lock);
	if (bond->sva && svab_bond_is_shared(bond)) {
		r = -EBUSY;
	} else if (bond->sva) {
		r = svab_flush_detach(device->flush, device->dev, bond->sva, bond->pasid, clean,
				      deadline, &detached);
		if (detached)
			bond->sva = NULL;
	} else if (device->flush && !svab_mutated(SVAB_MUT_UNBIND_BEFORE_FLUSH)) {
		/* Cut while this drain was on its way: what that left behind is awaited here. */
		r = svab_flush(device->flush, bond->pasid, deadline);
	}
	mutex_unlock(&bond->attach_lock);
	return r;
}

/* A deliberate fault. */
static void svab_drain_detach_rashly(struct svab_bond *bond)
{
	mutex_lock(&bond->attach_lock);
	if (bond->sva)
		iommu_sva_unbind_device(bond->sva);
	bond->sva = NULL;
	mutex_unlock(&bond->attach_lock);
}

/*
 * The order of the end: take the portal away, stop the device, flush what it left, detach, have the
 * provider forget, let the mm go, tell. Here and nowhere else.
 */
static int svab_drain(struct svab_bond *bond)
{
	const struct svab_device *device = bond->device;
	int r, stopped;

	svab_portal_revoke(bond);

	if (svab_mutated(SVAB_MUT_EARLY_MMDROP))
		svab_drain_let_go(bond);
	if (svab_mutated(SVAB_MUT_UNBIND_BEFORE_STOP))
		svab_drain_detach_rashly(bond);
	stopped = svab_drain_stop(bond);
	if (stopped < 0)
		return stopped;

	if (stopped == SVAB_PASID_FLUSHED) {
		svab_bond_input(bond, SVAB_INPUT_FLUSHED);
		if (svab_mutated(SVAB_MUT_UNBIND_BEFORE_FLUSH)) {
			svab_drain_detach_rashly(bond);
		} else {
			r = svab_flush(device->flush, bond->pasid, svab_drain_until(bond));
			if (r)
				return r;
		}
	}

	r = svab_drain_detach(bond, stopped == SVAB_PASID_CLEAN);
	if (r)
		return r;
	device->ops->unbind(device->dev, bond->pasid);
	/* No op is called any more; who reads the event may want to unload the provider. */
	module_put(bond->owner);
	svab_drain_let_go(bond);
	svab_bond_input(bond, SVAB_INPUT_CLEAN);
	return 0;
}

static void svab_work_done(struct svab_bond *bond)
{
	struct svab_device *device = bond->device;

	spin_lock_irq(&svab_lock);
	device->working--;
	wake_up_all(&device->settled);
	spin_unlock_irq(&svab_lock);
	svab_bond_put(bond);
}

/* False: to be tried again soon. */
static bool svab_cut(struct svab_bond *bond)
{
	struct svab_device *device = bond->device;
	bool detached = true;

	mutex_lock(&bond->attach_lock);
	if (bond->sva && !svab_bond_is_shared(bond)) {
		/* What is left behind it is the flush's business, before the PASID is let go. */
		svab_flush_detach(device->flush, device->dev, bond->sva, bond->pasid, false,
				  ktime_add_ms(ktime_get(), SVAB_CUT_TRY_MS), &detached);
		if (detached)
			bond->sva = NULL;
	}
	mutex_unlock(&bond->attach_lock);
	if (!detached)
		pr_warn_ratelimited("svabroker: %s: a page request of PASID %u is still being handled, translation stays on until it is\n",
				    device->name, bond->pasid);
	return detached;
}

static void svab_drain_failed(struct svab_bond *bond, int error)
{
	enum svab_pasid_state stopped;
	bool told;

	/* Whoever is told that it is QUARANTINED finds it cut, unless that takes too long. */
	svab_cut(bond);
	spin_lock_irq(&svab_lock);
	stopped = bond->stopped;
	told = svab_bond_input_locked(bond, SVAB_INPUT_FAILED, SVAB_CAUSE_NONE);
	/* A reset that came while the stop was failing could not retry: it was STOPPING. */
	if (bond->was_reset)
		svab_bond_retry_locked(bond);
	bond->was_reset = false;
	spin_unlock_irq(&svab_lock);
	if (told)
		pr_notice_ratelimited("svabroker: %s: PASID %u is quarantined: %s (%d)\n",
				      bond->device->name, bond->pasid,
				      stopped ? "its page requests are not all answered" :
						"the device has not stopped", error);
}

static void svab_drain_work(struct work_struct *work)
{
	struct svab_bond *bond = container_of(work, struct svab_bond, drain);
	bool go;
	int r;

	spin_lock_irq(&svab_lock);
	go = bond->state == SVAB_PASID_STOPPING || bond->state == SVAB_PASID_QUARANTINED;
	/* Asked once more, or only now because the queue was full: with the whole time again. */
	if (bond->state == SVAB_PASID_QUARANTINED)
		bond->deadline = ktime_add_ms(ktime_get(), bond->deadline_ms);
	spin_unlock_irq(&svab_lock);
	if (go) {
		r = svab_drain(bond);
		if (r)
			svab_drain_failed(bond, r);
	}
	svab_work_done(bond);
}

static void svab_cut_work(struct work_struct *work)
{
	struct svab_bond *bond = container_of(to_delayed_work(work), struct svab_bond, cut);
	bool cut, detached = true;

	svab_portal_revoke(bond);
	spin_lock_irq(&svab_lock);
	cut = bond->state == SVAB_PASID_QUARANTINED || svab_drain_is_late(bond);
	spin_unlock_irq(&svab_lock);
	if (cut)
		detached = svab_cut(bond);
	spin_lock_irq(&svab_lock);
	if (svab_drain_is_late(bond))
		svab_bond_input_locked(bond, SVAB_INPUT_DEADLINE, SVAB_CAUSE_NONE);
	spin_unlock_irq(&svab_lock);
	if (svab_mutated(SVAB_MUT_QUARANTINE_MMDROP))
		svab_drain_let_go(bond);
	/* With this work's reference; a new quarantine may have queued it already. */
	if (!detached &&
	    queue_delayed_work(svab.wq, &bond->cut, msecs_to_jiffies(SVAB_CUT_AGAIN_MS)))
		return;
	svab_work_done(bond);
}

/**
 * svab_drain_init() - prepare a new bond
 * @bond: new
 */
void svab_drain_init(struct svab_bond *bond)
{
	timer_setup(&bond->timer, svab_drain_timer, 0);
	INIT_WORK(&bond->drain, svab_drain_work);
	INIT_DELAYED_WORK(&bond->cut, svab_cut_work);
	init_waitqueue_head(&bond->wait);
}
