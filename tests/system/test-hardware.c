// SPDX-License-Identifier: GPL-2.0-or-later
/* ProbeHardware through the whole daemon: who may ask, many at once, who leaves before the answer, a broker
 * that dies meanwhile. */
#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* What is bound to vfio on this machine. */
static unsigned bound_here(void)
{
	DIR *dir = opendir("/sys/class/vfio-dev");
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += !strncmp(e->d_name, "vfio", 4);
	if (dir)
		closedir(dir);
	return n;
}

static void request_init(Svad__V1__Request *request, Svad__V1__ProbeHardware *body)
{
	svad__v1__request__init(request);
	svad__v1__probe_hardware__init(body);
	request->body_case = SVAD__V1__REQUEST__BODY_PROBE_HARDWARE;
	request->probe_hardware = body;
}

static void probe(int fd)
{
	Svad__V1__ProbeHardware body;
	Svad__V1__Request request;
	Svad__V1__Reply *reply;

	request_init(&request, &body);
	reply = sys_call(fd, &request, NULL);
	MUST_EQ(sys_code(reply), SVAD_OK);
	MUST_EQ(reply->body_case, SVAD__V1__REPLY__BODY_PROBE_HARDWARE);
	MUST_EQ(reply->probe_hardware->n_devices + reply->probe_hardware->more, bound_here());
}

static int administrator(void)
{
	int fd = sys_connect("admin.sock");

	MUST(fd >= 0);
	MUST_EQ(sys_code(sys_hello(fd, 0)), SVAD_OK);
	return fd;
}

static void ask(int fd, uint64_t id)
{
	unsigned char packet[64];
	Svad__V1__ProbeHardware body;
	Svad__V1__Request request;
	size_t len;

	request_init(&request, &body);
	request.id = id;
	len = svad__v1__request__get_packed_size(&request);
	MUST(len <= sizeof(packet));
	svad__v1__request__pack(&request, packet);
	MUST(sys_send(fd, packet, len, NULL, 0));
}

START_TEST(answered)
{
	sys_start("");
	probe(sys.admin);
	probe(sys.admin);
	sys_stop();
}
END_TEST

START_TEST(not_for_clients)
{
	Svad__V1__ProbeHardware body;
	Svad__V1__Request request;
	int fd;

	sys_start("");
	fd = sys_client();
	request_init(&request, &body);
	MUST_EQ(sys_code(sys_call(fd, &request, NULL)), SVAD_PERMISSION_DENIED);
	close(fd);
	sys_stop();
}
END_TEST

#define MANY 8

START_TEST(many_at_once)
{
	int fd[MANY];

	sys_start("");
	for (int i = 0; i < MANY; i++)
		fd[i] = administrator();
	for (uint64_t round = 1; round <= tap_scale(20); round++) {
		for (int i = 0; i < MANY; i++)
			ask(fd[i], round);
		/* Every other one leaves before its answer, and comes back. */
		for (int i = 1; i < MANY; i += 2) {
			close(fd[i]);
			fd[i] = administrator();
		}
		for (int i = 0; i < MANY; i += 2) {
			struct wire_fds fds;
			Svad__V1__Reply *reply = sys_receive(fd[i], sys_ms(10000), &fds);

			MUST(reply);
			MUST_EQ(reply->id, round);
			MUST_EQ(sys_code(reply), SVAD_OK);
		}
	}
	for (int i = 0; i < MANY; i++)
		close(fd[i]);
	probe(sys.admin);
	sys_stop();
}
END_TEST

START_TEST(broker_dies)
{
	int pidfd;

	sys_start("");
	pidfd = sys_pidfd(sys_broker());
	for (uint64_t i = 1; i <= 3; i++)
		ask(sys.admin, 1000 + i);
	MUST_EQ(kill(sys_broker(), SIGKILL), 0);
	sys_await_exit(pidfd);
	close(pidfd);
	sys_reconnect();
	probe(sys.admin); /* whatever the look for the old one came to, the new one gets its own */
	sys_stop();
}
END_TEST

static Suite *hardware_suite(void)
{
	Suite *s = suite_create("hardware");

	sys_test(s, "answered", answered);
	sys_test(s, "not-for-clients", not_for_clients);
	sys_test(s, "many-at-once", many_at_once);
	sys_test(s, "broker-dies", broker_dies);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, hardware_suite, NULL);
}
