/* The addresses of this machine's links, for nodePortAddresses given as ranges. */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/ip.h"

/**
 * local_addresses_within() - those inside one of @cidrs, loopback excepted
 * @ret: owned; as ranges of one address each
 */
int local_addresses_within(const struct cidr *cidrs, size_t n_cidrs, struct ip_range **ret,
                           size_t *ret_n, struct err *err);

struct local_addresses_watch; /* opaque; tells of every change of any address */
int local_addresses_watch_new(sd_event *event, void (*on_change)(void *userdata), void *userdata,
                              struct local_addresses_watch **ret, struct err *err);
struct local_addresses_watch *local_addresses_watch_free(struct local_addresses_watch *w);
DEFINE_CLEANUP(struct local_addresses_watch *, local_addresses_watch_free)
