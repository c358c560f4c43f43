/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

void irqs_init(struct irqs *q, const char *qtest, const char *qmp, const char *gic)
{
	*q = (struct irqs){ .qtest = qtest, .qmp = qmp, .fd = -1 };
	if (gic)
		snprintf(q->gic, sizeof(q->gic), "%s", gic);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->raised, NULL);
}

void irqs_deinit(struct irqs *q)
{
	if (q->fd >= 0)
		close(q->fd);
	pthread_cond_destroy(&q->raised);
	pthread_mutex_destroy(&q->lock);
}

void irq_raise(void *irqs, unsigned spi)
{
	struct irqs *q = irqs;

	pthread_mutex_lock(&q->lock);
	q->pending[spi / 64] |= UINT64_C(1) << spi % 64;
	pthread_cond_signal(&q->raised);
	pthread_mutex_unlock(&q->lock);
}

void irqs_stop(struct irqs *q)
{
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	if (q->fd >= 0)
		shutdown(q->fd, SHUT_RDWR);
	pthread_cond_broadcast(&q->raised);
	pthread_mutex_unlock(&q->lock);
}

static bool stopping(struct irqs *q)
{
	bool r;

	pthread_mutex_lock(&q->lock);
	r = q->stop;
	pthread_mutex_unlock(&q->lock);
	return r;
}

/* ---- talking to QEMU ------------------------------------------------------------------------------- */

/* QEMU makes its sockets when it starts, which is after us. */
static int connect_when_there(struct irqs *q, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct timespec again = { .tv_nsec = 20000000 };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	while (!stopping(q)) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
			pthread_mutex_lock(&q->lock);
			q->fd = fd; /* irqs_stop() can end what follows */
			pthread_mutex_unlock(&q->lock);
			return 0;
		}
		close(fd);
		nanosleep(&again, NULL);
	}
	return -ECANCELED;
}

static void hang_up(struct irqs *q)
{
	pthread_mutex_lock(&q->lock);
	close(q->fd);
	q->fd = -1;
	pthread_mutex_unlock(&q->lock);
}

static int say(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A line, cut to size. Bytewise: lines are short and few, except one. */
static int hear(int fd, char *line, size_t size)
{
	size_t n = 0;
	char c;

	for (;;) {
		ssize_t r = recv(fd, &c, 1, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -EPIPE;
		if (c == '\n')
			break;
		if (n + 1 < size)
			line[n++] = c;
	}
	line[n] = '\0';
	return 0;
}

bool irq_find_gic(const char *answer, char *ret, unsigned size)
{
	static const char type[] = "child<arm-gicv3>";
	const char *object = strstr(answer, type), *name, *end;

	if (!object)
		return false;
	/* Its object starts at the last brace before, and has the name somewhere. */
	while (object > answer && *object != '{')
		object--;
	name = strstr(object, "\"name\"");
	end = strchr(object, '}');
	if (!name || !end || name > end)
		return false;
	name = strchr(name + 6, '"');
	end = name ? strchr(name + 1, '"') : NULL;
	if (!end || (size_t)(end - name) + sizeof("/machine/unattached/") > size)
		return false;
	snprintf(ret, size, "/machine/unattached/%.*s", (int)(end - name - 1), name + 1);
	return true;
}

static int find_gic(struct irqs *q)
{
	static const char
		capabilities[] = "{\"execute\":\"qmp_capabilities\"}\n",
		list[] = "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/unattached\"}}\n";
	static char line[256 << 10];
	int r;

	if (q->gic[0])
		return 0;
	if (!q->qmp)
		return -EINVAL;
	r = connect_when_there(q, q->qmp);
	if (r)
		return r;
	r = hear(q->fd, line, sizeof(line)); /* its greeting */
	if (!r)
		r = say(q->fd, capabilities);
	if (!r)
		r = hear(q->fd, line, sizeof(line));
	if (!r)
		r = say(q->fd, list);
	while (!r) { /* events may come in between */
		r = hear(q->fd, line, sizeof(line));
		if (!r && strstr(line, "\"return\""))
			break;
	}
	hang_up(q);
	if (!r && !irq_find_gic(line, q->gic, sizeof(q->gic)))
		r = -ENODEV;
	return r;
}

static int set_level(struct irqs *q, unsigned spi, int level)
{
	char line[256];
	int r;

	snprintf(line, sizeof(line), "set_irq_in %s unnamed-gpio-in %u %d\n", q->gic, spi, level);
	r = say(q->fd, line);
	if (!r)
		r = hear(q->fd, line, sizeof(line));
	if (!r && strncmp(line, "OK", 2)) {
		log_line("QEMU refuses the interrupt %u: %s", spi, line);
		r = -EPROTO;
	}
	return r;
}

static int pulse(struct irqs *q, unsigned spi)
{
	int r = set_level(q, spi, 1);

	return r ? r : set_level(q, spi, 0);
}

/* The next one that is pending, waiting for it. -1: stop. */
static int next(struct irqs *q)
{
	int spi = -1;

	pthread_mutex_lock(&q->lock);
	while (!q->stop && spi < 0) {
		for (unsigned i = 0; i < IRQ_SPIS / 64 && spi < 0; i++)
			if (q->pending[i]) {
				spi = (int)(i * 64) + __builtin_ctzll(q->pending[i]);
				q->pending[i] &= q->pending[i] - 1;
			}
		if (spi < 0)
			pthread_cond_wait(&q->raised, &q->lock);
	}
	if (q->stop)
		spi = -1;
	else
		q->sent++;
	pthread_mutex_unlock(&q->lock);
	return spi;
}

int irqs_run(struct irqs *q)
{
	int r, spi;

	r = find_gic(q);
	if (!r) {
		log_line("the interrupt controller is %s", q->gic);
		r = connect_when_there(q, q->qtest);
	}
	while (!r) {
		spi = next(q);
		if (spi < 0)
			return 0;
		r = pulse(q, (unsigned)spi);
	}
	if (stopping(q))
		return 0;
	log_line("interrupts: %s", r == -EPIPE ? "QEMU has gone" : strerror(-r));
	return r == -EPIPE ? 0 : r;
}
