// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flush that Linux leaves undone behind an SMMUv3.
 *
 * A device that has stopped with FLUSHED may have left page requests (stalled transactions, for
 * an SMMUv3) on their way to Linux. Whoever gets the PASID next would have them handled in its own
 * address space. They can be in three places, each of which is emptied into the next one, so they
 * are awaited in this order:
 *
 *  1. the SMMU's event queue. Read PROD once and wait until CONS has passed it.
 *  2. the event interrupt's thread. It publishes CONS before it handles the record, so a queue
 *     that looks empty says nothing about the last record. It handles them one after the other:
 *     either it is seen idle, or it has begun with a record behind the last one of interest.
 *  3. the fault queue. Handled by a workqueue that all devices of an SMMU share, with the pages of
 *     all their processes in it, and a page can take for ever to come (FUSE, userfaultfd). So not
 *     the workqueue is flushed, which would let one process block everyone's drains: the faults of
 *     this PASID alone are awaited, in the list of those that have no response yet.
 *
 * Everything is bounded by the deadline and nothing here waits without looking at it: neither
 * synchronize_irq() nor flush_workqueue() is called.
 *
 * What may come after that is retried: a response makes the SMMU look the page up once more, which
 * may stall again when the page has gone meanwhile. And the SMMU may be slow to record what had
 * arrived in time. Only the detaching ends it, hence the second look: what had begun before the
 * CMD_SYNC of the detaching is recorded when that completes, as the event queue had room, and so is
 * seen in PROD right after it; what begins later finds no translation and does not stall. An SMMU
 * that recorded a stall even later than that could not be waited for by any software.
 *
 * None of this is for a device that has stopped with CLEAN, but for the detaching itself: it has
 * had the answers to all that it asked, so whatever the queue holds is somebody else's.
 *
 * Locks: svab_smmus_lock (the list of SMMUs; not held while sleeping on hardware),
 * svab_smmu.window -> iommu_sva_lock and all that iommu_sva_unbind_device() takes,
 * svab_smmu.window -> iommu_fault_param.lock. Nothing of svabroker's own is taken in here.
 */
#include <linux/delay.h>
#include <linux/device/bus.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "flush.h"
#include "mutation.h"

/* Of all the SMMU's registers three are read and none is written. */
#define SVAB_SMMU_EVTQ_BASE 0xa0
#define SVAB_SMMU_EVTQ_PROD 0xa8 /* page 1; page 0 where the part has no page 1 */
#define SVAB_SMMU_EVTQ_CONS 0xac
#define SVAB_SMMU_PAGE1 SZ_64K
#define SVAB_SMMU_LOG2SIZE_MAX 19
#define SVAB_SMMU_OVERFLOW BIT(31) /* PROD: OVFLG, CONS: OVACKFLG; overflown while they differ */
#define SVAB_SMMU_RES0 GENMASK(30, 20)

/*
 * For how long one detaching may hold the event thread off, which is time that the faults of
 * everybody wait: little at first, more for a device that does not stop faulting. All those that
 * do not succeed at once have no more than a quarter of the time together.
 */
#define SVAB_WINDOW_MIN_US 2000
#define SVAB_WINDOW_MAX_US 32000
#define SVAB_WINDOW_SHARE 4
/* What a detaching may take when there is no time left at all: a device is to be cut off. */
#define SVAB_DETACH_GRACE_MS 150

/*
 * One SMMU, shared by all devices behind it.
 */
struct svab_smmu {
	struct list_head link;
	refcount_t refs; /* 0 -> 1 never happens: looked up under svab_smmus_lock */
	struct device *dev;
	const void __iomem *evtq; /* EVTQ_PROD, EVTQ_CONS */
	unsigned int irq;
	u32 entries;
	struct mutex window; /* one detaching at a time holds the event thread off; rest_until */
	ktime_t rest_until; /* not held off in vain before */
};

struct svab_flush {
	struct device *dev;
	struct svab_smmu *smmu;
};

static DEFINE_MUTEX(svab_smmus_lock);
static LIST_HEAD(svab_smmus);

/*
 * Waiting: cheap when the wait is short, and cheap for others when thousands wait long.
 */
struct svab_pause {
	ktime_t deadline;
	unsigned int us;
	bool expired;
};

#define SVAB_PAUSE_INIT(d) { .deadline = (d), .us = 10 }
#define SVAB_PAUSE_MAX_US 8000

/* Before each look, so that the last look is one after the deadline. */
static void svab_pause_look(struct svab_pause *pause)
{
	pause->expired = ktime_after(ktime_get(), pause->deadline);
}

static void svab_pause(struct svab_pause *pause)
{
	usleep_range_state(pause->us, pause->us + pause->us / 2, TASK_IDLE);
	pause->us = min_t(unsigned int, pause->us * 2, SVAB_PAUSE_MAX_US);
}

/*
 * The SMMU.
 */
static bool svab_smmu_page0_only(struct device *dev, resource_size_t size)
{
	/* ACPI has no property: there the resource is made shorter instead. */
	return size < SVAB_SMMU_PAGE1 + SZ_4K ||
	       device_property_present(dev, "cavium,cn9900-broken-page1-regspace");
}

/* The same choice as arm-smmu-v3 makes: one for all, else a message, else a wire. */
static int svab_smmu_irq(struct platform_device *pdev)
{
	int irq = platform_get_irq_byname_optional(pdev, "combined");

	if (irq > 0)
		return irq;
#ifdef CONFIG_GENERIC_MSI_IRQ
	if (dev_get_msi_domain(&pdev->dev)) {
		irq = msi_get_virq(&pdev->dev, 0);
		if (irq > 0)
			return irq;
	}
#endif
	return platform_get_irq_byname_optional(pdev, "eventq");
}

static int svab_smmu_map(struct svab_smmu *smmu, struct platform_device *pdev, char *reason,
			 size_t size)
{
	struct resource *res = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	resource_size_t offset = SVAB_SMMU_PAGE1;
	void __iomem *regs;
	u32 log2size;

	if (!res) {
		strscpy(reason, "the SMMU has no registers to look at", size);
		return -EOPNOTSUPP;
	}
	regs = ioremap(res->start + SVAB_SMMU_EVTQ_BASE, sizeof(u64));
	if (!regs)
		return -ENOMEM;
	log2size = readl(regs) & GENMASK(4, 0);
	iounmap(regs);
	if (!log2size || log2size > SVAB_SMMU_LOG2SIZE_MAX) {
		strscpy(reason, "the SMMU's event queue is not set up", size);
		return -EOPNOTSUPP;
	}
	smmu->entries = BIT(log2size);
	if (svab_smmu_page0_only(&pdev->dev, resource_size(res)))
		offset = 0;
	smmu->evtq = ioremap(res->start + offset + SVAB_SMMU_EVTQ_PROD, sizeof(u64));
	return smmu->evtq ? 0 : -ENOMEM;
}

static int svab_smmu_new(struct platform_device *pdev, struct svab_smmu **ret, char *reason,
			 size_t size)
{
	struct svab_smmu *smmu;
	int r, irq;

	irq = svab_smmu_irq(pdev);
	if (irq <= 0) {
		strscpy(reason, "the SMMU's event interrupt cannot be found", size);
		return -EOPNOTSUPP;
	}
	smmu = kzalloc(sizeof(*smmu), GFP_KERNEL);
	if (!smmu)
		return -ENOMEM;
	r = svab_smmu_map(smmu, pdev, reason, size);
	if (r) {
		kfree(smmu);
		return r;
	}
	smmu->irq = irq;
	smmu->dev = get_device(&pdev->dev);
	refcount_set(&smmu->refs, 1);
	mutex_init(&smmu->window);
	*ret = smmu;
	return 0;
}

static void svab_smmu_put(struct svab_smmu *smmu)
{
	if (!refcount_dec_and_mutex_lock(&smmu->refs, &svab_smmus_lock))
		return;
	list_del(&smmu->link);
	mutex_unlock(&svab_smmus_lock);
	iounmap((void __iomem *)smmu->evtq);
	put_device(smmu->dev);
	mutex_destroy(&smmu->window);
	kfree(smmu);
}

static int svab_smmu_get(struct platform_device *pdev, struct svab_smmu **ret, char *reason,
			 size_t size)
{
	struct svab_smmu *smmu;
	int r = 0;

	mutex_lock(&svab_smmus_lock);
	list_for_each_entry(smmu, &svab_smmus, link) {
		if (smmu->dev == &pdev->dev) {
			refcount_inc(&smmu->refs);
			goto out;
		}
	}
	r = svab_smmu_new(pdev, &smmu, reason, size);
	if (r)
		goto out_unlock;
	list_add(&smmu->link, &svab_smmus);
out:
	*ret = smmu;
out_unlock:
	mutex_unlock(&svab_smmus_lock);
	return r;
}

int svab_flush_probe(struct device *dev, struct svab_flush **ret, char *reason, size_t size)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	struct platform_device *pdev;
	struct svab_flush *flush;
	struct device *found;
	int r = -EOPNOTSUPP;

	*ret = NULL;
	if (!fwspec || !fwspec->iommu_fwnode) {
		strscpy(reason, "the firmware names no IOMMU for it", size);
		return -EOPNOTSUPP;
	}
	found = bus_find_device_by_fwnode(&platform_bus_type, fwspec->iommu_fwnode);
	if (!found) {
		strscpy(reason, "its IOMMU is not a platform device", size);
		return -EOPNOTSUPP;
	}
	pdev = to_platform_device(found);
	if (!found->driver || strcmp(found->driver->name, "arm-smmu-v3")) {
		strscpy(reason, "its IOMMU is not an SMMUv3", size);
		goto out_put;
	}
	r = -ENOMEM;
	flush = kzalloc(sizeof(*flush), GFP_KERNEL);
	if (!flush)
		goto out_put;
	r = svab_smmu_get(pdev, &flush->smmu, reason, size);
	if (r) {
		kfree(flush);
		goto out_put;
	}
	flush->dev = dev;
	*ret = flush;
out_put:
	put_device(found);
	return r;
}

void svab_flush_free(struct svab_flush *flush)
{
	if (!flush)
		return;
	svab_smmu_put(flush->smmu);
	kfree(flush);
}

/*
 * 1. The event queue: positions count in twice the number of entries, so a full queue differs from
 * an empty one.
 */
struct svab_evtq_mark {
	u32 cons; /* as last seen */
	u32 ahead; /* records that were in the queue when PROD was read */
	u64 passed; /* records that have left it since */
	bool full; /* there may be records that found no room */
};

static int svab_evtq_read(const struct svab_smmu *smmu, u32 *prod, u32 *cons)
{
	*prod = readl(smmu->evtq);
	*cons = readl(smmu->evtq + (SVAB_SMMU_EVTQ_CONS - SVAB_SMMU_EVTQ_PROD));
	/* An SMMU without power or clock reads as ones: no statement about its queue. */
	return (*prod | *cons) & SVAB_SMMU_RES0 ? -EOPNOTSUPP : 0;
}

static int svab_evtq_mark(const struct svab_smmu *smmu, struct svab_evtq_mark *mark)
{
	u32 prod, cons;
	int r;

	r = svab_evtq_read(smmu, &prod, &cons);
	if (r)
		return r;
	mark->cons = cons;
	mark->ahead = (prod - cons) & (2 * smmu->entries - 1);
	/* CONS was read after PROD: by now it may be past it. */
	if (mark->ahead > smmu->entries)
		mark->ahead = 0;
	mark->passed = 0;
	mark->full = mark->ahead == smmu->entries || ((prod ^ cons) & SVAB_SMMU_OVERFLOW);
	if (svab_mutated(SVAB_MUT_FLUSH_NO_FULL) && mark->full)
		*mark = (struct svab_evtq_mark){ .cons = cons };
	return 0;
}

/* Should it go around between two looks, then less is counted than has passed: that is safe. */
static int svab_evtq_look(const struct svab_smmu *smmu, struct svab_evtq_mark *mark)
{
	u32 prod, cons;
	int r;

	r = svab_evtq_read(smmu, &prod, &cons);
	if (r)
		return r;
	mark->passed += (cons - mark->cons) & (2 * smmu->entries - 1);
	mark->cons = cons;
	return 0;
}

/* Every record up to the mark has been handed to the event thread. */
static int svab_flush_evtq(struct svab_smmu *smmu, struct svab_evtq_mark *mark, ktime_t deadline)
{
	struct svab_pause pause = SVAB_PAUSE_INIT(deadline);
	int r;

	if (svab_mutated(SVAB_MUT_FLUSH_NO_EVENTQ))
		return 0;
	for (;;) {
		svab_pause_look(&pause);
		r = svab_evtq_look(smmu, mark);
		if (r)
			return r;
		if (mark->passed >= mark->ahead)
			return 0;
		if (pause.expired)
			return -ETIMEDOUT;
		svab_pause(&pause);
	}
}

/*
 * 2. The event thread.
 */
static int svab_flush_thread(struct svab_smmu *smmu, struct svab_evtq_mark *mark, ktime_t deadline)
{
	struct svab_pause pause = SVAB_PAUSE_INIT(deadline);
	int r;

	if (svab_mutated(SVAB_MUT_FLUSH_NO_IRQ))
		return 0;
	for (;;) {
		svab_pause_look(&pause);
		/* False while a thread of this interrupt is at work; waits for no thread. */
		if (synchronize_hardirq(smmu->irq))
			return 0;
		r = svab_evtq_look(smmu, mark);
		if (r)
			return r;
		if (mark->passed > mark->ahead)
			return 0;
		if (pause.expired)
			return -ETIMEDOUT;
		svab_pause(&pause);
	}
}

/*
 * 3. The fault queue.
 */
static bool svab_fault_is_of(const struct iommu_fault *fault, u32 pasid)
{
	return (fault->prm.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) &&
	       fault->prm.pasid == pasid;
}

static struct iommu_fault_param *svab_fault_param_get(struct device *dev)
{
	struct iommu_fault_param *param;

	if (!dev->iommu)
		return NULL;
	rcu_read_lock();
	param = rcu_dereference(dev->iommu->fault_param);
	if (param && !refcount_inc_not_zero(&param->users))
		param = NULL;
	rcu_read_unlock();
	return param;
}

static void svab_fault_param_put(struct iommu_fault_param *param)
{
	if (refcount_dec_and_test(&param->users))
		kfree_rcu(param, rcu);
}

/*
 * A fault is in the list from before its work is queued until it was handled and its response has
 * been sent, under the lock: nothing of it touches an address space or the handle afterwards.
 */
static bool svab_fault_pending(struct device *dev, u32 pasid)
{
	struct iommu_fault_param *param = svab_fault_param_get(dev);
	struct iopf_group *group;
	struct iopf_fault *fault;
	bool pending = false;

	if (!param)
		return false; /* Linux enables faults with the first PASID of a device */
	mutex_lock(&param->lock);
	list_for_each_entry(group, &param->faults, pending_node)
		pending = pending || svab_fault_is_of(&group->last_fault.fault, pasid);
	list_for_each_entry(fault, &param->partial, list)
		pending = pending || svab_fault_is_of(&fault->fault, pasid);
	mutex_unlock(&param->lock);
	svab_fault_param_put(param);
	return pending;
}

static int svab_flush_faults(struct device *dev, u32 pasid, ktime_t deadline)
{
	struct svab_pause pause = SVAB_PAUSE_INIT(deadline);

	if (svab_mutated(SVAB_MUT_FLUSH_NO_IOPF))
		return 0;
	for (;;) {
		svab_pause_look(&pause);
		if (!svab_fault_pending(dev, pasid))
			return 0;
		if (pause.expired)
			return -ETIMEDOUT;
		svab_pause(&pause);
	}
}

static int svab_flush_records(struct svab_smmu *smmu, struct svab_evtq_mark *mark, ktime_t deadline)
{
	int r;

	for (;;) {
		r = svab_flush_evtq(smmu, mark, deadline);
		if (!r)
			r = svab_flush_thread(smmu, mark, deadline);
		if (r || !mark->full || svab_mutated(SVAB_MUT_FLUSH_NO_EVENTQ))
			return r;
		/* A stalled transaction whose record found no room is recorded once there is. */
		r = svab_evtq_mark(smmu, mark);
		if (r)
			return r;
		if (mark->full && ktime_after(ktime_get(), deadline))
			return -ETIMEDOUT;
	}
}

int svab_flush(struct svab_flush *flush, u32 pasid, ktime_t deadline)
{
	struct svab_evtq_mark mark;
	int r;

	if (!flush)
		return -EOPNOTSUPP;
	r = svab_evtq_mark(flush->smmu, &mark);
	if (!r)
		r = svab_flush_records(flush->smmu, &mark, deadline);
	return r ?: svab_flush_faults(flush->dev, pasid, deadline);
}

/*
 * With the event thread held off and idle no new fault appears, and those that are pending end.
 * The wait is given up rather than drawn out.
 */
static bool svab_window_quiet(struct svab_flush *flush, u32 pasid, bool clean, unsigned int us)
{
	struct svab_pause pause = SVAB_PAUSE_INIT(ktime_add_us(ktime_get(), us));
	struct svab_evtq_mark mark;

	for (;;) {
		svab_pause_look(&pause);
		if (synchronize_hardirq(flush->smmu->irq) &&
		    !svab_fault_pending(flush->dev, pasid))
			break;
		if (pause.expired)
			return false;
		svab_pause(&pause);
	}
	if (clean)
		return true;
	/* With the queue full, what arose before the detaching could be recorded after it. */
	return !svab_evtq_mark(flush->smmu, &mark) && !mark.full;
}

/*
 * Waits for the lock that iommu_sva_unbind_device() takes, as long as somebody may hold it, while
 * faults are still served: the caller's own use remains, so nothing else comes of it.
 */
static void svab_window_await_lock(struct iommu_sva *handle)
{
	refcount_inc(&handle->users);
	iommu_sva_unbind_device(handle);
}

/* insistent: it was in vain before, or most likely will be. */
static bool svab_window_detach(struct svab_flush *flush, struct iommu_sva *handle, u32 pasid,
			       bool clean, unsigned int us, bool insistent,
			       struct svab_evtq_mark *mark, int *ret_mark)
{
	struct svab_smmu *smmu = flush->smmu;
	bool quiet = false;
	ktime_t begin;

	mutex_lock(&smmu->window);
	if (insistent && ktime_before(ktime_get(), smmu->rest_until))
		goto out;
	svab_window_await_lock(handle);
	begin = ktime_get();
	disable_irq_nosync(smmu->irq);
	quiet = svab_mutated(SVAB_MUT_FLUSH_NO_IRQ) || svab_mutated(SVAB_MUT_FLUSH_NO_IOPF) ||
		svab_window_quiet(flush, pasid, clean, us);
	if (quiet) {
		iommu_sva_unbind_device(handle);
		*ret_mark = svab_evtq_mark(smmu, mark);
	}
	enable_irq(smmu->irq);
	if (!quiet) {
		ktime_t end = ktime_get();

		smmu->rest_until = ktime_add_ns(end, ktime_to_ns(ktime_sub(end, begin)) *
						     (SVAB_WINDOW_SHARE - 1));
	}
out:
	mutex_unlock(&smmu->window);
	return quiet;
}

/*
 * Where the event thread cannot be held off; right for a device that has nothing outstanding, and
 * for an IOMMU whose driver drains.
 */
static int svab_detach_plainly(struct device *dev, struct iommu_sva *handle, u32 pasid,
			       ktime_t deadline)
{
	int r = svab_flush_faults(dev, pasid, deadline);

	if (!r)
		iommu_sva_unbind_device(handle);
	return r;
}

int svab_flush_detach(struct svab_flush *flush, struct device *dev, struct iommu_sva *handle,
		      u32 pasid, bool clean, ktime_t deadline, bool *detached)
{
	unsigned int us = SVAB_WINDOW_MIN_US, rest;
	struct svab_evtq_mark mark;
	bool expired, insistent = false;
	ktime_t now = ktime_get();
	int r;

	if (ktime_before(deadline, ktime_add_ms(now, SVAB_DETACH_GRACE_MS)))
		deadline = ktime_add_ms(now, SVAB_DETACH_GRACE_MS);
	if (!flush) {
		r = svab_detach_plainly(dev, handle, pasid, deadline);
		*detached = !r;
		return r;
	}
	for (;;) {
		expired = ktime_after(ktime_get(), deadline);
		rest = us * (SVAB_WINDOW_SHARE - 1);
		/* At nobody's cost, and most often enough. */
		if (svab_flush_faults(dev, pasid, ktime_add_us(ktime_get(), rest)))
			insistent = true;
		*detached = svab_window_detach(flush, handle, pasid, clean, us, insistent, &mark,
					       &r);
		if (*detached && clean)
			return 0;
		if (*detached)
			break;
		insistent = true;
		if (expired)
			return -ETIMEDOUT;
		usleep_range_state(rest, rest + us, TASK_IDLE);
		us = min_t(unsigned int, us * 2, SVAB_WINDOW_MAX_US);
	}
	/*
	 * The second look. Most often there is nothing to wait for: no thread was at work when the
	 * queue was seen empty.
	 */
	if (!r && (mark.ahead || mark.full) && !svab_mutated(SVAB_MUT_FLUSH_NO_SECOND_LOOK))
		r = svab_flush_records(flush->smmu, &mark, deadline);
	return r ? -ETIMEDOUT : 0;
}
