// SPDX-License-Identifier: GPL-2.0-or-later
// The library's headers and linkage from C++11. Needs no daemon: what fails must say so in words.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sva/queue.h>
#include <sva/sva.h>
#include <sva/svabroker.h>

static int n, failed;

static void check(bool ok, const char *what)
{
	std::printf("%sok %d - %s\n", ok ? "" : "not ", ++n, what);
	failed |= !ok;
}

int main()
{
	struct sva *sva = nullptr;
	struct sva_queue *queue = nullptr;
	struct sva_selector selector = {};
	struct sva_bond *bond = nullptr;
	auto handler = [](struct sva *, struct sva_bond *, const struct sva_event *, void *) {};

	std::printf("1..4\n");
	int r = sva_connect("/nonexistent/svad.sock", 100, &sva);
	check(r == -ECONNREFUSED && std::strstr(sva_strerror(nullptr, r), "is it running"), "connect fails in words");
	check(sva_bind_selector(sva, &selector, &bond) == -EINVAL && sva_unbind(bond, SVA_STATE_NONE) == -EINVAL,
	      "bind and unbind of nothing");
	check(sva_set_revoked_handler(sva, handler, nullptr) == -EINVAL, "a lambda is a handler");
	check(sva_queue_new(bond, 4, &queue) == -EINVAL && sizeof(struct sva_demo_desc) == 64 &&
		      sizeof(struct sva_demo_completion) == 32,
	      "queue and descriptor layout");
	return failed;
}
