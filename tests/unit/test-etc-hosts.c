#include "kubelet/etc-hosts.h"

#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define ALIASES                                                                                   \
        "{'containers':[{'name':'c'}],'hostAliases':[{'ip':'1.2.3.4','hostnames':['foo','bar']}," \
        "{'ip':'5.6.7.8','hostnames':['baz']}]}"
#define HEAD                                          \
        "# Kubernetes-managed hosts file.\n"          \
        "127.0.0.1\tlocalhost\n"                      \
        "::1\tlocalhost ip6-localhost ip6-loopback\n" \
        "fe00::0\tip6-localnet\n"                     \
        "fe00::0\tip6-mcastprefix\n"                  \
        "fe00::1\tip6-allnodes\n"                     \
        "fe00::2\tip6-allrouters\n"

TEST(a_pod_finds_itself_in_its_hosts_file)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c'}]}", NULL);
        const char *const one[] = { "10.1.0.2", NULL }, *const two[] = { "10.1.0.2", "fd00::2",
                                                                         NULL };
        _cleanup_free_ char *plain = pod_etc_hosts(p, one, "web", NULL, NULL);
        _cleanup_free_ char *full = pod_etc_hosts(p, two, "web", "sub.ns.svc.cluster.local", NULL);

        CHECK_STR(plain, HEAD "10.1.0.2\tweb\n");
        CHECK_STR(full, HEAD "10.1.0.2\tweb.sub.ns.svc.cluster.local\tweb\n"
                             "fd00::2\tweb.sub.ns.svc.cluster.local\tweb\n");
}

TEST(a_host_name_that_is_an_fqdn_already_is_not_doubled)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c'}]}", NULL);
        const char *const ips[] = { "10.1.0.2", NULL };
        _cleanup_free_ char *text = pod_etc_hosts(p, ips, "web.sub.ns", "sub.ns", NULL);

        CHECK_STR(text, HEAD "10.1.0.2\tweb.sub.ns\tweb\n");
}

TEST(aliases_come_last_and_the_nodes_file_first_with_its_network)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(ALIASES, NULL);
        const char *const ips[] = { "10.1.0.2", NULL };
        _cleanup_free_ char *own = pod_etc_hosts(p, ips, "web", "", NULL);
        _cleanup_free_ char *host = pod_etc_hosts(p, ips, "web", "", "127.0.0.1 localhost\n");

        CHECK_STR(own, HEAD "10.1.0.2\tweb\n\n# Entries added by HostAliases.\n"
                            "1.2.3.4\tfoo\tbar\n5.6.7.8\tbaz\n");
        CHECK_STR(host, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n"
                        "# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n5.6.7.8\tbaz\n");
}
