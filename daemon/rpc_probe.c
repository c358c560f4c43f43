/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ProbeHardware: the supervisor, which is root, has the vfio devices looked at; what comes back is put into
 * words of the wire here. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../proto/status.h"
#include "rpc.h"
#include "vfio.h"
#include "vfio_abi.h"

struct probe_op {
	struct op op;
	struct list waiting; /* broker->probe_waiters */
};

static void probe_free(struct op *op)
{
	struct probe_op *p = container_of(op, struct probe_op, op);

	list_remove(&p->waiting);
	free(p);
}

void rpc_probe_hardware(struct conn *conn, const Svad__V1__Request *request)
{
	struct broker *broker = conn->broker;
	bool first = list_empty(&broker->probe_waiters);
	struct probe_op *p = calloc(1, sizeof(*p));
	int r = p ? op_init(&p->op, conn, request->id, probe_free) : -ENOMEM;

	if (r < 0) {
		free(p);
		conn_in_flight(conn, request->id);
		return;
	}
	list_append(&broker->probe_waiters, &p->waiting);
	if (!first)
		return; /* a look is under way: its answer is for all */
	r = chan_send(broker->chan, CHAN_PROBE, 0, NULL, 0, NULL, 0);
	if (r < 0) {
		conn_error(conn, request->id, SVAD_UNAVAILABLE,
			   "The supervisor cannot be asked now: %s; try again.", uv_strerror(r));
		op_done(&p->op);
		probe_free(&p->op);
	}
}

static void device_words(const struct vfio_facts *f, Svad__V1__VfioDevice *msg)
{
	svad__v1__vfio_device__init(msg);
	msg->name = (char *)(uintptr_t)f->name;
	msg->cdev = (char *)(uintptr_t)f->cdev;
	msg->driver = (char *)(uintptr_t)f->driver;
	msg->bus = (char *)(uintptr_t)f->bus;
	msg->iommu = (char *)(uintptr_t)f->iommu;
	msg->untold = (char *)(uintptr_t)f->why;
	msg->numa_node = f->numa_node;
	msg->group = f->group;
	msg->pasid_bits = vfio_pasid_bits(f);
	msg->pci_known = f->pci_known;
	msg->pci_pasid = f->pci_pasid;
	msg->pci_pasid_bits = f->pci_pasid_bits;
	msg->ats = f->pci_ats;
	msg->pri = f->pci_pri;
	msg->coherent = f->coherent;
	msg->ats_refused = f->told && f->capabilities & ABI_HW_CAP_PCI_ATS_NOT_SUPPORTED;
	msg->enabled_pasid_bits = f->pasid_log2;
	msg->smmuv3 = f->smmuv3;
	if (f->smmuv3) {
		static const Svad__V1__StallModel models[] = {
			[VFIO_STALL_YES] = SVAD__V1__STALL_MODEL__STALL_YES,
			[VFIO_STALL_NO] = SVAD__V1__STALL_MODEL__STALL_NO,
			[VFIO_STALL_FORCED] = SVAD__V1__STALL_MODEL__STALL_FORCED,
			[VFIO_STALL_RESERVED] = SVAD__V1__STALL_MODEL__STALL_UNKNOWN,
		};
		struct vfio_smmuv3 s;

		vfio_smmuv3_decode(f, &s);
		msg->iommu_pasid_bits = s.pasid_bits;
		msg->stream_bits = s.stream_bits;
		msg->asid_bits = s.asid_bits;
		msg->stall = models[s.stall];
		msg->two_level_cd = s.two_level_cd;
		msg->n_idr = sizeof(f->idr) / sizeof(f->idr[0]);
		msg->idr = (uint32_t *)(uintptr_t)f->idr;
		msg->iidr = f->iidr;
		msg->aidr = f->aidr;
	}
}

static void answer(struct conn *conn, uint64_t id, const struct vfio_report *report)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__ProbeHardwareReply body = SVAD__V1__PROBE_HARDWARE_REPLY__INIT;
	Svad__V1__VfioDevice messages[VFIO_REPORT_MAX], *pointers[VFIO_REPORT_MAX];

	body.devices = pointers;
	body.n_devices = report->n;
	body.more = report->more;
	for (uint32_t i = 0; i < report->n; i++) {
		pointers[i] = &messages[i];
		device_words(&report->facts[i], pointers[i]);
	}
	reply.id = id;
	reply.body_case = SVAD__V1__REPLY__BODY_PROBE_HARDWARE;
	reply.probe_hardware = &body;
	conn_reply(conn, &reply, -1);
}

void rpc_probed(struct broker *broker, int error, const void *payload, size_t len)
{
	static struct vfio_report report; /* one thread; and the payload is not aligned for it */
	struct list *pos, *tmp;

	if (!error) {
		memset(&report, 0, sizeof(report));
		if (len <= sizeof(report))
			memcpy(&report, payload, len);
		if (len < offsetof(struct vfio_report, facts) || report.n > VFIO_REPORT_MAX ||
		    len != offsetof(struct vfio_report, facts) + report.n * sizeof(report.facts[0]))
			error = EBADMSG;
	}
	list_for_each_safe(pos, tmp, &broker->probe_waiters) {
		struct probe_op *p = container_of(pos, struct probe_op, waiting);

		if (!error)
			answer(p->op.conn, p->op.id, &report);
		else if (error == EBADMSG)
			conn_error(p->op.conn, p->op.id, SVAD_INTERNAL,
				   "The supervisor's report was not one: is it of another version?");
		else
			conn_error(p->op.conn, p->op.id,
				   error == ETIMEDOUT ? SVAD_DEADLINE_EXCEEDED : SVAD_UNAVAILABLE, "%s.",
				   (const char *)payload);
		op_done(&p->op);
		probe_free(&p->op);
	}
}
