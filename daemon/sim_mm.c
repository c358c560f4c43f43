/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_mm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim_bond.h"
#include "sim_procmap.h"

#define SWEEP_MS 100u
#define SWEEP_BATCH 256u /* probes of a tick */

/* ---- lifetime ----------------------------------------------------------------------------------- */

static void mm_gone_note(struct sim_note *note)
{
	struct sim_mm *mm = container_of(note, struct sim_mm, gone_note);

	sim_bonds_mm_released(mm);
	sim_mm_unref(mm);
}

void sim_mm_has_gone(struct sim_mm *mm)
{
	if (atomic_exchange(&mm->gone, true))
		return;
	sim_mm_ref(mm);
	mm->gone_note.run = mm_gone_note;
	sim_post(&mm->gone_note);
}

struct sim_mm *sim_mm_ref(struct sim_mm *mm)
{
	atomic_fetch_add(&mm->refs, 1);
	return mm;
}

void sim_mm_unref(struct sim_mm *mm)
{
	if (!mm || atomic_fetch_sub(&mm->refs, 1) != 1)
		return;
	close(mm->mem_fd); /* procfs: these two never block */
	close(mm->maps_fd);
	pthread_mutex_destroy(&mm->maps_lock);
	free(mm);
}

static void mm_unhash(struct sim_mm *mm)
{
	struct idmap_node *node;
	struct sim_mm *first, **link;

	list_remove(&mm->all);
	node = idmap_find(&sim.mms, (uint64_t)mm->pid);
	if (!node)
		return;
	first = container_of(node, struct sim_mm, by_pid);
	if (first == mm) {
		idmap_remove(&sim.mms, &mm->by_pid);
		if (mm->next_same_pid)
			idmap_insert(&sim.mms, &mm->next_same_pid->by_pid, (uint64_t)mm->pid);
	} else {
		for (link = &first->next_same_pid; *link && *link != mm; link = &(*link)->next_same_pid)
			;
		if (*link)
			*link = mm->next_same_pid;
	}
	mm->next_same_pid = NULL;
	sim_mm_unref(mm);
}

struct sim_mm *sim_mm_use(struct sim_mm *mm)
{
	mm->n_users++;
	return mm;
}

void sim_mm_unuse(struct sim_mm *mm)
{
	if (mm && !--mm->n_users)
		mm_unhash(mm);
}

struct sim_mm *sim_mm_get(struct sim_mm_fds *fds)
{
	struct idmap_node *node = idmap_find(&sim.mms, (uint64_t)fds->pid);
	struct sim_mm *first = node ? container_of(node, struct sim_mm, by_pid) : NULL, *mm;

	for (mm = first; mm; mm = mm->next_same_pid)
		if (!atomic_load(&mm->gone) && !memcmp(mm->random, fds->random, sizeof(mm->random)))
			return sim_mm_use(mm);

	mm = calloc(1, sizeof(*mm));
	if (!mm)
		return NULL;
	atomic_init(&mm->refs, 1); /* the hash's */
	mm->n_users = 1;
	atomic_init(&mm->gone, false);
	atomic_init(&mm->probing, false);
	mm->id = ++sim.next_mm;
	mm->pid = fds->pid;
	mm->uid = fds->uid;
	memcpy(mm->random, fds->random, sizeof(mm->random));
	mm->mem_fd = fds->mem;
	mm->maps_fd = fds->maps;
	fds->mem = fds->maps = -1;
	pthread_mutex_init(&mm->maps_lock, NULL);
	list_init(&mm->bonds);
	list_append(&sim.mm_list, &mm->all);
	if (first) {
		mm->next_same_pid = first->next_same_pid;
		first->next_same_pid = mm;
	} else {
		idmap_insert(&sim.mms, &mm->by_pid, (uint64_t)mm->pid);
	}
	return mm;
}

/* ---- what is mapped ------------------------------------------------------------------------------ */

static int mm_lookup(struct sim_mm *mm, uint64_t address, struct procmap_vma *ret)
{
	static atomic_bool no_ioctl;
	int r = -ENOTTY;

	if (sim.config->procmap_query && !atomic_load_explicit(&no_ioctl, memory_order_relaxed)) {
		r = procmap_query(mm->maps_fd, address, ret);
		if (r == -ENOTTY || r == -EINVAL)
			atomic_store(&no_ioctl, true); /* before 6.11: the text, from now on */
	}
	if (r == -ENOTTY || r == -EINVAL) {
		pthread_mutex_lock(&mm->maps_lock);
		r = procmap_parse(mm->maps_fd, address, ret);
		pthread_mutex_unlock(&mm->maps_lock);
	}
	return r;
}

bool sim_mm_probe(struct sim_mm *mm)
{
	struct procmap_vma vma;

	if (mm_lookup(mm, 0, &vma) != -ESRCH)
		return false;
	sim_mm_has_gone(mm);
	return true;
}

enum svab_fault sim_mm_allows(struct sim_mm *mm, uint64_t address, size_t len, bool write, size_t *ret_good)
{
	size_t good = 0;

	*ret_good = 0;
	while (good < len) {
		struct procmap_vma vma;
		int r = mm_lookup(mm, address + good, &vma);

		*ret_good = good;
		if (r == -ESRCH) {
			sim_mm_has_gone(mm);
			return SVAB_FAULT_MM_GONE;
		}
		if (r < 0)
			return SVAB_FAULT_UNMAPPED;
		/* A page that can be written but not read does not exist on most CPUs; ask for both bits as
		 * the CPU does. */
		if (write ? !vma.writable : !vma.readable)
			return SVAB_FAULT_PERMISSION;
		if (vma.end - address >= len)
			break;
		good = (size_t)(vma.end - address);
	}
	*ret_good = len;
	return SVAB_FAULT_NONE;
}

/* ---- the sweep ------------------------------------------------------------------------------------ */
/*
 * User space has no mmu notifier. That an mm has ended shows when the client's sockets close, when the
 * broker's pidfd fires, or when an access finds nothing. What is left (an exec whose bond sockets somebody
 * else holds, say) is found here, late by 100 ms and more with many mms. A real IOMMU driver is told in time;
 * the simulation is not, and no access goes wrong by it.
 */

struct sweep_work {
	struct sim_work work;
	unsigned n;
	struct sim_mm *mms[SWEEP_BATCH];
};

static struct {
	uv_timer_t timer;
	bool on;
} sweep;

static void sweep_run(struct sim_work *work)
{
	struct sweep_work *s = container_of(work, struct sweep_work, work);

	for (unsigned i = 0; i < s->n; i++) {
		/* Claimed one by one: those behind one that hangs are found by the next sweep. */
		if (!atomic_exchange(&s->mms[i]->probing, true)) {
			sim_mm_probe(s->mms[i]);
			atomic_store(&s->mms[i]->probing, false);
		}
		sim_mm_unref(s->mms[i]);
	}
	free(s);
}

static void sweep_tick(uv_timer_t *timer)
{
	struct sweep_work *s;
	struct list *end, *l;

	if (!sim.n_bonds) {
		uv_timer_stop(timer);
		sweep.on = false;
		return;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return;
	s->work.run = sweep_run;
	s->n = 0;
	end = sim.mm_list.prev;
	/* Round robin: whoever was looked at goes to the end. One that still hangs in its last probe is
	 * passed over. */
	while (s->n < SWEEP_BATCH && (l = sim.mm_list.next) != &sim.mm_list) {
		struct sim_mm *mm = container_of(l, struct sim_mm, all);

		list_remove(l);
		list_append(&sim.mm_list, l);
		if (mm->n_bonds && !atomic_load(&mm->gone) && !atomic_load(&mm->probing))
			s->mms[s->n++] = sim_mm_ref(mm);
		if (l == end)
			break;
	}
	if (s->n)
		sim_os_submit(&s->work, (uid_t)-1);
	else
		free(s);
}

int sim_mm_sweep_init(void)
{
	return uv_timer_init(&sim.loop, &sweep.timer);
}

void sim_mm_sweep_deinit(void)
{
	if (!uv_is_closing((uv_handle_t *)&sweep.timer))
		uv_close((uv_handle_t *)&sweep.timer, NULL);
}

void sim_mm_sweep_needed(void)
{
	if (sweep.on || uv_is_closing((uv_handle_t *)&sweep.timer))
		return;
	sweep.on = !uv_timer_start(&sweep.timer, sweep_tick, SWEEP_MS, SWEEP_MS);
}
