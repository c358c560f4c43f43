/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i: the daemon on the real kernel, its clients by the library, its administrator by RPC. */
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "../../system/live.h"

#define CLIENT_UID 1000u
#define BYTES (64u << 10)

static struct {
	char dir[64], socket[96], admin[96];
	pid_t pid;
	int pidfd, rpc;
} svad;

/* ---- the daemon itself ---- */

static void configure(void)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/svad.conf", svad.dir);
	f = fopen(path, "we");
	MUST_SYS(f != NULL);
	fprintf(f,
		"[daemon]\nbackend = kmod\nruntime_dir = %s\nsocket = %s\nadmin_socket = "
		"%s\nrestart_backoff_min_ms = 10\n"
		"[drain]\ndeadline = %d\n[device \"accel2\"]\ndrain_deadline = %d\n[policy \"clients\"]\nuid "
		"= 0 %u\ndevices = *\n",
		svad.dir, svad.socket, svad.admin, ms(20000), ms(3000), CLIENT_UID);
	MUST_EQ(fclose(f), 0);
}

static void await_ready(int notify)
{
	uint64_t deadline = deadline_in(60000);
	char text[1024];

	for (;;) {
		struct pollfd p[] = { { .fd = notify, .events = POLLIN },
				      { .fd = svad.pidfd, .events = POLLIN } };
		ssize_t n;

		if (past(deadline) || poll(p, 2, ms_left(deadline)) < 0)
			FAIL("svad was not ready in time");
		if (p[1].revents)
			FAIL("svad ended while it started");
		n = p[0].revents ? recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT) : 0;
		if (n <= 0)
			continue;
		text[n] = 0;
		if (strstr(text, "READY=1"))
			return;
	}
}

const char *svad_start(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char program[256], config[128];
	int notify;

	if (!*svad.dir) {
		snprintf(svad.dir, sizeof(svad.dir), "/tmp/vm-svad-XXXXXX");
		MUST_SYS(mkdtemp(svad.dir) != NULL);
		MUST_SYS(chmod(svad.dir, 0755) == 0);
		snprintf(svad.socket, sizeof(svad.socket), "%s/svad.sock", svad.dir);
		snprintf(svad.admin, sizeof(svad.admin), "%s/admin.sock", svad.dir);
		configure();
	}
	snprintf(config, sizeof(config), "%s/svad.conf", svad.dir);
	snprintf(program, sizeof(program), "%s/svad", vm.bindir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", svad.dir);
	(void)unlink(addr.sun_path);
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST_SYS(notify >= 0 && bind(notify, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	fflush(stdout);
	svad.pid = fork();
	MUST_SYS(svad.pid >= 0);
	if (svad.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setenv("NOTIFY_SOCKET", addr.sun_path, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(program, program, "--config", config, "--libexec-dir", vm.bindir, (char *)NULL);
		_exit(127);
	}
	svad.pidfd = open_pidfd(svad.pid);
	await_ready(notify);
	close(notify);
	svad.rpc = live_connect(svad.admin, "vm-scenario");
	if (svad.rpc < 0)
		FAIL("the administrator's socket: %s", strerror(-svad.rpc));
	return svad.admin;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void svad_stop(void)
{
	int status;

	close_fd(&svad.rpc);
	MUST_SYS(kill(svad.pid, SIGTERM) == 0);
	await_exit(svad.pidfd);
	MUST_SYS(waitpid(svad.pid, &status, 0) == svad.pid);
	close_fd(&svad.pidfd);
	if (status != 0)
		FAIL("svad ended with status %#x", status);
	nftw(svad.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static pid_t find_broker(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	MUST(dir != NULL);
	while ((e = readdir(dir)) != NULL) {
		char path[300], text[300], comm[32];
		int pid = atoi(e->d_name), parent, fd;
		ssize_t n;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = 0;
		if (sscanf(text, "%*d (%31[^)]) %*c %d", comm, &parent) == 2 && parent == svad.pid &&
		    strcmp(comm, "svad-broker") == 0)
			found = pid;
	}
	closedir(dir);
	return found;
}

static void reconnect(void)
{
	uint64_t deadline = deadline_in(60000);

	close_fd(&svad.rpc);
	while ((svad.rpc = live_connect(svad.admin, "vm-scenario")) < 0) {
		if (past(deadline))
			FAIL("the administrator's socket: %s", strerror(-svad.rpc));
		nap();
	}
}

/* ---- the administrator ---- */

static Svad__V1__Reply *call(Svad__V1__Request *request)
{
	Svad__V1__Reply *reply;
	int r = live_call(svad.rpc, request, ms(60000), &reply);

	if (r)
		FAIL("a request to svad: %s", strerror(-r));
	if (reply->status && reply->status->code)
		FAIL("a request to svad: %s", reply->status->message);
	return reply;
}

static Svad__V1__Reply *admin_bonds(void)
{
	Svad__V1__AdminListBonds body = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;

	request.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS;
	request.admin_list_bonds = &body;
	return call(&request);
}

static bool admin_has_device(const char *name, unsigned *ret_quarantined)
{
	Svad__V1__AdminListDevices body = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES;
	request.admin_list_devices = &body;
	reply = call(&request);
	for (size_t i = 0; i < reply->list_devices->n_devices; i++) {
		const Svad__V1__Device *d = reply->list_devices->devices[i];

		if (strcmp(d->name, name) != 0 || d->health == SVAD__V1__DEVICE_HEALTH__HEALTH_GONE)
			continue;
		if (ret_quarantined)
			*ret_quarantined = d->quarantined;
		return true;
	}
	return false;
}

/* The broker's list and the kernel's, at one moment: the same bonds, PASIDs and states. */
static bool lists_agree(unsigned *ret_bonds)
{
	Svad__V1__Reply *reply = admin_bonds();
	Svad__V1__Bond **bonds = reply->list_bonds->bonds;
	size_t n = reply->list_bonds->n_bonds, in_kernel = 0, same = 0;
	struct listed all;

	list_all(&all);
	for (unsigned i = 0; i < all.n; i++) {
		const struct svab_list_entry *e = &all.at[i];
		bool again = false;

		if (e->type != SVAB_LIST_BOND)
			continue;
		for (unsigned k = 0; k < i; k++)
			again |= all.at[k].type == SVAB_LIST_BOND && all.at[k].bond == e->bond;
		if (again)
			continue;
		in_kernel++;
		for (size_t k = 0; k < n; k++)
			if (bonds[k]->id == e->bond && bonds[k]->pasid == e->pasid &&
			    (uint32_t)bonds[k]->state == e->state)
				same++;
	}
	free(all.at);
	*ret_bonds = (unsigned)n;
	return n == in_kernel && same == n;
}

static void await_agreement(unsigned bonds)
{
	uint64_t deadline = deadline_in(60000);
	unsigned n;

	while (!lists_agree(&n) || n != bonds) {
		if (past(deadline))
			FAIL("the broker lists %u bonds, not %u, or not what the kernel lists", n, bonds);
		nap();
	}
}

/* ---- clients ---- */

struct client {
	struct kid kid;
	uint64_t bond;
	uint32_t pasid;
};

static void must_sva(struct sva *sva, int r, const char *what)
{
	if (r < 0)
		FAIL("%s: %s", what, sva_strerror(sva, r));
}

static void use_library(void *arg)
{
	unsigned char *src, *dst;
	struct sva_bond *bond;
	struct sva_queue *q;
	struct sva *sva;
	uint32_t crc;
	int r;

	become(CLIENT_UID);
	src = pages(BYTES);
	dst = pages(BYTES);
	must_sva(NULL, sva_connect(svad.socket, ms(20000), &sva), "connect");
	must_sva(sva, sva_bind(sva, arg, &bond), "bind");
	must_sva(sva, sva_queue_new(bond, 16, &q), "queue");
	say("bond %llu pasid %u", (unsigned long long)sva_bond_id(bond), sva_bond_pasid(bond));
	for (uint64_t n = 1;; n++) {
		const char *word = hear();

		if (strcmp(word, "work") == 0) {
			for (size_t i = 0; i < BYTES; i++)
				src[i] = (unsigned char)(i * n);
			must_sva(sva, sva_copy(q, dst, src, BYTES, NULL), "copy");
			MUST(memcmp(src, dst, BYTES) == 0);
			must_sva(sva, sva_crc32c(q, src, BYTES, &crc, NULL), "crc");
			MUST_EQ(crc, crc32c(src, BYTES));
			say("worked");
		} else if (strcmp(word, "unbind") == 0) {
			sva_queue_free(q);
			r = sva_unbind(bond, SVA_STATE_NONE);
			say("unbind %d", r);
			sva_disconnect(sva);
			hear_this("end");
			return;
		} else if (strcmp(word, "revoked") == 0) {
			uint64_t deadline = deadline_in(30000);

			while (!sva_bond_revoked(bond) && !past(deadline))
				nap();
			r = sva_copy(q, dst, src, BYTES, NULL);
			say("copy %d", r);
		} else {
			return;
		}
	}
}

static void client_start(struct client *c, const char *device)
{
	unsigned long long id;

	kid_start(&c->kid, use_library, (void *)(uintptr_t)device);
	MUST_EQ(sscanf(expect(&c->kid, "bond "), "bond %llu pasid %u", &id, &c->pasid), 2);
	c->bond = id;
}

static void client_works(struct client *c)
{
	tell(&c->kid, "work");
	expect(&c->kid, "worked");
}

static void client_unbinds(struct client *c)
{
	int r = -1;

	tell(&c->kid, "unbind");
	MUST_EQ(sscanf(expect(&c->kid, "unbind "), "unbind %d", &r), 1);
	MUST_EQ(r, 0);
	kid_end(&c->kid);
}

static const char *const devices[] = { "accel0", "accel1" };

/* ---- the scenarios ---- */

void scenario_i_clients(void)
{
	struct client c[8];
	unsigned n;

	svad_start();
	for (int i = 0; i < 4; i++) {
		char name[24];

		snprintf(name, sizeof(name), "accel%d", i);
		if (!admin_has_device(name, &n))
			FAIL("svad does not list %s", name);
	}
	for (int i = 0; i < 8; i++)
		client_start(&c[i], devices[i % 2]);
	for (int i = 0; i < 8; i++)
		client_works(&c[i]);
	await_agreement(8);
	for (int i = 0; i < 4; i++)
		client_unbinds(&c[i]);
	await_agreement(4);
	for (int i = 4; i < 8; i++)
		kid_kill(&c[i].kid);
	await_agreement(0);
	svad_stop();
}

void scenario_i_broker_killed(void)
{
	unsigned rounds_n = rounds(3, 10);
	struct client c[6];

	svad_start();
	for (int i = 0; i < 6; i++)
		client_start(&c[i], devices[i % 2]);
	for (unsigned k = 0; k < rounds_n; k++) {
		pid_t broker = find_broker();
		int pidfd;

		MUST(broker > 0);
		pidfd = open_pidfd(broker);
		MUST_SYS(kill(broker, SIGKILL) == 0);
		await_exit(pidfd);
		close(pidfd);
		/* Without a broker: the portal is the client's own, work needs nobody. */
		for (int i = 0; i < 6; i++)
			client_works(&c[i]);
		reconnect();
		await_agreement(6);
		MUST(find_broker() != broker);
	}
	/* Nobody's bond was touched, and they end as ever. */
	for (int i = 0; i < 3; i++)
		client_unbinds(&c[i]);
	for (int i = 3; i < 6; i++)
		kid_kill(&c[i].kid);
	await_agreement(0);
	svad_stop();
}

void scenario_i_broker_frozen(void)
{
	int events = ctl_open();
	struct client c[4];
	pid_t broker;

	svad_start();
	broker = find_broker();
	MUST(broker > 0);
	for (int i = 0; i < 4; i++)
		client_start(&c[i], devices[i % 2]);
	MUST_SYS(kill(broker, SIGSTOP) == 0);
	for (int i = 0; i < 4; i++) {
		client_works(&c[i]);
		kid_kill(&c[i].kid);
		(void)event_await(events, SVAB_EV_DRAINED, c[i].bond);
	}
	MUST_SYS(kill(broker, SIGCONT) == 0);
	/* It wakes (or was replaced, if it slept too long) and sees that they are gone. */
	reconnect();
	await_agreement(0);
	svad_stop();
	close(events);
}

void scenario_i_daemon_dead(void)
{
	int events = ctl_open(), status;
	struct client c[6];
	pid_t broker;

	svad_start();
	for (int i = 0; i < 6; i++)
		client_start(&c[i], devices[i % 2]);
	broker = find_broker();
	MUST(broker > 0);
	close_fd(&svad.rpc);
	MUST_SYS(kill(svad.pid, SIGKILL) == 0);
	(void)kill(broker, SIGKILL);
	await_exit(svad.pidfd);
	MUST_SYS(waitpid(svad.pid, &status, 0) == svad.pid);
	close_fd(&svad.pidfd);
	/* Nobody is there, and nothing is different: work goes on, an exit is drained. */
	for (int i = 0; i < 6; i++)
		client_works(&c[i]);
	for (int i = 0; i < 3; i++) {
		kid_kill(&c[i].kid);
		(void)event_await(events, SVAB_EV_DRAINED, c[i].bond);
	}
	/* A new daemon learns of the others from the kernel's list, and can end them. */
	svad_start();
	await_agreement(3);
	client_works(&c[3]);
	MUST_EQ(bond_revoke(c[3].bond), 0);
	(void)event_await(events, SVAB_EV_DRAINED, c[3].bond);
	await_agreement(2);
	for (int i = 3; i < 6; i++)
		kid_kill(&c[i].kid);
	await_agreement(0);
	svad_stop();
	close(events);
}

void scenario_i_hotplug(void)
{
	uint64_t deadline;
	struct client c, by;
	int r = 0;

	svad_start();
	client_start(&c, "accel2");
	client_start(&by, "accel1");
	client_works(&c);
	MUST_EQ(driver_unbind("accel2"), 0);
	tell(&c.kid, "revoked");
	MUST_EQ(sscanf(expect(&c.kid, "copy "), "copy %d", &r), 1);
	MUST_EQ(r, -ESHUTDOWN);
	for (deadline = deadline_in(30000); admin_has_device("accel2", NULL); nap())
		if (past(deadline))
			FAIL("svad lists a device that is gone");
	kid_end(&c.kid);
	client_works(&by);
	MUST_EQ(driver_bind("accel2"), 0);
	for (deadline = deadline_in(30000); !admin_has_device("accel2", NULL); nap())
		if (past(deadline))
			FAIL("svad does not list a device that has come back");
	client_start(&c, "accel2");
	client_works(&c);
	client_unbinds(&c);
	client_unbinds(&by);
	await_agreement(0);
	svad_stop();
}

void scenario_i_quarantine(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
	Svad__V1__ResetDevice reset = SVAD__V1__RESET_DEVICE__INIT;
	Svad__V1__Reply *reply;
	unsigned n = 0;
	struct client c;

	svad_start();
	client_start(&c, "accel2");
	client_works(&c);
	hw("stop accel2 ignore");
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &revoke;
	revoke.bond = c.bond;
	reply = call(&request);
	MUST_EQ(reply->revoke->ended, 1);
	MUST_EQ(reply->revoke->quarantined, 1);
	await_agreement(1);
	MUST(admin_has_device("accel2", &n));
	MUST_EQ(n, 1);
	hw("stop accel2 normal");
	request = (Svad__V1__Request)SVAD__V1__REQUEST__INIT;
	request.body_case = SVAD__V1__REQUEST__BODY_RESET_DEVICE;
	request.reset_device = &reset;
	reset.device = (char *)(uintptr_t) "accel2";
	reply = call(&request);
	MUST_EQ(reply->reset_device->quarantined, 0);
	await_agreement(0);
	kid_kill(&c.kid);
	client_start(&c, "accel2");
	client_works(&c);
	client_unbinds(&c);
	svad_stop();
}
