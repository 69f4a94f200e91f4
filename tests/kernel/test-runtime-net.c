/* Pods on the network: links, addresses, host ports, with real shims and in a namespace of our own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/nft.h"
#include "base/text.h"
#include "tests/kernel/netns.h"
#include "tests/kernel/runtime-rig.h"

static struct rig_answer run_sandbox(void)
{
        struct rig_answer a = rig_run_sandbox(NULL);

        if (a.r < 0)
                fail_msg("sandbox: %s", a.text);
        return a;
}

static unsigned count_links(void)
{
        struct if_nameindex *all = if_nameindex();
        unsigned n = 0;

        CHECK(all);
        for (struct if_nameindex *i = all; i->if_index; i++)
                n += startswith(i->if_name, "rig-") != NULL;
        if_freenameindex(all);
        return n;
}

/* A link goes with its namespace, which the kernel takes apart when it has time. */
static void wait_for_links(unsigned want)
{
        for (int i = 0; i < 1000 && count_links() != want; i++)
                usleep(20000);
        CHECK_INT(count_links(), want);
}

TEST(pods_reach_each_other_and_addresses_are_not_used_twice)
{
        _cleanup_free_ char *script = NULL;
        struct rig_answer first, second;
        char address[INET_ADDRSTRLEN];
        const char *id;

        rig_up();
        first = run_sandbox();
        snprintf(address, sizeof address, "%s", sandbox_find(rig, first.id)->ipv4);
        rig_begin_shell(first.id, "nc -l -p 80 -e echo hello");
        second = run_sandbox();
        wait_for_links(2);
        script = text_printf("for i in $(seq 100); do nc %s 80 </dev/null && break; usleep 50000;"
                             " done; ip addr show dev eth0; ip route",
                             address);
        id = rig_begin_shell(second.id, script);
        rig_wait_exit(id);
        CHECK_CONTAINS(rig_log_of(id), "hello\n");
        CHECK_CONTAINS(rig_log_of(id), "inet 10.99.0.3/32");
        CHECK_CONTAINS(rig_log_of(id), "default via 169.254.1.1 dev eth0");
        CHECK_INT(rig_stop(first.id).r, 0);
        CHECK(sandbox_remove(rig, first.id, NULL) == 0);
        rig_restart();
        CHECK_STR(sandbox_find(rig, run_sandbox().id)->ipv4, "10.99.0.4"); /* not .2 again, yet */
        rig_down();
        wait_for_links(0); /* nobody deletes them, and none is left */
}

/* What a person, a backup program or a bad disk may leave where a record belongs. */
TEST(a_folder_in_the_place_of_an_address_s_record_heals)
{
        struct rig_answer a;
        char address[INET_ADDRSTRLEN];
        _cleanup_close_ int addresses = -1;
        _cleanup_free_ char *path = NULL;
        struct stat st;

        rig_up();
        path = text_printf("%s/state/network/addresses", rig_dir);
        a = run_sandbox();
        snprintf(address, sizeof address, "%s", sandbox_find(rig, a.id)->ipv4);
        addresses = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(addresses >= 0 && unlinkat(addresses, address, 0) == 0);
        CHECK(fs_mkdir_p_at(addresses, address, 0755) == 0);
        CHECK(fs_mkdir_p_at(addresses, "10.99.0.3/x", 0755) == 0);
        rig_restart();
        CHECK_STR(sandbox_find(rig, a.id)->ipv4, address);
        CHECK(fstatat(addresses, address, &st, 0) == 0 && S_ISREG(st.st_mode));
        CHECK(fstatat(addresses, "10.99.0.3", &st, 0) < 0);
        CHECK_STR(sandbox_find(rig, run_sandbox().id)->ipv4, "10.99.0.3");
        rig_down();
}

TEST(a_sandbox_on_the_hosts_network_has_no_address_of_its_own)
{
        struct sandbox_config config = { .host_network = true, .cgroup_parent = "kubepods/pod1" };
        struct oci_spec spec;
        struct rig_answer a;
        const char *id;

        rig_up();
        rig_network[0] = '\0'; /* such a pod needs no podCIDR */
        rig_restart();
        CHECK(!runtime_network_is_ready(rig, NULL));
        CHECK_INT(rig_run_sandbox(NULL).kind, ERR_SANDBOX_NETWORK);
        a = rig_run_sandbox(&config);
        CHECK_INT(a.r, 0);
        CHECK(sandbox_find(rig, a.id)->host_network && !sandbox_find(rig, a.id)->ipv4[0]);
        rig_make_spec(&spec, "readlink /proc/self/ns/net");
        spec.namespaces[OCI_NS_NETWORK].present = false;
        spec.namespaces[OCI_NS_UTS].present = false;
        id = rig_begin(a.id, &spec);
        rig_wait_exit(id);
        {
                char ours[64] = "";

                CHECK(readlink("/proc/self/ns/net", ours, sizeof ours - 1) > 0);
                CHECK_CONTAINS(rig_log_of(id), ours);
        }
        rig_down();
        snprintf(rig_network, sizeof rig_network, "10.99.0.0/24");
}

static int note_chain(_unused_ const struct nft_found_chain *chain, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

static bool has_table(int family, const char *name)
{
        struct nft *n = NULL;
        bool found = false;

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_list_chains(n, family, name, note_chain, &found, NULL) == 0);
        nft_free(n);
        return found;
}

static bool host_has_table(void)
{
        return has_table(NFPROTO_IPV4, "skiff-rig-ports");
}

static void flush_by_others(int family, const char *table)
{
        struct nft_batch *b;
        struct nft *n = NULL;

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_batch_new(family, table, &b) == 0);
        nft_batch_delete_table(b);
        CHECK(nft_commit(n, b, NULL, NULL) == 0);
        nft_batch_free(b);
        nft_free(n);
}

/* What a server behind a hostPort says to a client here, on the host; "" when nothing. */
static const char *ask_host_port(uint16_t port)
{
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
        static char text[64];
        _cleanup_close_ int fd = -1;
        ssize_t n = 0;

        inet_pton(AF_INET, "10.98.0.1", &to.sin_addr);
        for (int i = 0; i < 250 && n <= 0; i++) {
                safe_close(fd);
                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
                        n = read(fd, text, sizeof text - 1);
                if (n <= 0)
                        usleep(20000);
        }
        text[n > 0 ? n : 0] = '\0';
        return text;
}

static struct rig_answer run_with_port(uint16_t host_port)
{
        struct runtime_port port = { .protocol = IPPROTO_TCP,
                                     .host_port = host_port,
                                     .container_port = 80 };
        struct sandbox_config config = {
                .hostname = "web", .cgroup_parent = "kubepods/pod1", .ports = &port, .n_ports = 1
        };

        return rig_run_sandbox(&config);
}

TEST(a_host_port_leads_to_its_pod)
{
        /* between two connections the server does not listen for a moment */
        static const char client[] = "for i in $(seq 100); do nc 10.98.0.1 8080 < /dev/null && "
                                     "exit 0; usleep 50000; done; exit 1";
        static const char server[] = "while true; do nc -l -p 80 -e echo hi; done";
        struct rig_answer web, taken;
        const char *id;

        rig_up();
        netns_address("lo", "10.98.0.1/32");
        CHECK(!host_has_table());
        web = run_with_port(8080);
        if (web.r == -EOPNOTSUPP) {
                rig_down();
                SKIP("no nftables");
        }
        CHECK_INT(web.r, 0);
        rig_begin_shell(web.id, server);
        CHECK_STR(ask_host_port(8080), "hi\n");
        taken = run_with_port(8080);
        CHECK(taken.r < 0 && taken.kind == ERR_SANDBOX_NETWORK);
        CHECK_CONTAINS(taken.text, "belongs to another pod");
        CHECK_STR(ask_host_port(8080), "hi\n");
        /* the pod itself and another one, by the host's address */
        id = rig_begin_shell(run_sandbox().id, client);
        CHECK_INT(rig_wait_exit(id)->exit_code, 0);
        CHECK_CONTAINS(rig_log_of(id), "hi\n");
        id = rig_begin_shell(web.id, client);
        CHECK_INT(rig_wait_exit(id)->exit_code, 0);
        CHECK_CONTAINS(rig_log_of(id), "hi\n");
        rig_restart();
        CHECK_STR(ask_host_port(8080), "hi\n");
        flush_by_others(NFPROTO_IPV4, "skiff-rig-ports");
        for (int i = 0; i < 500 && !host_has_table(); i++)
                rig_idle(20);
        CHECK_STR(ask_host_port(8080), "hi\n"); /* repaired */
        CHECK_INT(rig_stop(web.id).r, 0);
        CHECK(!host_has_table());
        rig_down();
}

/* ---- a pod speaks from its own addresses only ---- */

#define GUARD "skiff-rig-sources"

static union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
} here, from;

static socklen_t address_of(const char *text, uint16_t port, void *ret)
{
        struct sockaddr_in *in4 = ret;
        struct sockaddr_in6 *in6 = ret;

        if (strchr(text, ':')) {
                *in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
                CHECK_INT(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
                return sizeof *in6;
        }
        *in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
        CHECK_INT(inet_pton(AF_INET, text, &in4->sin_addr), 1);
        return sizeof *in4;
}

/* Whether what is sent from @source in the network of @pid arrives at @host. */
static bool arrives(pid_t pid, const char *source, const char *host)
{
        _cleanup_free_ char *path = text_printf("/proc/%d/ns/net", (int)pid);
        socklen_t n = address_of(host, 4711, &here);
        int listener = socket(here.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), sender, ns, back;
        struct timeval soon = { .tv_usec = 200000 };
        char byte = 0;
        bool yes;

        CHECK(listener >= 0 && bind(listener, &here.any, n) == 0);
        CHECK_INT(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), 0);
        ns = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(ns >= 0);
        back = netns_enter(ns);
        sender = socket(here.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        address_of(source, 0, &from);
        CHECK(sender >= 0 && bind(sender, &from.any, n) == 0);
        CHECK_INT(sendto(sender, "x", 1, 0, &here.any, n), 1);
        close(sender);
        netns_leave(back);
        yes = recv(listener, &byte, 1, 0) == 1;
        close(listener);
        close(ns);
        return yes;
}

/* The pod takes another pod's address, as its root may with NET_RAW or NET_ADMIN (NW-02). */
static void check_spoofing(pid_t pid, const char *own, const char *others, const char *host)
{
        _cleanup_free_ char *path = text_printf("/proc/%d/ns/net", (int)pid);
        _cleanup_free_ char *cidr = text_printf("%s/%d", others, strchr(others, ':') ? 128 : 32);
        int ns = open(path, O_RDONLY | O_CLOEXEC), back;

        CHECK(ns >= 0);
        CHECK(arrives(pid, own, host));
        back = netns_enter(ns);
        netns_address("lo", cidr);
        netns_leave(back);
        close(ns);
        for (int i = 0; i < 3; i++)
                CHECK(!arrives(pid, others, host));
        CHECK(arrives(pid, own, host));
}

/* The rule is there while a pod needs it, whoever restarts or deletes something. */
static void check_guard_stays(pid_t pid, const char *others, const char *host)
{
        rig_restart();
        CHECK(!arrives(pid, others, host));
        flush_by_others(NFPROTO_IPV6, GUARD);
        for (int i = 0; i < 500 && !has_table(NFPROTO_IPV6, GUARD); i++)
                rig_idle(20);
        CHECK(!arrives(pid, others, host));
}

/* A pod is no router of the node's, whatever it advertises (INV-45). */
static void check_no_advertisements_taken(void)
{
        struct if_nameindex *all = if_nameindex();
        unsigned n = 0;

        CHECK(all);
        for (struct if_nameindex *i = all; i->if_index; i++) {
                _cleanup_free_ char *path = text_printf("/proc/sys/net/ipv6/conf/%s/accept_ra",
                                                        i->if_name),
                                    *value = NULL;

                if (!startswith(i->if_name, "rig-"))
                        continue;
                CHECK_INT(fs_read_line_at(AT_FDCWD, path, &value), 0);
                CHECK_STR(value, "0");
                n++;
        }
        if_freenameindex(all);
        CHECK_INT(n, 2);
}

static void set_rp_filter(const char *value)
{
        CHECK_INT(fs_write_kernel_at(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/rp_filter", value), 0);
}

static void run_two_and_spoof(const char *host)
{
        struct rig_answer first, second;
        const struct sandbox_status *a, *b;
        char others[INET6_ADDRSTRLEN];
        const char *id;
        pid_t pid;

        rig_up();
        if (strchr(host, ':')) {
                snprintf(rig_network, sizeof rig_network, "10.99.0.0/24,fd99::/64");
                rig_restart();
        }
        first = run_sandbox();
        second = run_sandbox();
        id = rig_begin_shell(first.id, "sleep 1000");
        wait_for_links(2);
        pid = container_find(rig, id)->pid;
        CHECK(pid > 0);
        a = sandbox_find(rig, first.id);
        b = sandbox_find(rig, second.id);
        if (strchr(host, ':'))
                check_spoofing(pid, a->ipv6, b->ipv6, host);
        else
                check_spoofing(pid, a->ipv4, b->ipv4, host);
        CHECK(has_table(NFPROTO_IPV6, GUARD) == (strchr(host, ':') != NULL));
        if (strchr(host, ':')) {
                check_no_advertisements_taken();
                snprintf(others, sizeof others, "%s", b->ipv6);
                check_guard_stays(pid, others, host);
        }
        rig_down();
        CHECK(!has_table(NFPROTO_IPV6, GUARD));
}

TEST(a_pod_cannot_speak_from_another_s_address)
{
        rig_up();
        netns_address("lo", "10.97.0.1/32");
        run_two_and_spoof("10.97.0.1");
}

TEST(a_pod_cannot_speak_from_another_s_address_on_a_node_that_is_loose_about_it)
{
        rig_up();
        set_rp_filter("2");
        run_two_and_spoof("10.97.0.1");
        set_rp_filter("0");
}

TEST(a_pod_cannot_speak_from_another_s_ipv6_address)
{
        rig_up();
        netns_address("lo", "fd97::1/128");
        run_two_and_spoof("fd97::1");
}
