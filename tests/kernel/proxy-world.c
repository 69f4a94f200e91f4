#include "tests/kernel/proxy-world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "netproxy/family.h"
#include "netproxy/node-routes.h"
#include "tests/check.h"
#include "tests/kernel/netns.h"

enum { SERVER_PORT = 8080, ASK_TIMEOUT_MSEC = 500 };

/* ---- servers ---- */
static int listen_both(int type)
{
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(SERVER_PORT) };
        int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
            bind(fd, (struct sockaddr *)&any, sizeof any) < 0 ||
            (type == SOCK_STREAM && listen(fd, 64) < 0))
                _exit(1);
        return fd;
}

static size_t write_answer(const char *name, const struct sockaddr_in6 *peer, char *buf,
                           size_t size)
{
        char address[INET6_ADDRSTRLEN];

        if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr))
                inet_ntop(AF_INET, (const char *)&peer->sin6_addr + 12, address, sizeof address);
        else
                inet_ntop(AF_INET6, &peer->sin6_addr, address, sizeof address);
        return (size_t)snprintf(buf, size, "%s %s", name, address);
}

static void answer_tcp(const char *name, int listener)
{
        struct sockaddr_in6 peer;
        socklen_t len = sizeof peer;
        _cleanup_close_ int fd = accept(listener, (struct sockaddr *)&peer, &len);
        char buf[128];
        size_t n = write_answer(name, &peer, buf, sizeof buf);

        if (fd >= 0)
                (void)!send(fd, buf, n, MSG_NOSIGNAL);
}

/* From the address that was asked, whatever the routes would choose. */
static void answer_udp(const char *name, int fd)
{
        struct sockaddr_in6 peer;
        char buf[128], control[256];
        struct iovec iov = { buf, sizeof buf };
        struct msghdr m = { .msg_name = &peer,
                            .msg_namelen = sizeof peer,
                            .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control };
        struct cmsghdr *c;

        if (recvmsg(fd, &m, 0) < 0)
                return;
        for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
                if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
                        ((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex = 0;
        iov.iov_len = write_answer(name, &peer, buf, sizeof buf);
        (void)!sendmsg(fd, &m, 0);
}

__attribute__((noreturn)) static void serve(const char *name, int ready)
{
        int tcp = listen_both(SOCK_STREAM), udp = listen_both(SOCK_DGRAM), on = 1;
        struct pollfd fds[] = { { .fd = tcp, .events = POLLIN }, { .fd = udp, .events = POLLIN } };

        if (setsockopt(udp, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) < 0 ||
            write(ready, "", 1) != 1)
                _exit(1);
        for (;;) {
                if (poll(fds, 2, -1) < 0)
                        _exit(1);
                if (fds[0].revents)
                        answer_tcp(name, tcp);
                if (fds[1].revents)
                        answer_udp(name, udp);
        }
}

/* It listens when this returns. */
static void start_server(int ns, const char *name)
{
        pid_t parent = getpid(), pid;
        int ready[2];
        char byte;

        CHECK(pipe2(ready, O_CLOEXEC) == 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid > 0) {
                close(ready[1]);
                CHECK(read(ready[0], &byte, 1) == 1);
                close(ready[0]);
                return;
        }
        close(ready[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        netns_enter(ns);
        serve(name, ready[1]);
}

/* ---- the world ---- */
/* A pod behind a routed veth, as the runtime makes them: host routes, proxied gateway. */
static void add_pod(int ns, const char *link, const char *ip, const char *ip6)
{
        _cleanup_free_ char *cidr = text_printf("%s/32", ip), *cidr6 = text_printf("%s/128", ip6);
        int back;

        netns_veth(link, "eth0", ns);
        netns_address(link, "169.254.1.1/32");
        netns_address(link, "fe80::1/64");
        netns_route(AF_INET, cidr, NULL, link);
        netns_route(AF_INET6, cidr6, NULL, link);
        back = netns_enter(ns);
        netns_address("eth0", cidr);
        netns_address("eth0", cidr6);
        netns_route(AF_INET, "169.254.1.1/32", NULL, "eth0");
        netns_route(AF_INET, "default", "169.254.1.1", "eth0");
        netns_route(AF_INET6, "default", "fe80::1", "eth0");
        netns_leave(back);
}

static void add_neighbour(int ns, const char *link, const char *here, const char *there,
                          const char *here6, const char *there6)
{
        _cleanup_free_ char *gateway = strndup(here, strcspn(here, "/")),
                            *gateway6 = strndup(here6, strcspn(here6, "/"));
        int back;

        netns_veth(link, "eth0", ns);
        netns_address(link, here);
        netns_address(link, here6);
        back = netns_enter(ns);
        netns_address("eth0", there);
        netns_address("eth0", there6);
        netns_route(AF_INET, "default", gateway, "eth0");
        netns_route(AF_INET6, "default", gateway6, "eth0");
        netns_leave(back);
}

static void write_file(const char *path, const char *value)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0 && write(fd, value, strlen(value)) > 0);
}

struct world *world_get(void)
{
        static struct world w;
        static bool is_built;
        int back;

        if (is_built)
                return &w;
        netns_enter_fresh();
        is_built = true;
        signal(SIGCHLD, SIG_IGN);
        write_file("/proc/sys/net/ipv4/ip_forward", "1");
        write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
        write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
        /* refusals are counted here, one by one */
        write_file("/proc/sys/net/ipv4/icmp_ratelimit", "0");
        write_file("/proc/sys/net/ipv6/icmp/ratelimit", "0");
        w = (struct world){ netns_make(0), netns_make(0), netns_make(0), netns_make(1) };
        add_neighbour(w.client, "client", "192.0.2.1/24", "192.0.2.2/24", "fd00:2::1/64",
                      "fd00:2::2/64");
        add_neighbour(w.other, "other", "198.51.100.1/24", "198.51.100.2/24", "fd00:3::1/64",
                      "fd00:3::2/64");
        netns_route(AF_INET, "default", "192.0.2.2", "client");
        netns_route(AF_INET6, "default", "fd00:2::2", "client");
        add_pod(w.pod_a, "pod-a", "10.244.1.10", "fd00:1::10");
        add_pod(w.pod_b, "pod-b", "10.244.1.11", "fd00:1::11");
        back = netns_enter(w.other);
        netns_address("lo", "10.244.2.10/32");
        netns_address("lo", "fd00:1:2::10/128");
        netns_leave(back);
        start_server(w.client, "client");
        start_server(w.pod_a, "pod-a");
        start_server(w.pod_b, "pod-b");
        start_server(w.other, "pod-c");
        return &w;
}

/* ---- clients ---- */
static int open_in(int from, int family, int type)
{
        int back = from == WORLD_NODE ? -1 : netns_enter(from);
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        if (back >= 0)
                netns_leave(back);
        CHECK(fd >= 0);
        return fd;
}

static socklen_t make_address(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

        *ret = (struct sockaddr_storage){ 0 };
        if (strchr(text, ':')) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons(port);
                CHECK(inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
                return sizeof *v6;
        }
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        CHECK(inet_pton(AF_INET, text, &v4->sin_addr) == 1);
        return sizeof *v4;
}

static int converse(int fd, const struct sockaddr_storage *to, socklen_t len, int type,
                    char answer[static 64])
{
        struct timeval timeout = { .tv_usec = ASK_TIMEOUT_MSEC * 1000 };
        ssize_t n;

        CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0);
        if (connect(fd, (const struct sockaddr *)to, len) < 0)
                return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
        if (type == SOCK_DGRAM && send(fd, "?", 1, 0) < 0)
                return -errno;
        n = recv(fd, answer, 63, 0);
        if (n < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        answer[n] = 0;
        return 0;
}

int world_ask(int from, int protocol, uint16_t src_port, const char *dst, uint16_t port,
              char answer[static 64])
{
        int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
        struct sockaddr_storage to, own;
        socklen_t len = make_address(dst, port, &to);
        _cleanup_close_ int fd = open_in(from, to.ss_family, type);

        if (src_port) {
                socklen_t own_len = make_address(to.ss_family == AF_INET6 ? "::" : "0.0.0.0",
                                                 src_port, &own);

                CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                      bind(fd, (struct sockaddr *)&own, own_len) == 0);
        }
        answer[0] = 0;
        return converse(fd, &to, len, type, answer);
}

const char *world_must_ask(int from, const char *dst, uint16_t port)
{
        static char answer[64];
        int r = world_ask(from, IPPROTO_TCP, 0, dst, port, answer);

        if (r < 0)
                fail_msg("%s:%u: %s", dst, port, strerror(-r));
        return answer;
}

size_t world_spread(int from, int protocol, const char *dst, uint16_t port, size_t n)
{
        static const char *const pods[] = { "pod-a ", "pod-b ", "pod-c " };
        size_t counts[ARRAY_SIZE(pods)] = { 0 }, seen = 0;

        for (size_t i = 0; i < n; i++) {
                char answer[64];
                int r = world_ask(from, protocol, 0, dst, port, answer);

                if (r < 0)
                        fail_msg("%s:%u: %s", dst, port, strerror(-r));
                for (size_t k = 0; k < ARRAY_SIZE(pods); k++)
                        counts[k] += startswith(answer, pods[k]) != NULL;
        }
        for (size_t k = 0; k < ARRAY_SIZE(pods); k++)
                seen += counts[k] > 0;
        return seen;
}

/* ---- the proxy ---- */
static void on_synced(void *userdata)
{
        struct fixture *f = userdata;

        f->synced++;
}

void fixture_start(struct fixture *f, const char *table)
{
        struct sync_options options = {
                .config = &f->config,
                .node_name = "node-1",
                .table = table,
                .cni_dir = "/nonexistent",
                .pod_routes = POD_ROUTES_ON,
                .with_ipv6 = true,
                .on_synced = on_synced,
                .userdata = f,
        };
        struct err err = { 0 };

        if (!f->config.sync_period_usec)
                proxy_config_init(&f->config);
        CHECK(sd_event_new(&f->event) >= 0);
        if (sync_new(f->event, &options, &f->sync, &err) < 0)
                fail_msg("%s", err_text(&err));
        f->synced = 0;
}

void fixture_stop(struct fixture *f)
{
        f->sync = sync_free(f->sync);
        f->event = sd_event_unref(f->event);
        proxy_config_done(&f->config);
}

void fixture_remove(struct fixture *f, const char *table)
{
        fixture_stop(f);
        CHECK(family_remove(AF_INET, table, NULL) == 0 &&
              family_remove(AF_INET6, table, NULL) == 0);
        CHECK(node_routes_remove_all(NULL) == 0);
}

typedef int feed_fn(struct state *s, const char *key, const json_t *object, struct err *err);

/* @name: set into the object as it is, so that it may contain anything. */
static void feed(struct fixture *f, feed_fn *set, const char *key, char *text, const char *name,
                 const char *label)
{
        json_auto_t *root = NULL;
        json_t *metadata;
        struct err err = { 0 };

        if (text && json_parse(text, strlen(text), true, &root, &err) < 0)
                fail_msg("%s in %s", err_text(&err), text);
        metadata = json_object_get(root, "metadata");
        if (name)
                json_object_set_new(metadata, "name", json_string(name));
        if (label)
                json_object_set_new(metadata, "labels",
                                    json_pack("{s:s}", "kubernetes.io/service-name", label));
        if (set(sync_state(f->sync), key, root, &err) < 0)
                fail_msg("%s: %s", key, err_text(&err));
        sync_request(f->sync);
        free(text);
}

void fixture_service(struct fixture *f, const char *name, const char *spec)
{
        _cleanup_free_ char *key = text_printf("ns/%s", name);

        feed(f, state_set_service, key,
             text_printf("{\"metadata\":{\"namespace\":\"ns\"},\"spec\":{%s}}", spec), name, NULL);
}

void fixture_no_service(struct fixture *f, const char *name)
{
        _cleanup_free_ char *key = text_printf("ns/%s", name);

        feed(f, state_set_service, key, NULL, NULL, NULL);
}

void fixture_slice(struct fixture *f, const char *service, const char *endpoints)
{
        _cleanup_free_ char *key = text_printf("ns/%s-%s", service,
                                               strchr(endpoints, ':') ? "v6" : "v4");
        _cleanup_strv_ char **words = NULL;
        struct strbuf b = { 0 };

        CHECK(strv_split(endpoints, " ", &words) == 0);
        strbuf_addf(&b,
                    "{\"metadata\":{\"namespace\":\"ns\"},\"addressType\":\"%s\",\"ports\":[{"
                    "\"name\":\"\",\"port\":8080},{\"name\":\"udp\",\"protocol\":\"UDP\","
                    "\"port\":8080}],\"endpoints\":[",
                    strchr(endpoints, ':') ? "IPv6" : "IPv4");
        STRV_FOREACH (w, words) {
                bool is_local = endswith(*w, "L");

                if (is_local)
                        (*w)[strlen(*w) - 1] = 0;
                strbuf_addf(&b, "%s{\"addresses\":[\"%s\"],\"nodeName\":\"%s\"}",
                            w == words ? "" : ",", *w, is_local ? "node-1" : "node-2");
        }
        strbuf_add(&b, "]}");
        feed(f, state_set_slice, key, strbuf_take(&b), "slice", service);
}

void fixture_node(struct fixture *f, const char *name, const char *pod_cidr, const char *address,
                  const char *pod_cidr6, const char *address6)
{
        feed(f, state_set_node, name,
             text_printf("{\"metadata\":{},\"spec\":{\"podCIDRs\":[\"%s\",\"%s\"]},\"status\":{"
                         "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"},"
                         "{\"type\":\"InternalIP\",\"address\":\"%s\"}]}}",
                         pod_cidr, pod_cidr6, address, address6),
             name, NULL);
}

void fixture_nodes(struct fixture *f)
{
        fixture_node(f, "node-1", "10.244.1.0/24", "198.51.100.1", "fd00:1::/64", "fd00:3::1");
        fixture_node(f, "node-2", "10.244.2.0/24", "198.51.100.2", "fd00:1:2::/64", "fd00:3::2");
}

void fixture_sync(struct fixture *f)
{
        size_t before = f->synced;
        usec_t limit = now_monotonic() + 10 * USEC_PER_SEC;

        sync_set_ready(f->sync);
        sync_request(f->sync);
        while (f->synced == before && now_monotonic() < limit)
                CHECK(sd_event_run(f->event, 1000000) >= 0);
        CHECK(f->synced > before);
        for (size_t i = 0; i < FAMILIES; i++) {
                if (sync_status(f->sync, i)->missing)
                        check_skip_all("%s", sync_status(f->sync, i)->missing);
                CHECK(sync_status(f->sync, i)->waiting_since == 0);
        }
}

bool fixture_wait(struct fixture *f, usec_t limit_usec, bool (*done)(struct fixture *f))
{
        usec_t limit = now_monotonic() + limit_usec;

        while (now_monotonic() < limit) {
                if (done && done(f))
                        return true;
                CHECK(sd_event_run(f->event, 10000) >= 0);
        }
        return done ? done(f) : true;
}
