/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * svad-simdev: a software SVA device and IOMMU, started by svad with the channel on fd 3 when backend = sim.
 * It gives clients the states, stops, faults and quarantines of hardware on their real memory, and refuses
 * what it cannot do.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "sandbox.h"
#include "sim.h"
#include "sim_checker.h"
#include "sim_control.h"
#include "sim_ctx.h"
#include "sim_device.h"
#include "sim_fault.h"
#include "sim_iommu.h"
#include "sim_mm.h"

#define CONFIG_MAX (16u << 20)
#define PING_MS 1000

struct sim sim;

static struct {
	uv_poll_t poll;
	uv_timer_t ping;
	bool started; /* the configuration is in */
} channel;

/* ---- notes
 * -------------------------------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	struct sim_note *first, **last;
	uv_async_t async;
	bool closed;
} notes = { .lock = PTHREAD_MUTEX_INITIALIZER, .last = &notes.first };

void sim_post(struct sim_note *note)
{
	note->next = NULL;
	pthread_mutex_lock(&notes.lock);
	*notes.last = note;
	notes.last = &note->next;
	if (!notes.closed)
		uv_async_send(&notes.async); /* under the lock: the loop may be about to close it */
	pthread_mutex_unlock(&notes.lock);
}

static void notes_run(uv_async_t *async)
{
	struct sim_note *note, *next;

	(void)async;
	pthread_mutex_lock(&notes.lock);
	note = notes.first;
	notes.first = NULL;
	notes.last = &notes.first;
	pthread_mutex_unlock(&notes.lock);
	for (; note; note = next) {
		next = note->next;
		note->run(note);
	}
}

/* ---- the channel
 * ------------------------------------------------------------------------------------------------ */

static void finish(int exit_code)
{
	sim.exit_code = exit_code;
	sim.stopping = true;
	uv_stop(&sim.loop);
}

static int read_config(int fd, struct config **ret)
{
	struct config_errors errors = { 0 };
	struct stat st;
	size_t len;
	char *text;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || st.st_size > CONFIG_MAX)
		return -EFBIG;
	len = (size_t)st.st_size;
	text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	if (pread(fd, text, len, 0) != (ssize_t)len) {
		free(text);
		return -EIO;
	}
	text[len] = 0;
	r = config_from_text(text, len, ret, &errors);
	for (size_t i = 0; i < errors.n; i++)
		log_err("configuration: %s", errors.lines[i]);
	config_errors_clear(&errors);
	free(text);
	return r;
}

static int start(struct config *config)
{
	int r;

	sim.config = config;
	log_set_level(config->log_level);
	r = sim_devices_init();
	if (r < 0)
		return r;
	r = sim_fault_init(config->fault_socket);
	if (r < 0)
		return r;
	r = sandbox_enter(sandbox_simdev);
	if (r < 0) {
		log_err("cannot enter the seccomp sandbox: %s; the kernel needs CONFIG_SECCOMP_FILTER",
			strerror(-r));
		return r;
	}
	sim.sandboxed = !r;
	log_write(LOG_INFO, SVAD_MSG_STARTED, "%u simulated devices%s", sim.n_devices,
		  sim.sandboxed ? "" : "; no seccomp sandbox under a sanitizer or Valgrind");
	channel.started = true;
	return chan_send(CHAN_FD, CHAN_READY, 0, NULL, 0, NULL, 0);
}

static void on_config(int fd)
{
	struct config *config = NULL;
	int r = read_config(fd, &config);

	if (r < 0) {
		log_err("cannot read the configuration from the supervisor: %s", strerror(-r));
		if (!channel.started)
			finish(1);
		return;
	}
	if (channel.started) {
		/* Reloading changes little of the devices (config_reloadable), which keep pointing at the
		 * first one; and no thread but this reads what it does change. */
		for (size_t i = 0; i < sim.config->n_devices; i++) {
			const struct config_device *now = config_device(config, sim.config->devices[i].name);

			if (!now)
				continue;
			sim.config->devices[i].max_bonds = now->max_bonds;
			sim.config->devices[i].drain_deadline_ms = now->drain_deadline_ms;
		}
		log_set_level(config->log_level);
		sim.config->drain_deadline_ms = config->drain_deadline_ms;
		config_free(config);
		return;
	}
	r = start(config);
	if (r < 0) {
		log_err("cannot start: %s", strerror(-r));
		finish(1);
	}
}

static void channel_ready(uv_poll_t *poll, int status, int events)
{
	static char buf[CHAN_MAX];
	struct chan_hdr hdr;

	(void)poll;
	(void)status;
	(void)events;
	while (!sim.stopping) {
		int fds[CHAN_MAX_FDS], r;
		ssize_t n = chan_recv(CHAN_FD, &hdr, buf, fds);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n == -EBADMSG) {
			log_err("malformed message from the supervisor; ignored");
			continue;
		}
		if (n < 0) {
			finish(0); /* the supervisor is gone */
			return;
		}
		switch (hdr.type) {
		case CHAN_CONFIG:
			if (fds[0] >= 0)
				on_config(fds[0]);
			break;
		case CHAN_BACKEND:
			if (fds[0] < 0)
				break;
			sim.generation = (uint32_t)hdr.arg;
			r = sim_control_attach(fds[0]);
			fds[0] = -1;
			if (r < 0)
				log_err("cannot take the broker's socket: %s", strerror(-r));
			break;
		case CHAN_SHUTDOWN:
			finish(0);
			break;
		default:
			break;
		}
		for (unsigned i = 0; i < CHAN_MAX_FDS; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}

static void ping(uv_timer_t *timer)
{
	(void)timer;
	(void)chan_send(CHAN_FD, CHAN_PING, 0, NULL, 0, NULL, 0);
}

/* ---- start and end
 * ------------------------------------------------------------------------------------------------ */

static int init(void)
{
	int r;

	list_init(&sim.ctx_list);
	list_init(&sim.mm_list);
	r = uv_loop_init(&sim.loop);
	if (r < 0)
		return r;
	if (idmap_init(&sim.ctxs) < 0 || idmap_init(&sim.bonds) < 0 || idmap_init(&sim.mms) < 0)
		return -ENOMEM;
	r = checker_init();
	if (!r)
		r = sim_iommu_init();
	if (!r)
		r = uv_async_init(&sim.loop, &notes.async, notes_run);
	if (!r)
		r = sim_timers_init(&sim.loop);
	if (!r)
		r = sim_os_init();
	if (!r)
		r = sim_mm_sweep_init();
	if (!r)
		r = sim_control_init();
	if (!r)
		r = uv_poll_init(&sim.loop, &channel.poll, CHAN_FD);
	if (!r)
		r = uv_poll_start(&channel.poll, UV_READABLE, channel_ready);
	if (!r)
		r = uv_timer_init(&sim.loop, &channel.ping);
	if (!r)
		r = uv_timer_start(&channel.ping, ping, PING_MS, PING_MS);
	return r;
}

/*
 * The end of the process is the end of its DMA: threads die with it, and the kernel closes what is open. With
 * bonds left there is nothing to tidy up for, and a worker may hang in a client's page for ever.
 */
static void deinit(void)
{
	sim_fault_deinit();
	sim_control_deinit();
	log_relay_to(-1);
	if (sim.n_bonds || sim.ctxs.n || !sim_os_stop())
		_exit(sim.exit_code);
	pthread_mutex_lock(&notes.lock);
	notes.closed = true;
	pthread_mutex_unlock(&notes.lock);
	uv_close((uv_handle_t *)&notes.async, NULL);
	uv_close((uv_handle_t *)&channel.poll, NULL);
	uv_close((uv_handle_t *)&channel.ping, NULL);
	sim_mm_sweep_deinit();
	sim_timers_deinit();
	uv_run(&sim.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&sim.loop);
	sim_iommu_deinit();
	checker_deinit();
	idmap_deinit(&sim.ctxs);
	idmap_deinit(&sim.bonds);
	idmap_deinit(&sim.mms);
	sim_devices_deinit();
	config_free(sim.config);
}

/* A grant's client binds at once, as soon as it has the broker's answer. Falling asleep in between and being
 * woken costs a bind a quarter of its time; so the loop looks on for a moment, and lets others have the CPU.
 */
static void run(void)
{
	while (!sim.stopping) {
		bool awake = sim_now() < sim.awake_until;

		if (!uv_run(&sim.loop, awake ? UV_RUN_NOWAIT : UV_RUN_ONCE))
			break;
		if (awake)
			sched_yield();
	}
}

int main(int argc, char **argv)
{
	struct rlimit lim;
	int r;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("svad-simdev " PACKAGE_VERSION);
		return 0;
	}
	if (argc > 1 || fcntl(CHAN_FD, F_GETFD) < 0) {
		fputs("svad-simdev is started by svad, with a socket on fd 3. See svad(8).\n", stderr);
		return 2;
	}
	(void)fcntl(CHAN_FD, F_SETFD, FD_CLOEXEC);
	log_init("svad-simdev", LOG_INFO);
	log_relay_to(CHAN_FD);
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's ^C is for the supervisor, which then tells us. */
	signal(SIGINT, SIG_IGN);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max; /* up to five fds for a bond */
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	r = init();
	if (r < 0) {
		log_err("cannot start: %s", strerror(-r));
		return 1;
	}
	run();
	deinit();
	return sim.exit_code;
}
