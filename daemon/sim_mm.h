/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_MM_H
#define SVAD_SIM_MM_H
/*
 * Address spaces. One struct for one mm, however many contexts come with it. mem_fd and maps_fd pin the mm_struct as mmgrab()
 * does (mm_count), not its memory: the process can exit, and every access after that finds nothing.
 */
#include "sim.h"

/* What a client's two fds turned out to be; see sim_fdcheck.c. */
struct sim_mm_fds {
	int mem, maps;
	pid_t pid; /* of the sender, in our pid namespace */
	uid_t uid;
	uint64_t at_random;
	unsigned char random[16];
};

/* OS thread: may block. Checks the fds, and reads random[]. 0 or -errno as SVAB_BIND answers it. */
int sim_mm_check_fds(struct sim_mm_fds *fds);

/* Loop. The known mm with this pid and AT_RANDOM that has not ended, or a new one that takes the fds (then fds->mem and maps are
 * -1). Used: sim_mm_unuse(). NULL: no memory. */
struct sim_mm *sim_mm_get(struct sim_mm_fds *fds);
struct sim_mm *sim_mm_use(struct sim_mm *mm); /* loop */
void sim_mm_unuse(struct sim_mm *mm); /* loop; with the last use it can no longer be found. NULL is fine */
struct sim_mm *sim_mm_ref(struct sim_mm *mm); /* any thread: keeps the struct */
void sim_mm_unref(struct sim_mm *mm); /* any thread */

/* Any thread: it was seen to have ended. The loop ends its bonds. */
void sim_mm_has_gone(struct sim_mm *mm);
/* Thread that may block: true when the mm has ended (and then sim_mm_has_gone() was called). */
bool sim_mm_probe(struct sim_mm *mm);

/* Thread that may block. May len bytes at address be read (written)? SVAB_FAULT_NONE, with *ret_good = len; else the fault, and how many
 * bytes before it are good. */
enum svab_fault sim_mm_allows(struct sim_mm *mm, uint64_t address, size_t len, bool write, size_t *ret_good);

/* Loop: the sweep for mms that ended without a word, every 100 ms while there are bonds. */
int sim_mm_sweep_init(void);
void sim_mm_sweep_deinit(void);
void sim_mm_sweep_needed(void); /* a bond was made */

#endif
