#include "kubelet/etc-hosts.h"

#include <string.h>

#include "base/text.h"

static void add_aliases(struct strbuf *b, const struct pod *pod)
{
        if (pod->n_host_aliases == 0)
                return;
        strbuf_add(b, "\n# Entries added by HostAliases.\n");
        for (size_t i = 0; i < pod->n_host_aliases; i++) {
                const struct pod_host_alias *alias = &pod->host_aliases[i];

                strbuf_add(b, alias->ip);
                STRV_FOREACH (name, alias->hostnames)
                        strbuf_addf(b, "\t%s", *name);
                strbuf_add(b, "\n");
        }
}

/* Length of the short name: @hostname may be the whole of it already (setHostnameAsFQDN). */
static int short_length(const char *hostname, const char *domain)
{
        size_t n = strlen(hostname), k = domain ? strlen(domain) : 0;

        if (k > 0 && n > k + 1 && hostname[n - k - 1] == '.' && streq(hostname + n - k, domain))
                n -= k + 1;
        return (int)n;
}

char *pod_etc_hosts(const struct pod *pod, const char *const *ips, const char *hostname,
                    const char *domain, const char *node_hosts)
{
        int n = short_length(hostname, domain);
        struct strbuf b = { 0 };

        if (node_hosts) {
                strbuf_add(&b, "# Kubernetes-managed hosts file (host network).\n");
                strbuf_add(&b, node_hosts);
        } else {
                strbuf_add(&b, "# Kubernetes-managed hosts file.\n"
                               "127.0.0.1\tlocalhost\n"
                               "::1\tlocalhost ip6-localhost ip6-loopback\n"
                               "fe00::0\tip6-localnet\n"
                               "fe00::0\tip6-mcastprefix\n"
                               "fe00::1\tip6-allnodes\n"
                               "fe00::2\tip6-allrouters\n");
                for (; *ips; ips++) {
                        if (domain && *domain)
                                strbuf_addf(&b, "%s\t%.*s.%s\t%.*s\n", *ips, n, hostname, domain, n,
                                            hostname);
                        else
                                strbuf_addf(&b, "%s\t%s\n", *ips, hostname);
                }
        }
        add_aliases(&b, pod);
        return strbuf_take(&b);
}
