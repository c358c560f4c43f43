// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor: why SVA is or is not usable here. Four sections: the daemon, what the simulated backend
 * needs, containers, what hardware needs. Exit 0 when the backend that is configured serves; the simulated
 * one, where no daemon can say which that is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kmod/svabroker.h"
#include "ctl.h"
#include "doctor.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "term.h"

struct doctor {
	json_t *json; /* NULL: print */
	enum section section;
	bool any;
	bool kmod;		     /* backend = kmod: it is hardware that must serve */
	unsigned failed[N_SECTIONS]; /* findings at LEVEL_FAIL */
	unsigned missing;
	unsigned bindable; /* devices that a client could be given */
};

static const char *const sections[] = {
	[SECTION_DAEMON] = "Daemon",
	[SECTION_SIM] = "Simulated backend: what this machine gives it",
	[SECTION_CONTAINERS] = "Containers",
	[SECTION_HARDWARE] = "Hardware: what an SVA device behind an Arm SMMUv3 needs here",
};
static const char *const section_ids[] = { "daemon", "sim", "containers", "hardware" };
static const char *const level_ids[] = { "ok", "info", "warn", "missing", "fail", "unknown" };
static const char *const level_marks[] = { "ok", "info", "warn", "lacks", "FAIL", "?" };
static const enum style level_styles[] = {
	STYLE_GREEN, STYLE_CYAN, STYLE_YELLOW, STYLE_YELLOW, STYLE_RED, STYLE_DIM,
};

void doctor_say(struct doctor *d, enum section section, enum level level, const char *id, const char *remedy,
		const char *fmt, ...)
{
	char raw[1024], text[1024], fix[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_clean(raw, text, sizeof(text));
	if (remedy)
		text_clean(remedy, fix, sizeof(fix));
	d->failed[section] += level == LEVEL_FAIL;
	d->missing += level == LEVEL_MISSING;

	if (d->json) {
		json_t *o = json_object();

		json_add_str(o, "section", section_ids[section]);
		json_add_str(o, "check", id);
		json_add_str(o, "level", level_ids[level]);
		json_add_str(o, "finding", text);
		if (remedy)
			json_add_str(o, "remedy", fix);
		json_array_append_new(d->json, o);
		return;
	}
	if (!d->any || d->section != section)
		printf("%s%s%s%s\n", d->any ? "\n" : "", style_on(STYLE_BOLD), sections[section],
		       style_off(STYLE_BOLD));
	d->any = true;
	d->section = section;
	printf("  %s%-5s%s %s\n", style_on(level_styles[level]), level_marks[level],
	       style_off(level_styles[level]), text);
	if (remedy)
		printf("        %s-> %s%s\n", style_on(STYLE_DIM), fix, style_off(STYLE_DIM));
}

/* ---- the daemon ---- */

static const char *device_remedy(const Svad__V1__Device *dev, char *buf, size_t size)
{
	const char *remedy = NULL;

	if (dev->health == SVAD__V1__DEVICE_HEALTH__HEALTH_GONE)
		remedy = doctor_device_remedy(dev->reason);
	if (remedy)
		return remedy;
	snprintf(buf, size, "svadctl device show %s", dev->name);
	return buf;
}

static int device_found(void *userdata, const Svad__V1__Device *dev)
{
	struct doctor *d = userdata;
	char buf[256];

	d->bindable += dev->health == SVAD__V1__DEVICE_HEALTH__HEALTH_OK ||
		       dev->health == SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED;
	if (dev->health != SVAD__V1__DEVICE_HEALTH__HEALTH_GONE &&
	    !(dev->capabilities & SVAB_DEV_CAP_CAN_STOP))
		doctor_say(d, SECTION_DAEMON, LEVEL_INFO, "cannot-stop",
			   dev->capabilities & SVAB_DEV_CAP_CAN_RESET
				   ? "clients name the state when they unbind; after any other end: svadctl "
				     "device reset"
				   : "clients name the state when they unbind; after any other end nothing "
				     "but a restart "
				     "frees the PASID",
			   "device %s cannot stop one PASID: a client that ends without unbinding leaves it "
			   "quarantined",
			   dev->name);
	switch (dev->health) {
	case SVAD__V1__DEVICE_HEALTH__HEALTH_OK:
		/* The kernel module may say all the same that not all is well, as when its IOMMU cannot be
		 * flushed */
		if (*dev->reason)
			doctor_say(d, SECTION_DAEMON, LEVEL_WARN, "device",
				   "a kernel and an SMMUv3 that svabroker.ko can look into, or a device "
				   "whose stop awaits its "
				   "responses; until then its bonds may end in quarantine",
				   "device %s is healthy, but: %s", dev->name, dev->reason);
		else
			doctor_say(d, SECTION_DAEMON, LEVEL_OK, "device", NULL, "device %s is healthy",
				   dev->name);
		break;
	case SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING:
		doctor_say(d, SECTION_DAEMON, LEVEL_INFO, "device", NULL, "device %s is being reset",
			   dev->name);
		break;
	case SVAD__V1__DEVICE_HEALTH__HEALTH_GONE:
		doctor_say(d, SECTION_DAEMON, LEVEL_WARN, "device", device_remedy(dev, buf, sizeof(buf)),
			   "device %s cannot be used: %s", dev->name,
			   *dev->reason ? dev->reason : "no reason given");
		break;
	default:
		doctor_say(d, SECTION_DAEMON, LEVEL_WARN, "device", device_remedy(dev, buf, sizeof(buf)),
			   "device %s is %s: %s", dev->name, name_health(dev->health),
			   *dev->reason ? dev->reason : "no reason given");
	}
	return CTL_OK;
}

static void probe_status(struct doctor *d, struct rpc *rpc)
{
	Svad__V1__AdminListDevices filter = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__StatusReply *s;
	const rpc_reply *reply;
	bool sim, kmod, any;

	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &body;
	if (rpc_call(rpc, &req, &reply)) {
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "status",
			   "restart svad; its log says more: journalctl -u svad", "svad does not answer: %s",
			   rpc_error(rpc));
		return;
	}
	s = reply->get_status;
	sim = !strcmp(s->backend, "sim");
	kmod = d->kmod = !strcmp(s->backend, "kmod");
	any = s->devices > 0;
	doctor_say(d, SECTION_DAEMON, LEVEL_OK, "status", NULL, "svad %s answers, configured by %s",
		   s->version, *s->config ? s->config : "its built-in defaults");
	if (s->shutting_down)
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "shutdown", "start it again when it has ended",
			   "svad is shutting down");
	if (!s->backend_up)
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "backend",
			   kmod ? "modprobe svabroker; what it says of itself: journalctl -u svad, dmesg"
				: "svad restarts it by itself; why it ends is in the log: journalctl -u svad",
			   "the backend (%s) is down", s->backend);
	else
		doctor_say(d, SECTION_DAEMON, LEVEL_OK, "backend", NULL, "the backend (%s) is up",
			   s->backend);
	if (!s->devices)
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "devices",
			   kmod ? "load the driver of a device that svad supports; why one cannot be used is "
				  "below"
				: "add [device \"NAME\"] to svad.conf, or see its log",
			   "there is no device");
	if (sim && s->violations)
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "checker", "a bug in svad: report it with the log",
			   "the checker recorded %llu violations", (unsigned long long)s->violations);
	else if (sim)
		doctor_say(d, SECTION_DAEMON, LEVEL_OK, "checker", NULL,
			   "the checker that rides along recorded 0 violations");
	if (sim) {
		doctor_say(d, SECTION_DAEMON, LEVEL_INFO, "simulated", NULL,
			   "simulated, in software: the device, its engines and stops; the IOMMU with PASID "
			   "table, TLB and page"
			   " requests; the kernel's side of bind and drain");
		doctor_say(d, SECTION_DAEMON, LEVEL_INFO, "real", NULL,
			   "real: the clients' memory and addresses, processes and their ends, the protocol, "
			   "policy and limits");
		doctor_say(d, SECTION_DAEMON, LEVEL_INFO, "unproven", NULL,
			   "not provable by it: that real hardware and its driver stop as they promise, "
			   "mprotect racing a transfer,"
			   " real latencies and bandwidth");
	}
	/* From here on s is no more: its memory is the next answer's. */
	if (rpc_devices(rpc, &filter, device_found, d))
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "devices",
			   "restart svad; its log says more: journalctl -u svad",
			   "svad does not tell its devices: %s", rpc_error(rpc));
	else if (kmod && any && !d->bindable)
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "devices", "each device's own is above",
			   "no device can be bound now");
}

/* The connection, for what else is to be asked; NULL: the daemon cannot be asked. */
static struct rpc *probe_daemon(struct doctor *d, const struct ctl *ctl)
{
	char buf[4096], why[1024], text[512];
	const char *path = rpc_socket_path(ctl, buf, sizeof(buf));
	struct rpc *rpc;
	struct stat st;

	if (stat(path, &st)) {
		int err = errno;

		rpc_connect_reason(path, err, text, sizeof(text));
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "socket",
			   err == EACCES ? "run svadctl as root or as svad's user"
					 : "start svad: systemctl start svad; or in a terminal: svad",
			   "%s", text);
		return NULL;
	}
	if (!S_ISSOCK(st.st_mode)) {
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "socket",
			   "remove it, or name another socket with --socket", "%s is not a socket", path);
		return NULL;
	}
	if (st.st_mode & S_IWOTH)
		doctor_say(d, SECTION_DAEMON, LEVEL_WARN, "permissions",
			   "set admin_socket_mode = 0600 in svad.conf; under systemd SocketMode=0600, by "
			   "systemctl edit svad-admin.socket",
			   "%s can be opened by everybody (mode %04o): anyone may revoke and reset", path,
			   (unsigned)st.st_mode & 07777u);
	else
		doctor_say(d, SECTION_DAEMON, LEVEL_OK, "permissions", NULL, "%s: mode %04o, owner %u:%u",
			   path, (unsigned)st.st_mode & 07777u, st.st_uid, st.st_gid);
	if (rpc_open_quiet(ctl, &rpc, why, sizeof(why))) {
		doctor_say(d, SECTION_DAEMON, LEVEL_FAIL, "connect",
			   "start or restart svad: systemctl restart svad", "%s", why);
		return NULL;
	}
	doctor_say(d, SECTION_DAEMON, LEVEL_OK, "connect", NULL, "it accepts connections");
	probe_status(d, rpc);
	return rpc;
}

/* Vfio devices, by the daemon where it can be asked. */
static void probe_vfio(struct doctor *d, const struct machine *m, struct rpc *rpc)
{
	Svad__V1__ProbeHardware body = SVAD__V1__PROBE_HARDWARE__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	char why[512];

	if (!rpc || !machine_exists(m, "/sys/class/vfio-dev")) {
		doctor_vfio(d, m, NULL, NULL);
		return;
	}
	req.body_case = SVAD__V1__REQUEST__BODY_PROBE_HARDWARE;
	req.probe_hardware = &body;
	if (!rpc_call(rpc, &req, &reply)) {
		doctor_vfio(d, m, reply->probe_hardware, NULL);
		return;
	}
	snprintf(why, sizeof(why), "%s", rpc_error(rpc));
	doctor_vfio(d, m, NULL, why);
}

/* What the machine lacks may be another SMMUv3's, or be said in the log of a time before: with the kernel
 * module it is svad's devices that count. */
static bool serves(const struct doctor *d)
{
	return !d->failed[SECTION_DAEMON] && (d->kmod ? d->bindable > 0 : !d->failed[SECTION_SIM]);
}

static int verdict_json(struct doctor *d)
{
	json_t *o = json_object();

	json_add_str(o, "backend", d->kmod ? "kmod" : "sim");
	json_add_bool(o, "serves", serves(d));
	json_add_bool(o, "sim_serves", !d->kmod && serves(d));
	json_add_bool(o, "hardware_possible", !d->missing);
	json_add(o, "findings", d->json);
	return json_print(o, false);
}

static void verdict(const struct doctor *d)
{
	unsigned n = d->failed[SECTION_DAEMON] + (d->kmod ? d->missing : d->failed[SECTION_SIM]);
	const char *backend = d->kmod ? "Hardware (backend = kmod)" : "The simulated backend";

	if (!serves(d))
		printf("\n%s%s does not serve here: %u finding%s above say%s why.%s\n", style_on(STYLE_RED),
		       backend, n, n == 1 ? "" : "s", n == 1 ? "s" : "", style_off(STYLE_RED));
	else
		printf("\n%s%s serves here.%s", style_on(STYLE_GREEN), backend, style_off(STYLE_GREEN));
	if (!serves(d))
		return;
	if (!d->kmod)
		printf(" Hardware would lack %u thing%s.\n", d->missing, d->missing == 1 ? "" : "s");
	else if (d->missing)
		printf(" What lacks above (%u) keeps none of the devices that can be bound from it.\n",
		       d->missing);
	else
		printf("\n");
}

int cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
	struct doctor d = { 0 };
	struct machine m;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (ctl->json)
		d.json = json_array();
	rpc = probe_daemon(&d, ctl);
	if (!d.kmod)
		doctor_probe_sim(&d);
	if (machine_here(&m)) {
		doctor_containers(&d, ctl, &m, rpc);
		doctor_probe_hardware(&d, &m);
		probe_vfio(&d, &m, rpc);
	} else {
		doctor_say(&d, SECTION_HARDWARE, LEVEL_UNKNOWN, "machine", NULL, "uname: %s",
			   strerror(errno));
	}
	rpc_close(rpc);
	if (ctl->json) {
		r = verdict_json(&d);
		if (r)
			return r;
	} else {
		verdict(&d);
	}
	return serves(&d) ? CTL_OK : CTL_FAILED;
}
