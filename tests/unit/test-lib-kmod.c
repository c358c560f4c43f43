// SPDX-License-Identifier: GPL-2.0-or-later
// libsvaclient on the kernel module's half: the broker is the fake one, and the module's ioctls are answered here, by an
// ioctl() that comes before libc's.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kmod/svabroker.h"
#include "../../proto/status.h"
#include "lib-world.h"

static struct {
	int bind_error, unbind_error;
	unsigned interrupts; // SVAB_UNBIND ends with EINTR so often
	uint32_t unbind_state, vouched;
	uint64_t last_bond;
	unsigned binds, unbinds, probes;
	int hold;	  // the module's end of the newest bond's fd: closed when it is revoked
	uint32_t device; // of the last bind
} module = { .hold = -1 };

static int do_bind(struct svab_bind *bind)
{
	int pair[2];

	if (bind->size == 0) {
		module.probes++;
		return -EINVAL;
	}
	if (bind->size != sizeof(*bind) || bind->flags || bind->at_random)
		return -EINVAL;
	module.binds++;
	if (module.bind_error)
		return -module.bind_error;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (module.hold >= 0)
		close(module.hold);
	module.hold = pair[0];
	module.device = bind->device;
	bind->bond = ++module.last_bond;
	bind->pasid = 40 + (uint32_t)bind->bond;
	bind->bond_fd = pair[1];
	bind->portal_size = 0;
	return 0;
}

static int do_unbind(struct svab_unbind *unbind)
{
	if (module.interrupts) {
		module.interrupts--;
		return -EINTR;
	}
	module.unbinds++;
	module.vouched = unbind->state;
	if (unbind->size != sizeof(*unbind) || unbind->flags || unbind->pad)
		return -EINVAL;
	if (module.unbind_error)
		return -module.unbind_error;
	unbind->state = module.unbind_state;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == SVAB_BIND)
		r = do_bind(arg);
	else if (request == SVAB_UNBIND)
		r = do_unbind(arg);
	else
		return (int)syscall(SYS_ioctl, fd, request, arg);
	errno = r < 0 ? -r : errno;
	return r < 0 ? -1 : 0;
}

static void setup(void)
{
	world_setup();
	module.unbind_state = SVAB_PASID_CLEAN;
	atomic_store(&fake.rpc, FAKE_GOOD);
	atomic_store(&fake.bind_fd, FAKE_WRONG_FD); // what it sends is no socket; the ioctl above makes it the module's
}

static void teardown(void)
{
	if (module.hold >= 0)
		close(module.hold);
	module.hold = -1;
	world_teardown();
}

// The fake sends a fd with every grant, and the first is kept.
START_TEST(test_bind)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *a, *b;

	a = bound(sva, "sim0");
	ck_assert_uint_eq(sva_bond_pasid(a), 41);
	ck_assert_uint_eq(module.probes, 1);
	ck_assert_int_eq(sva_bind(sva, "sim0", &b), 0);
	ck_assert_ptr_eq(a, b);
	ck_assert_uint_eq(module.binds, 1);
	ck_assert_int_eq(sva_bond_kick(a), 0); // there is nobody to kick
	ck_assert_int_eq(sva_unbind(b, SVA_STATE_NONE), 1);
	ck_assert_uint_eq(module.unbinds, 0);
	module.interrupts = 3;
	ck_assert_int_eq(sva_unbind(a, SVA_STATE_FLUSHED), 0);
	ck_assert_uint_eq(module.unbinds, 1);
	ck_assert_uint_eq(module.vouched, SVAB_PASID_FLUSHED);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_bind_refused)
{
	static const struct {
		int error;
		const char *words;
	} refusals[] = {
		{ EACCES, "bind again" },
		{ EBUSY, "still draining" },
		{ EPERM, "the kernel refused the bind" },
		{ ENODEV, "the kernel refused the bind" },
		{ ENOSPC, "the kernel refused the bind" },
	};
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		module.bind_error = refusals[i].error;
		ck_words(sva, sva_bind(sva, "sim0", &bond), -refusals[i].error, refusals[i].words);
	}
	module.bind_error = 0;
	bond = bound(sva, "sim0");
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_unbind_refused)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");

	module.unbind_error = EBUSY;
	ck_words(sva, sva_unbind(bond, SVA_STATE_CLEAN), -EEXIST, "work is outstanding");
	module.unbind_error = EINVAL;
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -EINVAL, "cannot stop by itself");
	module.unbind_error = EPERM;
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -EPERM, "another address space");
	module.unbind_error = 0;
	module.unbind_state = SVAB_PASID_QUARANTINED;
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -EBUSY, "did not stop");
	module.unbind_state = SVAB_PASID_BOUND; // another context of this process holds it too
	bond = bound(sva, "sim0");
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 1);
	sva_disconnect(sva);
}
END_TEST

static unsigned told;

static void on_event(struct sva *sva, struct sva_bond *bond, const struct sva_event *event, void *userdata)
{
	(void)sva;
	ck_assert_ptr_eq(bond, *(struct sva_bond **)userdata);
	ck_assert_int_eq((int)event->reason, SVA_REVOKED);
	told++;
}

START_TEST(test_revoked)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	struct pollfd p = { .fd = sva_fd(sva), .events = POLLIN };

	ck_assert_int_eq(sva_set_revoked_handler(sva, on_event, &bond), 0);
	// The module hangs the bond's fd up, and svad says nothing: it may be dead.
	close(module.hold);
	module.hold = -1;
	while (told == 0) {
		ck_assert_int_eq(poll(&p, 1, PATIENT), 1);
		ck_assert_int_ge(sva_dispatch(sva), 0);
	}
	ck_assert_uint_eq(told, 1);
	// The module still knows how it ended.
	module.unbind_state = SVAB_PASID_CLEAN;
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_shut_down)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");

	// No answer from the module: svad is asked what became of the bond. The fake lists none: it is no more.
	module.unbind_error = ESHUTDOWN;
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_fork)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	struct pollfd p = { .fd = module.hold };
	int status, go[2];
	char c;
	pid_t pid;

	fake_settle(&fake);
	ck_assert_int_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		close(module.hold);
		if (sva_unbind(bond, SVA_STATE_NONE) != -EOWNERDEAD)
			_exit(1);
		_exit(read(go[0], &c, 1) == 0 ? 0 : 2);
	}
	close(go[0]);
	// The child has no copy of the bond's fd: the last close is the parent's.
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	ck_assert_int_eq(poll(&p, 1, PATIENT), 1);
	ck_assert_int_ne(p.revents & POLLHUP, 0);
	close(go[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	sva_disconnect(sva);
}
END_TEST

static Suite *kmod_suite(void)
{
	Suite *s = suite_create("lib-kmod");
	TCase *c = tcase_create("lib-kmod");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, test_bind);
	tcase_add_test(c, test_bind_refused);
	tcase_add_test(c, test_unbind_refused);
	tcase_add_test(c, test_revoked);
	tcase_add_test(c, test_shut_down);
	tcase_add_test(c, test_fork);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	return tap_main(argc, argv, kmod_suite, NULL);
}
