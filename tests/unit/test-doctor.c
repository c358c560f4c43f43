// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor's findings about hardware, on machines made of files: for each reason that SVA can be off,
 * the finding, and a remedy. Every machine is the good one with one thing wrong.
 */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../client/ctl/doctor.h"
#include "../../client/ctl/vfio_text.h"
#include "tap.h"

#define SMMU "smmu3.0x000000007c000000"
#define NODE "/sys/devices/platform/7d000000.accel"
#define TREE "/sys/firmware/devicetree/base"
#define LOG_GOOD                                                                                             \
	"6,100,1000,-;arm-smmu-v3 7c000000.iommu: ias 48-bit, oas 48-bit (features 0x00020fd7)\n "           \
	"SUBSYSTEM=platform\n"

static char root[64];
static struct machine m = { .root = root, .release = "6.12.9-test", .arch = "aarch64" };

/* ---- findings ---- */

static struct finding {
	enum level level;
	char id[64], text[512], remedy[256];
} findings[128];
static unsigned n_findings;

void doctor_say(struct doctor *d, enum section section, enum level level, const char *id, const char *remedy,
		const char *fmt, ...)
{
	struct finding *f = &findings[n_findings++];
	va_list ap;

	(void)d;
	ck_assert_int_eq(section, SECTION_HARDWARE);
	ck_assert_uint_le(n_findings, sizeof(findings) / sizeof(findings[0]));
	f->level = level;
	snprintf(f->id, sizeof(f->id), "%s", id);
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	ck_assert_ptr_null(strchr(f->text, '\n'));
	/* What lacks has a remedy, always. */
	ck_assert_msg(level != LEVEL_MISSING || remedy, "no remedy: %s", f->text);
}

static const struct finding *find(const char *id, const char *text)
{
	for (unsigned i = 0; i < n_findings; i++)
		if (!strcmp(findings[i].id, id) && strstr(findings[i].text, text))
			return &findings[i];
	return NULL;
}

static void dump(void)
{
	for (unsigned i = 0; i < n_findings; i++)
		fprintf(stderr, "# %d %s: %s -> %s\n", findings[i].level, findings[i].id, findings[i].text,
			findings[i].remedy);
}

static unsigned count(enum level level)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_findings; i++)
		n += findings[i].level == level;
	return n;
}

static void look(void)
{
	n_findings = 0;
	doctor_probe_hardware(NULL, &m);
}

/* Looks; there must be this finding, at this level, with this in its remedy. */
static void expect(enum level level, const char *id, const char *text, const char *remedy)
{
	const struct finding *f;

	look();
	f = find(id, text);
	if (!f || f->level != level || !strstr(f->remedy, remedy))
		dump();
	ck_assert_msg(f != NULL, "nothing says %s: %s", id, text);
	ck_assert_int_eq(f->level, level);
	ck_assert_msg(strstr(f->remedy, remedy), "remedy: %s", f->remedy);
}

/* ---- a machine of files ---- */

static void path_of(const char *path, char *full, size_t size)
{
	ck_assert_int_lt(snprintf(full, size, "%s%s", root, path), (int)size);
}

static void make_parents(const char *path, bool last)
{
	char full[512];

	path_of(path, full, sizeof(full));
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(!mkdir(full, 0755) || errno == EEXIST);
		*p = '/';
	}
	if (last)
		ck_assert(!mkdir(full, 0755) || errno == EEXIST);
}

static void put(const char *path, const void *data, size_t size)
{
	char full[512];
	FILE *f;

	make_parents(path, false);
	path_of(path, full, sizeof(full));
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, size, f), size);
	fclose(f);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void put_link(const char *path, const char *to)
{
	char full[512], where[512];

	make_parents(path, false);
	make_parents(to, true);
	path_of(path, full, sizeof(full));
	path_of(to, where, sizeof(where));
	ck_assert_int_eq(symlink(where, full), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void drop(const char *path)
{
	char full[512];

	path_of(path, full, sizeof(full));
	ck_assert_int_eq(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void put_config(const char *without)
{
	static const char *const options[] = {
		"CONFIG_ARM_SMMU_V3", "CONFIG_ARM_SMMU_V3_SVA", "CONFIG_IOMMU_SVA",	   "CONFIG_MODULES",
		"CONFIG_PCI_PASID",   "CONFIG_IOMMUFD",		"CONFIG_VFIO_DEVICE_CDEV",
	};
	char text[1024] = "# made for a test\n";

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t used = strlen(text);

		if (without && !strcmp(options[i], without))
			snprintf(text + used, sizeof(text) - used, "# %s is not set\n", options[i]);
		else
			snprintf(text + used, sizeof(text) - used, "%s=%c\n", options[i], i == 5 ? 'm' : 'y');
	}
	put_text("/boot/config-6.12.9-test", text);
}

/* A platform device behind the SMMUv3 with all that SVA needs. */
static void put_device(void)
{
	put(TREE "/accel@7d000000/pasid-num-bits", "\0\0\0\x10", 4);
	put(TREE "/accel@7d000000/dma-can-stall", "", 0);
	put(TREE "/accel@7d000000/dma-coherent", "", 0);
	put(TREE "/accel@7d000000/iommus", "\0\0\0\x2\0\0\0\x1", 8);
	put(TREE "/accel@7d000000/label", "accel0", 7);
	put(TREE "/accel@7d000000/compatible", "svad,demo-accel", 16);
	put_text(NODE "/numa_node", "-1\n");
	put_link(NODE "/of_node", TREE "/accel@7d000000");
	put_link(NODE "/driver", "/sys/bus/platform/drivers/svad_accel");
	put_link(NODE "/subsystem", "/sys/bus/platform");
	put_link(NODE "/iommu", "/sys/devices/platform/7c000000.iommu/iommu/" SMMU);
	put_link(NODE "/iommu_group", "/sys/kernel/iommu_groups/0");
	put_link("/sys/kernel/iommu_groups/0/devices/7d000000.accel", NODE);
	put_link("/sys/devices/platform/7c000000.iommu/iommu/" SMMU "/devices/7d000000.accel", NODE);
	put_link("/sys/class/iommu/" SMMU, "/sys/devices/platform/7c000000.iommu/iommu/" SMMU);
	put(TREE "/iommu@7c000000/compatible", "arm,smmu-v3", 12);
}

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/svad-test-doctor-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(m.arch, sizeof(m.arch), "aarch64");
	snprintf(m.release, sizeof(m.release), "6.12.9-test");
	put_config(NULL);
	put_device();
	put_text("/dev/kmsg", LOG_GOOD);
	put_text("/dev/iommu", "");
	put_text("/dev/svabroker", "");
}

static void teardown(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- tests ---- */

START_TEST(good)
{
	look();
	if (count(LEVEL_MISSING) || count(LEVEL_WARN) || count(LEVEL_UNKNOWN))
		dump();
	ck_assert_uint_eq(count(LEVEL_MISSING), 0);
	ck_assert_uint_eq(count(LEVEL_WARN), 0);
	ck_assert_uint_eq(count(LEVEL_UNKNOWN), 0);
	ck_assert_ptr_nonnull(find("device-sva", "accel0 (7d000000.accel): 16 PASID bits"));
	ck_assert_ptr_nonnull(find("smmu-sva", "7c000000.iommu is coherent, can stall"));
	ck_assert_ptr_nonnull(find("iommu", "1 device behind it"));
	ck_assert_ptr_nonnull(find("CONFIG_IOMMUFD", "=m"));
}
END_TEST

START_TEST(kernel)
{
	snprintf(m.arch, sizeof(m.arch), "x86_64");
	expect(LEVEL_MISSING, "architecture", "x86_64", "arm64");
	snprintf(m.arch, sizeof(m.arch), "aarch64");
	snprintf(m.release, sizeof(m.release), "6.11.0");
	expect(LEVEL_MISSING, "kernel", "6.11.0", "6.12");
	expect(LEVEL_UNKNOWN, "CONFIG_ARM_SMMU_V3_SVA", "config-6.11.0", "IKCONFIG");
	snprintf(m.release, sizeof(m.release), "7.2.1");
	look();
	ck_assert_int_eq(find("kernel", "7.2.1")->level, LEVEL_OK);
	snprintf(m.release, sizeof(m.release), "unversioned");
	look();
	ck_assert_int_eq(find("kernel", "unversioned")->level, LEVEL_UNKNOWN);
}
END_TEST

START_TEST(options)
{
	static const char *const needed[] = { "CONFIG_ARM_SMMU_V3", "CONFIG_ARM_SMMU_V3_SVA",
					      "CONFIG_IOMMU_SVA", "CONFIG_MODULES" };
	static const char *const optional[] = { "CONFIG_PCI_PASID", "CONFIG_IOMMUFD",
						"CONFIG_VFIO_DEVICE_CDEV" };

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		put_config(needed[i]);
		expect(LEVEL_MISSING, needed[i], "is not set", needed[i]);
		ck_assert_uint_eq(count(LEVEL_MISSING), 1);
	}
	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		put_config(optional[i]);
		expect(LEVEL_INFO, optional[i], "is not set", optional[i]);
		ck_assert_uint_eq(count(LEVEL_MISSING), 0);
	}
}
END_TEST

/* The kernel's own copy comes first, and is packed. */
START_TEST(packed_config)
{
	char command[256], gz[128];

	if (system("gzip --version >/dev/null 2>&1") != 0)
		tap_skip("no gzip here: apt-get install gzip");
	make_parents("/proc", true);
	path_of("/proc/config.gz", gz, sizeof(gz));
	snprintf(command, sizeof(command), "echo CONFIG_ARM_SMMU_V3=y | gzip >%s", gz);
	ck_assert_int_eq(system(command), 0);
	expect(LEVEL_OK, "CONFIG_ARM_SMMU_V3", "says /proc/config.gz", "");
	expect(LEVEL_MISSING, "CONFIG_ARM_SMMU_V3_SVA", "says /proc/config.gz", "CONFIG_ARM_SMMU_V3_SVA=y");
	put_text("/proc/config.gz", "not packed"); /* then the other one */
	expect(LEVEL_OK, "CONFIG_ARM_SMMU_V3_SVA", "says /boot/config-6.12.9-test", "");
}
END_TEST

START_TEST(module)
{
	drop("/dev/svabroker");
	expect(LEVEL_MISSING, "module", "not installed", "6.12.9-test");
	put_text("/lib/modules/6.12.9-test/modules.dep", "updates/svabroker.ko: kernel/x.ko\n");
	expect(LEVEL_MISSING, "module", "not loaded", "modprobe svabroker");
	make_parents("/sys/module/svabroker", true);
	expect(LEVEL_MISSING, "module", "no /dev/svabroker here", "devtmpfs");
}
END_TEST

START_TEST(no_iommufd)
{
	drop("/dev/iommu");
	expect(LEVEL_INFO, "iommufd", "no /dev/iommu", "modprobe iommufd");
}
END_TEST

START_TEST(no_iommu)
{
	drop("/sys/class/iommu/" SMMU);
	expect(LEVEL_MISSING, "iommu", "device tree) has 1 SMMUv3: no driver took it", "CONFIG_ARM_SMMU_V3");
	put(TREE "/iommu@7c000000/status", "disabled", 9);
	expect(LEVEL_MISSING, "iommu", "it is off", "status = \"okay\"");
	put(TREE "/iommu@7c000000/status", "okay", 5);
	expect(LEVEL_MISSING, "iommu", "no driver took it", "dmesg");
	drop(TREE "/iommu@7c000000");
	expect(LEVEL_MISSING, "iommu", "has no SMMUv3", "a machine with an SMMUv3");
	put(TREE "/soc/bus@0/smmu@7c000000/compatible", "vendor,own\0arm,smmu-v3", 23); /* deeper down */
	expect(LEVEL_MISSING, "iommu", "no driver took it", "CONFIG_ARM_SMMU_V3");
	drop("/sys/firmware");
	expect(LEVEL_MISSING, "iommu", "no IOMMU is active", "a machine with an SMMUv3");
	drop("/sys/class/iommu");
	expect(LEVEL_MISSING, "iommu", "no IOMMU is active", "a machine with an SMMUv3");
	make_parents("/sys/class/iommu/dmar0", true);
	expect(LEVEL_MISSING, "iommu", "1 IOMMU active, none an SMMUv3: dmar0", "a machine with an SMMUv3");
}
END_TEST

/* One SMMUv3 and one named component, as ACPI's IORT lays them out. */
static void put_iort(const char *name, uint32_t flags, uint32_t coherent)
{
	unsigned char t[256] = "IORT";
	size_t at = 48;

	t[36] = 2;
	t[40] = 48;
	t[at] = 4; /* SMMUv3 */
	t[at + 1] = 68;
	at += 68;
	t[at] = 1; /* named component */
	t[at + 1] = 80;
	t[at + 8] = 1; /* one mapping */
	t[at + 16] = (unsigned char)flags;
	t[at + 20] = (unsigned char)coherent;
	memcpy(t + at + 29, name, strlen(name) + 1);
	put("/sys/firmware/acpi/tables/IORT", t, at + 80);
}

START_TEST(acpi)
{
	drop(NODE "/of_node");
	drop("/sys/firmware");
	put_text(NODE "/firmware_node/path", "\\_SB_.ACC0\n");
	put_iort("\\_SB_.ACC0", 1 | 16 << 1, 1);
	expect(LEVEL_OK, "device-sva", "7d000000.accel: 16 PASID bits, faults by stall, coherent", "");
	put_iort("\\_SB_.ACC0", 16 << 1, 1);
	expect(LEVEL_WARN, "faults", "does not say that it can stall", "IORT");
	put_iort("\\_SB_.ACC0", 1 | 16 << 1, 0);
	expect(LEVEL_WARN, "coherent", "not say that its DMA is coherent", "IORT");
	put_iort("\\_SB_.ACC1", 1 | 16 << 1, 1); /* another's */
	expect(LEVEL_MISSING, "device-sva", "no device behind an SMMUv3 has PASIDs", "IORT");
	drop("/sys/class/iommu/" SMMU);
	expect(LEVEL_MISSING, "iommu", "(ACPI IORT) has 1 SMMUv3", "CONFIG_ARM_SMMU_V3");
	put("/sys/firmware/acpi/tables/IORT", "IORT cut off", 12);
	expect(LEVEL_MISSING, "iommu", "(ACPI IORT) has no SMMUv3", "a machine with an SMMUv3");
}
END_TEST

START_TEST(device)
{
	drop(TREE "/accel@7d000000/pasid-num-bits");
	expect(LEVEL_WARN, "pasids", "accel0 (7d000000.accel): it has no PASIDs", "pasid-num-bits");
	expect(LEVEL_MISSING, "device-sva", "1 device ought to have SVA, and none can", "above");
	put(TREE "/accel@7d000000/pasid-num-bits", "\0\0\0\x10", 4);

	drop(TREE "/accel@7d000000/dma-can-stall");
	expect(LEVEL_WARN, "faults", "does not say that it can stall", "dma-can-stall");
	put(TREE "/accel@7d000000/dma-can-stall", "", 0);

	drop(TREE "/accel@7d000000/dma-coherent");
	expect(LEVEL_WARN, "coherent", "coherent with the CPUs' caches", "dma-coherent");
	put(TREE "/accel@7d000000/dma-coherent", "", 0);

	put(TREE "/accel@7d000000/iommus", "\0\0\0\x2\0\0\0\x1\0\0\0\x2\0\0\0\x2", 16);
	expect(LEVEL_WARN, "streams", "2 StreamIDs", "one StreamID");
	put(TREE "/accel@7d000000/iommus", "\0\0\0\x2\0\0\0\x1", 8);

	drop(NODE "/driver");
	expect(LEVEL_WARN, "driver", "no driver is bound", "doc/provider.md");
	put_link(NODE "/driver", "/sys/bus/platform/drivers/svad_accel");

	put_link("/sys/kernel/iommu_groups/0/devices/other", "/sys/devices/platform/other");
	expect(LEVEL_WARN, "group", "shares IOMMU group 0 with 1 other device", "ACS");
	drop("/sys/kernel/iommu_groups/0/devices/other");

	drop(NODE "/iommu_group");
	expect(LEVEL_WARN, "group", "not put it into an IOMMU group", "log");
	put_link(NODE "/iommu_group", "/sys/kernel/iommu_groups/0");
	look();
	ck_assert_uint_eq(count(LEVEL_WARN), 0);
}
END_TEST

START_TEST(pci)
{
	unsigned char config[4096] = { 0 };

	/* PASID (16 bits) and PRI, and no firmware description */
	config[0x100] = 0x1b;
	config[0x102] = 1;
	config[0x103] = 0x14;
	config[0x105] = 16;
	config[0x140] = 0x13;
	config[0x142] = 1;
	drop(NODE "/subsystem");
	put_link(NODE "/subsystem", "/sys/bus/pci");
	drop(NODE "/of_node");
	put(NODE "/config", config, sizeof(config));
	expect(LEVEL_WARN, "faults", "page requests (PRI)", "stalls");
	config[0x140] = 0;
	put(NODE "/config", config, sizeof(config));
	expect(LEVEL_WARN, "faults", "nothing says that it can wait", "firmware");
	drop(NODE "/driver");
	put_link(NODE "/driver", "/sys/bus/pci/drivers/vfio-pci"); /* not svad's, and no candidate */
	expect(LEVEL_MISSING, "device-sva", "no device behind an SMMUv3 has PASIDs", "PCI PASID");
}
END_TEST

START_TEST(plain_devices)
{
	put_link("/sys/devices/platform/7c000000.iommu/iommu/" SMMU "/devices/disk",
		 "/sys/devices/platform/disk");
	expect(LEVEL_INFO, "plain-devices", "1 device behind an SMMUv3 has no PASIDs", "");
	ck_assert_uint_eq(count(LEVEL_WARN), 0);
}
END_TEST

START_TEST(kernel_log)
{
	static const struct {
		const char *log;
		enum level level;
		const char *id, *text, *remedy;
	} cases[] = {
		/* as 7.2 has it, one feature bit missing each */
		{ "6,1,1,-;arm-smmu-v3 a.iommu: oas 44-bit (features 0x00020ed7)\n", LEVEL_MISSING,
		  "smmu-coherent", "a.iommu does not see the CPUs' caches", "dma-coherent" },
		{ "6,1,1,-;arm-smmu-v3 a.iommu: oas 44-bit (features 0x00000fd7)\n", LEVEL_MISSING,
		  "smmu-sva", "a.iommu (44 address bits)", "CONFIG_ARM_SMMU_V3_SVA" },
		{ "6,1,1,-;arm-smmu-v3 a.iommu: oas 48-bit (features 0x000207d7)\n", LEVEL_MISSING,
		  "smmu-stall", "cannot stall", "page requests" },
		{ "6,1,1,-;arm-smmu-v3 a.iommu: oas 48-bit (features 0x00020fd5)\n", LEVEL_WARN,
		  "smmu-pasids", "at most 1024", "" },
		{ "6,1,1,-;arm-smmu-v3 a.iommu: oas 48-bit (features 0x000227d7)\n", LEVEL_OK, "smmu-sva",
		  "is coherent", "" }, /* one that always stalls */
		{ "4,1,1,-;arm-smmu-v3 a.iommu: no evtq irq - events will not be reported!\n", LEVEL_MISSING,
		  "smmu-log", "page faults are never seen", "interrupt" },
		{ "4,1,1,-;arm-smmu-v3 a.iommu: failed to enable evtq irq\n", LEVEL_MISSING, "smmu-log",
		  "cannot be used", "interrupt" },
		{ "4,1,1,-;arm-smmu-v3 a.iommu: IDR0.COHACC overridden by FW configuration (true)\n",
		  LEVEL_WARN, "smmu-log", "disagree", "firmware" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: no translation support!\n", LEVEL_MISSING, "smmu-log",
		  "cannot translate", "another" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: AArch64 table format not supported!\n", LEVEL_MISSING,
		  "smmu-log", "page tables", "another" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: embedded implementation not supported\n", LEVEL_MISSING,
		  "smmu-log", "built in", "another" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: MMIO region too small ([mem])\n", LEVEL_MISSING, "smmu-log",
		  "too few registers", "128 KiB" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: missing #iommu-cells property\n", LEVEL_MISSING, "smmu-log",
		  "device tree node", "#iommu-cells" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: EVTQ overflow detected -- events lost\n", LEVEL_WARN,
		  "smmu-log", "events were lost", "reset" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: device has entered Service Failure Mode!\n", LEVEL_MISSING,
		  "smmu-log", "has failed", "restart" },
		{ "3,1,1,-;arm-smmu-v3 a.iommu: failed to enable SMMU interface\n", LEVEL_MISSING, "smmu-log",
		  "does not answer", "restart" },
		{ "4,1,1,-;svabroker: Unknown symbol iommu_sva_bind_device (err -2)\n", LEVEL_MISSING,
		  "module-log", "does not fit", "CONFIG_IOMMU_SVA" },
		{ "4,1,1,-;svabroker: disagrees about version of symbol module_layout\n", LEVEL_MISSING,
		  "module-log", "does not fit", "this very kernel" },
		{ "3,1,1,-;svabroker: version magic '6.1' should be '6.12'\n", LEVEL_MISSING, "module-log",
		  "another kernel", "this very kernel" },
		{ "5,1,1,-;svabroker: module verification failed: signature and/or required key missing\n",
		  LEVEL_INFO, "module-log", "not signed", "" },
		{ "5,1,1,-;Loading of unsigned module is rejected\n", LEVEL_WARN, "module-log",
		  "signed modules only", "sign" },
		{ "4,1,1,-;svabroker: accel0: something is odd\n", LEVEL_INFO, "module-log",
		  "complained about: svabroker: accel0: something is odd", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_text("/dev/kmsg", cases[i].log);
		expect(cases[i].level, cases[i].id, cases[i].text, cases[i].remedy);
	}
	put_text("/dev/kmsg", "6,1,1,-;svabroker: 4 devices\n4,2,2,-;svabroker: loading out-of-tree module "
			      "taints kernel.\n6,2,2,-;other: words\nnot a record\n;\n");
	look();
	ck_assert_ptr_null(find("module-log", "")); /* what is no complaint is not repeated */
	/* A line said by many is told once; features are told for each SMMUv3. */
	put_text("/dev/kmsg", LOG_GOOD LOG_GOOD "3,1,1,-;arm-smmu-v3 a: EVTQ overflow detected\n"
						"3,1,1,-;arm-smmu-v3 a: EVTQ overflow detected\n");
	look();
	ck_assert_uint_eq(count(LEVEL_WARN), 1);
	put_text("/dev/kmsg", "");
	expect(LEVEL_UNKNOWN, "smmu-sva", "does not hold", "journalctl");
	drop("/dev/kmsg");
	expect(LEVEL_UNKNOWN, "log", "cannot be read", "");
}
END_TEST

/* ---- vfio ---- */

static char *empty = "";

static Svad__V1__VfioDevice vfio_device(const char *untold)
{
	Svad__V1__VfioDevice dev = SVAD__V1__VFIO_DEVICE__INIT;

	dev.name = (char *)(uintptr_t) "0000:00:02.0";
	dev.cdev = (char *)(uintptr_t) "vfio0";
	dev.driver = (char *)(uintptr_t) "vfio-pci";
	dev.bus = (char *)(uintptr_t) "pci";
	dev.iommu = (char *)(uintptr_t)SMMU;
	dev.untold = untold ? (char *)(uintptr_t)untold : empty;
	dev.pci_known = dev.pci_pasid = dev.ats = true;
	dev.pci_pasid_bits = 20;
	if (!untold) {
		dev.coherent = dev.smmuv3 = dev.two_level_cd = true;
		dev.iommu_pasid_bits = dev.asid_bits = 16;
		dev.stall = SVAD__V1__STALL_MODEL__STALL_YES;
	}
	return dev;
}

START_TEST(vfio)
{
	Svad__V1__ProbeHardwareReply reply = SVAD__V1__PROBE_HARDWARE_REPLY__INIT;
	Svad__V1__VfioDevice told = vfio_device(NULL);
	Svad__V1__VfioDevice untold = vfio_device("this kernel's driver for that IOMMU does not tell");
	Svad__V1__VfioDevice *devices[] = { &told, &untold };
	const struct finding *f;

	reply.devices = devices;
	reply.n_devices = 2;
	reply.more = 3;
	n_findings = 0;
	doctor_vfio(NULL, &m, &reply, NULL);
	ck_assert_uint_eq(n_findings, 3);
	f = find("vfio", "20 PASID bits, ATS, no page requests; its IOMMU: SMMUv3, 16 PASID bits, can stall");
	ck_assert_ptr_nonnull(f);
	f = find("vfio", "not known");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(strstr(f->remedy, "CONFIG_ARM_SMMU_V3_IOMMUFD"));
	ck_assert_ptr_nonnull(find("vfio", "3 more devices"));
	n_findings = 0;
	doctor_vfio(NULL, &m, NULL, NULL); /* no daemon, and no device */
	ck_assert_uint_eq(n_findings, 0);
	put_link("/sys/devices/pci/0000:00:02.0/vfio-dev/vfio0/device", "/sys/devices/pci/0000:00:02.0");
	put_link("/sys/class/vfio-dev/vfio0", "/sys/devices/pci/0000:00:02.0/vfio-dev/vfio0");
	doctor_vfio(NULL, &m, NULL, "it hangs");
	ck_assert_uint_eq(n_findings, 1);
	ck_assert_ptr_nonnull(
		find("vfio", "0000:00:02.0 is bound to vfio; what its IOMMU can do was not asked: it hangs"));
}
END_TEST

/* Every reason that the daemon can give has a remedy, where there is one. */
START_TEST(vfio_words)
{
	static const char *const reasons[] = {
		"this kernel's driver for that IOMMU does not tell",
		"it is in use, or another device of its IOMMU group is (Device or resource busy)",
		"/dev/iommu: No such file or directory (a kernel with CONFIG_IOMMUFD has it)",
		"its node in /dev/vfio/devices: No such file or directory (a kernel with "
		"CONFIG_VFIO_DEVICE_CDEV has it)",
		"this kernel has no VFIO_DEVICE_BIND_IOMMUFD (6.6 and later have)",
		"iommufd does not take it: its interrupts are not isolated, or it is a virtual function that "
		"wants a token",
		"there is no IOMMU in front of it",
		"/dev/iommu: Permission denied",
	};
	Svad__V1__VfioDevice dev = vfio_device(NULL);
	char buf[320];
	json_t *o;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		ck_assert_msg(vfio_text_remedy(reasons[i]) != NULL, "%s", reasons[i]);
	ck_assert_ptr_null(vfio_text_remedy(""));
	dev.stall = SVAD__V1__STALL_MODEL__STALL_FORCED;
	dev.two_level_cd = false;
	dev.enabled_pasid_bits = 10;
	dev.ats_refused = true;
	ck_assert_str_eq(vfio_text_iommu(&dev, buf, sizeof(buf)),
			 "SMMUv3, 16 PASID bits, always stalls, coherent, 16 ASID bits, context descriptors "
			 "in one level, "
			 "10 PASID bits enabled on the device, ATS not usable");
	dev.smmuv3 = false;
	ck_assert_str_eq(vfio_text_iommu(&dev, buf, sizeof(buf)),
			 "not an SMMUv3, coherent, 10 PASID bits enabled on the device, ATS not usable");
	dev.pci_known = false;
	ck_assert_str_eq(vfio_text_own(&dev, buf, sizeof(buf)), "its own capabilities are not known");
	dev.pasid_bits = -1;
	o = vfio_json(&dev);
	ck_assert(json_is_null(json_object_get(o, "pasid_bits")));
	ck_assert_ptr_null(json_object_get(o, "smmuv3"));
	ck_assert(json_is_true(json_object_get(o, "coherent")));
	json_decref(o);
}
END_TEST

static Suite *doctor_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "good", good },	    { "kernel", kernel },
		{ "options", options },	    { "packed-config", packed_config },
		{ "module", module },	    { "no-iommufd", no_iommufd },
		{ "no-iommu", no_iommu },   { "acpi", acpi },
		{ "device", device },	    { "pci", pci },
		{ "plain", plain_devices }, { "log", kernel_log },
		{ "vfio", vfio },	    { "vfio-words", vfio_words },
	};
	Suite *s = suite_create("doctor");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_set_timeout(tc, 60);
		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_test(tc, cases[i].test);
		suite_add_tcase(s, tc);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, doctor_suite, NULL);
}
