/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * svabroker: the objects that its files share.
 *
 *   control  an open /dev/svabroker: a queue of events and the right to give orders
 *   ctx      one client's capability; lives until its last fd is closed or it is revoked
 *   grant    permits a ctx one bond with a device; used up by a hold
 *   ref      one bond fd
 *   hold     one ctx's share in a bond: its refs
 *   bond     one (device, address space) pair
 *   mm       an address space that has bonds or contexts; owns the mmu_notifier
 *   device   what a provider registered
 *
 * Locks, outermost first:
 *
 *   svab_device.reset_lock   one reset, or the end of the device
 *   svab_mm.bind_lock        one bind at a time in an address space
 *   svab_device.op_sem       read: a bind, stats or busy is under way. write: the device's state
 *                            changes, and at its end until its works have ended
 *   svab_bond.attach_lock    detaching (a bond in the making is not known yet and takes none); the
 *                            IOMMU's own locks, and mmap_lock by those, are taken inside
 *   mmap_lock                held by the kernel around portal faults and mmap(); by mm.c
 *   svab_bond.portal_lock    portal faults, and the provider's busy, against revocation
 *   svab_lock                spinlock, irqs off: every list, count and state. Nothing sleeps in
 *                            it and only irq-safe locks are taken inside
 *   svab_event_lock          spinlock, irqs off: event queues
 *
 * The provider's busy runs in portal_lock, so it must not touch user memory. Nobody holds svab_lock
 * while calling a provider, the IOMMU or the mm. The mmu_notifier's release takes svab_lock and no
 * other.
 */
#ifndef SVABROKER_PRIVATE_H
#define SVABROKER_PRIVATE_H

#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "mutation.h"
#include "svabroker.h"
#include "svabroker_provider.h"

struct svab_flush;

/*
 * struct svab_device - a registered device
 * @refs: the registration and every bond
 * @link: in svab.devices, in order of id, until gone and without bonds
 * @id: never used again
 * @dev: NULL once unregistered
 * @ops: NULL once unregistered
 * @desc: the provider's, with @name in it
 * @name: unique among registered devices
 * @caps: what SVAB_DEV_NEXT tells
 * @pasids: how many PASIDs it can tell apart
 * @state: svab_lock and op_sem to change (write, but from OK to UNUSABLE), either to read
 * @reason: why it is unusable, or what it cannot do; set like @state
 * @bus: of the device
 * @numa_node: of the device
 * @iommu_on: features were enabled and must be disabled
 * @in_reset: the provider's reset runs: svab_lock
 * @sva_works: a bind has succeeded: svab_lock once it is registered
 * @flush: how its page requests are flushed; NULL: they cannot be
 * @wq: its drains; of its own, so that a stuck device holds nobody else's up
 * @op_sem: see above
 * @reset_lock: see above
 * @settled: woken when @draining, @working, @quarantined or @n_bonds fall
 * @bonds: all that are not CLEAN; svab_lock
 * @by_pasid: the same
 * @n_bonds: of them, and binds under way
 * @draining: STOPPING or FLUSHED
 * @quarantined: QUARANTINED
 * @working: drain works queued or running
 * @stop_failures: since the last reset
 * @drained: bonds that became CLEAN
 * @stats: as the provider told them last
 */
struct svab_device {
	struct kref refs;
	struct list_head link;
	u32 id;
	struct device *dev;
	const struct svab_device_ops *ops;
	struct svab_device_desc desc;
	char name[SVAB_NAME_MAX];
	u64 caps;
	u32 pasids;
	enum svab_dev_state state;
	char reason[128];
	char bus[16];
	int numa_node;
	bool iommu_on;
	bool in_reset;
	bool sva_works;
	struct svab_flush *flush;
	struct workqueue_struct *wq;
	struct rw_semaphore op_sem;
	struct mutex reset_lock; /* one reset at a time, or the end */
	wait_queue_head_t settled;

	struct list_head bonds;
	DECLARE_HASHTABLE(by_pasid, 8);
	u32 n_bonds;
	u32 draining;
	u32 quarantined;
	u32 working;
	u32 stop_failures;
	u64 drained;
	struct svab_device_stats stats;
};

/*
 * struct svab_mm - an address space
 * @mn: its end is seen through this
 * @mm: not counted by this struct itself: the notifier's subscription does, and each bond
 * @refs: of the struct: subscription, bonds, contexts
 * @hash: in svab.mms while @pins
 * @pins: bonds that are not CLEAN, live contexts tied to it, binds under way; at 0 the subscription
 *	ends
 * @dead: the address space has ended
 * @pasid: 0: none yet
 * @bonds: that are not CLEAN
 * @ctxs: tied to it
 * @bind_lock: one bind at a time
 * @retire: ends the subscription
 */
struct svab_mm {
	struct mmu_notifier mn;
	struct mm_struct *mm;
	struct kref refs;
	struct hlist_node hash;
	unsigned int pins;
	bool dead;
	u32 pasid;
	struct list_head bonds;
	struct list_head ctxs;
	struct mutex bind_lock; /* one bind at a time */
	struct work_struct retire;
};

struct svab_grant {
	struct list_head of_ctx;
	u32 device;
	u32 deadline_ms;
	u64 grant;
};

struct svab_hold {
	struct list_head of_ctx;
	struct list_head of_bond;
	struct svab_ctx *ctx; /* counted */
	struct svab_bond *bond; /* freed before it */
	u64 grant;
	struct list_head fds;
	unsigned int n_fds;
};

/*
 * struct svab_ctx - one client's capability
 * @refs: files, holds, the registry, binds under way
 * @hash: by cookie, until gone
 * @node: in svab.ctxs, in order of @seq, until gone
 * @seq: never used again; what SVAB_LIST walks by
 * @mm: the address space it is tied to; counted; NULL: none yet
 * @of_mm: in @mm->ctxs while it pins it
 * @binds: under way
 * @n_files: open fds
 * @bound: one has succeeded: the tie is for good
 * @ended: no bind any more
 * @end_cause: why
 * @gone: ended, and its last bond is CLEAN
 * @grants: not used up
 * @holds: in bonds that are not CLEAN
 */
struct svab_ctx {
	struct kref refs;
	struct hlist_node hash;
	struct rb_node node;
	u64 seq;
	u64 cookie;
	u32 uid;
	u32 gid;
	s32 pid;
	struct svab_mm *mm;
	struct list_head of_mm;
	unsigned int binds;
	unsigned int n_files;
	bool bound;
	bool ended;
	enum svab_cause end_cause;
	bool gone;
	struct list_head grants;
	struct list_head holds;
};

/*
 * struct svab_bond - one (device, address space) pair
 * @refs: the registry until CLEAN, bond fds, queued works
 * @device: counted
 * @smm: counted
 * @mm: mmgrab()bed until CLEAN: what keeps its PASID. Afterwards only compared, never followed
 * @state: changed by svab_bond_input_locked() alone
 * @ask_ms: how long after the last time a QUARANTINED bond's device is asked again
 * @stopped: NONE, or FLUSHED or CLEAN once the device has stopped, of itself or by a reset
 * @was_reset: the device, since a stop last failed
 * @cut_asked: since the deadline was set last it has passed, and the cut was queued for it
 * @vouched: by the process, in SVAB_UNBIND
 * @mm_held: @mm and the pin are held
 * @wait: SVAB_UNBIND
 * @polled: poll() of its fds: any number of entries, which clients make, so never walked under
 *	svab_lock
 * @tell: walks it for who has that lock
 * @sva: NULL: detached; attach_lock
 * @inode: whose mapping the portals of all fds share; NULL: no fd yet
 * @revoked: no portal page is handed out any more; portal_lock
 * @portal_gone: and none is left
 */
struct svab_bond {
	struct kref refs;
	struct hlist_node hash;
	struct hlist_node of_pasid;
	struct list_head of_device;
	struct list_head of_mm;
	u64 id;
	struct svab_device *device;
	struct svab_mm *smm;
	struct mm_struct *mm;
	struct module *owner;
	u32 pasid;

	enum svab_pasid_state state;
	enum svab_cause cause;
	u32 deadline_ms;
	u32 ask_ms;
	u64 bound_ns;
	u64 began_ns;
	u64 ended_ns;
	ktime_t deadline;
	bool mm_held;
	enum svab_pasid_state stopped;
	bool was_reset;
	bool cut_asked;
	enum svab_pasid_state vouched;
	struct list_head holds;
	unsigned int n_refs;
	u64 faults;
	u64 fault_window_ns;
	unsigned int fault_window_n;
	struct timer_list timer;
	struct work_struct drain;
	struct delayed_work cut;
	wait_queue_head_t wait;
	wait_queue_head_t polled;
	struct work_struct tell;

	struct mutex attach_lock; /* sva */
	struct iommu_sva *sva;

	struct mutex portal_lock; /* revoked */
	struct svab_portal portal;
	struct inode *inode;
	bool revoked;
	bool portal_gone;
};

/*
 * struct svab_ref - one bond fd
 * @hold: what it counts in; NULL: dropped, or the bond is CLEAN
 * @of_hold: in it
 * @asked: SVAB_UNBIND was called while there was something to wait for
 * @dropped: SVAB_UNBIND has returned, or its ctx let go
 */
struct svab_ref {
	struct svab_bond *bond; /* counted */
	struct svab_hold *hold;
	struct list_head of_hold;
	bool asked;
	bool dropped;
};

struct svab {
	struct workqueue_struct *wq;
	struct list_head devices;
	struct rb_root ctxs;
	DECLARE_HASHTABLE(ctxs_by_cookie, 10);
	DECLARE_HASHTABLE(bonds_by_id, 10);
	DECLARE_HASHTABLE(mms, 10);
	u64 next_ctx;
	u64 next_bond;
	u32 next_device;
	u32 n_devices;
	u32 n_ctxs;
	u32 n_bonds;
	u32 n_pasids;
	u32 draining;
	u32 quarantined;
	u64 drained;
};

extern struct svab svab;
extern spinlock_t svab_lock;

/* main.c */
#define SVAB_ARG_MIN 8 /* size, flags */
int svab_arg_in(void *dst, size_t known, size_t min, const void __user *arg);
int svab_arg_out(const void *src, size_t known, void __user *arg, u32 usize);

/* event.c */
struct svab_queue;
struct svab_queue *svab_queue_new(void);
void svab_queue_free(struct svab_queue *queue);
ssize_t svab_queue_read(struct svab_queue *queue, struct file *file, char __user *buf, size_t size);
__poll_t svab_queue_poll(struct svab_queue *queue, struct file *file, poll_table *wait);
void svab_event(struct svab_event *event);
void svab_event_bond(struct svab_bond *bond, const struct svab_hold *hold,
		     enum svab_event_type type, u64 value);
u64 svab_events_lost(void);

/* mm.c */
struct svab_mm *svab_mm_get(struct mm_struct *mm);
void svab_mm_put(struct svab_mm *smm);
void svab_mm_exit(void);
void svab_mm_unpin_locked(struct svab_mm *smm);

/* ctx.c */
int svab_ctx_create(struct svab_ctx_create *arg, void __user *user);
int svab_ctx_reopen(struct svab_ctx_create *arg, void __user *user);
int svab_ctx_grant(const struct svab_ctx_grant *arg);
int svab_ctx_revoke_grant(const struct svab_ctx_ref *arg);
int svab_ctx_revoke(const struct svab_ctx_ref *arg);
struct svab_grant *svab_ctx_grant_find(struct svab_ctx *ctx, u32 device);
void svab_ctx_put(struct svab_ctx *ctx);
void svab_ctx_check_gone_locked(struct svab_ctx *ctx);

/* bond.c */
int svab_bind(struct svab_ctx *ctx, void __user *user);
struct svab_bond *svab_bond_find_locked(u64 id);
void svab_bond_free(struct kref *refs);
void svab_hold_end_locked(struct svab_hold *hold, enum svab_cause cause);
void svab_hold_free_locked(struct svab_hold *hold);

static inline void svab_bond_put(struct svab_bond *bond)
{
	kref_put(&bond->refs, svab_bond_free);
}

/* ref.c */
int svab_ref_new(struct svab_bond *bond, struct svab_ref **ret_ref, struct file **ret_file);
void svab_ref_add_locked(struct svab_ref *ref, struct svab_hold *hold);
void svab_ref_drop_locked(struct svab_ref *ref, bool for_good);

/* portal.c */
int svab_portal_mmap(struct file *file, struct vm_area_struct *vma);
void svab_portal_revoke(struct svab_bond *bond);

/* drain.c */
enum svab_input {
	SVAB_INPUT_BEGIN, /* something ends the bond; only the first one counts */
	SVAB_INPUT_FLUSHED, /* the device stopped, its page requests may still be queued */
	SVAB_INPUT_FAILED, /* stop or flush failed */
	SVAB_INPUT_DEADLINE,
	SVAB_INPUT_CLEAN, /* all is done */
};

void svab_drain_init(struct svab_bond *bond);
bool svab_bond_input_locked(struct svab_bond *bond, enum svab_input input, enum svab_cause cause);
void svab_bond_revoke_locked(struct svab_bond *bond, enum svab_cause cause);
void svab_bond_retry_locked(struct svab_bond *bond);

/* device.c */
struct svab_device *svab_device_get(u32 id);
void svab_device_put(struct svab_device *device);
int svab_device_tried(struct svab_device *device, int r);
int svab_device_info(struct svab_dev_info *info);

/* reset.c */
int svab_device_reset(struct svab_dev_reset *arg);
void svab_device_end_bonds(struct svab_device *device);

/* list.c */
int svab_list(struct svab_list *arg);

/* generic.c */
int svab_generic_init(void);
void svab_generic_exit(void);

#endif /* SVABROKER_PRIVATE_H */
