#include "kubelet/dns.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define NODE_FILE                                                               \
        "# a comment\nnameserver 9.9.9.9\nsearch old\nsearch corp.example. .\n" \
        "options timeout:1 rotate\noptions timeout:2\n"

static char *const cluster_dns[] = { (char *)"10.96.0.10", NULL };
static const struct dns_node node = { cluster_dns, "cluster.local", NODE_FILE };
static const struct dns_node without_dns = { NULL, "cluster.local", NODE_FILE };
static const struct dns_node without_file = { cluster_dns, "cluster.local", NULL };

TEST(each_policy_has_its_own_file)
{
        static const struct {
                const char *spec;
                const struct dns_node *node;
                const char *text;
        } cases[] = {
                { "", &node,
                  "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
                  "nameserver 10.96.0.10\noptions ndots:5\n" },
                { ",'hostNetwork':true", &node,
                  "search corp.example\nnameserver 9.9.9.9\noptions timeout:2 rotate\n" },
                { ",'hostNetwork':true,'dnsPolicy':'ClusterFirstWithHostNet'", &node,
                  "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
                  "nameserver 10.96.0.10\noptions ndots:5\n" },
                { "", &without_dns,
                  "search corp.example\nnameserver 9.9.9.9\noptions timeout:2 rotate\n" },
                { ",'dnsPolicy':'Default'", &node,
                  "search corp.example\nnameserver 9.9.9.9\noptions timeout:2 rotate\n" },
                { ",'dnsPolicy':'Default'", &without_file, "search .\nnameserver 127.0.0.1\n" },
                { "", &without_file,
                  "search ns.svc.cluster.local svc.cluster.local cluster.local\n"
                  "nameserver 10.96.0.10\noptions ndots:5\n" },
                { ",'dnsPolicy':'None','dnsConfig':{'nameservers':['1.1.1.1'],'searches':['x.y'],"
                  "'options':[{'name':'ndots','value':'2'},{'name':'edns0'}]}",
                  &node, "search x.y\nnameserver 1.1.1.1\noptions ndots:2 edns0\n" },
                { ",'dnsConfig':{'nameservers':['10.96.0.10','1.1.1.1'],'searches':['svc.cluster."
                  "local','x.y'],'options':[{'name':'ndots','value':'2'}]}",
                  &node,
                  "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example x.y\n"
                  "nameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2\n" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = text_printf("{'containers':[{'name':'c'}]%s}",
                                                        cases[i].spec);
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(spec, NULL);
                _cleanup_free_ char *text = NULL;
                _cleanup_strv_ char **warnings = NULL;

                CHECK_INT(pod_resolv_conf(p, cases[i].node, &text, &warnings, NULL), 0);
                CHECK_STR(text, cases[i].text);
                CHECK(warnings == NULL);
        }
}

TEST(a_missing_cluster_dns_is_told)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c'}]}", NULL);

        CHECK(pod_dns_misses_cluster(p, &without_dns));
        CHECK(!pod_dns_misses_cluster(p, &node));
}

TEST(what_exceeds_the_limits_is_cut_with_a_word)
{
        _cleanup_(pod_unrefp)
        struct pod *p =
                pod_of("{'containers':[{'name':'c'}],'dnsPolicy':'None','dnsConfig':{'nameservers':"
                       "['1.1.1.1','2.2.2.2','3.3.3.3','4.4.4.4']}}",
                       NULL);
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **warnings = NULL;

        CHECK_INT(pod_resolv_conf(p, &node, &text, &warnings, NULL), 0);
        CHECK_STR(text, "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n");
        CHECK_STR(warnings[0], "Nameserver limits were exceeded, some nameservers have been "
                               "omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3");
}

TEST(a_search_list_is_cut_by_number_by_length_and_domain_by_domain)
{
        struct strbuf spec = { 0 };
        _cleanup_free_ char *text = NULL, *json = NULL;
        _cleanup_strv_ char **warnings = NULL;
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;

        strbuf_add(&spec, "{'containers':[{'name':'c'}],'dnsPolicy':'None','dnsConfig':{"
                          "'nameservers':['1.1.1.1'],'searches':['");
        for (int i = 0; i < 254; i++)
                strbuf_add(&spec, "a"); /* too long by one */
        for (int i = 0; i < 31; i++)    /* 31 of 80 with a blank each: 2510 */
                strbuf_addf(&spec, "','%080d", i);
        strbuf_add(&spec, "']}}");
        json = strbuf_take(&spec);
        p = pod_of(json, NULL);
        CHECK_INT(pod_resolv_conf(p, &node, &text, &warnings, NULL), 0);
        CHECK(strstr(text, "aaaa") == NULL);
        CHECK(strstr(text, "00024") != NULL && strstr(text, "00025") == NULL);
        CHECK_CONTAINS(warnings[0], "Search Line limits were exceeded");
}

TEST(a_word_that_would_start_another_line_is_refused)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'containers':[{'name':'c'}],'dnsConfig':{'searches':['a\\nnameserver 6.6.6.6']}}",
                NULL);
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **warnings = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(pod_resolv_conf(p, &node, &text, &warnings, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "spec: dnsConfig: searches: 'a");
}
