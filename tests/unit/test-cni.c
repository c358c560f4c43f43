/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CNI plugin's side towards the runtime: versions, environment, configuration; and stdin that is anything
 * at all. No svad. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "cni-run.h"
#include "tap.h"

static const char *const versions[] = { "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))

/* A DEL with no svad gets through the whole request, and succeeds. */
static const struct cni_env del = { "DEL", "c1", "", "eth0", "" };
static const struct cni_env add = { "ADD", "c1", "/nonexistent", "eth0", "" };
static const struct cni_env check = { "CHECK", "c1", "/nonexistent", "eth0", "" };
static const struct cni_env gc = { .command = "GC" };

#define CONF(VERSION, MORE)                                                                                  \
	"{\"cniVersion\":\"" VERSION                                                                         \
	"\",\"name\":\"net\",\"type\":\"sva\",\"adminSocket\":\"/nonexistent/admin.sock\"" MORE "}"

/* ---- VERSION ---- */

static void ck_supported(const json_t *json, const char *version)
{
	const json_t *list = json_object_get(json, "supportedVersions");

	ck_assert_str_eq(json_string_value(json_object_get(json, "cniVersion")), version);
	ck_assert_uint_eq(json_array_size(list), N_VERSIONS);
	for (size_t i = 0; i < N_VERSIONS; i++)
		ck_assert_str_eq(json_string_value(json_array_get(list, i)), versions[i]);
}

START_TEST(test_version)
{
	static const struct cni_env bare = { .command = "VERSION" };
	static const struct cni_env dummy = { "VERSION", "dummy", "dummy", "dummy", "dummy" };
	char conf[64];
	json_t *json;

	for (size_t i = 0; i < N_VERSIONS; i++) {
		(void)snprintf(conf, sizeof(conf), "{\"cniVersion\":\"%s\"}", versions[i]);
		json = cni_good(i % 2 ? &bare : &dummy, conf);
		ck_supported(json, versions[i]);
		json_decref(json);
	}
	json = cni_good(&dummy, "{\"cniVersion\":\"9.9.9\"}"); /* who asks may know versions that we do not */
	ck_supported(json, "9.9.9");
	json_decref(json);
	json = cni_good(&bare, "");
	ck_supported(json, "1.1.0");
	json_decref(json);
	json = cni_good(&bare, "garbage");
	ck_supported(json, "1.1.0");
	json_decref(json);
}
END_TEST

START_TEST(test_version_incompatible)
{
	cni_bad(&del, CONF("0.5.0", ""), "1.1.0", 1, "0.5.0");
	cni_bad(&del, CONF("2.0.0", ""), "1.1.0", 1, "1.1.0");
	cni_bad(&add, "{\"cniVersion\":1,\"name\":\"net\"}", "1.1.0", 7, "cniVersion");
	ck_assert_ptr_null(cni_good(
		&del, "{\"name\":\"net\",\"adminSocket\":\"/nonexistent/a\"}")); /* 0.1.0 had no such key */
	cni_bad(&add, "{\"name\":\"net\"}", "0.1.0", 4, "CNI_NETNS");
}
END_TEST

START_TEST(test_command_since)
{
	static const struct cni_env status = { .command = "STATUS" };
	char conf[256];

	for (size_t i = 0; i < N_VERSIONS; i++) {
		(void)snprintf(conf, sizeof(conf),
			       "{\"cniVersion\":\"%s\",\"name\":\"net\",\"type\":\"sva\",\"adminSocket\":\"/"
			       "nonexistent/admin.sock\"}",
			       versions[i]);
		cni_bad(&check, conf, versions[i], i < 4 ? 1 : 4, i < 4 ? "CHECK" : "CNI_NETNS");
		cni_bad(&gc, conf, versions[i], i < 6 ? 1 : 11, i < 6 ? "GC" : "is it running");
		cni_bad(&status, conf, versions[i], i < 6 ? 1 : 50, i < 6 ? "STATUS" : "is it running");
		ck_assert_ptr_null(cni_good(&del, conf));
	}
}
END_TEST

/* ---- environment ---- */

START_TEST(test_environment)
{
	static const struct {
		struct cni_env env;
		const char *words;
	} cases[] = {
		{ { NULL, "c1", "/x", "eth0", "" }, "CNI_COMMAND" },
		{ { "", "c1", "/x", "eth0", "" }, "CNI_COMMAND" },
		{ { "FROBNICATE", "c1", "/x", "eth0", "" }, "FROBNICATE" },
		{ { "add", "c1", "/x", "eth0", "" }, "CNI_COMMAND" },
		{ { "ADD", NULL, "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "ADD", "", "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "ADD", "-c1", "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "ADD", ".c1", "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "ADD", "c 1", "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "ADD", "c/1", "/x", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "DEL", "c\n1", "", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "DEL", "c\xff", "", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "DEL", "", "", "eth0", "" }, "CNI_CONTAINERID" },
		{ { "DEL", "c1", "", NULL, "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", ".", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "..", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "eth/0", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "eth:0", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "eth 0", "" }, "CNI_IFNAME" },
		{ { "DEL", "c1", "", "0123456789abcdef", "" }, "CNI_IFNAME" },
		{ { "ADD", "c1", NULL, "eth0", "" }, "CNI_NETNS" },
		{ { "ADD", "c1", "", "eth0", "" }, "CNI_NETNS" },
		{ { "CHECK", "c1", "", "eth0", "" }, "CNI_NETNS" },
		{ { "ADD", "c1", "/nonexistent", "eth0", "" }, "CNI_NETNS" },
		{ { "ADD", "c1", "/etc/passwd", "eth0", "" }, "CNI_NETNS" },
		{ { "ADD", "c1", "/proc/self/ns/mnt", "eth0", "" }, "CNI_NETNS" },
		{ { "ADD", "c1", "/proc/self/ns/net", "eth0", "" }, "host" }, /* its own */
		{ { "ADD", "c1", "/x", "eth0", "nonsense" }, "CNI_ARGS" },
		{ { "ADD", "c1", "/x", "eth0", "=x" }, "CNI_ARGS" },
		{ { "ADD", "c1", "/x", "eth0", "A=b;K8S_POD_NAME=a b" }, "K8S_POD_NAME" },
		{ { "ADD", "c1", "/x", "eth0", "A=b;;K8S_POD_UID=\x01" }, "K8S_POD_UID" },
	};
	char id[300];
	struct cni_env env = del;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cni_bad(&cases[i].env, CONF("1.0.0", ""),
			cases[i].env.command && *cases[i].env.command ? "1.0.0" : "1.1.0", 4, cases[i].words);
	memset(id, 'a', sizeof(id));
	id[256] = '\0';
	env.id = id;
	cni_bad(&env, CONF("1.0.0", ""), "1.0.0", 4, "CNI_CONTAINERID");
	id[255] = '\0';
	ck_assert_ptr_null(cni_good(&env, CONF("1.0.0", "")));
	env = del;
	env.args = "what=ever;nonsense"; /* a DEL does not care */
	env.ifname = "0123456789abcde";
	ck_assert_ptr_null(cni_good(&env, CONF("1.0.0", "")));
}
END_TEST

/* ---- configuration ---- */

/* What an attachment is registered with concerns ADD alone. */
START_TEST(test_config_wrong)
{
	static const struct {
		const char *more; /* of the configuration */
		int code;
		const char *words;
	} only_add[] = {
		{ ",\"devices\":\"sim0\"", 7, "devices" },
		{ ",\"devices\":[]", 7, "devices" },
		{ ",\"devices\":[\"sim0\",1]", 7, "devices" },
		{ ",\"devices\":[\"\"]", 7, "devices" },
		{ ",\"limits\":[]", 7, "limits" },
		{ ",\"limits\":{\"bonds\":\"4\"}", 7, "limits.bonds" },
		{ ",\"limits\":{\"bonds\":0}", 7, "limits.bonds" },
		{ ",\"limits\":{\"bonds\":-1}", 7, "limits.bonds" },
		{ ",\"limits\":{\"bonds\":4294967296}", 7, "limits.bonds" },
		{ ",\"limits\":{\"connections\":1.5}", 7, "limits.connections" },
		{ ",\"limits\":{\"requestsPerSecond\":true}", 7, "limits.requestsPerSecond" },
		{ ",\"limits\":{\"drainDeadline\":2}", 7, "limits.drainDeadline" },
		{ ",\"limits\":{\"drainDeadline\":\"2\"}", 7, "limits.drainDeadline" },
		{ ",\"limits\":{\"drainDeadline\":\"2 s\"}", 7, "limits.drainDeadline" },
		{ ",\"limits\":{\"drainDeadline\":\"99999999999999999999s\"}", 7, "limits.drainDeadline" },
		{ ",\"limits\":{\"bond\":4}", 2, "limits.bond: 4" },
		{ ",\"runtimeConfig\":[]", 7, "runtimeConfig" },
		{ ",\"runtimeConfig\":{\"sva\":1}", 7, "runtimeConfig.sva" },
		{ ",\"runtimeConfig\":{\"sva\":{\"device\":[]}}", 2, "runtimeConfig.sva.device: []" },
		{ ",\"runtimeConfig\":{\"sva\":{\"limits\":{\"bonds\":\"x\"}}}", 7,
		  "runtimeConfig.sva.limits.bonds" },
		{ ",\"runtimeConfig\":{\"sva\":{\"limits\":{\"x\":1}}}", 2, "runtimeConfig.sva.limits.x: 1" },
	};
	char conf[512];

	for (size_t i = 0; i < sizeof(only_add) / sizeof(only_add[0]); i++) {
		(void)snprintf(conf, sizeof(conf), CONF("1.1.0", "%s"), only_add[i].more);
		cni_bad(&add, conf, "1.1.0", only_add[i].code, only_add[i].words);
		cni_bad(&check, conf, "1.1.0", 4, "CNI_NETNS");
		cni_bad(&gc, conf, "1.1.0", 11, "is it running");
		ck_assert_ptr_null(cni_good(&del, conf));
	}
	cni_bad(&add, CONF("1.1.0", ",\"prevResult\":[]"), "1.1.0", 7, "prevResult");
	ck_assert_ptr_null(cni_good(&del, CONF("1.1.0", ",\"prevResult\":[]")));
}
END_TEST

/* What DEL does without; GC, which comes this far, says that there is no svad. */
START_TEST(test_config_forgiven)
{
	static const struct {
		const char *more, *words;
	} cases[] = {
		{ ",\"timeout\":5", "timeout" },
		{ ",\"timeout\":\"1ms\"", "timeout" },
		{ ",\"delTimeout\":\"fast\"", "delTimeout" },
		{ ",\"delTimeout\":\"11min\"", "delTimeout" },
		{ ",\"strictDel\":1", "strictDel" },
		{ ",\"strictDel\":\"true\"", "strictDel" },
		{ ",\"stateDir\":\"state\"", "stateDir" },
		{ ",\"stateDir\":[]", "stateDir" },
		{ ",\"adminSocket\":\"admin.sock\"", "adminSocket" },
		{ ",\"adminSocket\":{}", "adminSocket" },
		{ ",\"type\":7", "type" },
	};
	char conf[512];

	setenv("SVAD_ADMIN_SOCKET", "/nonexistent/admin.sock", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(conf, sizeof(conf), "{\"cniVersion\":\"1.1.0\",\"name\":\"net\"%s}",
			       cases[i].more);
		cni_bad(&add, conf, "1.1.0", 7, cases[i].words);
		cni_bad(&check, conf, "1.1.0", 7, cases[i].words);
		ck_assert_ptr_null(cni_good(&del, conf));
		cni_logged(cases[i].words);
		cni_logged("the default is taken");
		cni_bad(&gc, conf, "1.1.0", 11, "is it running");
		cni_logged(cases[i].words);
	}
	/* The default, and not what is wrong: with this strictDel it would fail. */
	ck_assert_ptr_null(cni_good(&del, CONF("1.1.0", ",\"strictDel\":\"true\"")));
	cni_bad(&del, CONF("1.1.0", ",\"delTimeout\":1,\"strictDel\":true"), "1.1.0", 11, "strictDel is set");
	/* What is valid is never guessed. */
	cni_bad(&gc, CONF("1.1.0", ",\"cni.dev/valid-attachments\":{}"), "1.1.0", 7, "valid-attachments");
	unsetenv("SVAD_ADMIN_SOCKET");
}
END_TEST

/* Without a name there is no attachment. */
START_TEST(test_config_name)
{
	static const char *const names[] = {
		"7", "\"\"", "\"a b\"", "\"-a\"", "null",
	};
	char conf[512];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(conf, sizeof(conf), "{\"cniVersion\":\"1.1.0\",\"name\":%s}", names[i]);
		cni_bad(&add, conf, "1.1.0", 7, "name");
		cni_bad(&del, conf, "1.1.0", 7, "name");
		cni_bad(&gc, conf, "1.1.0", 7, "name");
	}
	cni_bad(&del, "{\"cniVersion\":\"1.0.0\",\"plugins\":[]}", "1.0.0", 7, "not the list");
}
END_TEST

/* As many globs, and each as long, as svad takes. */
START_TEST(test_config_globs)
{
	char glob[80], list[8192], conf[9000];

	for (unsigned n = 64; n <= 65; n++) {
		list[0] = '\0';
		for (unsigned i = 0; i < n; i++)
			(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\"a%u*\"",
				       i ? "," : "", i);
		(void)snprintf(conf, sizeof(conf), CONF("1.0.0", ",\"devices\":[%s]"), list);
		cni_bad(&add, conf, "1.0.0", n == 64 ? 4 : 7, n == 64 ? "CNI_NETNS" : "1 to 64 device names");
	}
	for (unsigned n = 63; n <= 64; n++) {
		memset(glob, 'a', n);
		glob[n] = '\0';
		(void)snprintf(conf, sizeof(conf), CONF("1.0.0", ",\"devices\":[\"%s\"]"), glob);
		cni_bad(&add, conf, "1.0.0", n == 63 ? 4 : 7, n == 63 ? "CNI_NETNS" : "1 to 63 bytes");
	}
}
END_TEST

/* What others put there, and what may be left out. */
START_TEST(test_config_tolerated)
{
	static const char *const more[] = {
		"",
		",\"capabilities\":{\"sva\":true,\"portMappings\":true}",
		",\"cniVersions\":[\"1.0.0\",\"1.1.0\"],\"disableCheck\":true,\"disableGC\":true",
		",\"args\":{\"cni\":{\"labels\":[{\"key\":\"a\",\"value\":\"b\"}]}},\"dns\":{},\"ipMasq\":"
		"true,\"ipam\":{}",
		",\"unknown\":{\"deep\":[1,2.5,null,\"\\u00e4\"]},\"limits\":null,\"devices\":null,"
		"\"strictDel\":null",
		",\"delTimeout\":\"250ms\",\"timeout\":\"1min\",\"limits\":{\"bonds\":4294967295,"
		"\"drainDeadline\":\"1h\"}",
		",\"prevResult\":null,\"runtimeConfig\":null",
	};
	char conf[512];

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		(void)snprintf(conf, sizeof(conf),
			       "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"sva\",\"adminSocket\":"
			       "\"/nonexistent/a\"%s}",
			       more[i]);
		ck_assert_ptr_null(cni_good(&del, conf));
		cni_bad(&add, conf, "1.1.0", 4, "CNI_NETNS"); /* which is looked at last */
	}
}
END_TEST

/* ---- stdin ---- */

START_TEST(test_stdin)
{
	cni_bad(&add, "", "1.1.0", 6, "stdin");
	cni_bad(&add, "{", "1.1.0", 6, "line 1");
	cni_bad(&add, "[]", "1.1.0", 6, "no JSON object");
	cni_bad(&add, "7", "1.1.0", 6, "stdin");
	cni_bad(&del, "{\"cniVersion\":\"1.0.0\"} x", "1.1.0", 6, "stdin");
	cni_bad(&del, "{\"name\":\"a\\u0000b\"}", "1.1.0", 6, "stdin");
	cni_bad(&del, "{\"name\":\"\xff\"}", "1.1.0", 6, "stdin");
}
END_TEST

/* A directory instead of stdin, and stdout that is full: the exit status says it, and stderr why. */
START_TEST(test_io)
{
	char command[4400], program[4096];

	(void)snprintf(program, sizeof(program), "%s/sva", tap_builddir());
	setenv("CNI_COMMAND", "ADD", 1);
	(void)snprintf(command, sizeof(command), "'%s' </ 2>/dev/null | grep -q '\"code\":5'", program);
	ck_assert_int_eq(system(command), 0);
	(void)snprintf(command, sizeof(command),
		       "CNI_COMMAND=VERSION '%s' </dev/null 2>&1 >/dev/full | grep -q 'error 5'", program);
	ck_assert_int_eq(system(command), 0);
	(void)snprintf(command, sizeof(command),
		       "head -c 20000000 /dev/zero | '%s' 2>/dev/null | grep -q '\"code\":5'", program);
	ck_assert_int_eq(system(command), 0);
	(void)snprintf(command, sizeof(command), "'%s' --version </dev/null | grep -q sva-cni", program);
	ck_assert_int_eq(system(command), 0);
	(void)snprintf(command, sizeof(command), "'%s' --nonsense </dev/null 2>/dev/null", program);
	ck_assert_int_eq(WEXITSTATUS(system(command)), 2);
}
END_TEST

/* A runtime that never ends its stdin. */
START_TEST(test_stdin_open)
{
	char program[4096], out[512];
	pid_t parent = getpid(), pid;
	int in[2], back[2], status;
	ssize_t n;

	(void)snprintf(program, sizeof(program), "%s/sva", tap_builddir());
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(back, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		die_with_parent(parent, SIGKILL);
		setenv("CNI_COMMAND", "ADD", 1);
		dup2(in[0], 0);
		dup2(back[1], 1);
		execl(program, program, (char *)NULL);
		_exit(98);
	}
	close(back[1]);
	ck_assert_int_eq(write(in[1], "{", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	n = read(back[0], out, sizeof(out) - 1);
	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	ck_assert_msg(strstr(out, "\"code\":5") && strstr(out, "in time"), "%s", out);
	close(in[0]);
	close(in[1]);
	close(back[0]);
}
END_TEST

/* ---- anything on stdin ---- */

static uint32_t seed;

static uint32_t below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(seed >> 8) * n >> 24);
}

static const char base[] =
	"{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"sva\",\"adminSocket\":\"/nonexistent/"
	"admin.sock\","
	"\"devices\":[\"sim*\",\"a?\"],\"limits\":{\"bonds\":4,\"connections\":2,\"requestsPerSecond\":9,"
	"\"drainDeadline\":\"2s\"},"
	"\"delTimeout\":\"1s\",\"timeout\":\"1s\",\"strictDel\":false,\"runtimeConfig\":{\"sva\":{"
	"\"devices\":[\"sim0\"],\"limits\":{\"bonds\":1}}},"
	"\"prevResult\":{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"eth0\"}],\"ips\":[{\"address\":"
	"\"10.0.0.2/24\"}],\"routes\":[],\"dns\":{}},"
	"\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}],\"cni.dev/"
	"attachments\":null}";

static size_t mutate(char *buf, size_t len, size_t room)
{
	static const char *const pieces[] = { "null",
					      "[]",
					      "{}",
					      "\"\"",
					      "-1",
					      "1e999",
					      "99999999999999999999",
					      "\"\\u0000\"",
					      "true",
					      "{\"a\":",
					      "[[[[[[[[",
					      "\xff",
					      "\"\\ud800\"",
					      ",",
					      ":" };
	uint32_t changes = 1 + below(4);

	while (changes-- > 0 && len > 0) {
		size_t at = below((uint32_t)len), n;
		const char *piece;

		switch (below(5)) {
		case 0:
			buf[at] = (char)below(256);
			break;
		case 1: /* cut out */
			n = 1 + below(40);
			n = n < len - at ? n : len - at;
			memmove(buf + at, buf + at + n, len - at - n);
			len -= n;
			break;
		case 2: /* put in */
			piece = pieces[below(sizeof(pieces) / sizeof(pieces[0]))];
			n = strlen(piece);
			if (len + n > room)
				break;
			memmove(buf + at + n, buf + at, len - at);
			memcpy(buf + at, piece, n);
			len += n;
			break;
		case 3: /* a value of something else */
			piece = pieces[below(sizeof(pieces) / sizeof(pieces[0]))];
			for (n = at; n < len && buf[n] != ':'; n++)
				;
			if (n + 1 + strlen(piece) < len)
				memcpy(buf + n + 1, piece, strlen(piece));
			break;
		default:
			len = below(8) == 0 ? at : len;
		}
	}
	return len;
}

START_TEST(test_anything)
{
	static const char *const commands[] = { "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION" };
	unsigned runs = tap_scale(300), answered = 0;
	char buf[4096];

	seed = 20261121;
	for (unsigned i = 0; i < runs; i++) {
		struct cni_env env = { commands[i % 6], "c1", "/proc/self/ns/net", "eth0", "K8S_POD_NAME=p" };
		struct cni_result r;
		size_t len = sizeof(base) - 1;

		memcpy(buf, base, len);
		len = mutate(buf, len, sizeof(buf));
		cni_run(&env, buf, len, &r);
		ck_assert_msg(WIFEXITED(r.status) && WEXITSTATUS(r.status) <= 1,
			      "run %u: status %#x on %.*s: %s", i, r.status, (int)len, buf, r.err);
		/* A failure is always a JSON error, and a success without words never is. */
		if (WEXITSTATUS(r.status) == 1)
			ck_assert_msg(json_is_integer(json_object_get(r.json, "code")), "run %u: %s on %.*s",
				      i, r.out, (int)len, buf);
		answered += r.json != NULL;
		cni_free(&r);
	}
	ck_assert_uint_gt(answered, 0);
}
END_TEST

static Suite *cni_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "version", test_version },
		{ "version", test_version_incompatible },
		{ "version", test_command_since },
		{ "environment", test_environment },
		{ "config", test_config_wrong },
		{ "config", test_config_forgiven },
		{ "config", test_config_name },
		{ "config", test_config_globs },
		{ "config", test_config_tolerated },
		{ "stdin", test_stdin },
		{ "stdin", test_io },
		{ "stdin", test_stdin_open },
		{ "anything", test_anything },
	};
	Suite *s = suite_create("cni");
	TCase *tc = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (i == 0 || strcmp(cases[i].name, cases[i - 1].name) != 0) {
			tc = tcase_create(cases[i].name);
			tcase_set_timeout(tc, 240);
			suite_add_tcase(s, tc);
		}
		tcase_add_test(tc, cases[i].test);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, cni_suite, NULL);
}
