/*
 * A small world for the proxy: this node (the test's own network namespace), two pods on it, a
 * client outside the cluster, and another node with a pod.
 *
 *      client 192.0.2.2 ---- 192.0.2.1 node 198.51.100.1 ---- 198.51.100.2 other
 *                                  |   \                            |
 *                             pod-a 10.244.1.10  pod-b 10.244.1.11  pod-c 10.244.2.10
 *
 * and the same in IPv6: fd00:2::2, fd00:2::1, fd00:3::1, fd00:3::2; fd00:1::10, ::11, fd00:1:2::10.
 * Each pod, the client and the other node answer TCP and UDP on port 8080: who they are and whom
 * they see, "pod-a 10.244.1.11".
 */
#pragma once
#include <netinet/in.h>
#include <systemd/sd-event.h>

#include "netproxy/sync.h"

struct world {
        int client, pod_a, pod_b, other; /* network namespaces; -1: the node itself */
};
/* Built once; skips the program where it cannot be. */
struct world *world_get(void);
enum { WORLD_NODE = -1 };

/* One question from the namespace @from: 0 and the answer ("pod-a 10.244.1.11"), or a negative
 * errno: -ECONNREFUSED, -ETIMEDOUT after half a second. @src_port 0: any. */
int world_ask(int from, int protocol, uint16_t src_port, const char *dst, uint16_t port,
              char answer[static 64]);
/* Asks by TCP and fails the test without an answer. */
const char *world_must_ask(int from, const char *dst, uint16_t port);
/* How many different pods answer @n questions. */
size_t world_spread(int from, int protocol, const char *dst, uint16_t port, size_t n);

/* ---- a proxy in this process, fed by hand ---- */
struct fixture {
        sd_event *event;
        struct proxy_config config;
        struct sync *sync;
        size_t synced; /* attempts that ended */
};
void fixture_start(struct fixture *f, const char *table);
/* Let go of it as a killed process would: everything stays in the kernel. */
void fixture_stop(struct fixture *f);
/* And take the table and the routes away. */
void fixture_remove(struct fixture *f, const char *table);
/* Objects in one-line JSON. @spec: what is in the braces; "…},\"status\":{…" goes further. */
void fixture_service(struct fixture *f, const char *name, const char *spec);
void fixture_no_service(struct fixture *f, const char *name);
/* @endpoints: "10.244.1.10L 10.244.2.10"; L: on this node. Port 8080, TCP "" and UDP "udp". */
void fixture_slice(struct fixture *f, const char *service, const char *endpoints);
void fixture_node(struct fixture *f, const char *name, const char *pod_cidr, const char *address,
                  const char *pod_cidr6, const char *address6);
/* Both nodes of the world. */
void fixture_nodes(struct fixture *f);
/* Runs the loop until one more sync has ended. */
void fixture_sync(struct fixture *f);
/* Runs the loop for so long, or until @done says so. */
bool fixture_wait(struct fixture *f, usec_t limit_usec, bool (*done)(struct fixture *f));
