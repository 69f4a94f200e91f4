/* Pods on the network: links, addresses, host ports, with real shims and in a namespace of our own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

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

static bool host_has_table(void)
{
        struct nft *n = NULL;
        bool found = false;

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_list_chains(n, NFPROTO_IPV4, "skiff-rig-ports", note_chain, &found, NULL) == 0);
        nft_free(n);
        return found;
}

static void flush_by_others(void)
{
        struct nft_batch *b;
        struct nft *n = NULL;

        CHECK(nft_open(&n, NULL) == 0);
        CHECK(nft_batch_new(NFPROTO_IPV4, "skiff-rig-ports", &b) == 0);
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
        flush_by_others();
        for (int i = 0; i < 500 && !host_has_table(); i++)
                rig_idle(20);
        CHECK_STR(ask_host_port(8080), "hi\n"); /* repaired */
        CHECK_INT(rig_stop(web.id).r, 0);
        CHECK(!host_has_table());
        rig_down();
}
