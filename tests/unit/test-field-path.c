#include "kubelet/field-path.h"

#include <errno.h>

#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static struct pod *labelled(void)
{
        json_auto_t *o = json_of(
                "{'metadata':{'name':'web','namespace':'ns','uid':'u1','labels':{'b':'2','a':'x'},"
                "'annotations':{'q':'say \\'hi\\'\\n\\\\','example.com/a[b]':'z'}},"
                "'spec':{'serviceAccountName':'sa','containers':[{'name':'c','resources':{'limits':"
                "{'cpu':'1500m','memory':'65Mi'},'requests':{'cpu':'100m'}}},{'name':'d'}]}}");
        struct pod *p = NULL;

        CHECK_INT(pod_decode(o, POD_SOURCE_API, &p, NULL), 0);
        return p;
}

static const struct field_facts facts = { "node-1", "10.1.0.2", "10.1.0.2,fd00::2", "192.0.2.1",
                                          "192.0.2.1" };

TEST(fields_of_a_pod_become_text)
{
        static const struct {
                const char *path, *value;
        } cases[] = {
                { "metadata.name", "web" },
                { "metadata.namespace", "ns" },
                { "metadata.uid", "u1" },
                { "metadata.labels", "a=\"x\"\nb=\"2\"" },
                { "metadata.labels['a']", "x" },
                { "metadata.labels['none']", "" },
                { "metadata.annotations['example.com/a[b]']", "z" },
                { "metadata.annotations", "example.com/a[b]=\"z\"\nq=\"say \\\"hi\\\"\\n\\\\\"" },
                { "spec.nodeName", "node-1" },
                { "spec.serviceAccountName", "sa" },
                { "status.podIP", "10.1.0.2" },
                { "status.podIPs", "10.1.0.2,fd00::2" },
                { "status.hostIP", "192.0.2.1" },
        };
        _cleanup_(pod_unrefp)
        struct pod *p = labelled();

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *value = NULL;

                CHECK_INT(field_path_value(p, cases[i].path, &facts, &value, NULL), 0);
                CHECK_STR(value, cases[i].value);
        }
}

TEST(a_field_that_is_none_is_refused_by_name)
{
        _cleanup_(pod_unrefp)
        struct pod *p = labelled();
        _cleanup_err_ struct err err = { 0 };
        char *value = NULL;

        CHECK_INT(field_path_value(p, "spec.containers", &facts, &value, &err), -EINVAL);
        CHECK_STR(err_text(&err), "unsupported fieldPath: spec.containers");
        CHECK_INT(field_path_value(p, "metadata.name['x']", &facts, &value, NULL), -EINVAL);
        CHECK_INT(field_path_value(p, "metadata.labels['", &facts, &value, NULL), -EINVAL);
        CHECK_INT(field_path_value(p, "status.podIP", NULL, &value, NULL), -EINVAL);
}

TEST(resources_are_rounded_up_to_the_divisor_and_missing_limits_are_the_nodes)
{
        static const struct {
                const char *container, *resource, *divisor, *value;
        } cases[] = {
                { NULL, "limits.cpu", NULL, "2" },
                { NULL, "limits.cpu", "1m", "1500" },
                { NULL, "requests.cpu", NULL, "1" },
                { NULL, "limits.memory", "1Mi", "65" },
                { NULL, "limits.memory", "0", "68157440" },
                { NULL, "limits.memory", "1Gi", "1" },
                { "d", "limits.cpu", "1m", "3500" },
                { "d", "limits.memory", NULL, "1000" },
                { "d", "limits.ephemeral-storage", NULL, "77" },
                { "d", "requests.memory", NULL, "0" },
                { "d", "limits.hugepages-2Mi", NULL, "0" },
        };
        const struct node_allocatable node = { 3500, 1000, 77 };
        _cleanup_(pod_unrefp)
        struct pod *p = labelled();

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct pod_value_from from = {
                        .container_name = (char *)cases[i].container,
                        .resource = (char *)cases[i].resource,
                        .divisor = (char *)cases[i].divisor,
                };
                _cleanup_free_ char *value = NULL;

                CHECK_INT(field_resource_value(p, &p->containers[0], &from, &node, &value, NULL),
                          0);
                CHECK_STR(value, cases[i].value);
        }
}

TEST(a_resource_or_container_that_is_none_is_refused_by_name)
{
        const struct pod_value_from unknown = { .resource = (char *)"limits.gold" };
        const struct pod_value_from other = { .resource = (char *)"limits.cpu",
                                              .container_name = (char *)"nobody" };
        const struct node_allocatable node = { 0 };
        _cleanup_(pod_unrefp)
        struct pod *p = labelled();
        _cleanup_err_ struct err err = { 0 };
        char *value = NULL;

        CHECK_INT(field_resource_value(p, &p->containers[0], &unknown, &node, &value, &err),
                  -EINVAL);
        CHECK_STR(err_text(&err), "unsupported container resource : limits.gold");
        CHECK_INT(field_resource_value(p, NULL, &other, &node, &value, &err), -ENOENT);
        CHECK_STR(err_text(&err), "container nobody not found");
}
