// SPDX-License-Identifier: GPL-2.0-or-later
#include "oci.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_MAX (1u << 20)
#define ID_MAX 255

bool oci_valid_id(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(text);

	return n && n <= ID_MAX && strspn(text, letters) == n && !strchr("_.-", *text);
}

static char *read_all(int fd, size_t *ret_size)
{
	char *text = malloc(STATE_MAX + 1);
	size_t used = 0;

	while (text && used <= STATE_MAX) {
		ssize_t n = read(fd, text + used, STATE_MAX + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return NULL;
		}
		if (!n)
			break;
		used += (size_t)n;
	}
	*ret_size = used;
	return text;
}

static bool take(const json_t *root, struct oci_state *ret, char *why, size_t size)
{
	const json_t *id = json_object_get(root, "id"), *pid = json_object_get(root, "pid"),
		     *status = json_object_get(root, "status");

	if (!json_is_object(root)) {
		snprintf(why, size, "it is no JSON object");
		return false;
	}
	if (!json_is_string(id) || !oci_valid_id(json_string_value(id))) {
		snprintf(why, size,
			 "\"id\" is missing, or is not 1 to 255 letters, digits, \"_\", \".\" and \"-\" that "
			 "begin with a letter or digit");
		return false;
	}
	snprintf(ret->id, sizeof(ret->id), "%s", json_string_value(id));
	if (pid && !json_is_null(pid)) {
		json_int_t v = json_is_integer(pid) ? json_integer_value(pid) : -1;

		if (v < 0 || v > INT32_MAX) {
			snprintf(why, size, "\"pid\" is no process id");
			return false;
		}
		ret->pid = (int32_t)v;
	}
	if (json_is_string(status))
		snprintf(ret->status, sizeof(ret->status), "%s", json_string_value(status));
	return true;
}

bool oci_read_state(int fd, struct oci_state *ret, char *why, size_t size)
{
	size_t used = 0;
	char *text = read_all(fd, &used);
	json_error_t error;
	json_t *root;
	bool good;

	memset(ret, 0, sizeof(*ret));
	if (!text || !used || used > STATE_MAX) {
		snprintf(
			why, size, "%s",
			!text	? strerror(errno)
			: !used ? "it is empty: this is for a runtime's hook, which is given the container's "
				  "state"
				: "it is longer than 1 MiB");
		free(text);
		return false;
	}
	root = json_loadb(text, used, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (!root) {
		snprintf(why, size, "it is no JSON: line %d: %s", error.line, error.text);
		return false;
	}
	good = take(root, ret, why, size);
	json_decref(root);
	return good;
}
