// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices: what providers register, and whether SVA works on them.
 *
 * A device on which it does not is registered all the same and says why: "it is not there" would
 * leave people nothing to look for.
 *
 * Locks: svab_device.reset_lock -> op_sem (write) -> svab_lock when a device goes.
 */
#include <linux/dma-map-ops.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "compat.h"
#include "flush.h"
#include "svabroker_private.h"

/* Drains of one device that may wait at once; the others' deadlines pass all the same. */
#define SVAB_DRAINS_AT_ONCE 256

#define SVAB_FAULT_WINDOW_NS (100 * NSEC_PER_MSEC)
#define SVAB_FAULTS_PER_WINDOW 16u

#define SVAB_CAPS_DECLARED                                                                         \
	(SVAB_DEV_CAP_STALL | SVAB_DEV_CAP_PRI | SVAB_DEV_CAP_ATS | SVAB_DEV_CAP_STOP_CLEAN)

static void svab_device_free(struct kref *refs)
{
	struct svab_device *device = container_of(refs, struct svab_device, refs);

	mutex_destroy(&device->reset_lock);
	kfree(device);
}

void svab_device_put(struct svab_device *device)
{
	kref_put(&device->refs, svab_device_free);
}

/**
 * svab_device_get() - find a device
 * @id: its id
 *
 * Return: it, counted, possibly GONE; or NULL.
 */
struct svab_device *svab_device_get(u32 id)
{
	struct svab_device *device, *found = NULL;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(device, &svab.devices, link) {
		if (device->id == id) {
			kref_get(&device->refs);
			found = device;
			break;
		}
	}
	spin_unlock_irq(&svab_lock);
	return found;
}

static struct svab_device *svab_device_of_locked(const struct device *dev)
{
	struct svab_device *device;

	list_for_each_entry(device, &svab.devices, link) {
		if (device->dev == dev)
			return device;
	}
	return NULL;
}

static void svab_device_event(const struct svab_device *device, enum svab_event_type type)
{
	svab_event(&(struct svab_event){
		.type = type,
		.device = device->id,
	});
}

/*
 * What a bind says against the device; NULL: nothing. @r, of iommu_sva_bind_device(), becomes
 * -EOPNOTSUPP where the bind went through with page faults off. Errors not named here are of who
 * binds: no memory, no PASID left, one too wide, a signal, a reset under way.
 */
static const char *svab_device_verdict(const struct svab_device *device, int *r)
{
	switch (*r) {
	case 0:
		if (rcu_access_pointer(device->dev->iommu->fault_param))
			return NULL;
		*r = -EOPNOTSUPP;
		return SVAB_REASON_IOPF;
	case -EOPNOTSUPP:
	case -ENODEV:
	case -EINVAL:
		return SVAB_REASON_SVA;
	default:
		return NULL;
	}
}

/*
 * Binds whoever loads the driver, for a moment: no other question gets an answer that counts. A
 * device that is probed by a kernel thread has to wait for its first process.
 */
static int svab_device_trial(struct svab_device *device, const char **reason)
{
	struct iommu_sva *sva;
	int r;

	if (!current->mm)
		return 0;
	sva = iommu_sva_bind_device(device->dev, current->mm);
	r = PTR_ERR_OR_ZERO(sva);
	*reason = svab_device_verdict(device, &r);
	if (!IS_ERR(sva))
		iommu_sva_unbind_device(sva);
	device->sva_works = !r;
	return *reason ? r : 0;
}

/**
 * svab_device_tried() - what a bind has told about the device
 * @device: op_sem is held, so no reset is under way
 * @r: of iommu_sva_bind_device(), 0 or a negative error
 *
 * Where nothing could be tried at registration the first bind tells, to all who look after it.
 *
 * Return: @r, or -EOPNOTSUPP: bound, but page faults are off.
 */
int svab_device_tried(struct svab_device *device, int r)
{
	const char *reason = svab_device_verdict(device, &r);

	spin_lock_irq(&svab_lock);
	if (!r)
		device->sva_works = true;
	if (reason && !device->sva_works && device->state == SVAB_DEV_OK) {
		device->state = SVAB_DEV_UNUSABLE;
		strscpy(device->reason, reason);
	} else {
		reason = NULL;
	}
	spin_unlock_irq(&svab_lock);
	if (reason)
		dev_warn(device->dev, "svabroker: %s (%d)\n", reason, r);
	return r;
}

static int svab_device_count_group(struct device *dev, void *data)
{
	++*(unsigned int *)data;
	return 0;
}

/* A PASID is attached to a group: with others in it, they would reach the process's memory, too. */
static int svab_device_alone(struct device *dev, const char **reason)
{
	unsigned int n = 0;

	iommu_group_for_each_dev(dev->iommu_group, &n, svab_device_count_group);
	if (n == 1)
		return 0;
	*reason = "it shares its IOMMU group with other devices";
	return -EOPNOTSUPP;
}

static int svab_device_iommu_init(struct svab_device *device, const char **reason)
{
	struct device *dev = device->dev;
	int r;

	*reason = NULL;
	if (!IS_ENABLED(CONFIG_IOMMU_SVA) || !IS_ENABLED(CONFIG_IOMMU_IOPF)) {
		*reason = "the kernel was built without SVA (IOMMU_SVA, IOMMU_IOPF)";
		return -EOPNOTSUPP;
	}
	if (!dev->iommu || !dev->iommu_group) {
		*reason = "it is not behind an IOMMU";
		return -ENODEV;
	}
	device->pasids = dev->iommu->max_pasids;
	if (!device->pasids) {
		*reason = "no PASID: the firmware or the IOMMU gives it no substreams";
		return -EOPNOTSUPP;
	}
	if (!dev_is_dma_coherent(dev)) {
		*reason = "its DMA is not coherent with the CPU's caches";
		return -EOPNOTSUPP;
	}
	r = svab_device_alone(dev, reason);
	if (r)
		return r;
	r = svab_compat_enable(dev, reason);
	if (r)
		return r;
	device->iommu_on = true;
	return svab_device_trial(device, reason);
}

static void svab_device_iommu_exit(struct svab_device *device)
{
	svab_flush_free(device->flush);
	device->flush = NULL;
	if (device->iommu_on)
		svab_compat_disable(device->dev);
	device->iommu_on = false;
}

/* Sets state and reason; fails only where the device cannot even be known. */
static int svab_device_probe(struct svab_device *device)
{
	const char *reason;
	int r;

	r = svab_device_iommu_init(device, &reason);
	if (r == -ENOMEM)
		return r;
	if (r) {
		svab_device_iommu_exit(device);
		device->state = SVAB_DEV_UNUSABLE;
		strscpy(device->reason, reason ?: "SVA cannot be used");
		dev_warn(device->dev, "svabroker: %s (%d)\n", device->reason, r);
		return 0;
	}
	r = svab_flush_probe(device->dev, &device->flush, device->reason, sizeof(device->reason));
	if (r == -EOPNOTSUPP)
		dev_warn(device->dev, "svabroker: %s: bonds whose device stops FLUSHED will end in quarantine\n",
			 device->reason);
	if (!device->ops->stop && !device->ops->busy)
		dev_notice(device->dev, "svabroker: nothing tells whether it has stopped: processes that bind it are trusted to say so\n");
	return r == -EOPNOTSUPP ? 0 : r;
}

static struct svab_device *svab_device_new(struct device *dev, const struct svab_device_ops *ops,
					   const struct svab_device_desc *desc)
{
	struct svab_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return NULL;
	kref_init(&device->refs);
	device->dev = dev;
	device->ops = ops;
	device->desc = *desc;
	strscpy(device->name, desc->name ?: dev_name(dev));
	device->desc.name = device->name;
	device->caps = desc->caps & SVAB_CAPS_DECLARED;
	device->caps |= ops->stop ? SVAB_DEV_CAP_CAN_STOP : 0;
	device->caps |= ops->reset ? SVAB_DEV_CAP_CAN_RESET : 0;
	device->caps |= ops->mmap ? SVAB_DEV_CAP_PORTAL : 0;
	device->state = SVAB_DEV_OK;
	strscpy(device->bus, dev_bus_name(dev));
	device->numa_node = dev_to_node(dev);
	init_rwsem(&device->op_sem);
	mutex_init(&device->reset_lock);
	init_waitqueue_head(&device->settled);
	INIT_LIST_HEAD(&device->bonds);
	hash_init(device->by_pasid);
	return device;
}

static int svab_device_publish(struct svab_device *device)
{
	struct svab_device *other;
	int r = 0;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(other, &svab.devices, link) {
		if (other->dev == device->dev ||
		    (other->dev && !strcmp(other->name, device->name)))
			r = -EEXIST;
	}
	if (!r) {
		device->id = ++svab.next_device;
		list_add_tail(&device->link, &svab.devices);
		svab.n_devices++;
		svab_device_event(device, SVAB_EV_DEV_ADDED);
	}
	spin_unlock_irq(&svab_lock);
	return r;
}

/**
 * svab_device_register() - make a device known
 * @dev: the device; its driver is bound
 * @ops: what the provider does; stays valid until svab_device_unregister() has returned
 * @desc: what does not change; copied
 *
 * A device on which SVA cannot work is registered as unusable, with the reason for users to see.
 *
 * Return: 0, -EINVAL: ops that cannot be, -EEXIST: @dev or its name is registered, -ENOMEM.
 */
int svab_device_register(struct device *dev, const struct svab_device_ops *ops,
			 const struct svab_device_desc *desc)
{
	struct svab_device *device;
	int r;

	if (!ops->bind || !ops->unbind)
		return -EINVAL;
	device = svab_device_new(dev, ops, desc);
	if (!device)
		return -ENOMEM;
	r = svab_device_probe(device);
	if (r)
		goto err_iommu;
	r = -ENOMEM;
	device->wq = alloc_workqueue("svab-%s", WQ_UNBOUND, SVAB_DRAINS_AT_ONCE, device->name);
	if (!device->wq)
		goto err_iommu;
	r = svab_device_publish(device);
	if (!r)
		return 0;
	destroy_workqueue(device->wq);
err_iommu:
	svab_device_iommu_exit(device);
	svab_device_put(device);
	return r;
}
EXPORT_SYMBOL_GPL(svab_device_register);

static struct svab_device *svab_device_going(struct device *dev)
{
	struct svab_device *device;

	spin_lock_irq(&svab_lock);
	device = svab_device_of_locked(dev);
	if (device)
		kref_get(&device->refs);
	spin_unlock_irq(&svab_lock);
	return device;
}

static void svab_device_close(struct svab_device *device)
{
	down_write(&device->op_sem);
	spin_lock_irq(&svab_lock);
	device->state = SVAB_DEV_GONE;
	svab_device_event(device, SVAB_EV_DEV_GONE);
	spin_unlock_irq(&svab_lock);
	up_write(&device->op_sem);
}

/**
 * svab_device_unregister() - forget a device
 * @dev: registered; or not, then nothing happens
 *
 * To be called once. Returns when every bond of the device is CLEAN, for which the device is reset
 * if that is what it takes. Where even that does not help, the bonds stay QUARANTINED for good:
 * detached, but with their address spaces' PASIDs withheld until the machine is restarted. When it
 * returns no op runs or will run.
 */
void svab_device_unregister(struct device *dev)
{
	struct svab_device *device = svab_device_going(dev);

	if (!device)
		return;
	mutex_lock(&device->reset_lock);
	svab_device_close(device);
	svab_device_end_bonds(device);
	down_write(&device->op_sem);
	spin_lock_irq(&svab_lock);
	/* A bond in QUARANTINED may have been asked once more since: that one has the ops yet. */
	wait_event_lock_irq(device->settled, !device->working, svab_lock);
	device->ops = NULL;
	if (list_empty(&device->bonds)) {
		list_del(&device->link);
		svab.n_devices--;
	}
	spin_unlock_irq(&svab_lock);
	up_write(&device->op_sem);
	destroy_workqueue(device->wq);
	svab_device_iommu_exit(device);
	spin_lock_irq(&svab_lock);
	device->dev = NULL;
	spin_unlock_irq(&svab_lock);
	mutex_unlock(&device->reset_lock);
	svab_device_put(device);
	svab_device_put(device); /* the registration's */
}
EXPORT_SYMBOL_GPL(svab_device_unregister);

static struct svab_bond *svab_device_bond(struct svab_device *device, u32 pasid)
{
	struct svab_bond *bond;

	hash_for_each_possible(device->by_pasid, bond, of_pasid, pasid) {
		if (bond->pasid == pasid)
			return bond;
	}
	return NULL;
}

/* Each is counted; a process that faults without end does not fill the broker's queue. */
static bool svab_fault_told(struct svab_bond *bond)
{
	u64 now = ktime_get_ns();

	bond->faults++;
	if (now - bond->fault_window_ns > SVAB_FAULT_WINDOW_NS) {
		bond->fault_window_ns = now;
		bond->fault_window_n = 0;
	}
	return bond->fault_window_n++ < SVAB_FAULTS_PER_WINDOW;
}

/**
 * svab_device_fault() - the device met a fault that it could not get over
 * @dev: registered
 * @pasid: whose work it was
 * @addr: where
 * @code: what
 *
 * Any context.
 */
void svab_device_fault(struct device *dev, u32 pasid, u64 addr, enum svab_fault code)
{
	struct svab_device *device;
	struct svab_bond *bond;
	struct svab_hold *hold;
	unsigned long flags;

	spin_lock_irqsave(&svab_lock, flags);
	device = svab_device_of_locked(dev);
	bond = device ? svab_device_bond(device, pasid) : NULL;
	if (bond && svab_fault_told(bond)) {
		hold = list_first_entry_or_null(&bond->holds, struct svab_hold, of_bond);
		svab_event(&(struct svab_event){
			.type = SVAB_EV_FAULT,
			.cookie = hold ? hold->ctx->cookie : 0,
			.grant = hold ? hold->grant : 0,
			.bond = bond->id,
			.device = device->id,
			.pasid = pasid,
			.state = bond->state,
			.value = addr,
			.code = code,
		});
	}
	spin_unlock_irqrestore(&svab_lock, flags);
}
EXPORT_SYMBOL_GPL(svab_device_fault);

static struct svab_device *svab_device_next(u32 after)
{
	struct svab_device *device, *found = NULL;

	spin_lock_irq(&svab_lock);
	list_for_each_entry(device, &svab.devices, link) {
		if (device->id > after) {
			kref_get(&device->refs);
			found = device;
			break;
		}
	}
	spin_unlock_irq(&svab_lock);
	return found;
}

/* The figures of the last time where the provider is busy with something that takes long. */
static void svab_device_count(struct svab_device *device)
{
	struct svab_device_stats stats = {};

	if (!down_read_trylock(&device->op_sem))
		return;
	if (device->ops && device->ops->stats && device->state != SVAB_DEV_GONE) {
		device->ops->stats(device->dev, &stats);
		spin_lock_irq(&svab_lock);
		device->stats = stats;
		spin_unlock_irq(&svab_lock);
	}
	up_read(&device->op_sem);
}

/**
 * svab_device_info() - SVAB_DEV_NEXT
 * @info: in: id; out: the next device
 *
 * Return: 0, or -ENOENT when there is no other.
 */
int svab_device_info(struct svab_dev_info *info)
{
	struct svab_device *device = svab_device_next(info->id);

	if (!device)
		return -ENOENT;
	svab_device_count(device);
	spin_lock_irq(&svab_lock);
	*info = (struct svab_dev_info){
		.size = sizeof(*info),
		.id = device->id,
		.numa_node = device->numa_node,
		.pasid_bits = device->pasids ? fls(device->pasids - 1) : 0,
		.state = device->state,
		.caps = device->caps,
		.operations = device->desc.operations,
		.engines = device->desc.engines,
		.engines_busy = device->stats.engines_busy,
		.bonds = device->n_bonds,
		.draining = device->draining,
		.quarantined = device->quarantined,
		.max_bonds = device->desc.max_bonds,
		.drain_deadline_ms = device->desc.deadline_ms,
		.jobs = device->stats.jobs,
		.bytes = device->stats.bytes,
		.faults = device->stats.faults,
		.errors = device->stats.errors,
		.stop_failures = device->stop_failures,
		.drained = device->drained,
	};
	strscpy(info->name, device->name);
	strscpy(info->reason, device->reason);
	strscpy(info->bus, device->bus);
	spin_unlock_irq(&svab_lock);
	svab_device_put(device);
	return 0;
}
