/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vfio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio_abi.h"

#define PCI_EXT_CAP_START 0x100u
#define PCI_CONFIG_MAX 4096u
#define PCI_CAP_ATS 0x0fu
#define PCI_CAP_PRI 0x13u
#define PCI_CAP_PASID 0x1bu
#define LINEAR_CD_BITS 10u /* the kernel's limit for context descriptors in one level */

/* ---- this machine ---- */

static int linux_open(void *userdata, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	(void)userdata;
	return fd < 0 ? -errno : fd;
}

static int linux_ioctl(void *userdata, int fd, unsigned long request, void *arg)
{
	(void)userdata;
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static void linux_close(void *userdata, int fd)
{
	(void)userdata;
	close(fd);
}

const struct vfio_os vfio_os_linux = {
	.root = "",
	.open = linux_open,
	.ioctl = linux_ioctl,
	.close = linux_close,
};

/* ---- sysfs ---- */

/* Names in sysfs are short; one that is not is cut. */
static void set(char *buf, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(buf, text, n);
	buf[n] = '\0';
}

/* The last part of where a link leads; empty when there is none. */
static void link_name(const char *dir, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *last;
	ssize_t n;

	buf[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return;
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return;
	to[n] = '\0';
	last = strrchr(to, '/');
	set(buf, size, last ? last + 1 : to);
}

static int read_int(const char *dir, const char *name, int otherwise)
{
	char path[PATH_MAX], text[32], *end;
	ssize_t n;
	long v;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return otherwise;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return otherwise;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return otherwise;
	text[n] = '\0';
	v = strtol(text, &end, 10);
	return end == text || v < INT_MIN || v > INT_MAX ? otherwise : (int)v;
}

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Its extended capabilities, from configuration space as root may read it (others see 64 bytes of it). */
static void read_pci(const char *dir, struct vfio_facts *f)
{
	unsigned char config[PCI_CONFIG_MAX];
	char path[PATH_MAX];
	size_t have = 0;
	uint32_t at;
	int fd;

	if (snprintf(path, sizeof(path), "%s/config", dir) >= (int)sizeof(path))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (have < sizeof(config)) {
		ssize_t n = read(fd, config + have, sizeof(config) - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	/* 64: not permitted. 256: a function without extended space, which is an answer too: it has none of
	 * the three. */
	f->pci_known = have >= 256;
	/* Each capability is 4 bytes at least, so a list longer than this goes round in circles. */
	at = PCI_EXT_CAP_START;
	for (unsigned i = 0; i < PCI_CONFIG_MAX / 4 && at >= PCI_EXT_CAP_START && at + 8 <= have; i++) {
		uint32_t head = le32(config + at);

		if (head == 0 || head == UINT32_MAX)
			break;
		switch (head & 0xffff) {
		case PCI_CAP_ATS:
			f->pci_ats = 1;
			break;
		case PCI_CAP_PRI:
			f->pci_pri = 1;
			break;
		case PCI_CAP_PASID:
			f->pci_pasid = 1;
			f->pci_pasid_bits = config[at + 5] & 0x1f;
			break;
		default:
			break;
		}
		at = head >> 20 & 0xffc;
	}
}

void vfio_read_device(const char *dir, struct vfio_facts *f)
{
	const char *slash = strrchr(dir, '/');
	char group[32];

	memset(f, 0, sizeof(*f));
	set(f->name, sizeof(f->name), slash ? slash + 1 : dir);
	link_name(dir, "driver", f->driver, sizeof(f->driver));
	link_name(dir, "subsystem", f->bus, sizeof(f->bus));
	link_name(dir, "iommu", f->iommu, sizeof(f->iommu));
	link_name(dir, "iommu_group", group, sizeof(group));
	f->group = group[0] ? atoi(group) : -1;
	f->numa_node = read_int(dir, "numa_node", -1);
	if (!strcmp(f->bus, "pci"))
		read_pci(dir, f);
}

static void read_sysfs(const struct vfio_os *os, const char *cdev, struct vfio_facts *f)
{
	char link[PATH_MAX], dir[PATH_MAX];

	snprintf(link, sizeof(link), "%s/sys/class/vfio-dev/%s/device", os->root, cdev);
	if (realpath(link, dir)) {
		vfio_read_device(dir, f);
	} else {
		memset(f, 0, sizeof(*f));
		f->numa_node = f->group = -1;
		snprintf(f->why, sizeof(f->why), "it has gone from sysfs: %s", strerror(errno));
	}
	set(f->cdev, sizeof(f->cdev), cdev);
}

/* ---- the kernel ---- */

static const char *bind_reason(int error)
{
	switch (error) {
	case -EPERM:
		return "iommufd does not take it: its interrupts are not isolated, or it is a virtual "
		       "function "
		       "that "
		       "wants a token";
	case -EBUSY:
		return "it is in use, or another device of its IOMMU group is";
	case -EINVAL:
		return "it is in use, or its DMA is not coherent";
	case -ENODEV:
		return "there is no IOMMU in front of it";
	case -ENOTTY:
		return "this kernel has no VFIO_DEVICE_BIND_IOMMUFD (6.6 and later have)";
	default:
		return NULL;
	}
}

static void ask_kernel(const struct vfio_os *os, struct vfio_facts *f)
{
	struct abi_vfio_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct abi_hw_info_arm_smmuv3 smmu = { 0 };
	struct abi_iommu_hw_info info = {
		.size = sizeof(info),
		.data_len = sizeof(smmu),
		.data_uptr = (uintptr_t)&smmu,
	};
	char path[PATH_MAX];
	int device, iommufd, r;

	snprintf(path, sizeof(path), "%s/dev/iommu", os->root);
	iommufd = os->open(os->userdata, path);
	if (iommufd < 0) {
		snprintf(f->why, sizeof(f->why), "/dev/iommu: %s%s", strerror(-iommufd),
			 iommufd == -ENOENT ? " (a kernel with CONFIG_IOMMUFD has it)" : "");
		return;
	}
	snprintf(path, sizeof(path), "%s/dev/vfio/devices/%s", os->root, f->cdev);
	device = os->open(os->userdata, path);
	if (device < 0) {
		snprintf(f->why, sizeof(f->why), "its node in /dev/vfio/devices: %s%s", strerror(-device),
			 device == -ENOENT ? " (a kernel with CONFIG_VFIO_DEVICE_CDEV has it)" : "");
		os->close(os->userdata, iommufd);
		return;
	}
	bind.iommufd = iommufd;
	r = os->ioctl(os->userdata, device, ABI_VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (r < 0) {
		const char *reason = bind_reason(r);

		snprintf(f->why, sizeof(f->why), "%s (%s)", reason ? reason : "it cannot be bound to iommufd",
			 strerror(-r));
		goto out;
	}
	f->coherent = 1;
	info.dev_id = bind.out_devid;
	r = os->ioctl(os->userdata, iommufd, ABI_IOMMU_GET_HW_INFO, &info);
	if (r < 0) {
		snprintf(f->why, sizeof(f->why), "IOMMU_GET_HW_INFO: %s", strerror(-r));
		goto out;
	}
	f->capabilities = info.out_capabilities;
	f->pasid_log2 = info.out_max_pasid_log2;
	if (info.out_data_type == ABI_HW_INFO_NONE) {
		snprintf(f->why, sizeof(f->why), "this kernel's driver for that IOMMU does not tell");
		goto out;
	}
	f->told = 1;
	/* data_len: what the kernel has of it. A kernel that had less than what we read would have told less.
	 */
	if (info.out_data_type == ABI_HW_INFO_ARM_SMMUV3 && info.data_len >= sizeof(smmu)) {
		f->smmuv3 = 1;
		memcpy(f->idr, smmu.idr, sizeof(f->idr));
		f->iidr = smmu.iidr;
		f->aidr = smmu.aidr;
	}
out:
	/* The device first: its end unbinds it from the iommufd. */
	os->close(os->userdata, device);
	os->close(os->userdata, iommufd);
}

/* ---- the report ---- */

static int by_number(const void *a, const void *b)
{
	int x = atoi(((const struct vfio_facts *)a)->cdev + 4),
	    y = atoi(((const struct vfio_facts *)b)->cdev + 4);

	return (x > y) - (x < y);
}

int vfio_probe(const struct vfio_os *os, bool ask, struct vfio_report *ret)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;
	int r;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "%s/sys/class/vfio-dev", os->root);
	dir = opendir(path);
	if (!dir) {
		if (errno == ENOENT)
			return 0; /* vfio is not there, so nothing is bound to it */
		r = -errno;
		return r;
	}
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, "vfio", 4) != 0 || strlen(e->d_name) >= sizeof(ret->facts[0].cdev))
			continue;
		if (ret->n == VFIO_REPORT_MAX)
			ret->more++;
		else
			read_sysfs(os, e->d_name, &ret->facts[ret->n++]);
	}
	closedir(dir);
	qsort(ret->facts, ret->n, sizeof(ret->facts[0]), by_number);
	for (uint32_t i = 0; i < ret->n; i++) {
		struct vfio_facts *f = &ret->facts[i];

		if (f->why[0])
			continue;
		if (ask)
			ask_kernel(os, f);
		else
			snprintf(f->why, sizeof(f->why), "nobody asked the kernel");
	}
	return 0;
}

/* ---- what it means ---- */

void vfio_smmuv3_decode(const struct vfio_facts *facts, struct vfio_smmuv3 *ret)
{
	uint32_t idr0 = facts->idr[0], idr1 = facts->idr[1];

	*ret = (struct vfio_smmuv3){
		.pasid_bits = idr1 >> 6 & 0x1f,
		.stream_bits = idr1 & 0x3f,
		.asid_bits = idr0 & 1u << 12 ? 16 : 8,
		.stall = (enum vfio_stall)(idr0 >> 24 & 3),
		.two_level_cd = idr0 & 1u << 19,
	};
}

int vfio_pasid_bits(const struct vfio_facts *f)
{
	int bits = -1;

	if (f->smmuv3) {
		struct vfio_smmuv3 s;

		vfio_smmuv3_decode(f, &s);
		bits = (int)s.pasid_bits;
		if (!s.two_level_cd && bits > (int)LINEAR_CD_BITS)
			bits = (int)LINEAR_CD_BITS;
	}
	if (f->pci_known) {
		int own = f->pci_pasid ? f->pci_pasid_bits : 0;

		/* Without PASIDs of its own it has none, whatever stands in front of it. With them, and
		 * nothing known of the IOMMU, nothing is known of both. */
		if (own == 0 || (bits >= 0 && own < bits))
			bits = own;
	}
	return bits;
}
