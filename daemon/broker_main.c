/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * svad-broker: started by svad with the channel on fd 3, as an unprivileged user without capabilities. It
 * talks to clients and administrators, and drives drains. Its loop never waits for a client, a device or a
 * disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker_run.h"
#include "container_store.h"
#include "identify.h"
#include "log.h"
#include "reconcile.h"
#include "rpc.h"
#include "sandbox.h"

static struct broker broker;
static int exit_code;
static uv_work_t threads;

static void handle(const struct chan_hdr *hdr, char *payload, size_t len, int fds[CHAN_MAX_FDS])
{
	int r;

	switch (hdr->type) {
	case CHAN_CONFIG:
		r = fds[0] >= 0 ? broker_configure(&broker, fds[0], hdr->arg) : -EBADMSG;
		if (r < 0) {
			exit_code = 1;
			uv_stop(&broker.loop);
		}
		break;
	case CHAN_INFO:
		if (len == sizeof(broker.info))
			memcpy(&broker.info, payload, sizeof(broker.info));
		break;
	case CHAN_LISTEN:
		broker.listen_fds[0] = fds[0];
		broker.listen_fds[1] = fds[1];
		fds[0] = fds[1] = -1;
		broker_listen(&broker);
		break;
	case CHAN_BACKEND:
		if (!broker.backend || fds[0] < 0)
			break;
		r = broker.backend->ops->attach(broker.backend, fds[0], hdr->arg);
		fds[0] = -1;
		if (r < 0)
			log_err("Cannot use the device backend: %s", uv_strerror(r));
		break;
	case CHAN_RELOAD_RESULT:
		broker_reloaded(&broker, (int)hdr->arg, payload);
		break;
	case CHAN_IDENTIFIED:
		identify_answer(&broker, hdr->arg, payload, len);
		break;
	case CHAN_NETNS_SCANNED:
		reconcile_answer(&broker, hdr->arg, payload, len);
		break;
	case CHAN_STORED:
		store_load(&broker, fds[0], payload);
		break;
	case CHAN_STORE_ACK:
		store_acked(&broker, (uint32_t)(hdr->arg >> 32), (int)(hdr->arg & 0x7fffffff));
		break;
	case CHAN_NOTE:
		store_note(&broker, (int64_t)hdr->arg, payload);
		break;
	case CHAN_PROBE_RESULT:
		rpc_probed(&broker, (int)hdr->arg, payload, len);
		break;
	case CHAN_SHUTDOWN:
		broker_shutdown(&broker, hdr->arg);
		break;
	default:
		log_warning("A message of unknown type %u from the supervisor; is it of another version?",
			    hdr->type);
		break;
	}
}

/* Threads cannot be made in the sandbox. libuv's are there once it has had any work for them, and wait for
 * what may take long: the kernel module's reset of a device. */
static void no_work(uv_work_t *work)
{
	(void)work;
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	char *buf = broker.chan_buf;

	(void)status;
	(void)events;
	for (;;) {
		int fds[CHAN_MAX_FDS];
		struct chan_hdr hdr;
		ssize_t n = chan_recv(broker.chan, &hdr, buf, fds);
		unsigned i;

		if (n == -EAGAIN)
			return;
		if (n == -EBADMSG) {
			/* Cut off for want of fds, most likely, and with it a socket that we cannot do
			 * without. Bonds outlive a broker: start anew. */
			log_err("A message of the supervisor was cut off; starting anew");
			exit_code = 1;
			uv_stop(&broker.loop);
			return;
		}
		if (n < 0) {
			/* The supervisor is gone; nobody will start us again. What is bound to a simulated
			 * device is drained all the same, for that device goes too. The kernel module's
			 * bonds are in no need of us: the next svad takes them over. */
			log_relay_to(-1);
			uv_poll_stop(poll);
			if (broker.config && broker.config->backend == BACKEND_SIM)
				broker_shutdown(&broker, broker.config->shutdown_deadline_ms);
			else
				uv_stop(&broker.loop);
			return;
		}
		buf[n] = '\0';
		handle(&hdr, buf, (size_t)n, fds);
		for (i = 0; i < CHAN_MAX_FDS; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}

int main(int argc, char **argv)
{
	int r;

	(void)argv;
	log_init("svad-broker", LOG_INFO);
	if (argc > 1 || fcntl(CHAN_FD, F_GETFD) < 0) {
		fprintf(stderr, "svad-broker is started by svad, which hands it its sockets; it takes no "
				"arguments.\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's Ctrl-C reaches the whole group: the supervisor alone decides. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fcntl(CHAN_FD, F_SETFD, FD_CLOEXEC);
	log_relay_to(CHAN_FD);

	r = broker_init(&broker, CHAN_FD);
	if (r == 0)
		r = uv_poll_init(&broker.loop, &broker.chan_poll, CHAN_FD);
	if (r == 0)
		r = uv_poll_start(&broker.chan_poll, UV_READABLE, on_channel);
	if (r == 0)
		r = uv_queue_work(&broker.loop, &threads, no_work, NULL);
	if (r == 0)
		r = sandbox_enter(sandbox_broker);
	if (r < 0) {
		log_err("Cannot start: %s", uv_strerror(r));
		return 1;
	}
	uv_run(&broker.loop, UV_RUN_DEFAULT);
	/* A thread in the reset of a device may be long in coming back, and what is left to do is only for a
	 * leak checker: the end of this process is what ends its wait. */
	if (broker.backend && broker.backend->ops->is_waiting &&
	    broker.backend->ops->is_waiting(broker.backend))
		_exit(exit_code);
	broker_deinit(&broker);
	return exit_code;
}
