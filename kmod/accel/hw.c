// SPDX-License-Identifier: GPL-2.0-only
/*
 * The demo accelerator's registers at work.
 *
 * Every request is a number written to one register that comes back in another once it is done.
 * The interrupt only shortens the wait: the answer is always read from the register, so a lost or
 * shared interrupt costs time and nothing else.
 *
 * Lock order: accel.all, accel.lock. The latter is never held while the device is waited for.
 */
#include <linux/device.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "hw.h"

/* Between two looks without an interrupt. */
#define ACCEL_LOOK_MIN_US 20
#define ACCEL_LOOK_MAX_US 5000

/* Of a slot that is out of use until the next reset; PASIDs have 20 bits. */
#define ACCEL_NO_PASID U32_MAX

static void __iomem *accel_slot_reg(struct accel *accel, unsigned int slot, u32 reg)
{
	return accel->regs + SVAD_ACCEL_SLOT_BASE + slot * SVAD_ACCEL_SLOT_SIZE + reg;
}

static u32 accel_read(struct accel *accel, u32 reg)
{
	return readl(accel->regs + reg);
}

static void accel_write(struct accel *accel, u32 reg, u32 value)
{
	writel(value, accel->regs + reg);
}

/**
 * accel_present() - does the device answer at all?
 * @accel: the accelerator
 *
 * Return: false when its registers are gone: unplugged, or without power.
 */
bool accel_present(struct accel *accel)
{
	return accel_read(accel, SVAD_ACCEL_REG_MAGIC) == SVAD_ACCEL_MAGIC;
}

static int accel_await(struct accel *accel, void __iomem *ack, u32 seq, ktime_t deadline)
{
	unsigned int us = ACCEL_LOOK_MIN_US;

	for (;;) {
		bool expired = ktime_after(ktime_get(), deadline);

		if (!accel_present(accel))
			return -ENODEV;
		if (readl(ack) == seq)
			return 0;
		if (expired)
			return -ETIMEDOUT;
		wait_event_hrtimeout(accel->answered, readl(ack) == seq,
				     ns_to_ktime(us * NSEC_PER_USEC));
		us = min_t(unsigned int, us * 2, ACCEL_LOOK_MAX_US);
	}
}

static int accel_status(u32 status)
{
	switch (status) {
	case 0:
		return 0;
	case SVAD_ACCEL_E_BUSY:
		return -EBUSY;
	case SVAD_ACCEL_E_STATE:
		return -EINVAL;
	default:
		return -EIO;
	}
}

static bool accel_slot_answered(struct accel *accel, unsigned int slot)
{
	return readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_ACK)) == accel->slots[slot].seq;
}

static int accel_slot_await(struct accel *accel, unsigned int slot, ktime_t deadline)
{
	int r;

	r = accel_await(accel, accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_ACK),
			accel->slots[slot].seq, deadline);
	if (r)
		return r;
	return accel_status(readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_STATUS)));
}

/*
 * A command that was not answered in time is still out. Given once more, only its answer is
 * awaited; another one waits its turn.
 */
static int accel_slot_command(struct accel *accel, unsigned int slot, u32 command, ktime_t deadline)
{
	struct accel_slot *s = &accel->slots[slot];

	if (!accel_slot_answered(accel, slot)) {
		int r = accel_slot_await(accel, slot, deadline);

		if (r == -ETIMEDOUT || r == -ENODEV || s->command == command)
			return r;
	}
	/* Number and register change together: a reset reads the one from the other. */
	mutex_lock(&accel->lock);
	s->command = command;
	writel(command, accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_CMD));
	writel(++s->seq, accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_SEQ));
	mutex_unlock(&accel->lock);
	return accel_slot_await(accel, slot, deadline);
}

static ktime_t accel_soon(void)
{
	return ktime_add_ms(ktime_get(), ACCEL_COMMAND_MS);
}

static int accel_slot_of(struct accel *accel, u32 pasid)
{
	void *entry = xa_load(&accel->by_pasid, pasid);

	return entry ? xa_to_value(entry) : -ENOENT;
}

static void accel_slot_release(struct accel *accel, unsigned int slot)
{
	mutex_lock(&accel->lock);
	xa_erase(&accel->by_pasid, accel->slots[slot].pasid);
	clear_bit(slot, accel->used);
	mutex_unlock(&accel->lock);
}

/* No longer its holder's and nobody else's: what it does is not known. */
static void accel_slot_retire(struct accel *accel, unsigned int slot)
{
	mutex_lock(&accel->lock);
	xa_erase(&accel->by_pasid, accel->slots[slot].pasid);
	accel->slots[slot].pasid = ACCEL_NO_PASID;
	mutex_unlock(&accel->lock);
}

static int accel_slot_take(struct accel *accel, u32 pasid)
{
	unsigned int slot;
	int r;

	mutex_lock(&accel->lock);
	slot = find_first_zero_bit(accel->used, accel->slot_count);
	if (slot >= accel->slot_count) {
		r = -ENOSPC;
		goto out;
	}
	r = xa_insert(&accel->by_pasid, pasid, xa_mk_value(slot), GFP_KERNEL);
	if (r)
		goto out;
	set_bit(slot, accel->used);
	accel->slots[slot].pasid = pasid;
	accel->slots[slot].faults = readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_FAULT_SEQ));
	r = slot;
out:
	mutex_unlock(&accel->lock);
	return r;
}

/**
 * accel_open() - give a PASID a slot
 * @accel: the accelerator
 * @pasid: attached, and without a slot
 *
 * Return: 0, -ENOSPC: no slot is left, or another error.
 */
int accel_open(struct accel *accel, u32 pasid)
{
	int slot = accel_slot_take(accel, pasid);
	int r;

	if (slot < 0)
		return slot;
	writel(pasid, accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_PASID));
	r = accel_slot_command(accel, slot, SVAD_ACCEL_CMD_ENABLE, accel_soon());
	if (!r)
		return 0;
	dev_err(accel->dev, "slot %d cannot be enabled: %d\n", slot, r);
	if (r != -ETIMEDOUT && r != -ENODEV) {
		accel_slot_release(accel, slot);
		return -EIO;
	}
	/* It may come to work for this PASID yet. */
	accel_slot_retire(accel, slot);
	return -EIO;
}

/**
 * accel_stop() - no transaction of this PASID any more
 * @accel: the accelerator
 * @pasid: it has a slot
 * @deadline: CLOCK_MONOTONIC
 *
 * Return: 0: all that was sent has reached the IOMMU, or, with SVAD_ACCEL_F_STOP_CLEAN, been
 * answered; 1: a reset has stopped it, so it awaited no answer; -ETIMEDOUT: not yet, to be called
 * again; another error: it would not stop.
 */
int accel_stop(struct accel *accel, u32 pasid, ktime_t deadline)
{
	int slot = accel_slot_of(accel, pasid);
	void __iomem *state;
	int r = 0;

	if (slot < 0)
		return slot;
	state = accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_STATE);
	if (readl(state) != SVAD_ACCEL_S_STOPPED && readl(state) != SVAD_ACCEL_S_IDLE)
		r = accel_slot_command(accel, slot, SVAD_ACCEL_CMD_STOP, deadline);
	/* Only a reset makes it idle before accel_close(), and it may have come in between. */
	return readl(state) == SVAD_ACCEL_S_IDLE ? 1 : r;
}

/**
 * accel_stop_all() - no transaction of any PASID any more
 * @accel: the accelerator
 * @deadline: CLOCK_MONOTONIC
 *
 * Return: 0 or an error, as accel_stop().
 */
int accel_stop_all(struct accel *accel, ktime_t deadline)
{
	void __iomem *ack = accel->regs + SVAD_ACCEL_REG_STOP_ALL_ACK;
	int r;

	mutex_lock(&accel->all);
	if (readl(ack) == accel->stop_seq ||
	    accel_read(accel, SVAD_ACCEL_REG_STOP_ALL_SEQ) != accel->stop_seq)
		accel_write(accel, SVAD_ACCEL_REG_STOP_ALL_SEQ, ++accel->stop_seq);
	r = accel_await(accel, ack, accel->stop_seq, deadline);
	mutex_unlock(&accel->all);
	return r;
}

/**
 * accel_close() - take the slot from a PASID
 * @accel: the accelerator
 * @pasid: stopped, or the device was reset
 *
 * Return: 0; an error: the slot cannot be used until the device is reset.
 */
int accel_close(struct accel *accel, u32 pasid)
{
	int slot = accel_slot_of(accel, pasid);
	int r = 0;

	if (slot < 0)
		return slot;
	if (readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_STATE)) != SVAD_ACCEL_S_IDLE)
		r = accel_slot_command(accel, slot, SVAD_ACCEL_CMD_DISABLE, accel_soon());
	if (!r) {
		accel_slot_release(accel, slot);
		return 0;
	}
	dev_err(accel->dev, "slot %d cannot be disabled: %d\n", slot, r);
	accel_slot_retire(accel, slot);
	return r;
}

/**
 * accel_reset() - every slot is idle and holds no PASID
 * @accel: the accelerator
 *
 * One at a time. What has a slot keeps it until accel_close(). It answers a stop that is waited
 * for.
 *
 * Return: 0 or a negative error.
 */
int accel_reset(struct accel *accel)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), ACCEL_RESET_MS);
	void __iomem *ack = accel->regs + SVAD_ACCEL_REG_RESET_ACK;
	unsigned int slot;
	int r;

	/* One that is still out is awaited, not overtaken, unless the device has lost it. */
	if (readl(ack) == accel->reset_seq ||
	    accel_read(accel, SVAD_ACCEL_REG_RESET_SEQ) != accel->reset_seq)
		accel_write(accel, SVAD_ACCEL_REG_RESET_SEQ, ++accel->reset_seq);
	r = accel_await(accel, ack, accel->reset_seq, deadline);
	if (r)
		return r;
	/*
	 * A reset answers every command that was out. A device that was without power has begun to
	 * count anew.
	 */
	mutex_lock(&accel->lock);
	for (slot = 0; slot < accel->slot_count; slot++) {
		accel->slots[slot].seq = readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_SEQ));
		accel->slots[slot].faults =
			readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_FAULT_SEQ));
		if (accel->slots[slot].pasid == ACCEL_NO_PASID) {
			accel->slots[slot].pasid = 0;
			clear_bit(slot, accel->used);
		}
	}
	mutex_unlock(&accel->lock);
	return 0;
}

/**
 * accel_busy() - does a PASID have work outstanding?
 * @accel: the accelerator
 * @pasid: it has a slot
 *
 * Return: whether it has.
 */
bool accel_busy(struct accel *accel, u32 pasid)
{
	int slot = accel_slot_of(accel, pasid);

	return slot >= 0 && readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_JOBS));
}

/**
 * accel_portal() - where a PASID submits its work
 * @accel: the accelerator
 * @pasid: it has a slot
 * @ret: physical address of the page
 *
 * Return: 0 or -ENOENT.
 */
int accel_portal(struct accel *accel, u32 pasid, phys_addr_t *ret)
{
	int slot = accel_slot_of(accel, pasid);

	if (slot < 0)
		return slot;
	*ret = accel->portals + (phys_addr_t)slot * SVAD_ACCEL_PORTAL_SIZE;
	return 0;
}

static bool accel_slot_fault(struct accel *accel, unsigned int slot, struct accel_fault *ret)
{
	u32 seq = readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_FAULT_SEQ));

	if (accel->slots[slot].pasid == ACCEL_NO_PASID || seq == accel->slots[slot].faults)
		return false;
	accel->slots[slot].faults = seq;
	ret->pasid = accel->slots[slot].pasid;
	ret->code = readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_FAULT_CODE));
	ret->addr = readq(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_FAULT_ADDR));
	return true;
}

/**
 * accel_next_fault() - a fault that has not been reported yet
 * @accel: the accelerator
 * @slot: where to begin to look: 0, or as the last call left it
 * @ret: the fault
 *
 * Return: whether there was one.
 */
bool accel_next_fault(struct accel *accel, unsigned int *slot, struct accel_fault *ret)
{
	bool found = false;

	mutex_lock(&accel->lock);
	if (!accel_present(accel))
		goto out;
	if (!*slot) {
		u64 total = accel_counter(accel, SVAD_ACCEL_REG_FAULTS);

		/* Most interrupts are answers to commands. */
		if (total == accel->fault_total)
			goto out;
		accel->fault_total = total;
	}
	while (!found) {
		*slot = find_next_bit(accel->used, accel->slot_count, *slot);
		if (*slot >= accel->slot_count)
			break;
		found = accel_slot_fault(accel, *slot, ret);
		++*slot;
	}
out:
	mutex_unlock(&accel->lock);
	return found;
}

/**
 * accel_counter() - one of the device's 64-bit counters
 * @accel: the accelerator
 * @reg: SVAD_ACCEL_REG_*
 *
 * Return: its value.
 */
u64 accel_counter(struct accel *accel, u32 reg)
{
	return readq(accel->regs + reg);
}

static int accel_identify(struct accel *accel)
{
	u32 magic = accel_read(accel, SVAD_ACCEL_REG_MAGIC);
	u32 version = accel_read(accel, SVAD_ACCEL_REG_VERSION);
	u32 slots = accel_read(accel, SVAD_ACCEL_REG_SLOTS);

	if (magic != SVAD_ACCEL_MAGIC || version != SVAD_ACCEL_VERSION)
		return dev_err_probe(accel->dev, -ENODEV, "not this accelerator: %#x, version %u\n",
				     magic, version);
	if (!slots || slots > SVAD_ACCEL_SLOTS_MAX)
		return dev_err_probe(accel->dev, -ENODEV, "%u slots\n", slots);
	accel->slot_count = slots;
	accel->features = accel_read(accel, SVAD_ACCEL_REG_FEATURES);
	accel->operations = accel_read(accel, SVAD_ACCEL_REG_OPS);
	accel->engines = accel_read(accel, SVAD_ACCEL_REG_ENGINES);
	return 0;
}

/* Whatever an earlier driver left: the numbers go on from where they are. */
static void accel_adopt(struct accel *accel)
{
	unsigned int slot;

	accel->reset_seq = accel_read(accel, SVAD_ACCEL_REG_RESET_SEQ);
	accel->stop_seq = accel_read(accel, SVAD_ACCEL_REG_STOP_ALL_SEQ);
	for (slot = 0; slot < accel->slot_count; slot++)
		accel->slots[slot].seq = readl(accel_slot_reg(accel, slot, SVAD_ACCEL_SLOT_SEQ));
	accel->fault_total = accel_counter(accel, SVAD_ACCEL_REG_FAULTS);
}

/**
 * accel_new() - find and map a device's registers
 * @pdev: the device
 * @ret: the accelerator
 *
 * Return: 0 or a negative error.
 */
int accel_new(struct platform_device *pdev, struct accel **ret)
{
	struct device *dev = &pdev->dev;
	struct resource *res;
	struct accel *accel;
	int r;

	accel = kzalloc(struct_size(accel, slots, SVAD_ACCEL_SLOTS_MAX), GFP_KERNEL);
	if (!accel)
		return -ENOMEM;
	accel->dev = dev;
	init_waitqueue_head(&accel->answered);
	mutex_init(&accel->all);
	mutex_init(&accel->lock);
	xa_init(&accel->by_pasid);
	res = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	r = -ENODEV;
	if (!res || resource_size(res) < SVAD_ACCEL_SIZE) {
		dev_err(dev, "registers are missing\n");
		goto err;
	}
	r = -ENOMEM;
	accel->regs = ioremap(res->start, SVAD_ACCEL_PORTAL_BASE);
	if (!accel->regs)
		goto err;
	accel->portals = res->start + SVAD_ACCEL_PORTAL_BASE;
	r = accel_identify(accel);
	if (r)
		goto err;
	r = platform_get_irq(pdev, 0);
	if (r < 0)
		goto err;
	accel->irq = r;
	accel_adopt(accel);
	*ret = accel;
	return 0;
err:
	accel_free(accel);
	return r;
}

/**
 * accel_free() - undo accel_new()
 * @accel: may be NULL
 */
void accel_free(struct accel *accel)
{
	if (!accel)
		return;
	if (accel->regs)
		iounmap(accel->regs);
	xa_destroy(&accel->by_pasid);
	mutex_destroy(&accel->lock);
	mutex_destroy(&accel->all);
	kfree(accel);
}
