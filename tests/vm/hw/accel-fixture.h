/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_ACCEL_FIXTURE_H
#define VM_HW_ACCEL_FIXTURE_H
/* For the suites of the accelerator: slot 0 is enabled, for a process with a ring, completions, and two areas of memory. */
#include "fixture.h"

#define RING UINT64_C(0x500000000000) /* and after it: completions */
#define DONE (RING + 0x1000)
#define SRC UINT64_C(0x500000100000)
#define DST UINT64_C(0x500000200000)
#define PA UINT64_C(0x60000000)
#define PAGES 16u

extern struct sva_demo_desc *ring;
extern struct sva_demo_completion *done; /* 8 of them */
extern uint8_t *src, *dst; /* the first page of each area */

void accel_setup(void);
void accel_setup_clean(void); /* a device whose stop awaits its answers */
void accel_setup_nostop(void); /* a device that cannot stop */
void accel_begin(void); /* what enables slot 0, once more after a reset */
void accel_teardown(void); /* without a violation */

struct sva_demo_desc desc(unsigned op, uint64_t from, uint64_t to, uint64_t len, uint64_t arg);
struct sva_demo_completion run(struct sva_demo_desc d); /* submits; what its record says now */
struct sva_demo_completion run_ok(struct sva_demo_desc d);
uint8_t *byte(uint64_t va); /* of the process, by its virtual address */
void unmap(uint64_t va);
void expect_state(uint32_t state); /* of slot 0 */

#endif
