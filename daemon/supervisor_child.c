/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One child: started, listened to, watched, started again. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "supervisor_kmod.h"
#include "supervisor_private.h"

#define ALIVE_LONG_NS                                                                                        \
	(10 * NS_PER_S) /* after so long a death is a new story, and the delay starts small again */
#define EOF_GRACE_NS (1 * NS_PER_S) /* from its closed channel to its exit */
#define READ_BURST 256u		    /* messages of one child in one turn */

void child_init(struct child *c, struct supervisor *s, enum child_kind kind)
{
	*c = (struct child){
		.s = s,
		.kind = kind,
		.name = kind == CHILD_BROKER ? "svad-broker" : "svad-simdev",
		.msg_died = kind == CHILD_BROKER ? SVAD_MSG_BROKER_DIED : SVAD_MSG_DEVICE_DIED,
		.fd = -1,
		.backoff_ms = s->config->restart_backoff_min_ms,
	};
	if (asprintf(&c->path, "%s/%s", s->args->libexec_dir, c->name) < 0)
		c->path = NULL;
}

static void close_channel(struct child *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

void child_deinit(struct child *c)
{
	close_channel(c);
	free(c->path);
	c->path = NULL;
}

void child_kill(struct child *c, const char *why)
{
	if (c->pid <= 0)
		return;
	log_warning("%s (pid %d) %s: killing it", c->name, c->pid, why);
	kill(c->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
	c->kill_ns = 0;
	c->seen_ns = UINT64_MAX; /* once is enough */
}

int child_send(struct child *c, enum chan_type type, uint64_t arg, const void *payload, uint32_t len,
	       const int *fds, unsigned n_fds)
{
	int r;

	if (c->fd < 0)
		return -ENOTCONN;
	r = chan_send(c->fd, type, arg, payload, len, fds, n_fds);
	if (r == -EPIPE)
		return r; /* it is dying: SIGCHLD will tell */
	if (r < 0)
		child_kill(c,
			   r == -EAGAIN ? "does not read its channel" : "cannot be told what it must know");
	return r;
}

int child_send_config(struct child *c, const struct config *config, uint32_t seq)
{
	char *text = config_to_text(config);
	int fd, r;

	if (!text)
		return -ENOMEM;
	fd = chan_memfd("svad-config", text, strlen(text));
	free(text);
	if (fd < 0)
		return fd;
	r = child_send(c, CHAN_CONFIG, seq, NULL, 0, &fd, 1);
	close(fd);
	return r;
}

/* A broker that is new gets a way to the kernel module, which has kept all that the last one had. */
static void link_module(struct child *broker)
{
	char *why = NULL;
	int fd;

	if (broker->fd < 0)
		return;
	fd = kmod_control_open(KMOD_DEVICE, &why);
	if (fd < 0) {
		log_err("%s", why ? why : strerror(-fd));
		free(why);
		child_kill(broker, "has no kernel module to work with");
		return;
	}
	child_send(broker, CHAN_BACKEND, 0, NULL, 0, &fd, 1);
	close(fd);
}

/* A new control socket between broker and device, whenever one of them is new. The other keeps all that it
 * has. */
static void link_children(struct supervisor *s)
{
	struct child *broker = &s->child[CHILD_BROKER], *device = &s->child[CHILD_SIMDEV];
	int pair[2], r;

	if (broker->fd < 0 || device->fd < 0)
		return;
	r = spawn_control_pair(pair);
	if (r < 0) {
		/* Without it neither is of use; the next start tries again. */
		log_err("cannot connect broker and device: %s", strerror(-r));
		child_kill(device, "has no control socket");
		return;
	}
	child_send(device, CHAN_BACKEND, device->starts, NULL, 0, &pair[1], 1);
	child_send(broker, CHAN_BACKEND, device->starts, NULL, 0, &pair[0], 1);
	close(pair[0]);
	close(pair[1]);
}

static int tell_all(struct child *c)
{
	struct supervisor *s = c->s;
	int r = child_send_config(c, s->config, s->config_seq);

	if (r < 0 || c->kind != CHILD_BROKER)
		return r;
	r = child_send(c, CHAN_INFO, 0,
		       &(struct chan_info){ .broker_restarts = c->starts - 1,
					    .daemon_uid = getuid(),
					    .started_ns = s->started_ns },
		       sizeof(struct chan_info), NULL, 0);
	if (r == 0)
		r = store_hand_over(s);
	if (r < 0)
		return r;
	return child_send(c, CHAN_LISTEN, 0, NULL, 0,
			  (const int[]){ s->listeners.client.fd, s->listeners.admin.fd }, 2);
}

int child_start(struct child *c, char **ret_why)
{
	int r = spawn_child(c->path, &c->s->user, &c->pid, &c->fd, ret_why);

	if (r < 0) {
		c->pid = 0;
		c->fd = -1;
		return r;
	}
	c->starts++;
	c->ready = false;
	c->restart_ns = c->kill_ns = 0;
	c->started_ns = c->seen_ns = now_ns();
	log_debug("%s started (pid %d)", c->name, c->pid);
	r = tell_all(c);
	if (r < 0 && r != -EPIPE)
		child_kill(c, "cannot be told its settings");
	if (c->s->config->backend == BACKEND_KMOD)
		link_module(c);
	else
		link_children(c->s);
	return 0;
}

static const char *payload_text(char *buf, ssize_t len)
{
	buf[len] = '\0'; /* buf has a byte more than CHAN_MAX */
	return buf;
}

/* Fds that it wants to keep it takes out of the array. */
static void handle(struct child *c, const struct chan_hdr *hdr, char *buf, ssize_t len, int fds[CHAN_MAX_FDS])
{
	struct supervisor *s = c->s;

	c->seen_ns = c->seen_ns == UINT64_MAX ? UINT64_MAX : now_ns();
	switch (hdr->type) {
	case CHAN_PING:
		return;
	case CHAN_LOG:
		log_relayed(c->name, c->pid, buf, (uint32_t)len);
		return;
	case CHAN_READY:
		if (!c->ready) {
			c->ready = true;
			supervisor_child_ready(c);
		}
		return;
	default:
		break;
	}
	if (c->kind == CHILD_BROKER) {
		switch (hdr->type) {
		case CHAN_STATUS:
			if (s->phase == PHASE_RUN)
				notify_status("%s", payload_text(buf, len));
			return;
		case CHAN_RELOAD:
			reload_ask(s, true);
			return;
		case CHAN_STORE:
			store_ask(s, hdr->arg, fds[0]);
			return;
		case CHAN_STORE_DAMAGED:
			store_set_aside(s);
			return;
		case CHAN_NOTE_DONE:
			store_note_done(s, payload_text(buf, len));
			return;
		case CHAN_PROBE:
			probe_ask(s);
			return;
		case CHAN_IDENTIFY:
			netns_identify(s, hdr->arg, fds[0], buf, (size_t)len);
			return;
		case CHAN_NETNS_SCAN:
			scan_ask(s, hdr->arg, fds[0]);
			return;
		case CHAN_CONFIG_ACK:
			reload_ack(s, (uint32_t)(hdr->arg >> 32), (int)(hdr->arg & 0x7fffffff),
				   payload_text(buf, len));
			return;
		case CHAN_DONE:
			stop_done(s, hdr->arg, payload_text(buf, len));
			return;
		default:
			break;
		}
	} else if (hdr->type == CHAN_CONFIG_ACK) {
		return;
	}
	log_warning("%s sent a message of unknown type %u; is it of another version?", c->name, hdr->type);
}

void child_read(struct child *c)
{
	static char buf[CHAN_MAX + 1]; /* one loop, one thread */

	for (unsigned i = 0; i < READ_BURST && c->fd >= 0; i++) {
		int fds[CHAN_MAX_FDS];
		struct chan_hdr hdr;
		ssize_t len = chan_recv(c->fd, &hdr, buf, fds);

		if (len == -EAGAIN)
			return;
		if (len == -EBADMSG) {
			log_warning("%s sent a malformed message", c->name);
			continue;
		}
		if (len < 0) {
			/* It is dying, or has lost its mind: then it gets a moment to die. */
			close_channel(c);
			c->kill_ns = now_ns() + EOF_GRACE_NS;
			return;
		}
		handle(c, &hdr, buf, len, fds);
		for (unsigned j = 0; j < CHAN_MAX_FDS; j++) {
			if (fds[j] >= 0)
				close(fds[j]);
		}
	}
}

static void describe_exit(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "was killed by signal %d (%s)%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
	else
		snprintf(buf, size, "exited with status %d", WEXITSTATUS(status));
}

static void schedule_restart(struct child *c, uint64_t now)
{
	const struct config *config = c->s->config;

	if (c->backoff_ms < config->restart_backoff_min_ms)
		c->backoff_ms = config->restart_backoff_min_ms;
	if (c->backoff_ms > config->restart_backoff_max_ms)
		c->backoff_ms = config->restart_backoff_max_ms;
	c->restart_ns = now + c->backoff_ms * NS_PER_MS;
	c->backoff_ms = c->backoff_ms > UINT32_MAX / 2 ? UINT32_MAX : c->backoff_ms * 2;
}

void child_reap(struct child *c)
{
	char how[128], pid_field[48], status_field[48];
	const char *fields[] = { pid_field, status_field, NULL };
	uint64_t now = now_ns();
	int status;

	if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	/* Its last words are still in the channel. */
	for (unsigned i = 0; c->fd >= 0 && i < 64; i++)
		child_read(c);
	close_channel(c);
	describe_exit(status, how, sizeof(how));
	snprintf(pid_field, sizeof(pid_field), "SVAD_PID=%d", c->pid);
	snprintf(status_field, sizeof(status_field), "SVAD_WAIT_STATUS=%d", status);

	if (c->s->phase != PHASE_RUN) {
		log_debug("%s (pid %d) %s", c->name, c->pid, how);
	} else {
		if (now - c->started_ns >= ALIVE_LONG_NS)
			c->backoff_ms = c->s->config->restart_backoff_min_ms;
		schedule_restart(c, now);
		log_fields(LOG_ERR, c->msg_died, fields,
			   "%s (pid %d) %s; starting it again in %" PRIu64 " ms", c->name, c->pid, how,
			   (uint64_t)((c->restart_ns - now) / NS_PER_MS));
		notify_status("%s %s; starting it again", c->name, how);
	}
	c->early_deaths += !c->ready;
	c->pid = 0;
	c->ready = false;
	c->kill_ns = 0;
	supervisor_child_died(c);
}

uint64_t child_deadline(const struct child *c)
{
	uint64_t at = UINT64_MAX, timeout = c->s->config->child_timeout_ms * NS_PER_MS;

	if (c->restart_ns && c->restart_ns < at)
		at = c->restart_ns;
	if (c->kill_ns && c->kill_ns < at)
		at = c->kill_ns;
	if (c->pid > 0 && c->seen_ns != UINT64_MAX && c->s->phase == PHASE_RUN && c->seen_ns + timeout < at)
		at = c->seen_ns + timeout;
	return at;
}

void child_tick(struct child *c, uint64_t now)
{
	uint64_t timeout = c->s->config->child_timeout_ms * NS_PER_MS;
	char *why = NULL;

	if (c->kill_ns && now >= c->kill_ns) {
		child_kill(c, "closed its channel and goes on running");
	} else if (c->pid > 0 && c->seen_ns != UINT64_MAX && c->s->phase == PHASE_RUN &&
		   now >= c->seen_ns + timeout) {
		child_kill(c, "has given no sign of life for child_timeout_ms");
	} else if (c->restart_ns && now >= c->restart_ns) {
		c->restart_ns = 0;
		if (child_start(c, &why) < 0) {
			log_err("%s", why ? why : "cannot start a child: no memory");
			free(why);
			schedule_restart(c, now);
		}
	}
}
