// SPDX-License-Identifier: GPL-2.0-or-later
#include "cni-run.h"

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "tap.h"

static char last_err[8192], last_words[4096];

static int memory(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static char *content(int fd)
{
	struct stat st;
	char *text;

	ck_assert_int_eq(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	return text;
}

/* Nothing of ours but what the sanitizers and the coverage look at. */
static char **environment(const struct cni_env *env)
{
	static const char *const kept[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "GCOV_PREFIX",
					    "SVAD_ADMIN_SOCKET" };
	const struct {
		const char *name, *value;
	} ours[] = {
		{ "CNI_COMMAND", env->command }, { "CNI_CONTAINERID", env->id },
		{ "CNI_NETNS", env->netns },	 { "CNI_IFNAME", env->ifname },
		{ "CNI_ARGS", env->args },	 { "CNI_PATH", "/opt/cni/bin" },
	};
	char **list = calloc(16, sizeof(*list));
	unsigned n = 0;

	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (ours[i].value && asprintf(&list[n], "%s=%s", ours[i].name, ours[i].value) > 0)
			n++;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (getenv(kept[i]) && asprintf(&list[n], "%s=%s", kept[i], getenv(kept[i])) > 0)
			n++;
	return list;
}

void cni_run(const struct cni_env *env, const void *conf, size_t len, struct cni_result *ret)
{
	int in = memory("stdin", conf, len), out = memory("stdout", "", 0), err = memory("stderr", "", 0);
	char program[4096], **list = environment(env);
	pid_t parent = getpid(), pid;

	(void)snprintf(program, sizeof(program), "%s/sva", tap_builddir());
	pid = fork();
	if (pid == 0) {
		char *argv[] = { program, NULL };

		die_with_parent(parent, SIGKILL);
		if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
			_exit(99);
		execve(program, argv, list);
		_exit(98);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &ret->status, 0), pid);
	close(in);
	ret->out = content(out);
	ret->err = content(err);
	ret->json = json_loads(ret->out, 0, NULL);
	(void)snprintf(last_err, sizeof(last_err), "%s", ret->err);
	(void)snprintf(last_words, sizeof(last_words), "%s\n%s",
		       json_string_value(json_object_get(ret->json, "msg")) ?: "",
		       json_string_value(json_object_get(ret->json, "details")) ?: "");
	for (unsigned i = 0; list[i]; i++)
		free(list[i]);
	free(list);
}

void cni_free(struct cni_result *r)
{
	free(r->out);
	free(r->err);
	json_decref(r->json);
	memset(r, 0, sizeof(*r));
}

json_t *cni_good(const struct cni_env *env, const char *conf)
{
	struct cni_result r;
	json_t *json;

	cni_run(env, conf, strlen(conf), &r);
	ck_assert_msg(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0, "status %#x, stdout %s, stderr %s",
		      r.status, r.out, r.err);
	ck_assert_msg(r.json || !*r.out, "no JSON: %s", r.out);
	json = json_incref(r.json);
	cni_free(&r);
	return json;
}

void cni_bad(const struct cni_env *env, const char *conf, const char *version, int code, const char *words)
{
	struct cni_result r;

	cni_run(env, conf, strlen(conf), &r);
	ck_assert_msg(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 1,
		      "%s: status %#x, stdout %s, stderr %s", conf, r.status, r.out, r.err);
	ck_assert_msg(r.json != NULL, "%s: no JSON: %s, stderr %s", conf, r.out, r.err);
	ck_assert_msg(json_integer_value(json_object_get(r.json, "code")) == code, "%s: not code %d: %s",
		      conf, code, r.out);
	ck_assert_str_eq(json_string_value(json_object_get(r.json, "cniVersion")), version);
	ck_assert_msg(strstr(last_words, words) != NULL, "%s: nothing of \"%s\" in %s", conf, words, r.out);
	ck_assert_msg(strstr(r.err, "error ") != NULL, "nothing on stderr: %s", r.err);
	cni_free(&r);
}

void cni_logged(const char *words)
{
	ck_assert_msg(strstr(last_err, words) != NULL, "nothing of \"%s\" in the log: %s", words, last_err);
}

const char *cni_words(void)
{
	return last_words;
}

pid_t cni_netns(char *path)
{
	pid_t parent = getpid(), pid;
	int pipes[2];
	char byte = 0;

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		die_with_parent(parent, SIGKILL);
		byte = unshare(CLONE_NEWNET) < 0 ? 'n' : 'y';
		(void)!write(pipes[1], &byte, 1);
		for (;;)
			pause();
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	if (byte != 'y') {
		cni_netns_end(pid);
		tap_skip("making a network namespace takes root");
	}
	(void)snprintf(path, 64, "/proc/%d/ns/net", (int)pid);
	return pid;
}

void cni_netns_end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}
