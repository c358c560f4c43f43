/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is registered outlives svad's processes: one dies, or both; the file is damaged, or cannot be written; runtimes could not reach svad. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[drain]\ndeadline = 30s\n[containers]\nreconcile = 0\n"

static const char *state(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "run/state/%s", name);
	return sys_path(path);
}

/* ---- files ---------------------------------------------------------------------------------------- */

static size_t file_read(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	MUST(f != NULL);
	n = fread(buf, 1, size - 1, f);
	MUST_EQ(fclose(f), 0);
	buf[n] = '\0';
	return n;
}

static void file_write(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	MUST(f != NULL);
	MUST_EQ(fwrite(text, 1, len, f), len);
	MUST_EQ(fclose(f), 0);
}

/* ---- starting again --------------------------------------------------------------------------------- */

static void await_broker(pid_t old)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(10000) * 1000000u;

	/* The socket's backlog holds connections until the new one listens. */
	do {
		MUST(sys_now_ns() < end);
		sys_reconnect();
	} while (sys_broker() == old);
}

static void kill_broker(void)
{
	pid_t old = sys_broker();
	int pidfd = sys_pidfd(old);

	MUST_EQ(kill(old, SIGKILL), 0);
	sys_await_exit(pidfd);
	close(pidfd);
	await_broker(old);
}

/* svad and all of its processes. */
static void svad_killed(void)
{
	int pidfds[2] = { sys_pidfd(sys_broker()), sys_pidfd(sys_simdev()) };
	int status;

	MUST_EQ(kill(sys.pid, SIGKILL), 0);
	sys_await_exit(sys.pidfd);
	MUST_EQ(waitpid(sys.pid, &status, 0), sys.pid);
	for (int i = 0; i < 2; i++) {
		sys_await_exit(pidfds[i]);
		close(pidfds[i]);
	}
}

static void svad_stopped(void)
{
	MUST_EQ(sys_terminate(), 0);
}

static void close_all(void)
{
	close(sys.admin);
	close(sys.watch);
	close(sys.fault);
	close(sys.notify);
	close(sys.pidfd);
	sys.admin = sys.watch = sys.fault = sys.notify = sys.pidfd = -1;
	unlink(sys_path("notify"));
}

static void svad_again(const char *config)
{
	close_all();
	sys_start(config);
}

static void one_left(const char *id, const struct box *box)
{
	const Svad__V1__Container *c = ct_find(id, false);

	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->netns_cookie, box->cookie);
	ck_assert_uint_eq(c->n_attachments, 1);
	ck_assert_str_eq(c->attachments[0]->network, "net");
}

/* The bonds of its clients live on, and are its own again, before anybody can ask for its removal. */
START_TEST(test_broker_killed)
{
	const Svad__V1__Reply *reply;
	struct tenant t, other;
	struct box box[2];

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "mine");
	ct_registered(&box[1], "other");
	tenant_start(&t, &box[0], "sim0 sim1");
	tenant_start(&other, &box[1], "sim0");
	sys_await_counter("svad_bonds", 3);
	kill_broker();
	one_left("mine", &box[0]);
	ck_assert_uint_eq(ct_find("mine", false)->bonds, 2);
	ck_assert_uint_eq(ct_find("other", false)->bonds, 1);
	reply = ct_remove("net", "mine", "eth0", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->ended, 2);
	ck_assert_uint_eq(reply->remove_container->clean, 2);
	ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	tenant_kill(&t);
	tenant_kill(&other);
	sys_await_counter("svad_bonds", 0);
	ck_assert_uint_eq(sys_code(ct_remove("net", "other", "eth0", 0, "cni")), SVAD_OK);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* Whoever asks again, after the broker was killed in the middle of a removal, waits for what still drains. */
START_TEST(test_killed_while_removing)
{
	const Svad__V1__Reply *reply;
	struct tenant t;
	struct box box;
	int again;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	ct_registered(&box, "mine");
	tenant_start(&t, &box, "sim0");
	sys_await_counter("svad_bonds", 1);
	sys_fault_ok("stop sim0 ignore forever");
	reply = ct_remove("net", "mine", "eth0", 100, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_DEADLINE_EXCEEDED);
	ck_assert_uint_eq(reply->remove_container->pending, 1);
	kill_broker();
	again = ct_remove_send("net", "mine", "eth0", 0, "cni");
	/* It has been read once this has: its answer would be there. */
	ck_assert_uint_eq(sys_code(ct_list("", true, false)), SVAD_OK);
	sys_fault_ok("stop sim0 obey");
	reply = ct_remove_receive(again);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->ended, 1);
	ck_assert_uint_eq(reply->remove_container->clean, 1);
	tenant_kill(&t);
	box_kill(&box);
	sys_stop();
}
END_TEST

START_TEST(test_all_killed)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	Svad__V1__ContainerLimits limits = SVAD__V1__CONTAINER_LIMITS__INIT;
	char pod[] = "web-1 100%", space[] = "sh\xc3\xb6p", *globs[] = { pod, space };
	const Svad__V1__Container *c;
	struct tenant t;
	struct box box;
	uint64_t id;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	snprintf(pod, sizeof(pod), "sim0");
	limits.bonds = 7;
	limits.drain_deadline_ms = 1234;
	ask.limits = &limits;
	ask.devices = globs;
	ask.n_devices = 2;
	ask.pod_namespace = space;
	ask.pod_name = (char *)(uintptr_t) "web-1 100%";
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "net", "kept", "eth0")), SVAD_OK);
	id = ct_find("kept", false)->id;
	tenant_start(&t, &box, "sim0");
	svad_killed();
	tenant_kill(&t);
	svad_again(QUIET);
	one_left("kept", &box);
	c = ct_find("kept", false);
	ck_assert_uint_eq(c->id, id);
	ck_assert_str_eq(c->pod_namespace, space);
	ck_assert_str_eq(c->pod_name, "web-1 100%");
	ck_assert_uint_eq(c->n_devices, 2);
	ck_assert_str_eq(c->devices[0], "sim0");
	ck_assert_str_eq(c->devices[1], space);
	ck_assert_uint_eq(c->limits->bonds, 7);
	ck_assert_uint_eq(c->limits->drain_deadline_ms, 1234);
	ck_assert_int_eq((int)c->timeline[0]->kind, (int)SVAD__V1__TIMELINE_KIND__TIMELINE_RESTORED);
	ck_assert_uint_eq(tenant_try(&box, "sim0"), SVAD_OK);
	ck_assert_uint_eq(tenant_try(&box, "sim1"), SVAD_PERMISSION_DENIED);
	sys_await_counter("svad_bonds", 0);
	/* What was removed is so after the next start, too. */
	ck_assert_uint_eq(sys_code(ct_remove("net", "kept", "eth0", 0, "cni")), SVAD_OK);
	svad_stopped();
	svad_again(QUIET);
	ck_assert_ptr_null(ct_find("kept", false));
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 1);
	ck_assert_uint_eq(tenant_try(&box, "sim0"), SVAD_PERMISSION_DENIED);
	box_kill(&box);
	(void)ct_reconcile();
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 0);
	svad_stopped();
	svad_again(QUIET);
	ck_assert_ptr_null(ct_find("kept", true));
	sys_stop();
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------------------- */

enum damage { TRUNCATED, FLIPPED, EMPTY, GARBAGE, OTHER_VERSION, HEADER, ZEROES, N_DAMAGES };

static size_t damaged(enum damage how, char *text, size_t len)
{
	char *second = strchr(strchr(text, '\n') + 1, '\n') + 1;

	switch (how) {
	case TRUNCATED: /* in the last line */
		return len - 10;
	case FLIPPED:
		strstr(second, "name=")[5] ^= 1; /* what it says then could be so */
		return len;
	case EMPTY:
		return 0;
	case GARBAGE:
		for (size_t i = 0; i < len; i++)
			text[i] = (char)(i * 2654435761u >> 7);
		return len;
	case OTHER_VERSION:
		text[strlen("svad-containers ")] = '9';
		return len;
	case HEADER:
		text[3] = 'X';
		return len;
	case ZEROES:
		memset(second, 0, 60);
		return len;
	case N_DAMAGES:
		break;
	}
	return len;
}

START_TEST(test_damaged)
{
	static const unsigned kept[] = { [TRUNCATED] = 1,     [FLIPPED] = 1, [EMPTY] = 0, [GARBAGE] = 0,
					 [OTHER_VERSION] = 0, [HEADER] = 2,  [ZEROES] = 1 };
	static char good[8192], bad[8192], aside[8192];
	struct box box[2];
	size_t len, bad_len;

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "first");
	ct_registered(&box[1], "second");
	svad_stopped();
	len = file_read(state("containers"), good, sizeof(good));
	ck_assert_ptr_nonnull(strstr(good, "a.id=second"));
	for (int how = 0; how < N_DAMAGES; how++) {
		char name[32];

		memcpy(bad, good, len + 1);
		bad_len = damaged((enum damage)how, bad, len);
		file_write(state("containers"), bad, bad_len);
		svad_again(QUIET);
		ck_assert_uint_eq(sys_counter("svad_containers"), kept[how]);
		ck_assert_uint_ge(sys_counter("svad_store_damaged_total"), 1);
		ck_assert(kept[how] == 0 || ct_find("first", false));
		ck_assert(sys_log_has("is damaged"));
		/* It is set aside as it was, and what was kept is written anew. */
		snprintf(name, sizeof(name), "containers.damaged-%d", how + 1);
		sys_await_counter("svad_store_writes_total", 1);
		ck_assert_uint_eq(file_read(state(name), aside, sizeof(aside)), bad_len);
		ck_assert_int_eq(memcmp(aside, bad, bad_len), 0);
		ck_assert(sys_log_has(name));
		svad_stopped();
	}
	/* A second start finds nothing wrong with what the first has written. */
	svad_again(QUIET);
	ck_assert_uint_eq(sys_counter("svad_store_damaged_total"), 0);
	svad_stopped();
	/* The cookies of another boot mean nothing, and that is no damage. */
	memcpy(bad, good, len + 1);
	bad[strlen("svad-containers 1 ")] = bad[strlen("svad-containers 1 ")] == '0' ? '1' : '0';
	file_write(state("containers"), bad, len);
	svad_again(QUIET);
	ck_assert_uint_eq(sys_counter("svad_containers"), 0);
	ck_assert_uint_eq(sys_counter("svad_store_damaged_total"), 0);
	svad_stopped();
	/* And good it was all the time. */
	file_write(state("containers"), good, len);
	svad_again(QUIET);
	ck_assert_uint_eq(sys_counter("svad_containers"), 2);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* ---- a disk that takes nothing ---------------------------------------------------------------------------- */

START_TEST(test_cannot_write)
{
	const Svad__V1__Reply *reply;
	struct box box[2];
	struct tenant t;
	char dir[160], aside[160];

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "before");
	tenant_start(&t, &box[0], "sim0 sim1");
	/* Root may write anywhere; but not into what is no directory. */
	snprintf(dir, sizeof(dir), "%s", sys_path("run/state"));
	snprintf(aside, sizeof(aside), "%s", sys_path("aside"));
	MUST_EQ(rename(dir, aside), 0);
	file_write(dir, "", 0);
	reply = ct_register(&box[1], "net", "after", "eth0");
	ck_assert_uint_eq(sys_code(reply), SVAD_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(reply->status->message, dir));
	ck_assert_ptr_null(ct_find("after", false));
	ck_assert_uint_ge(sys_counter("svad_store_failures_total"), 1);
	/* A removal ends its bonds all the same, and says what it could not do. */
	reply = ct_remove("net", "before", "eth0", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_UNAVAILABLE);
	ck_assert_uint_eq(reply->remove_container->ended, 2);
	ck_assert_uint_eq(reply->remove_container->clean, 2);
	MUST_EQ(unlink(dir), 0);
	MUST_EQ(rename(aside, dir), 0);
	/* It was not left at that. */
	ct_registered(&box[1], "after");
	svad_stopped();
	svad_again(QUIET);
	ck_assert_ptr_null(ct_find("before", false));
	ck_assert_ptr_nonnull(ct_find("after", false));
	tenant_kill(&t);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* A second attachment that cannot be stored leaves the first as it was. */
START_TEST(test_undone)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	char *globs[] = { (char *)(uintptr_t) "sim0" };
	const Svad__V1__Container *c;
	struct box box;
	char dir[160], aside[160];

	box_need();
	sys_start(QUIET);
	box_start(&box);
	ask.devices = globs;
	ask.n_devices = 1;
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "net", "pod", "eth0")), SVAD_OK);
	snprintf(dir, sizeof(dir), "%s", sys_path("run/state"));
	snprintf(aside, sizeof(aside), "%s", sys_path("aside"));
	MUST_EQ(rename(dir, aside), 0);
	file_write(dir, "", 0);
	globs[0] = (char *)(uintptr_t) "sim1";
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "net", "pod", "eth1")), SVAD_UNAVAILABLE);
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "net", "pod", "eth0")), SVAD_UNAVAILABLE);
	c = ct_find("pod", false);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->n_attachments, 1);
	ck_assert_uint_eq(c->n_devices, 1);
	ck_assert_str_eq(c->devices[0], "sim0");
	ck_assert_uint_eq(tenant_try(&box, "sim1"), SVAD_PERMISSION_DENIED);
	MUST_EQ(unlink(dir), 0);
	MUST_EQ(rename(aside, dir), 0);
	sys_await_counter("svad_bonds", 0);
	box_kill(&box);
	sys_stop();
}
END_TEST

/* ---- notes ----------------------------------------------------------------------------------------------- */

#define NOTE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NOTE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void note(const char *name, const char *id)
{
	char path[160], text[128];

	(void)mkdir(state("removed"), 0700);
	snprintf(path, sizeof(path), "%s/%s", state("removed"), name);
	snprintf(text, sizeof(text), "net\n%s\neth0\n", id);
	file_write(path, text, strlen(text));
}

static void note_gone(const char *name)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(10000) * 1000000u;
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", state("removed"), name);
	while (access(path, F_OK) == 0) {
		MUST(sys_now_ns() < end);
		poll(NULL, 0, 5);
	}
}

static void await_active(uint64_t n)
{
	sys_await_counter("svad_containers", n);
}

/* DELs that found nobody. */
START_TEST(test_notes)
{
	const Svad__V1__Container *c;
	struct box box[2];
	char path[160];

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "missed");
	ct_registered(&box[1], "stays");
	svad_stopped();
	note(NOTE_A, "missed");
	note(NOTE_B, "never-heard-of");
	snprintf(path, sizeof(path), "%s/.unfinished", state("removed"));
	file_write(path, "net\nstays\neth0\n", 15);
	svad_again(QUIET);
	/* Before anybody could connect. */
	ck_assert_ptr_null(ct_find("missed", false));
	ck_assert_ptr_nonnull(ct_find("stays", false));
	ck_assert_uint_eq(tenant_try(&box[0], "sim0"), SVAD_PERMISSION_DENIED);
	note_gone(NOTE_A);
	note_gone(NOTE_B);
	ck_assert_int_eq(access(path, F_OK), 0);
	c = ct_find("missed", true);
	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(strstr(c->timeline[1]->text, "while svad was down"));
	/* While svad runs they are found, too. */
	note(NOTE_B, "stays");
	await_active(0);
	note_gone(NOTE_B);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* A note of what ended before the same attachment was made again. */
START_TEST(test_old_note)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct box box;
	char path[160];

	box_need();
	sys_start(QUIET);
	box_start(&box);
	ct_registered(&box, "again");
	svad_stopped();
	note(NOTE_A, "again");
	snprintf(path, sizeof(path), "%s/%s", state("removed"), NOTE_A);
	MUST_EQ(utimensat(AT_FDCWD, path, old, 0), 0);
	svad_again(QUIET);
	note_gone(NOTE_A);
	ck_assert_ptr_nonnull(ct_find("again", false));
	box_kill(&box);
	sys_stop();
}
END_TEST

static bool no_note_left(void)
{
	DIR *dir = opendir(state("removed"));
	const struct dirent *e;
	bool none = true;

	MUST(dir != NULL);
	while ((e = readdir(dir)))
		none = none && e->d_name[0] == '.';
	closedir(dir);
	return none;
}

/* More of them than the channel to a broker that is only just starting has room for, and one that is no note. */
START_TEST(test_many_notes)
{
	uint64_t end;
	char name[80];

	box_need();
	sys_start(QUIET);
	svad_stopped();
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%064x", i);
		note(name, i % 2 ? "never-heard-of" : "x\n");
	}
	snprintf(name, sizeof(name), "%s/%064x", "removed", 7u);
	file_write(state(name), "nonsense", 8);
	svad_again(QUIET);
	end = sys_now_ns() + (uint64_t)sys_ms(120000) * 1000000u;
	while (!no_note_left()) {
		MUST(sys_now_ns() < end);
		poll(NULL, 0, 20);
	}
	ck_assert_uint_eq(sys_counter("svad_broker_restarts_total"), 0);
	sys_stop();
}
END_TEST

static Suite *store_suite(void)
{
	Suite *s = suite_create("container-store");

	sys_test(s, "broker-killed", test_broker_killed);
	sys_test(s, "killed-while-removing", test_killed_while_removing);
	sys_test(s, "all-killed", test_all_killed);
	sys_test(s, "damaged", test_damaged);
	sys_test(s, "cannot-write", test_cannot_write);
	sys_test(s, "undone", test_undone);
	sys_test(s, "notes", test_notes);
	sys_test(s, "many-notes", test_many_notes);
	sys_test(s, "old-note", test_old_note);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, store_suite, NULL);
}
