// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets, and the end of a device, which may take one.
 *
 * A reset makes every PASID of the device stop, so bonds that were STOPPING or QUARANTINED go on
 * from there: flush, detach, CLEAN. Their drains do it; here is only the waiting. Drains that have
 * been told to stop meanwhile are believed whichever answers first, the stop or the reset.
 *
 * Locks: reset_lock throughout; op_sem (write) and svab_lock for moments; none while waiting.
 */
#include <linux/jiffies.h>

#include "compat.h"
#include "svabroker_private.h"

/* Beyond the drains' own deadlines: for the works themselves. */
#define SVAB_SETTLE_MS 2000u

static bool svab_settled(struct svab_device *device)
{
	bool settled;

	spin_lock_irq(&svab_lock);
	settled = !device->draining && !device->working;
	spin_unlock_irq(&svab_lock);
	return settled;
}

static void svab_begin_all(struct svab_device *device, enum svab_cause cause)
{
	struct svab_bond *bond;

	lockdep_assert_held(&svab_lock);
	list_for_each_entry(bond, &device->bonds, of_device)
		svab_bond_input_locked(bond, SVAB_INPUT_BEGIN, cause);
}

/* The longest time that what is under way may take. */
static u32 svab_settle_ms(struct svab_device *device)
{
	struct svab_bond *bond;
	u32 ms = 0;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(bond, &device->bonds, of_device)
		ms = max(ms, bond->deadline_ms);
	spin_unlock_irq(&svab_lock);
	return ms > U32_MAX - SVAB_SETTLE_MS ? U32_MAX : ms + SVAB_SETTLE_MS;
}

/* The device does nothing of theirs any more: on with the drains that waited for that. */
static void svab_has_stopped(struct svab_device *device, enum svab_pasid_state state, bool by_reset)
{
	struct svab_bond *bond;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(bond, &device->bonds, of_device) {
		/* What a reset left behind no later stop has awaited. */
		if (by_reset || !bond->stopped)
			bond->stopped = state;
		bond->was_reset = true;
		svab_bond_retry_locked(bond);
	}
	device->stop_failures = 0;
	spin_unlock_irq(&svab_lock);
}

static void svab_in_reset(struct svab_device *device, bool in_reset)
{
	spin_lock_irq(&svab_lock);
	device->in_reset = in_reset;
	spin_unlock_irq(&svab_lock);
}

static int svab_reset_ops(struct svab_device *device)
{
	int r;

	svab_in_reset(device, true);
	r = device->ops->reset(device->dev);
	if (r >= 0) {
		if (r != SVAB_PASID_CLEAN)
			r = SVAB_PASID_FLUSHED;
		svab_has_stopped(device, r, true);
		r = 0;
	}
	svab_in_reset(device, false);
	return r;
}

/* No bind is under way when it returns, and none begins. */
static int svab_reset_begin(struct svab_device *device)
{
	int r = 0;

	if (down_write_killable(&device->op_sem))
		return -EINTR;
	spin_lock_irq(&svab_lock);
	/* A bind that was under way may have found out that it cannot be used. */
	if (device->state == SVAB_DEV_OK) {
		device->state = SVAB_DEV_RESETTING;
		svab_begin_all(device, SVAB_CAUSE_DEVICE_RESET);
	} else {
		r = -EOPNOTSUPP;
	}
	spin_unlock_irq(&svab_lock);
	up_write(&device->op_sem);
	return r;
}

static void svab_reset_end(struct svab_device *device)
{
	down_write(&device->op_sem);
	spin_lock_irq(&svab_lock);
	device->state = SVAB_DEV_OK;
	spin_unlock_irq(&svab_lock);
	up_write(&device->op_sem);
}

static int svab_reset_settle(struct svab_device *device)
{
	long r;

	r = wait_event_killable_timeout(device->settled, svab_settled(device),
					msecs_to_jiffies(svab_settle_ms(device)));
	return r < 0 ? -EINTR : 0;
}

/*
 * Where Linux takes a device's PASIDs away in its reset, it takes the page requests that are being
 * handled along: not before they are. Without a stop the drains do not wait for the reset, but
 * detach, and are QUARANTINED, at once; a provider with one knows by itself (doc/provider.md).
 */
static int svab_reset_await_cut(struct svab_device *device)
{
	int r;

	if (device->ops->stop || !svab_compat_reset_detaches(device->dev))
		return 0;
	r = svab_reset_settle(device);
	return r ?: svab_settled(device) ? 0 : -EBUSY;
}

static int svab_reset_locked(struct svab_device *device, struct svab_dev_reset *arg)
{
	u64 before;
	int r;

	if (device->state == SVAB_DEV_GONE)
		return -ENODEV;
	if (device->state != SVAB_DEV_OK)
		return -EOPNOTSUPP;
	if (!device->ops->reset)
		return -EOPNOTSUPP;
	before = READ_ONCE(device->drained);
	r = svab_reset_begin(device);
	if (r)
		return r;
	r = svab_reset_await_cut(device);
	if (!r)
		r = svab_reset_ops(device);
	if (!r)
		r = svab_reset_settle(device);
	svab_reset_end(device);
	if (r)
		return r;
	spin_lock_irq(&svab_lock);
	arg->clean = device->drained - before;
	arg->quarantined = device->quarantined;
	svab_event(&(struct svab_event){
		.type = SVAB_EV_DEV_RESET,
		.device = device->id,
		.value = arg->clean,
	});
	spin_unlock_irq(&svab_lock);
	return 0;
}

/**
 * svab_device_reset() - SVAB_DEV_RESET
 * @arg: the request, and the answer
 *
 * Returns when the bonds that it ended, and those that were in quarantine, have settled.
 *
 * Return: 0, -ENODEV, -EOPNOTSUPP: the provider has no reset, -EBUSY: one is under way, or a page
 * request is being handled that a reset would take away, -EINTR: killed, -EINVAL: pad, or the
 * provider's error.
 */
int svab_device_reset(struct svab_dev_reset *arg)
{
	struct svab_device *device;
	int r = -EBUSY;

	if (arg->pad)
		return -EINVAL;
	device = svab_device_get(arg->device);
	if (!device)
		return -ENODEV;
	if (mutex_trylock(&device->reset_lock)) {
		r = svab_reset_locked(device, arg);
		mutex_unlock(&device->reset_lock);
	}
	svab_device_put(device);
	return r;
}

/* What would not stop one by one is asked to stop altogether; no portal is there any more. */
static void svab_stop_all(struct svab_device *device)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), svab_settle_ms(device));
	int r = device->ops->stop(device->dev, SVAB_PASID_ALL, deadline);

	if (r == SVAB_PASID_FLUSHED || r == SVAB_PASID_CLEAN)
		svab_has_stopped(device, r, false);
}

static u32 svab_quarantined(struct svab_device *device)
{
	u32 n;

	spin_lock_irq(&svab_lock);
	n = device->quarantined;
	spin_unlock_irq(&svab_lock);
	return n;
}

/**
 * svab_device_end_bonds() - end every bond of a device that goes
 * @device: GONE, with reset_lock held
 *
 * Waits for as long as it takes until no op runs and nothing of the device is attached. Bonds
 * that are QUARANTINED then stay so.
 */
void svab_device_end_bonds(struct svab_device *device)
{
	struct svab_bond *bond;
	int r = -EOPNOTSUPP;
	u32 left;

	spin_lock_irq(&svab_lock);
	svab_begin_all(device, SVAB_CAUSE_DEVICE_GONE);
	list_for_each_entry(bond, &device->bonds, of_device)
		svab_bond_retry_locked(bond);
	spin_unlock_irq(&svab_lock);
	wait_event(device->settled, svab_settled(device));
	if (svab_quarantined(device) && device->ops->stop) {
		svab_stop_all(device);
		wait_event(device->settled, svab_settled(device));
	}
	if (!svab_quarantined(device))
		return;
	if (device->ops->reset)
		r = svab_reset_ops(device);
	wait_event(device->settled, svab_settled(device));
	left = svab_quarantined(device);
	if (left)
		pr_err("svabroker: %s is gone and could not be reset (%d): %u PASIDs are withheld until this machine restarts\n",
		       device->name, r, left);
}
