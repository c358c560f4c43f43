/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_CNI_RUN_H
#define SVAD_TESTS_CNI_RUN_H
/* Runs the CNI plugin as a runtime does: environment, stdin, and what comes back on stdout and stderr. */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/* NULL: not in the environment at all. */
struct cni_env {
	const char *command, *id, *netns, *ifname, *args;
};

struct cni_result {
	int status;	 /* of waitpid() */
	char *out, *err; /* with a 0 at the end */
	json_t *json;	 /* stdout, NULL when it is empty or no JSON */
};

/* conf: stdin, len bytes of it. The result is the caller's: cni_free(). */
void cni_run(const struct cni_env *env, const void *conf, size_t len, struct cni_result *ret);
void cni_free(struct cni_result *r);

/* Runs it, and asserts that it succeeds; returns stdout's JSON (NULL: nothing was printed, as all but ADD and VERSION). */
json_t *cni_good(const struct cni_env *env, const char *conf);
/* Runs it, and asserts that it fails with this code in this cniVersion, and that msg or details has these words. */
void cni_bad(const struct cni_env *env, const char *conf, const char *version, int code, const char *words);
/* The last run's stderr has these words. */
void cni_logged(const char *words);

/* The last run's msg and details. */
const char *cni_words(void);

/* A process in a network namespace of its own; the test is skipped where one cannot be made. path: of at least 64 bytes. */
pid_t cni_netns(char *path);
void cni_netns_end(pid_t pid);

#endif
