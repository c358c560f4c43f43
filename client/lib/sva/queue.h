/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_QUEUE_H
#define SVA_QUEUE_H
/*
 * A submission queue on the demo accelerator's portal: ring, doorbell, completion records, and SIGBUS-free ends.
 * One thread at a time may use one queue; several queues on one bond are not possible (a portal has one ring).
 */
#include <sva/demo_accel.h>
#include <sva/sva.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sva_queue;

/* entries: 2^n, 2..SVA_DEMO_RING_MAX. The ring is malloc memory of this process. -ENOTSUP: the device has no portal of this kind;
 * -EBUSY: the bond has a queue. The queue holds no reference of the bond: free it before the last sva_unbind(). */
int sva_queue_new(struct sva_bond *bond, unsigned entries, struct sva_queue **ret_queue);
void sva_queue_free(struct sva_queue *queue);

/* Submits. done must stay valid until it completes, or until the bond has ended. -EAGAIN: ring full; -ESHUTDOWN: bond revoked. */
int sva_queue_submit(struct sva_queue *queue, const struct sva_demo_desc *desc, struct sva_demo_completion *done);

/* Waits until done is complete: 0 and done->status; -ETIMEDOUT; -ESHUTDOWN when the bond was revoked first. timeout_ms -1: for ever.
 * -EIO: the device cannot read the ring (its memory was unmapped or overwritten). */
int sva_queue_wait(struct sva_queue *queue, struct sva_demo_completion *done, int timeout_ms);

/* Memory that a descriptor names, done included, is the device's until completion; after -ESHUTDOWN, until the last sva_unbind() of the
 * bond has returned. SIGBUS: the first queue of a process installs a handler, which serves faults on portals of queues and
 * hands every other SIGBUS on to the handler it found. A program that sets its own afterwards must do the same. */

/* Submit and wait, for the four usual cases. 0, or -EFAULT (address in *ret_fault, may be NULL), -EINVAL, -ECANCELED, -ESHUTDOWN. */
int sva_copy(struct sva_queue *queue, void *dst, const void *src, size_t len, uint64_t *ret_fault);
int sva_fill(struct sva_queue *queue, void *dst, uint64_t pattern, size_t len, uint64_t *ret_fault);
int sva_crc32c(struct sva_queue *queue, const void *src, size_t len, uint32_t *ret_crc, uint64_t *ret_fault);
int sva_compare(struct sva_queue *queue, const void *a, const void *b, size_t len, uint64_t *ret_difference, uint64_t *ret_fault);

#ifdef __cplusplus
}
#endif
#endif /* SVA_QUEUE_H */
