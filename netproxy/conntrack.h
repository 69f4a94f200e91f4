/* Forgets the UDP flows of endpoints that have gone, through ctnetlink. */
#pragma once
#include "netproxy/udp-flows.h"

/**
 * conntrack_forget() - deletes every flow of @family that the plan calls stale
 * @ret_deleted: how many
 * Return: 0; negative errno, and what could be deleted is.
 */
int conntrack_forget(int family, struct udp_plan *plan, size_t *ret_deleted, struct err *err);
