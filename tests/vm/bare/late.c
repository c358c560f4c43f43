// SPDX-License-Identifier: GPL-2.0-only
/*
 * late.ko: makes two steps of Linux's page-request path late, so that what waits for each of them
 * can be tested apart from the others; makes the accelerator's driver slow to say whether it is
 * busy; and holds an address space's mmap_lock, for which a bind waits. For a kernel under test
 * only.
 *
 *   thread  the SMMU's event thread, with a record taken from the queue (CONS is past it) and not
 *           looked at yet: at the entry of iommu_report_device_fault()
 *   work    a fault in the fault queue that nobody handles: at the entry of the work that would
 *   busy    the provider's busy(): at its entry
 *
 * Parameters, all in /sys/module/late/parameters:
 *   pasid         whose; 0: everybody's
 *   thread_hold, work_hold, busy_hold   1: hold what comes; 0: let go what is held and hold no more
 *   thread_ms, work_ms       each comes this much later instead
 *   thread_held, work_held, busy_held   how many are held just now (read only)
 *   thread_seen, work_seen   how many were made late since the module was loaded (read only)
 *   mmap_hold     1: the writer's own mmap_lock is held for reading when the write returns; 0: no
 *                 more
 *
 * A probe may not sleep, so it sends the caller to a function of ours with the same arguments,
 * which does, and which then calls the probed function once more, past the probe.
 */
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/wait.h>

static unsigned int pasid;
static bool thread_hold, work_hold, busy_hold;
static unsigned int thread_ms, work_ms;
static atomic_t thread_held_now, work_held_now, thread_seen_now, work_seen_now;
static atomic_t busy_held_now, busy_seen_now;
static atomic_t inside;
static DECLARE_WAIT_QUEUE_HEAD(let_go);

#define LATE_PASSING 64
/* Tasks on their way into a probed function that is not to be probed this time. */
static struct task_struct *passing[LATE_PASSING];

static void late_pass_begin(void)
{
	unsigned int i;

	/* More at once than any test has: then one waits for another's place. */
	for (i = 0; cmpxchg(&passing[i], NULL, current); i = (i + 1) % LATE_PASSING)
		cond_resched();
}

static bool late_passes(void)
{
	unsigned int i;

	for (i = 0; i < LATE_PASSING; i++) {
		if (READ_ONCE(passing[i]) == current) {
			WRITE_ONCE(passing[i], NULL);
			return true;
		}
	}
	return false;
}

static void late_wait(const bool *hold, unsigned int ms, atomic_t *held, atomic_t *seen)
{
	atomic_inc(seen);
	atomic_inc(held);
	wait_event(let_go, !READ_ONCE(*hold));
	if (ms)
		msleep(ms);
	atomic_dec(held);
}

static bool late_concerns(u32 asked)
{
	u32 whose = READ_ONCE(pasid);

	return !whose || whose == asked;
}

/*
 * The event thread.
 */
static int late_report_device_fault(struct device *dev, struct iopf_fault *event)
{
	int r;

	late_wait(&thread_hold, READ_ONCE(thread_ms), &thread_held_now, &thread_seen_now);
	late_pass_begin();
	r = iommu_report_device_fault(dev, event);
	atomic_dec(&inside);
	return r;
}

static int late_at_thread(struct kprobe *probe, struct pt_regs *regs)
{
	const struct iopf_fault *event = (void *)regs_get_kernel_argument(regs, 1);

	if (late_passes())
		return 0;
	if ((!READ_ONCE(thread_hold) && !READ_ONCE(thread_ms)) ||
	    !late_concerns(event->fault.prm.pasid))
		return 0;
	atomic_inc(&inside);
	instruction_pointer_set(regs, (unsigned long)late_report_device_fault);
	return 1;
}

static struct kprobe late_thread = {
	.symbol_name = "iommu_report_device_fault",
	.pre_handler = late_at_thread,
};

/*
 * The fault queue.
 */
static int late_at_work(struct kprobe *probe, struct pt_regs *regs);

static struct kprobe late_work = {
	.symbol_name = "iommu_sva_handle_iopf",
	.pre_handler = late_at_work,
};

static void late_handle_iopf(struct work_struct *work)
{
	late_wait(&work_hold, READ_ONCE(work_ms), &work_held_now, &work_seen_now);
	late_pass_begin();
	((work_func_t)(void *)late_work.addr)(work);
	atomic_dec(&inside);
}

static int late_at_work(struct kprobe *probe, struct pt_regs *regs)
{
	struct work_struct *work = (void *)regs_get_kernel_argument(regs, 0);
	const struct iopf_group *group = container_of(work, struct iopf_group, work);

	if (late_passes())
		return 0;
	if ((!READ_ONCE(work_hold) && !READ_ONCE(work_ms)) ||
	    !late_concerns(group->last_fault.fault.prm.pasid))
		return 0;
	atomic_inc(&inside);
	instruction_pointer_set(regs, (unsigned long)late_handle_iopf);
	return 1;
}

/*
 * The provider.
 */
static int late_at_busy(struct kprobe *probe, struct pt_regs *regs);

static struct kprobe late_busy = {
	.symbol_name = "svad_accel:svad_accel_busy",
	.pre_handler = late_at_busy,
};

static bool late_is_busy(struct device *dev, u32 asked)
{
	bool busy;

	late_wait(&busy_hold, 0, &busy_held_now, &busy_seen_now);
	late_pass_begin();
	busy = ((bool (*)(struct device *, u32))(void *)late_busy.addr)(dev, asked);
	atomic_dec(&inside);
	return busy;
}

static int late_at_busy(struct kprobe *probe, struct pt_regs *regs)
{
	if (late_passes() || !READ_ONCE(busy_hold) ||
	    !late_concerns(regs_get_kernel_argument(regs, 1)))
		return 0;
	atomic_inc(&inside);
	instruction_pointer_set(regs, (unsigned long)late_is_busy);
	return 1;
}

/*
 * An mmap_lock, held by a thread that nothing else holds up.
 */
static bool mmap_hold;
static DEFINE_MUTEX(mmap_lock_of_one);
static struct task_struct *mmap_holder;
static struct mm_struct *mmap_mm;
static DECLARE_COMPLETION(mmap_held);

static int late_hold_mmap(void *unused)
{
	mmap_read_lock(mmap_mm);
	complete(&mmap_held);
	wait_event(let_go, !READ_ONCE(mmap_hold) && kthread_should_stop());
	mmap_read_unlock(mmap_mm);
	return 0;
}

static int late_mmap_begin(void)
{
	if (mmap_holder || !current->mm)
		return -EBUSY;
	mmap_mm = current->mm;
	mmgrab(mmap_mm);
	reinit_completion(&mmap_held);
	WRITE_ONCE(mmap_hold, true);
	mmap_holder = kthread_run(late_hold_mmap, NULL, "late-mmap");
	if (IS_ERR(mmap_holder)) {
		int r = PTR_ERR(mmap_holder);

		mmap_holder = NULL;
		mmdrop(mmap_mm);
		return r;
	}
	wait_for_completion(&mmap_held);
	return 0;
}

static void late_mmap_end(void)
{
	if (!mmap_holder)
		return;
	WRITE_ONCE(mmap_hold, false);
	kthread_stop(mmap_holder);
	mmap_holder = NULL;
	mmdrop(mmap_mm);
}

static int late_set_mmap(const char *value, const struct kernel_param *param)
{
	bool hold;
	int r = kstrtobool(value, &hold);

	if (r)
		return r;
	mutex_lock(&mmap_lock_of_one);
	if (hold)
		r = late_mmap_begin();
	else
		late_mmap_end();
	mutex_unlock(&mmap_lock_of_one);
	return r;
}

static const struct kernel_param_ops late_mmap_ops = {
	.set = late_set_mmap,
	.get = param_get_bool,
};

/*
 * Parameters.
 */
static int late_set_hold(const char *value, const struct kernel_param *param)
{
	int r = param_set_bool(value, param);

	wake_up_all(&let_go);
	return r;
}

static const struct kernel_param_ops late_hold_ops = {
	.set = late_set_hold,
	.get = param_get_bool,
};

static int late_get_count(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)param->arg));
}

static const struct kernel_param_ops late_count_ops = {
	.get = late_get_count,
};

module_param(pasid, uint, 0644);
MODULE_PARM_DESC(pasid, "whose steps are made late; 0: everybody's");
module_param_cb(thread_hold, &late_hold_ops, &thread_hold, 0644);
MODULE_PARM_DESC(thread_hold, "hold the event thread");
module_param_cb(work_hold, &late_hold_ops, &work_hold, 0644);
MODULE_PARM_DESC(work_hold, "hold the work of faults");
module_param_cb(busy_hold, &late_hold_ops, &busy_hold, 0644);
MODULE_PARM_DESC(busy_hold, "hold the provider's busy()");
module_param(thread_ms, uint, 0644);
MODULE_PARM_DESC(thread_ms, "delay the event thread");
module_param(work_ms, uint, 0644);
MODULE_PARM_DESC(work_ms, "delay the work of faults");
module_param_cb(thread_held, &late_count_ops, &thread_held_now, 0444);
MODULE_PARM_DESC(thread_held, "event threads held now");
module_param_cb(work_held, &late_count_ops, &work_held_now, 0444);
MODULE_PARM_DESC(work_held, "works held now");
module_param_cb(busy_held, &late_count_ops, &busy_held_now, 0444);
MODULE_PARM_DESC(busy_held, "calls of busy() held now");
module_param_cb(thread_seen, &late_count_ops, &thread_seen_now, 0444);
MODULE_PARM_DESC(thread_seen, "event threads made late");
module_param_cb(work_seen, &late_count_ops, &work_seen_now, 0444);
MODULE_PARM_DESC(work_seen, "works made late");

module_param_cb(mmap_hold, &late_mmap_ops, &mmap_hold, 0644);
MODULE_PARM_DESC(mmap_hold, "hold the writer's mmap_lock");

static struct kprobe *late_probes[] = { &late_thread, &late_work, &late_busy };

static int __init late_init(void)
{
	return register_kprobes(late_probes, ARRAY_SIZE(late_probes));
}

static void __exit late_exit(void)
{
	thread_hold = false;
	work_hold = false;
	busy_hold = false;
	thread_ms = 0;
	work_ms = 0;
	wake_up_all(&let_go);
	late_mmap_end();
	/* Those that were sent into this module come out of it before it goes. */
	while (atomic_read(&inside))
		usleep_range(1000, 2000);
	unregister_kprobes(late_probes, ARRAY_SIZE(late_probes));
}

module_init(late_init);
module_exit(late_exit);

MODULE_DESCRIPTION("svad tests: makes steps of the page-request path late");
MODULE_LICENSE("GPL");
