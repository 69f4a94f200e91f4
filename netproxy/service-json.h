/* Services as the proxy knows and serves them, as JSON. See skiff-api(5). */
#pragma once
#include "netproxy/sync.h"

/* One line about it. New reference; NULL without memory. */
json_t *service_json_brief(const struct state *s, const struct known_service *k);
/* The same, with its addresses and each endpoint: chosen, or why not. */
json_t *service_json_full(struct sync *s, const struct known_service *k);
/* The proxy itself: node, zone, how each family is doing. */
json_t *service_json_proxy(const struct sync *s, const struct state *state);
