/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices and modules as the driver core sees them: what an administrator does with bind, unbind, insmod and
 * rmmod. */
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLATFORM "/sys/bus/platform"
#define MAX_DEVICES 16

static struct device {
	char label[32];	 /* accel0 */
	char name[64];	 /* 7d000000.accel */
	char driver[64]; /* svad-accel */
	bool spare;	 /* no driver's, until a scenario gives it to one */
} devices[MAX_DEVICES];
static unsigned n_devices;

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return true;
}

static bool driver_of(const char *name, char *ret, size_t size)
{
	char path[200], target[300];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), PLATFORM "/devices/%s/driver", name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	base = strrchr(target, '/');
	snprintf(ret, size, "%.60s", base ? base + 1 : target);
	return true;
}

/* Its compatible is nobody's. */
static bool is_spare(const char *name)
{
	char path[200], compatible[64];

	snprintf(path, sizeof(path), PLATFORM "/devices/%s/of_node/compatible", name);
	return read_text(path, compatible, sizeof(compatible)) && strcmp(compatible, "svad,vm-accel") == 0;
}

void driver_init(void)
{
	DIR *dir = opendir(PLATFORM "/devices");
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL && n_devices < MAX_DEVICES) {
		struct device *d = &devices[n_devices];
		char path[400];

		snprintf(path, sizeof(path), PLATFORM "/devices/%.200s/of_node/label", e->d_name);
		if (!read_text(path, d->label, sizeof(d->label)) || strncmp(d->label, "accel", 5) != 0)
			continue;
		snprintf(d->name, sizeof(d->name), "%.63s", e->d_name);
		d->spare = !driver_of(d->name, d->driver, sizeof(d->driver));
		if (d->spare && !is_spare(d->name))
			FAIL("no driver has taken %s (%s)", d->label, d->name);
		n_devices++;
	}
	if (dir)
		closedir(dir);
	if (!n_devices)
		FAIL("there is no accelerator in this machine's device tree");
}

static struct device *find(const char *label)
{
	for (unsigned i = 0; i < n_devices; i++)
		if (strcmp(devices[i].label, label) == 0)
			return &devices[i];
	FAIL("there is no %s in this machine's device tree", label);
}

const char *driver_device(const char *label)
{
	return find(label)->name;
}

bool driver_bound(const char *label)
{
	char driver[64];

	return driver_of(find(label)->name, driver, sizeof(driver));
}

static int change(const char *label, const char *what)
{
	const struct device *d = find(label);
	char path[200];

	snprintf(path, sizeof(path), PLATFORM "/drivers/%s/%s", d->driver, what);
	return write_file(path, d->name) ? 0 : -errno;
}

int driver_unbind(const char *label)
{
	return change(label, "unbind");
}

int driver_bind(const char *label)
{
	return change(label, "bind");
}

static bool override(const struct device *d, const char *driver)
{
	char path[200];

	snprintf(path, sizeof(path), PLATFORM "/devices/%s/driver_override", d->name);
	return write_file(path, driver);
}

void driver_want(const char *label, const char *driver)
{
	MUST_SYS(override(find(label), driver));
}

void driver_give(const char *label, const char *driver)
{
	const struct device *d = find(label);
	char now[64];

	driver_want(label, driver);
	MUST_SYS(write_file(PLATFORM "/drivers_probe", d->name));
	if (!driver_of(d->name, now, sizeof(now)) || strcmp(now, driver) != 0)
		FAIL("%s has not taken %s", driver, label);
}

void driver_take_back(const char *label)
{
	const struct device *d = find(label);
	char driver[64], path[200];

	if (driver_of(d->name, driver, sizeof(driver))) {
		snprintf(path, sizeof(path), PLATFORM "/drivers/%s/unbind", driver);
		(void)write_file(path, d->name);
	}
	(void) override(d, "\n");
}

void bare_take(const char *label)
{
	int r = module_load("bare", "");

	if (r != 0 && r != -EEXIST)
		FAIL("bare.ko: %s", strerror(-r));
	MUST_EQ(driver_unbind(label), 0);
	driver_give(label, "svad-bare");
}

static void bare_give_back(void)
{
	static const char *const helpers[] = { "bare", "late", "plain", "function" };

	for (unsigned i = 0; i < n_devices; i++) {
		const struct device *d = &devices[i];
		char driver[64];

		if (!driver_of(d->name, driver, sizeof(driver)) || strcmp(driver, "svad-bare") == 0) {
			(void)write_file(PLATFORM "/drivers/svad-bare/unbind", d->name);
			(void) override(d, "\n");
		}
	}
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
		if (module_loaded(helpers[i]))
			(void)module_unload(helpers[i]);
}

void driver_restore(void)
{
	for (unsigned i = 0; i < n_devices; i++)
		if (devices[i].spare)
			driver_take_back(devices[i].label);
	bare_give_back();
	modules_load();
	for (unsigned i = 0; i < n_devices; i++)
		if (!devices[i].spare && !driver_bound(devices[i].label))
			(void)driver_bind(devices[i].label);
}

/* ---- modules ---- */

int module_load(const char *name, const char *params)
{
	char path[300];
	int fd, r;

	snprintf(path, sizeof(path), "%.200s/%s.ko", vm.modules, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_finit_module, fd, params, 0) < 0 ? -errno : 0;
	close(fd);
	if (r == 0 && strcmp(name, "svabroker") == 0)
		watch_on();
	return r;
}

int module_unload(const char *name)
{
	const bool watched = strcmp(name, "svabroker") == 0;
	int r;

	if (watched)
		watch_off();
	r = syscall(SYS_delete_module, name, O_NONBLOCK) < 0 ? -errno : 0;
	if (watched && r)
		watch_on();
	return r;
}

long module_refs(const char *name)
{
	FILE *f = fopen("/proc/modules", "re");
	char line[512], found[64];
	long refs = -1, n;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %*u %ld", found, &n) == 2 && strcmp(found, name) == 0)
			refs = n;
	if (f)
		fclose(f);
	return refs;
}

void modules_load(void)
{
	char params[100] = "";

	if (vm.mutation)
		snprintf(params, sizeof(params), "mutation=%s", vm.mutation);
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "svad_accel" : "svabroker";
		int r = module_loaded(name) ? 0 : module_load(name, i ? "" : params);

		if (r)
			FAIL("insmod %s.ko %s: %s", name, i ? "" : params, strerror(-r));
	}
	/* A parameter that a module does not know is ignored by the kernel. */
	if (vm.mutation && access("/sys/module/svabroker/parameters/mutation", F_OK) < 0)
		FAIL("svabroker.ko was built without mutations");
}

void modules_reload(void)
{
	int r = module_unload("svad_accel");

	if (r == 0)
		r = module_unload("svabroker");
	if (r)
		FAIL("rmmod: %s", strerror(-r));
	modules_load();
}

bool module_loaded(const char *name)
{
	return module_refs(name) >= 0;
}
