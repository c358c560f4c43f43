/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_iommu.h"

#include <errno.h>
#include <stdlib.h>

#include "sim_bond.h"
#include "sim_checker.h"
#include "sim_mm.h"

#define TLB_TAG_MAX 1024u /* entries of one (device, PASID): 2 GiB */

struct pasid_entry {
	struct idmap_node node; /* id: tag_id() */
	struct sim_mm *mm;	/* counted */
	uint64_t bond;		/* for whom it was made; only late DMA looks at this */
	bool off;
};

struct tlb_tag { /* what invalidation by PASID finds; apart from the PASID table, as in hardware */
	struct idmap_node node;
	struct list entries; /* oldest first */
	unsigned n;
};

struct tlb_entry {
	struct idmap_node node;
	struct list of_tag;
	struct sim_mm *mm; /* counted */
	uint64_t bond;
};

enum pr_state { PR_QUEUED, PR_DELAYED, PR_HANDLING, PR_CANCELLED };

struct sim_pr { /* a page request; freed by the OS thread that gets it */
	struct sim_work work;
	struct sim_bond *bond; /* counted */
	struct sim_device *device;
	uint32_t pasid;
	uint64_t address;
	bool write, lost;
	uint64_t ready_ns;
	enum pr_state state;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t delays;
	struct idmap table, tags, tlb;
} iommu = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t tag_id(const struct sim_device *device, uint32_t pasid)
{
	return (uint64_t)device->id << 32 | pasid;
}

static uint64_t tlb_id(const struct sim_device *device, uint32_t pasid, uint64_t address)
{
	return (uint64_t)device->id << 56 | (uint64_t)pasid << 36 | address / SIM_BLOCK;
}

int sim_iommu_init(void)
{
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&iommu.delays, &attr);
	pthread_condattr_destroy(&attr);
	r = idmap_init(&iommu.table);
	if (!r)
		r = idmap_init(&iommu.tags);
	return r < 0 ? r : idmap_init(&iommu.tlb);
}

/* ---- PASID table and IOTLB; all with the lock held ---------------------------------------------- */

static struct pasid_entry *table_find(uint64_t id)
{
	struct idmap_node *node = idmap_find(&iommu.table, id);

	return node ? container_of(node, struct pasid_entry, node) : NULL;
}

static void tlb_evict(struct tlb_tag *tag, struct tlb_entry *e)
{
	idmap_remove(&iommu.tlb, &e->node);
	list_remove(&e->of_tag);
	tag->n--;
	sim_mm_unref(e->mm);
	free(e);
}

static void tlb_invalidate(uint64_t id)
{
	struct idmap_node *node = idmap_find(&iommu.tags, id);
	struct tlb_tag *tag;

	if (!node)
		return;
	tag = container_of(node, struct tlb_tag, node);
	while (!list_empty(&tag->entries))
		tlb_evict(tag, container_of(tag->entries.next, struct tlb_entry, of_tag));
	idmap_remove(&iommu.tags, node);
	free(tag);
}

static struct tlb_entry *tlb_find(const struct sim_bond *bond, uint64_t address)
{
	struct idmap_node *node = idmap_find(&iommu.tlb, tlb_id(bond->device, bond->pasid, address));

	return node ? container_of(node, struct tlb_entry, node) : NULL;
}

static int tlb_fill(const struct sim_bond *bond, uint64_t address, struct sim_mm *mm)
{
	uint64_t id = tag_id(bond->device, bond->pasid);
	struct idmap_node *node;
	struct tlb_entry *e;
	struct tlb_tag *tag;

	if (tlb_find(bond, address))
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	node = idmap_find(&iommu.tags, id);
	if (node) {
		tag = container_of(node, struct tlb_tag, node);
	} else {
		tag = calloc(1, sizeof(*tag));
		if (!tag) {
			free(e);
			return -ENOMEM;
		}
		list_init(&tag->entries);
		idmap_insert(&iommu.tags, &tag->node, id);
	}
	if (tag->n >= TLB_TAG_MAX)
		tlb_evict(tag, container_of(tag->entries.next, struct tlb_entry, of_tag));
	e->mm = sim_mm_ref(mm);
	e->bond = bond->id;
	list_append(&tag->entries, &e->of_tag);
	tag->n++;
	idmap_insert(&iommu.tlb, &e->node, tlb_id(bond->device, bond->pasid, address));
	return 0;
}

int sim_iommu_attach(struct sim_device *device, uint32_t pasid, struct sim_mm *mm, uint64_t bond)
{
	struct pasid_entry *e = calloc(1, sizeof(*e)), *was;

	if (!e)
		return -ENOMEM;
	e->mm = sim_mm_ref(mm);
	e->bond = bond;
	pthread_mutex_lock(&iommu.lock);
	was = table_find(tag_id(device, pasid));
	if (was) {
		/* Only a drain that forgot it can leave one: hardware would just be reprogrammed. */
		idmap_remove(&iommu.table, &was->node);
		sim_mm_unref(was->mm);
		free(was);
	}
	idmap_insert(&iommu.table, &e->node, tag_id(device, pasid));
	pthread_mutex_unlock(&iommu.lock);
	return 0;
}

void sim_iommu_cut(struct sim_device *device, uint32_t pasid)
{
	uint64_t id = tag_id(device, pasid);
	struct pasid_entry *e;

	pthread_mutex_lock(&iommu.lock);
	e = table_find(id);
	if (e)
		e->off = true;
	tlb_invalidate(id);
	pthread_mutex_unlock(&iommu.lock);
}

void sim_iommu_detach(struct sim_device *device, uint32_t pasid, bool reset)
{
	uint64_t id = tag_id(device, pasid);
	struct pasid_entry *e;

	pthread_mutex_lock(&iommu.lock);
	e = table_find(id);
	if (e) {
		idmap_remove(&iommu.table, &e->node);
		sim_mm_unref(e->mm);
		free(e);
	}
	(void)reset;
	if (!MUTATED("stale-iotlb") && !(reset && MUTATED("stale-tlb-on-reset")))
		tlb_invalidate(id);
	pthread_mutex_unlock(&iommu.lock);
}

static int free_table(struct idmap_node *node, void *unused)
{
	struct pasid_entry *e = container_of(node, struct pasid_entry, node);

	(void)unused;
	tlb_invalidate(node->id);
	idmap_remove(&iommu.table, node);
	sim_mm_unref(e->mm);
	free(e);
	return 0;
}

void sim_iommu_deinit(void)
{
	idmap_each(&iommu.table, free_table, NULL);
	idmap_deinit(&iommu.table);
	idmap_deinit(&iommu.tags);
	idmap_deinit(&iommu.tlb);
}

/* ---- page requests: the OS's side ------------------------------------------------------------------- */

static int pr_ask_os(struct sim_pr *pr, struct sim_mm *mm)
{
	size_t good;

	if (!mm)
		return -EACCES;
	return (int)sim_mm_allows(mm, pr->address, 1, pr->write, &good);
}

/* In an OS thread. Whose memory is it? The PASID's mm *now*: a request that outlived its bond would be served
 * out of a stranger's memory, and that is why a drain flushes them before the PASID can go to another. */
static void pr_handle(struct sim_work *work)
{
	struct sim_pr *pr = container_of(work, struct sim_pr, work);
	struct sim_bond *bond = pr->bond;
	struct pasid_entry *e;
	struct sim_mm *mm;
	bool flushed = false;
	int result;

	pthread_mutex_lock(&iommu.lock);
	if (pr->state == PR_QUEUED && pr->ready_ns) {
		struct timespec until = {
			.tv_sec = (time_t)(pr->ready_ns / 1000000000u),
			.tv_nsec = (long)(pr->ready_ns % 1000000000u),
		};

		pr->state = PR_DELAYED; /* an injected fault; still in the queue for whoever flushes */
		while (pr->state == PR_DELAYED)
			if (pthread_cond_timedwait(&iommu.delays, &iommu.lock, &until) == ETIMEDOUT)
				break;
	}
	if (pr->state == PR_CANCELLED) {
		pthread_mutex_unlock(&iommu.lock);
		goto out;
	}
	pr->state = PR_HANDLING;
	e = table_find(tag_id(pr->device, pr->pasid));
	mm = e && !e->off ? sim_mm_ref(e->mm) : NULL;
	pthread_mutex_unlock(&iommu.lock);

	result = pr_ask_os(pr, mm);
	if (mm)
		checker_page_request(bond->id, pr->pasid, mm->id);
	sim_mm_unref(mm);

	pthread_mutex_lock(&iommu.lock);
	if (bond->pr == pr)
		bond->pr = NULL;
	flushed = bond->flush_wanted;
	bond->flush_wanted = false;
	if (bond->pr_waiting && !pr->lost) {
		bond->pr_result = result;
		bond->pr_waiting = false;
		pthread_cond_broadcast(&bond->pr_cond);
	}
	pthread_mutex_unlock(&iommu.lock);
	if (flushed)
		sim_bond_tell(bond, NEWS_FLUSHED);
out:
	sim_bond_unref(bond);
	free(pr);
}

/* Takes one of an injected fault's remaining uses. */
static bool take_one(atomic_uint *left)
{
	unsigned n = atomic_load(left);

	while (n)
		if (atomic_compare_exchange_weak(left, &n, n - 1))
			return true;
	return false;
}

/* With the lock held. */
static int pr_send(struct sim_bond *bond, uint64_t address, bool write)
{
	struct sim_device *device = bond->device;
	struct sim_pr *pr = calloc(1, sizeof(*pr));

	if (!pr)
		return -ENOMEM;
	*pr = (struct sim_pr){
		.work.run = pr_handle,
		.bond = sim_bond_ref(bond),
		.device = device,
		.pasid = bond->pasid,
		.address = address,
		.write = write,
		.lost = take_one(&device->lose_responses),
		.state = PR_QUEUED,
	};
	if (take_one(&device->delay_responses))
		pr->ready_ns = sim_now() + (uint64_t)atomic_load(&device->delay_response_ms) * 1000000u;
	bond->pr = pr;
	bond->pr_waiting = true;
	sim_os_submit(&pr->work, bond->mm->uid);
	return 0;
}

bool sim_iommu_flush(struct sim_bond *bond)
{
	bool none = true;

	if (MUTATED("skip-flush"))
		return true;
	pthread_mutex_lock(&iommu.lock);
	if (bond->pr && bond->pr->state == PR_HANDLING) {
		bond->flush_wanted = true;
		none = false;
	} else if (bond->pr) {
		bond->pr->state = PR_CANCELLED;
		bond->pr = NULL;
		pthread_cond_broadcast(&iommu.delays);
	}
	pthread_mutex_unlock(&iommu.lock);
	return none;
}

void sim_iommu_wake(struct sim_bond *bond)
{
	pthread_mutex_lock(&iommu.lock);
	pthread_cond_broadcast(&bond->pr_cond);
	pthread_mutex_unlock(&iommu.lock);
}

/* ---- the device's side ------------------------------------------------------------------------------- */

static bool cancelled(struct sim_bond *bond, bool finishing)
{
	if (atomic_load(&bond->dead))
		return true;
	return !finishing && atomic_load(&bond->stop) && !atomic_load(&bond->stop_awaits);
}

int sim_iommu_translate(struct sim_bond *bond, uint64_t address, bool write, bool finishing,
			struct sim_mm **ret)
{
	struct pasid_entry *e;
	struct tlb_entry *hit;
	int r = 0;

	pthread_mutex_lock(&iommu.lock);
	for (;;) {
		/* The device was reset and has forgotten this bond, though its worker has not seen it yet.
		 * Looked at under the lock: who flushes finds the request that went out before, and none goes
		 * out after. */
		if (atomic_load(&bond->dead)) {
			r = -ECANCELED;
			break;
		}
		hit = tlb_find(bond, address);
		if (hit) {
			*ret = sim_mm_ref(hit->mm);
			break;
		}
		e = table_find(tag_id(bond->device, bond->pasid));
		if (!e || e->off) {
			r = -EACCES;
			break;
		}
		if (bond->pr) {
			/* Abandoned with a Stop Marker a moment ago, and the one that a bond may have:
			 * nothing more goes out. */
			r = -ECANCELED;
			break;
		}
		r = pr_send(bond, address, write);
		if (r < 0)
			break;
		while (bond->pr_waiting && !cancelled(bond, finishing))
			pthread_cond_wait(&bond->pr_cond, &iommu.lock);
		if (bond->pr_waiting) {
			bond->pr_waiting =
				false; /* Stop Marker: the request stays in the IOMMU, nobody waits for it */
			r = -ECANCELED;
			break;
		}
		r = bond->pr_result;
		if (r)
			break;
		/* The response is in: the IOMMU walks the table anew. */
		e = table_find(tag_id(bond->device, bond->pasid));
		if (!e || e->off) {
			r = -EACCES;
			break;
		}
		r = tlb_fill(bond, address, e->mm);
		if (r < 0)
			break;
	}
	pthread_mutex_unlock(&iommu.lock);
	if (r == -EACCES)
		checker_blocked();
	return r;
}

int sim_iommu_begin(struct sim_bond *bond, uint64_t address, struct sim_mm **ret)
{
	struct tlb_entry *hit;

	pthread_mutex_lock(&iommu.lock);
	hit = tlb_find(bond, address);
	if (hit) {
		*ret = sim_mm_ref(hit->mm);
		/* Under the lock, so that no invalidation comes between: what it finds begun was begun in
		 * time. */
		checker_access_begin(bond->id, bond->pasid, hit->mm->id);
	}
	pthread_mutex_unlock(&iommu.lock);
	return hit ? 0 : -EAGAIN;
}

int sim_iommu_late_begin(struct sim_bond *bond, uint64_t address, struct sim_mm **ret)
{
	struct pasid_entry *e;
	struct tlb_entry *hit;
	int r = -EACCES;

	pthread_mutex_lock(&iommu.lock);
	hit = tlb_find(bond, address);
	e = table_find(tag_id(bond->device, bond->pasid));
	if ((hit && hit->bond != bond->id) || (!hit && e && e->bond != bond->id))
		r = -ESTALE;
	else if (hit || (e && !e->off))
		r = 0;
	if (!r) {
		*ret = sim_mm_ref(hit ? hit->mm : e->mm);
		checker_access_begin(bond->id, bond->pasid, (*ret)->id);
	}
	pthread_mutex_unlock(&iommu.lock);
	if (r == -EACCES)
		checker_blocked();
	return r;
}

void sim_iommu_end(struct sim_bond *bond, struct sim_mm *mm)
{
	checker_access_end(bond->id);
	sim_mm_unref(mm);
}
