/* What stands behind `skiff trace`: an address, a port, a protocol. Pure. */
#pragma once
#include "base/err.h"
#include "base/ip.h"

struct trace_target {
        struct ip ip;
        uint16_t port;
        const char *protocol; /* "TCP", "UDP", "SCTP" */
};
/* "10.96.0.10:53/udp", "[2001:db8::1]:80"; -EINVAL with the rule that @text breaks. */
int trace_target_parse(const char *text, struct trace_target *ret, struct err *err);
