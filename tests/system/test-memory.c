/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client does to its memory under DMA: takes it away, protects it, lets it wait for ever. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slow-file.h"
#include "work.h"

/* ---- memory goes ------------------------------------------------------------------------------------- */

static void unmap_client(void *arg)
{
	struct sva_demo_completion *done = aligned_alloc(32, 32);
	struct sva_demo_desc desc = raw_fill(target(), PATTERN, BYTES);
	bool protect = arg != NULL;
	struct raw_bond bond;
	struct raw raw;
	uint32_t status;

	memset(done, 0, sizeof(*done));
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	desc.completion = (uintptr_t)done;
	raw_submit(&bond, &desc);
	say("bond %llu pasid %u", (unsigned long long)bond.id, bond.pasid);
	hear_this("take");
	if (protect)
		MUST_EQ(mprotect(TARGET, BYTES, PROT_READ), 0);
	else
		MUST_EQ(munmap(TARGET, BYTES), 0);
	say("taken");
	status = raw_wait(&bond, done);
	MUST_EQ(status, protect ? SVA_DEMO_FAULT_PERMISSION : SVA_DEMO_FAULT_UNMAPPED);
	MUST(done->fault_addr >= (uintptr_t)TARGET && done->fault_addr < (uintptr_t)TARGET + BYTES);
	MUST_EQ(done->fault_addr, (uintptr_t)TARGET + done->bytes);
	if (protect) {
		MUST(filled(TARGET, PATTERN, done->bytes));
		MUST(filled((char *)TARGET + done->bytes, 0, BYTES - done->bytes)); /* not written, though /proc/PID/mem could */
	}
	say("fault %llx", (unsigned long long)done->fault_addr);
	/* the bond is good still */
	MUST_EQ(raw_run(&bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
}

static void memory_goes(bool protect)
{
	struct child neighbour;
	struct worker w;
	Svad__V1__Event *event;
	unsigned long long address;

	sys_start("");
	bystander_start(&neighbour, "sim1");
	worker_start(&w, unmap_client, protect ? &w : NULL);
	sys_tell(&w.child, "take");
	sys_expect(&w.child, "taken");
	sys_fault_ok("unhold sim0");
	ck_assert_int_eq(sscanf(sys_expect(&w.child, "fault"), "fault %llx", &address), 1);
	ck_assert_int_eq(sys_reap(&w.child), 0);
	event = sys_event(SVAD__V1__EVENT_KIND__EVENT_FAULT, w.bond);
	ck_assert_uint_eq(event->address, address);
	ck_assert_uint_eq(event->code, protect ? SVAB_FAULT_PERMISSION : SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(event->pasid, w.pasid);
	ck_assert_uint_eq(sys_counter("svad_faults_total"), 1);
	ck_assert_uint_eq(sys_device("sim0")->faults, 1);
	ck_assert_uint_eq(sys_device("sim1")->faults, 0);
	bystander_end(&neighbour);
	sys_stop();
}

START_TEST(test_unmap)
{
	memory_goes(false);
}
END_TEST

START_TEST(test_read_only)
{
	memory_goes(true);
}
END_TEST

/* ---- a page that never comes ------------------------------------------------------------------------- */

static void userfault_client(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)TARGET, BYTES }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct sva_demo_completion *done = aligned_alloc(32, 32);
	struct sva_demo_desc desc = raw_fill(target(), PATTERN, BYTES);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	MUST(fd >= 0);
	MUST_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	MUST_EQ(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	memset(done, 0, sizeof(*done));
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	desc.completion = (uintptr_t)done;
	raw_submit(&bond, &desc);
	say("bond %llu pasid %u", (unsigned long long)bond.id, bond.pasid);
	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = say_sock, .events = POLLIN } };
		uint32_t status = __atomic_load_n(&done->status, __ATOMIC_ACQUIRE);

		if (status) {
			MUST_EQ(status, SVA_DEMO_FAULT_UNMAPPED);
			MUST_EQ(done->fault_addr, (uintptr_t)TARGET);
			say("fault");
			break;
		}
		if (poll(p, 2, 1) > 0 && (p[0].revents & POLLIN)) {
			say("blocked"); /* and nobody will answer */
			break;
		}
	}
	hear_this("end");
}

START_TEST(test_userfault)
{
	int probe = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct child neighbours[3];
	struct worker w;
	bool blocked;

	if (probe < 0)
		tap_skip("userfaultfd: %s; run as root, or with vm.unprivileged_userfaultfd = 1", strerror(errno));
	close(probe);
	sys_start("[device \"sim0\"]\nengines = 1\ndrain_deadline = 600ms\n[device \"sim1\"]\n");
	sys_child(&w.child, userfault_client, NULL);
	worker_parse(&w);
	/* Linux lets /proc/PID/mem not wait for a userfault: the access fails, as on a page that is not there. Should it wait one day, the
	 * bond is one that does not stop. */
	blocked = strcmp(sys_expect(&w.child, ""), "blocked") == 0;
	for (int i = 0; i < 3; i++)
		bystander_start(&neighbours[i], "sim0");
	for (int i = 0; i < 3; i++)
		bystander_check(&neighbours[i]);
	if (blocked) {
		Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;

		revoke.bond = w.bond;
		ck_assert_uint_eq(sys_code(sys_revoke(&revoke)), SVAD_OK);
		sys_event(SVAD__V1__EVENT_KIND__EVENT_QUARANTINED, w.bond);
	} else {
		ck_assert_uint_eq(sys_event(SVAD__V1__EVENT_KIND__EVENT_FAULT, w.bond)->code, SVAB_FAULT_UNMAPPED);
	}
	sys_kill(&w.child, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, w.bond);
	for (int i = 0; i < 3; i++)
		bystander_end(&neighbours[i]);
	sys_stop();
}
END_TEST

static void blocked_client(void *arg)
{
	void *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, *(int *)arg, 0);
	struct sva_demo_desc desc = raw_copy(pages(4096), file, 4096);
	struct raw_bond bond;
	struct raw raw;

	MUST(file != MAP_FAILED);
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	raw_submit(&bond, &desc);
	say("bond %llu pasid %u", (unsigned long long)bond.id, bond.pasid);
	hear_this("end");
}

START_TEST(test_page_that_never_comes)
{
	Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
	int file = slow_file_open(20000);
	struct child neighbours[3];
	Svad__V1__Reply *reply;
	struct worker w, next;

	if (file < 0)
		tap_skip("cannot mount a FUSE file system here: %s (needs root, and modprobe fuse)", strerror(errno));
	sys_start("[device \"sim0\"]\nengines = 1\ndrain_deadline = 600ms\n[device \"sim1\"]\n");
	sys_child_inherits(&w.child, blocked_client, &file);
	worker_parse(&w);
	ck_assert(slow_file_wait_read(10000));
	/* its device has one engine, and serves others all the same */
	for (int i = 0; i < 3; i++)
		bystander_start(&neighbours[i], "sim0");
	for (int i = 0; i < 3; i++)
		bystander_check(&neighbours[i]);
	/* it cannot be stopped while it waits for the page */
	revoke.bond = w.bond;
	reply = sys_revoke(&revoke);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->quarantined, 1);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_QUARANTINED, w.bond);
	for (int i = 0; i < 3; i++)
		bystander_end(&neighbours[i]);
	/* nor does a reset help an access that is under way */
	reply = sys_reset("sim0");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->reset_device->quarantined, 1);
	/* the process is gone; its PASID is withheld until the access has come back */
	sys_kill(&w.child, SIGKILL);
	ck_assert_uint_eq(sys_counter("svad_bonds_quarantined"), 1);
	sys_child(&next.child, work_and_wait, NULL);
	worker_parse(&next);
	ck_assert_uint_ne(next.pasid, w.pasid);
	sys_end(&next.child);
	slow_file_release();
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, w.bond);
	close(file);
	sys_stop();
}
END_TEST

static Suite *memory_suite(void)
{
	Suite *s = suite_create("memory");

	sys_test(s, "unmap", test_unmap);
	sys_test(s, "read-only", test_read_only);
	sys_test(s, "userfault", test_userfault);
	sys_test(s, "page-that-never-comes", test_page_that_never_comes);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, memory_suite, NULL);
}
