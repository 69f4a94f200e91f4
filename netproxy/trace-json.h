/*
 * What becomes of a packet to an address and port, as JSON: traced through what is installed by
 * our own books, and once more through what the kernel answers, which is compared.
 */
#pragma once
#include "netproxy/sync.h"
#include "netproxy/trace.h"

/* In skiff-api(5), under "trace". New reference; NULL: @err says why. */
json_t *trace_json(struct sync *s, const struct ip *ip, uint8_t protocol, uint16_t port,
                   struct err *err);
/* The same in a line, for an address of the Service @key: kind, address, port, protocol, verdict,
 * why, endpoints. New reference; NULL without memory. */
json_t *trace_json_brief(struct sync *s, const struct service *service, const char *kind,
                         const struct ip *ip, const struct service_port *port);
const char *protocol_name(uint8_t protocol); /* "TCP", "UDP", "SCTP" */
