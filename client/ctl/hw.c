// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * IOMMUs and the devices behind them: sysfs names them, the device tree or ACPI's IORT says whether a device
 * has PASIDs, can stall and is coherent.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#define IORT "/sys/firmware/acpi/tables/IORT"
#define DEVICE_TREE "/sys/firmware/devicetree/base"
#define IORT_MAX (1u << 20)
#define IORT_HEADER 48u /* ACPI's, then number of nodes, offset of the first, reserved */
#define IORT_NODE 16u
#define IORT_NAMED_COMPONENT 1u
#define IORT_SMMUV3 4u
#define TREE_DEPTH 6

static uint32_t le32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint32_t be32(const char *p)
{
	return __builtin_bswap32(le32(p));
}

/* ---- IORT ---- */

typedef bool (*iort_fn)(void *userdata, unsigned type, const char *node, size_t len);

/* Calls fn for each node until it says enough. */
static void iort_each(const char *table, size_t size, iort_fn fn, void *userdata)
{
	uint32_t n, at;

	if (size < IORT_HEADER || memcmp(table, "IORT", 4) != 0)
		return;
	n = le32(table + 36);
	at = le32(table + 40);
	for (; n > 0 && at <= size && size - at >= IORT_NODE; n--) {
		size_t len = (unsigned char)table[at + 1] | (size_t)(unsigned char)table[at + 2] << 8;

		if (len < IORT_NODE || len > size - at ||
		    !fn(userdata, (unsigned char)table[at], table + at, len))
			return;
		at += (uint32_t)len;
	}
}

struct component {
	const char *path;
	struct hw_device *device;
};

static bool component_node(void *userdata, unsigned type, const char *node, size_t len)
{
	struct component *c = userdata;
	const char *name = node + IORT_NODE + 13;
	uint32_t flags;

	if (type != IORT_NAMED_COMPONENT || len <= IORT_NODE + 13 ||
	    !memchr(name, '\0', len - IORT_NODE - 13) || strcmp(name, c->path) != 0)
		return true;
	flags = le32(node + IORT_NODE);
	c->device->firmware = true;
	c->device->can_stall = flags & 1;
	c->device->pasid_bits = flags >> 1 & 0x1f;
	c->device->coherent = le32(node + IORT_NODE + 4) == 1;
	c->device->streams = le32(node + 8); /* ID mappings: each one StreamID for a device that is no bus */
	return false;
}

/* ---- one device ---- */

static bool has(const struct machine *m, const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       machine_exists(m, path);
}

static char *property(const struct machine *m, const char *dir, const char *name, size_t *ret_size)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return NULL;
	return machine_read(m, path, 65536, ret_size);
}

static void read_tree_node(const struct machine *m, const char *node, struct hw_device *d)
{
	size_t size;
	char *p;

	d->firmware = true;
	d->can_stall = has(m, node, "dma-can-stall");
	d->coherent = has(m, node, "dma-coherent");
	p = property(m, node, "pasid-num-bits", &size);
	if (p && size == 4)
		d->pasid_bits = be32(p) < 32 ? be32(p) : 0;
	free(p);
	p = property(m, node, "iommus", &size);
	if (p)
		d->streams = (unsigned)(size / 8); /* an SMMUv3's phandle and one cell */
	free(p);
	p = property(m, node, "label", &size);
	if (p)
		snprintf(d->label, sizeof(d->label), "%.63s", p);
	free(p);
}

static void read_firmware(const struct machine *m, const char *dir, struct hw_device *d)
{
	char node[PATH_MAX], *path;
	size_t size;

	if (snprintf(node, sizeof(node), "%s/of_node", dir) < (int)sizeof(node) && machine_exists(m, node)) {
		read_tree_node(m, node, d);
		return;
	}
	path = property(m, dir, "firmware_node/path", &size);
	if (path) {
		struct component c = { .path = path, .device = d };
		char *table = machine_read(m, IORT, IORT_MAX, &size);

		path[strcspn(path, "\n")] = '\0';
		if (table)
			iort_each(table, size, component_node, &c);
		free(table);
	}
	free(path);
}

static unsigned count(const struct machine *m, const char *path)
{
	char full[PATH_MAX];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	if (snprintf(full, sizeof(full), "%s%s", m->root, path) >= (int)sizeof(full))
		return 0;
	dir = opendir(full);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static bool read_device(const struct machine *m, const char *iommu, const char *name, struct hw_device *d)
{
	char link[PATH_MAX], dir[PATH_MAX], group[PATH_MAX];

	memset(d, 0, sizeof(*d));
	if (snprintf(link, sizeof(link), "%s/sys/class/iommu/%s/devices/%s", m->root, iommu, name) >=
		    (int)sizeof(link) ||
	    !realpath(link, dir))
		return false; /* gone meanwhile */
	vfio_read_device(dir, &d->facts);
	snprintf(link, sizeof(link), "/sys/class/iommu/%.128s/devices/%.128s", iommu, name);
	read_firmware(m, link, d);
	if (snprintf(group, sizeof(group), "%s/iommu_group/devices", link) < (int)sizeof(group))
		d->group_devices = count(m, group);
	return true;
}

/* ---- all ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted, malloc()ed one by one. */
static int names_in(const struct machine *m, const char *path, char ***ret_names, size_t *ret_n)
{
	char full[PATH_MAX], **names = NULL;
	struct dirent *e;
	size_t n = 0;
	int r = 0;
	DIR *dir;

	*ret_names = NULL;
	*ret_n = 0;
	if (snprintf(full, sizeof(full), "%s%s", m->root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	dir = opendir(full);
	if (!dir)
		return -errno;
	while (!r && (e = readdir(dir))) {
		char **more;

		if (e->d_name[0] == '.')
			continue;
		more = realloc(names, (n + 1) * sizeof(*names));
		if (more) {
			names = more;
			names[n] = strdup(e->d_name);
		}
		if (more && names[n])
			n++;
		else
			r = -ENOMEM;
	}
	closedir(dir);
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	*ret_names = names;
	*ret_n = n;
	return r;
}

static void names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

int hw_look(const struct machine *m, void (*iommu)(void *userdata, const struct hw_iommu *iommu),
	    void (*device)(void *userdata, const struct hw_iommu *iommu, const struct hw_device *device),
	    void *userdata)
{
	char **iommus, **devices, path[PATH_MAX];
	size_t n, n_devices;
	int r = names_in(m, "/sys/class/iommu", &iommus, &n);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct hw_iommu u = { .smmuv3 = !strncmp(iommus[i], "smmu3.", 6) };

		snprintf(u.name, sizeof(u.name), "%.63s", iommus[i]);
		snprintf(path, sizeof(path), "/sys/class/iommu/%s/devices", iommus[i]);
		names_in(m, path, &devices, &n_devices); /* what could not be read is not there */
		u.n_devices = (unsigned)n_devices;
		if (iommu)
			iommu(userdata, &u);
		for (size_t k = 0; device && k < n_devices; k++) {
			struct hw_device d;

			if (read_device(m, iommus[i], devices[k], &d))
				device(userdata, &u, &d);
		}
		names_free(devices, n_devices);
	}
	names_free(iommus, n);
	return r < 0 ? r : (int)n;
}

unsigned hw_pasid_bits(const struct hw_device *d)
{
	return d->pasid_bits ? d->pasid_bits : d->facts.pci_pasid ? d->facts.pci_pasid_bits : 0;
}

const char *hw_name(const struct hw_device *d)
{
	return d->label[0] ? d->label : d->facts.name;
}

/* ---- firmware ---- */

/* A list of strings, one after the other. */
static bool compatible(const char *list, size_t size, const char *with)
{
	for (size_t at = 0; at < size; at += strlen(list + at) + 1)
		if (!strcmp(list + at, with))
			return true;
	return false;
}

static void walk_tree(const struct machine *m, const char *path, unsigned depth, struct hw_firmware *f)
{
	char **names, sub[PATH_MAX], *text;
	size_t n, size;

	if (names_in(m, path, &names, &n) < 0 && !n)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(names[i], "compatible")) {
			text = property(m, path, names[i], &size);
			if (text && compatible(text, size, "arm,smmu-v3")) {
				char *status = property(m, path, "status", NULL);

				f->smmuv3++;
				f->disabled +=
					status && strcmp(status, "okay") != 0 && strcmp(status, "ok") != 0;
				free(status);
			}
			free(text);
		} else if (depth < TREE_DEPTH && (depth == 0 || strchr(names[i], '@') ||
						  strstr(names[i], "soc") || strstr(names[i], "bus"))) {
			/* Devices are nodes with an address, on buses; a property is no directory, and ends
			 * here. */
			if (snprintf(sub, sizeof(sub), "%s/%s", path, names[i]) < (int)sizeof(sub))
				walk_tree(m, sub, depth + 1, f);
		}
	}
	names_free(names, n);
}

static bool count_smmu(void *userdata, unsigned type, const char *node, size_t len)
{
	struct hw_firmware *f = userdata;

	(void)node;
	(void)len;
	f->smmuv3 += type == IORT_SMMUV3;
	return true;
}

void hw_firmware(const struct machine *m, struct hw_firmware *ret)
{
	size_t size;
	char *table;

	memset(ret, 0, sizeof(*ret));
	if (machine_exists(m, IORT)) {
		ret->iort = true;
		table = machine_read(m, IORT, IORT_MAX, &size);
		if (table)
			iort_each(table, size, count_smmu, ret);
		else
			ret->unreadable = true;
		free(table);
	} else if (machine_exists(m, DEVICE_TREE)) {
		ret->device_tree = true;
		walk_tree(m, DEVICE_TREE, 0, ret);
	}
}
