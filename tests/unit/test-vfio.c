/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that are bound to vfio, on a machine made of files, with a kernel that answers iommufd's ioctls as
 * the real ones do. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../daemon/vfio.h"
#include "../../daemon/vfio_abi.h"
#include "tap.h"

static char root[64];
static struct vfio_report report;

/* ---- the machine ---- */

static void make_dirs(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(!mkdir(full, 0755) || errno == EEXIST);
		*p = '/';
	}
	ck_assert(!mkdir(full, 0755) || errno == EEXIST);
}

static void make_link(const char *path, const char *to)
{
	char full[512], where[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	snprintf(where, sizeof(where), "%s%s", root, to);
	ck_assert_int_eq(symlink(where, full), 0);
}

static void make_file(const char *path, const void *data, size_t size)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, size, f), size);
	fclose(f);
}

static void put32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)v;
	p[1] = (unsigned char)(v >> 8);
	p[2] = (unsigned char)(v >> 16);
	p[3] = (unsigned char)(v >> 24);
}

/* A PCI function as sysfs has it, behind smmu3.test, bound to vfio-pci as vfioN. */
static void make_function(const char *name, const char *cdev, const unsigned char *config, size_t size)
{
	char dir[128], path[256], to[256];

	snprintf(dir, sizeof(dir), "/sys/devices/pci0000:00/%s", name);
	make_dirs(dir);
	make_dirs("/sys/bus/pci/drivers/vfio-pci");
	make_dirs("/sys/kernel/iommu_groups/7");
	make_dirs("/sys/devices/platform/smmu/iommu/smmu3.test");
	make_dirs("/sys/class/vfio-dev");
	make_dirs("/dev/vfio/devices");
	make_file("/dev/iommu", "", 0);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", cdev);
	make_file(path, "", 0);
	snprintf(path, sizeof(path), "%s/driver", dir);
	make_link(path, "/sys/bus/pci/drivers/vfio-pci");
	snprintf(path, sizeof(path), "%s/subsystem", dir);
	make_link(path, "/sys/bus/pci");
	snprintf(path, sizeof(path), "%s/iommu", dir);
	make_link(path, "/sys/devices/platform/smmu/iommu/smmu3.test");
	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	make_link(path, "/sys/kernel/iommu_groups/7");
	snprintf(path, sizeof(path), "%s/numa_node", dir);
	make_file(path, "1\n", 2);
	if (config) {
		snprintf(path, sizeof(path), "%s/config", dir);
		make_file(path, config, size);
	}
	snprintf(path, sizeof(path), "%s/vfio-dev/%s", dir, cdev);
	make_dirs(path);
	snprintf(to, sizeof(to), "%s/vfio-dev/%s/device", dir, cdev);
	make_link(to, dir);
	snprintf(to, sizeof(to), "/sys/class/vfio-dev/%s", cdev);
	make_link(to, path);
}

/* Configuration space with PASID (width bits), ATS and PRI, in this order. */
static unsigned char config[4096];

static void make_config(unsigned width)
{
	memset(config, 0, sizeof(config));
	put32(config + 0x100, 0x1b | 1 << 16 | 0x140u << 20);
	config[0x105] = (unsigned char)width;
	put32(config + 0x140, 0x0f | 1 << 16 | 0x160u << 20);
	put32(config + 0x160, 0x13 | 1 << 16);
}

/* ---- the kernel ---- */

static struct {
	int open_error; /* of the cdev */
	int bind_error, info_error;
	uint32_t type;
	uint64_t capabilities;
	unsigned pasid_log2;
	struct abi_hw_info_arm_smmuv3 smmu;
	size_t smmu_size; /* what this kernel has of it */
	/* state */
	int device, iommufd, opened, closed;
	bool bound;
} kernel;

static int fake_open(void *userdata, const char *path)
{
	int fd;

	(void)userdata;
	if (kernel.open_error && strstr(path, "/dev/vfio/"))
		return kernel.open_error;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	kernel.opened++;
	if (strstr(path, "/dev/vfio/"))
		kernel.device = fd;
	else
		kernel.iommufd = fd;
	return fd;
}

static void fake_close(void *userdata, int fd)
{
	(void)userdata;
	kernel.closed++;
	if (fd == kernel.device)
		kernel.bound = false;
	else
		ck_assert_msg(!kernel.bound, "the iommufd is closed before its device");
	close(fd);
}

static int fake_ioctl(void *userdata, int fd, unsigned long request, void *arg)
{
	(void)userdata;
	if (request == ABI_VFIO_DEVICE_BIND_IOMMUFD) {
		struct abi_vfio_bind_iommufd *bind = arg;

		ck_assert_int_eq(fd, kernel.device);
		ck_assert_uint_eq(bind->argsz, 16);
		ck_assert_uint_eq(bind->flags, 0);
		ck_assert_int_eq(bind->iommufd, kernel.iommufd);
		if (kernel.bind_error)
			return kernel.bind_error;
		kernel.bound = true;
		bind->out_devid = 77;
		return 0;
	}
	if (request == ABI_IOMMU_GET_HW_INFO) {
		struct abi_iommu_hw_info *info = arg;
		size_t n;

		ck_assert_int_eq(fd, kernel.iommufd);
		ck_assert(kernel.bound);
		ck_assert_uint_eq(info->size, sizeof(*info));
		ck_assert_uint_eq(info->flags, 0);
		ck_assert_uint_eq(info->dev_id, 77);
		ck_assert(!info->reserved[0] && !info->reserved[1] && !info->reserved[2]);
		if (kernel.info_error)
			return kernel.info_error;
		n = kernel.type == ABI_HW_INFO_NONE ? 0 : kernel.smmu_size;
		memset((void *)(uintptr_t)info->data_uptr, 0, info->data_len);
		memcpy((void *)(uintptr_t)info->data_uptr, &kernel.smmu,
		       n < info->data_len ? n : info->data_len);
		info->data_len = (__u32)n;
		info->out_data_type = kernel.type;
		info->out_capabilities = kernel.capabilities;
		info->out_max_pasid_log2 = (__u8)kernel.pasid_log2;
		return 0;
	}
	return -ENOTTY;
}

static struct vfio_os os = { .root = root, .open = fake_open, .ioctl = fake_ioctl, .close = fake_close };

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/svad-test-vfio-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	memset(&kernel, 0, sizeof(kernel));
	kernel.type = ABI_HW_INFO_ARM_SMMUV3;
	kernel.smmu_size = sizeof(kernel.smmu);
	kernel.smmu.idr[0] = 1u << 19 | 1u << 12; /* CD2L, ASID16, stall model 0 */
	kernel.smmu.idr[1] = 16u << 6 | 16;
	kernel.smmu.iidr = 0x43b;
	kernel.smmu.aidr = 3;
	make_config(20);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const struct vfio_facts *probe_one(void)
{
	ck_assert_int_eq(vfio_probe(&os, true, &report), 0);
	ck_assert_uint_eq(report.n, 1);
	ck_assert_int_eq(kernel.opened, kernel.closed);
	return &report.facts[0];
}

/* ---- tests ---- */

START_TEST(told)
{
	const struct vfio_facts *f;
	struct vfio_smmuv3 s;

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	f = probe_one();
	ck_assert_str_eq(f->name, "0000:00:02.0");
	ck_assert_str_eq(f->cdev, "vfio0");
	ck_assert_str_eq(f->driver, "vfio-pci");
	ck_assert_str_eq(f->bus, "pci");
	ck_assert_str_eq(f->iommu, "smmu3.test");
	ck_assert_int_eq(f->group, 7);
	ck_assert_int_eq(f->numa_node, 1);
	ck_assert_str_eq(f->why, "");
	ck_assert(f->pci_known && f->pci_pasid && f->pci_ats && f->pci_pri);
	ck_assert_uint_eq(f->pci_pasid_bits, 20);
	ck_assert(f->told && f->coherent && f->smmuv3);
	ck_assert_uint_eq(f->iidr, 0x43b);
	vfio_smmuv3_decode(f, &s);
	ck_assert_uint_eq(s.pasid_bits, 16);
	ck_assert_uint_eq(s.stream_bits, 16);
	ck_assert_uint_eq(s.asid_bits, 16);
	ck_assert_int_eq(s.stall, VFIO_STALL_YES);
	ck_assert(s.two_level_cd);
	ck_assert_int_eq(vfio_pasid_bits(f), 16); /* the narrower of the two */
}
END_TEST

START_TEST(registers)
{
	struct vfio_facts f = { .smmuv3 = 1 };
	struct vfio_smmuv3 s;

	f.idr[0] = 1u << 24; /* stall not supported, ASIDs of 8 bits, descriptors in one level */
	f.idr[1] = 20u << 6 | 32;
	vfio_smmuv3_decode(&f, &s);
	ck_assert_int_eq(s.stall, VFIO_STALL_NO);
	ck_assert_uint_eq(s.asid_bits, 8);
	ck_assert_uint_eq(s.pasid_bits, 20);
	ck_assert_uint_eq(s.stream_bits, 32);
	ck_assert(!s.two_level_cd);
	ck_assert_int_eq(vfio_pasid_bits(&f), 10); /* what one level of descriptors serves */
	f.idr[0] = 2u << 24;
	vfio_smmuv3_decode(&f, &s);
	ck_assert_int_eq(s.stall, VFIO_STALL_FORCED);
	f.idr[0] = 3u << 24;
	vfio_smmuv3_decode(&f, &s);
	ck_assert_int_eq(s.stall, VFIO_STALL_RESERVED);
	f.idr[1] = 0;
	ck_assert_int_eq(vfio_pasid_bits(&f), 0);
	f.smmuv3 = 0;
	ck_assert_int_eq(vfio_pasid_bits(&f), -1);
	f.pci_known = 1; /* and it has no PASIDs: so has the pair of them */
	ck_assert_int_eq(vfio_pasid_bits(&f), 0);
	f.pci_pasid = 1;
	f.pci_pasid_bits = 8;
	ck_assert_int_eq(vfio_pasid_bits(&f), -1);
}
END_TEST

/* 6.12: the driver of that IOMMU has nothing to tell. */
START_TEST(not_told)
{
	const struct vfio_facts *f;

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	kernel.type = ABI_HW_INFO_NONE;
	kernel.capabilities = 1;
	f = probe_one();
	ck_assert(!f->told && !f->smmuv3);
	ck_assert(f->coherent); /* or it could not have been bound */
	ck_assert_ptr_nonnull(strstr(f->why, "does not tell"));
	ck_assert(f->pci_pasid); /* its own are known all the same */
	ck_assert_int_eq(vfio_pasid_bits(f), -1);
}
END_TEST

START_TEST(other_iommu)
{
	const struct vfio_facts *f;

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	kernel.type = 1; /* Intel's: 24 bytes of its own */
	kernel.smmu_size = 24;
	kernel.capabilities = ABI_HW_CAP_PCI_ATS_NOT_SUPPORTED;
	kernel.pasid_log2 = 19;
	f = probe_one();
	ck_assert(f->told && !f->smmuv3);
	ck_assert_uint_eq(f->idr[0], 0);
	ck_assert_uint_eq(f->capabilities, ABI_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	ck_assert_uint_eq(f->pasid_log2, 19);
}
END_TEST

START_TEST(short_data)
{
	const struct vfio_facts *f;

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	kernel.smmu_size = sizeof(kernel.smmu) - 8;
	f = probe_one();
	ck_assert(f->told && !f->smmuv3);
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		int error;
		const char *says;
	} cases[] = {
		{ -EPERM, "not isolated" }, { -EBUSY, "in use" },	  { -EINVAL, "not coherent" },
		{ -ENODEV, "no IOMMU" },    { -ENOTTY, "6.6 and later" }, { -ENOMEM, "cannot be bound" },
	};

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vfio_facts *f;

		kernel.bind_error = cases[i].error;
		f = probe_one();
		ck_assert(!f->told && !f->coherent);
		ck_assert_msg(strstr(f->why, cases[i].says), "%d: %s", cases[i].error, f->why);
	}
	kernel.bind_error = 0;
	kernel.info_error = -EOPNOTSUPP;
	ck_assert_ptr_nonnull(strstr(probe_one()->why, "IOMMU_GET_HW_INFO"));
	ck_assert(report.facts[0].coherent);
	kernel.open_error = -EACCES;
	ck_assert_ptr_nonnull(strstr(probe_one()->why, "Permission denied"));
}
END_TEST

START_TEST(nodes_missing)
{
	char path[128];

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	snprintf(path, sizeof(path), "%s/dev/vfio/devices/vfio0", root);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_ptr_nonnull(strstr(probe_one()->why, "CONFIG_VFIO_DEVICE_CDEV"));
	snprintf(path, sizeof(path), "%s/dev/iommu", root);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_ptr_nonnull(strstr(probe_one()->why, "CONFIG_IOMMUFD"));
}
END_TEST

START_TEST(configuration_space)
{
	make_function("0000:00:01.0", "vfio1", NULL, 0);      /* no file of it */
	make_function("0000:00:02.0", "vfio2", config, 64);   /* as it is for who is not root */
	make_function("0000:00:03.0", "vfio3", config, 256);  /* no extended space */
	put32(config + 0x140, 0x0f | 1 << 16 | 0x100u << 20); /* round in circles */
	make_function("0000:00:04.0", "vfio4", config, sizeof(config));
	put32(config + 0x100, UINT32_MAX); /* a function that does not answer any more */
	make_function("0000:00:05.0", "vfio10", config, sizeof(config));
	ck_assert_int_eq(vfio_probe(&os, true, &report), 0);
	ck_assert_uint_eq(report.n, 5);
	ck_assert(!report.facts[0].pci_known);
	ck_assert(!report.facts[1].pci_known);
	ck_assert(report.facts[2].pci_known && !report.facts[2].pci_pasid);
	ck_assert(report.facts[3].pci_known && report.facts[3].pci_pasid && report.facts[3].pci_ats &&
		  !report.facts[3].pci_pri);
	ck_assert_str_eq(report.facts[4].cdev, "vfio10"); /* after vfio4, as people count */
	ck_assert(!report.facts[4].pci_pasid);
}
END_TEST

START_TEST(without_asking)
{
	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	ck_assert_int_eq(vfio_probe(&os, false, &report), 0);
	ck_assert_uint_eq(report.n, 1);
	ck_assert_int_eq(kernel.opened, 0);
	ck_assert_ptr_nonnull(strstr(report.facts[0].why, "nobody asked"));
}
END_TEST

START_TEST(no_vfio)
{
	ck_assert_int_eq(vfio_probe(&os, true, &report), 0);
	ck_assert_uint_eq(report.n, 0);
}
END_TEST

START_TEST(gone)
{
	char path[128];

	make_function("0000:00:02.0", "vfio0", config, sizeof(config));
	make_dirs("/sys/class/vfio-dev");
	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:00:02.0/vfio-dev/vfio0/device", root);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(vfio_probe(&os, true, &report), 0);
	ck_assert_uint_eq(report.n, 1);
	ck_assert_str_eq(report.facts[0].cdev, "vfio0");
	ck_assert_ptr_nonnull(strstr(report.facts[0].why, "gone"));
	ck_assert_int_eq(kernel.opened, 0);
}
END_TEST

START_TEST(more_than_fit)
{
	for (unsigned i = 0; i < VFIO_REPORT_MAX + 3; i++) {
		char name[32], cdev[16];

		snprintf(name, sizeof(name), "0000:%02x:00.0", i);
		snprintf(cdev, sizeof(cdev), "vfio%u", i);
		make_function(name, cdev, NULL, 0);
	}
	ck_assert_int_eq(vfio_probe(&os, true, &report), 0);
	ck_assert_uint_eq(report.n, VFIO_REPORT_MAX);
	ck_assert_uint_eq(report.more, 3);
	ck_assert_int_eq(kernel.opened, kernel.closed);
}
END_TEST

static Suite *vfio_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "told", told },
		{ "registers", registers },
		{ "not-told", not_told },
		{ "other-iommu", other_iommu },
		{ "short-data", short_data },
		{ "refusals", refusals },
		{ "nodes-missing", nodes_missing },
		{ "configuration-space", configuration_space },
		{ "without-asking", without_asking },
		{ "no-vfio", no_vfio },
		{ "gone", gone },
		{ "more-than-fit", more_than_fit },
	};
	Suite *s = suite_create("vfio");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_test(tc, cases[i].test);
		suite_add_tcase(s, tc);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, vfio_suite, NULL);
}
