// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A result in the version that was asked for. Three shapes: ip4 and ip6 (to 0.2.0), lists with each address's
 * family (0.3.0 to 0.4.0), lists without (1.0.0 on). Within a shape all is passed through as it came, keys
 * that we do not know too.
 */
#include <string.h>

#include "plugin.h"

enum shape { SHAPE_IP4_IP6, SHAPE_WITH_FAMILY, SHAPE_LISTS };

static enum shape shape_of(int version)
{
	return version <= CNI_0_2_0 ? SHAPE_IP4_IP6 : version <= CNI_0_4_0 ? SHAPE_WITH_FAMILY : SHAPE_LISTS;
}

static bool is_ipv6(const json_t *address)
{
	return json_is_string(address) && strchr(json_string_value(address), ':');
}

static void move_key(json_t *to, const char *to_key, const json_t *from, const char *from_key)
{
	json_t *value = json_object_get(from, from_key);

	if (value && !json_is_null(value))
		(void)json_object_set(to, to_key, value);
}

/* One of ip4, ip6 onto the lists. */
static void to_lists(const json_t *ip, json_t *ips, json_t *routes)
{
	json_t *address, *route;
	size_t i;

	if (!json_is_object(ip))
		return;
	address = json_object();
	move_key(address, "address", ip, "ip");
	move_key(address, "gateway", ip, "gateway");
	(void)json_array_append_new(ips, address);
	json_array_foreach(json_object_get(ip, "routes"), i, route)(void) json_array_append(routes, route);
}

static json_t *from_ip4_ip6(const json_t *old)
{
	json_t *result = json_object(), *ips = json_array(), *routes = json_array();

	to_lists(json_object_get(old, "ip4"), ips, routes);
	to_lists(json_object_get(old, "ip6"), ips, routes);
	(void)json_object_set_new(result, "ips", ips);
	(void)json_object_set_new(result, "routes", routes);
	move_key(result, "dns", old, "dns");
	return result;
}

/* The first address of each family, and the routes of that family. */
static json_t *to_ip4_ip6(const json_t *lists)
{
	json_t *result = json_object(), *item;
	size_t i;

	json_array_foreach(json_object_get(lists, "ips"), i, item)
	{
		const char *key = is_ipv6(json_object_get(item, "address")) ? "ip6" : "ip4";
		json_t *ip;

		if (!json_is_object(item) || json_object_get(result, key))
			continue;
		ip = json_object();
		move_key(ip, "ip", item, "address");
		move_key(ip, "gateway", item, "gateway");
		(void)json_object_set_new(result, key, ip);
	}
	json_array_foreach(json_object_get(lists, "routes"), i, item)
	{
		json_t *ip = json_object_get(result, is_ipv6(json_object_get(item, "dst")) ? "ip6" : "ip4"),
		       *routes, *route;

		if (!ip || !json_is_object(item))
			continue;
		routes = json_object_get(ip, "routes");
		if (!routes) {
			routes = json_array();
			(void)json_object_set_new(ip, "routes", routes);
		}
		route = json_object();
		move_key(route, "dst", item, "dst");
		move_key(route, "gw", item, "gw");
		(void)json_array_append_new(routes, route);
	}
	move_key(result, "dns", lists, "dns");
	return result;
}

static void families(json_t *lists, bool wanted)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(lists, "ips"), i, item)
	{
		if (!json_is_object(item))
			continue;
		if (wanted)
			(void)json_object_set_new(
				item, "version",
				json_string(is_ipv6(json_object_get(item, "address")) ? "6" : "4"));
		else
			(void)json_object_del(item, "version");
	}
}

/* Keys that came with 1.1.0. */
static void without_1_1(json_t *lists)
{
	static const char *const interface[] = { "mtu", "socketPath", "pciID" };
	static const char *const route[] = { "mtu", "advmss", "priority", "table", "scope" };
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(lists, "interfaces"), i,
			   item) for (size_t k = 0; k < sizeof(interface) / sizeof(interface[0]); k++)(void)
		json_object_del(item, interface[k]);
	json_array_foreach(json_object_get(lists, "routes"), i,
			   item) for (size_t k = 0; k < sizeof(route) / sizeof(route[0]); k++)(void)
		json_object_del(item, route[k]);
}

static json_t *converted(const json_t *prev, int from, int to)
{
	json_t *result = json_deep_copy(prev), *other;

	if (!result || from == to)
		return result;
	if (shape_of(from) == SHAPE_IP4_IP6 && shape_of(to) != SHAPE_IP4_IP6) {
		other = from_ip4_ip6(result);
		json_decref(result);
		result = other;
		from = CNI_1_0_0;
	} else if (shape_of(from) != SHAPE_IP4_IP6 && shape_of(to) == SHAPE_IP4_IP6) {
		other = to_ip4_ip6(result);
		json_decref(result);
		return other;
	}
	if (from == CNI_1_1_0 && to < CNI_1_1_0)
		without_1_1(result);
	if (shape_of(from) != shape_of(to))
		families(result, shape_of(to) == SHAPE_WITH_FAMILY);
	return result;
}

/* Nobody before us: no interface and no address are ours to tell of. */
static json_t *smallest(int version)
{
	if (shape_of(version) == SHAPE_IP4_IP6)
		return json_pack("{s:{}}", "dns");
	return json_pack("{s:[], s:[], s:{}}", "interfaces", "ips", "dns");
}

int result_print(struct plugin *p)
{
	json_t *asked, *result;
	int from = p->version;

	if (!p->prev_result) {
		result = smallest(p->version);
	} else {
		asked = json_object_get(p->prev_result, "cniVersion");
		if (json_is_string(asked))
			from = cni_version_index(json_string_value(asked));
		if ((asked && !json_is_string(asked)) || from < 0)
			return plugin_fail(p, CNI_INVALID_CONFIG, NULL,
					   "prevResult.cniVersion is no version that is supported");
		result = converted(p->prev_result, from, p->version);
	}
	if (!result || json_object_set_new(result, "cniVersion", json_string(cni_versions[p->version])) < 0)
		return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	return plugin_print(p, result);
}
