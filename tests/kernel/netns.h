/* Network namespaces of a test's own: what is made in them goes away with them. */
#pragma once
#include <stdint.h>

/* Enters a fresh network namespace with loopback up; skips the whole program where that may not
 * be. */
void netns_enter_fresh(void);
/* A further namespace, with loopback up and IPv4 and IPv6 forwarding as asked. Returns its
 * descriptor; the caller's namespace stays. */
int netns_make(int forwarding);
/* Runs what follows in the namespace of @fd; returns the descriptor to go back with. */
int netns_enter(int fd);
/* Back to @fd, which is closed. */
void netns_leave(int fd);
/* A veth pair: @name here and @peer_name in the namespace of @peer_fd, both up. */
void netns_veth(const char *name, const char *peer_name, int peer_fd);
/* "10.0.0.1/24" or "fd00::1/64" on a link of the current namespace. */
void netns_address(const char *link, const char *cidr);
/* @via: NULL for a route to what is on the link. @cidr "default" for everything. */
void netns_route(int family, const char *cidr, const char *via, const char *link);
