#include "kubelet/pod-plan.h"

#include <errno.h>

#include "base/text.h"
#include "kubelet/api-schema.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static bool find_image(const char *image, struct plan_image *ret, _unused_ void *userdata)
{
        *ret = (struct plan_image){ .id = "sha256:1", .size = 7 };
        return streq(image, "here:1");
}

static const struct admission_node node = { .name = "node-1",
                                            .standalone = true,
                                            .allocatable = { 2000, 1 << 30, 1 << 30 },
                                            .max_pods = 5 };

/* The entries of some objects, planned one after another. New reference. */
static json_t *plan_with(const struct admission_node *n, const char *const *objects)
{
        const struct plan_options options = { .node = n, .find_image = find_image };
        _cleanup_(plan_freep)
        struct plan *p = NULL;
        json_t *items = json_array();

        CHECK(plan_new(&options, &p) == 0);
        for (; *objects; objects++) {
                json_auto_t *o = json_of(*objects);

                json_array_append_new(items, plan_object(p, o));
        }
        return items;
}
#define PLAN(...) plan_with(&node, (const char *const[]){ __VA_ARGS__, NULL })

static const char *text_of(const json_t *items, size_t i, const char *key)
{
        const char *text = json_text_at(json_array_get(items, i), key);

        return text ? text : "";
}

#define POD(spec)                                                                                \
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'ns'},'spec':{" spec \
        "}}"
#define CONTAINER(more) "'containers':[{'name':'c','image':'here:1'" more "}]"
#define CPU(amount)     ",'resources':{'requests':{'cpu':'" amount "'}}"

TEST(a_pod_that_fits_is_admitted_and_what_is_left_is_told)
{
        json_auto_t *items = PLAN(POD(CONTAINER(CPU("500m"))));

        CHECK_STR(text_of(items, 0, "outcome"), "admitted");
        CHECK_STR(text_of(items, 0, "qosClass"), "Burstable");
        check_json(json_object_get(json_array_get(items, 0), "requests"), "{'cpu':'500m'}");
        CHECK_STR(json_text_at(json_object_get(json_array_get(items, 0), "left"), "cpu"), "1500m");
        check_json(json_object_get(json_array_get(items, 0), "images"),
                   "[{'image':'here:1','for':'c','present':true,'action':'present','id':"
                   "'sha256:1','size':7}]");
}

TEST(what_is_admitted_counts_for_those_behind_it)
{
        json_auto_t *items = PLAN(POD(CONTAINER(CPU("1500m"))), POD(CONTAINER(CPU("1500m"))));

        CHECK_STR(text_of(items, 0, "outcome"), "admitted");
        CHECK_STR(text_of(items, 1, "outcome"), "refused");
        CHECK_STR(text_of(items, 1, "reason"), "OutOfcpu");
}

TEST(an_image_that_is_not_here_would_be_pulled_or_never_be_there)
{
        json_auto_t *items =
                PLAN(POD("'containers':[{'name':'c','image':'away:1'}]"),
                     POD("'containers':[{'name':'c','image':'away:1','imagePullPolicy':'Never'}]"));
        const json_t *first = json_object_get(json_array_get(items, 0), "images"),
                     *second = json_object_get(json_array_get(items, 1), "images");

        CHECK_STR(text_of(first, 0, "action"), "not present: would be pulled");
        CHECK_CONTAINS(text_of(second, 0, "action"), "ErrImageNeverPull");
}

#define DEPLOYMENT(template)                                                                      \
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'spec':{'replicas':" \
        "3,'selector':{'matchLabels':{'app':'d'}},'template':" template "}}"

TEST(of_what_has_a_template_one_pod_is_planned)
{
        json_auto_t *items = PLAN(
                DEPLOYMENT("{'metadata':{'labels':{'app':'d'}},'spec':{" CONTAINER("") "}}"),
                "{'apiVersion':'batch/v1','kind':'CronJob','metadata':{'name':'j'},'spec':{"
                "'schedule':'* * * * *','jobTemplate':{'spec':{'template':{'spec':{'restartPolicy':"
                "'Never'," CONTAINER("") "}}}}}}",
                "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'s'},'spec':{"
                "'selector':{},'volumeClaimTemplates':[{'metadata':{'name':'data'}}],'template':{"
                "'spec':{'containers':[{'name':'c','image':'here:1','volumeMounts':[{'name':'data'"
                ",'mountPath':'/d'}]}]}}}}",
                "{'apiVersion':'v1','kind':'Service','metadata':{'name':'x'}}");

        CHECK_STR(text_of(items, 0, "outcome"), "admitted");
        CHECK_INT(json_integer_value(json_object_get(json_array_get(items, 0), "replicas")), 3);
        CHECK_STR(text_of(items, 1, "outcome"), "admitted");
        CHECK_STR(text_of(items, 2, "outcome"), "admitted");
        CHECK_STR(text_of(items, 3, "outcome"), "nothing");
}

TEST(what_is_invalid_is_told_by_path_value_and_rule)
{
        static const struct {
                const char *object, *sentence;
        } cases[] = {
                { POD("'containers':[]"), "spec: containers: " },
                { POD("'containers':[{'name':'C','image':'i'}]"),
                  "spec: containers: [0]: name: 'C'" },
                { DEPLOYMENT("{'spec':{" CONTAINER("") "}}"),
                  "spec: selector: matchLabels: app: 'd': expected a label of spec: template" },
                { DEPLOYMENT(
                          "{'metadata':{'labels':{'app':'d'}},'spec':{'restartPolicy':'Never'," CONTAINER(
                                  "") "}}"),
                  "spec: template: spec: restartPolicy: 'Never': expected Always" },
                { DEPLOYMENT(
                          "{'metadata':{'labels':{'app':'d'}},'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':0}]}]}}"),
                  "spec: template: spec: containers: [0]: ports: [0]: containerPort: " },
                { DEPLOYMENT("3"), "spec: template: expected an object" },
                { "{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'j'},'spec':{'template':{'spec':{" CONTAINER(
                          "") "}}}}",
                  "spec: template: spec: restartPolicy: '': expected OnFailure or Never" },
                { "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'A_b'},'spec':{}}",
                  "metadata: name: 'A_b': expected a DNS subdomain" },
                { "{'apiVersion':'v1','kind':'Pod'}", "metadata: name: ''" },
                { POD("'volumes':[{'name':'v','emptyDir':{}},{'name':'v','emptyDir':{}}]," CONTAINER(
                          "")),
                  "spec: " },
                { "{'apiVersion':'v1','kind':'Pod','metadata':'x','spec':[]}",
                  "metadata: name: ''" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_auto_t *items = PLAN(cases[i].object);

                CHECK_STR(text_of(items, 0, "outcome"), "invalid");
                CHECK_CONTAINS(text_of(items, 0, "message"), cases[i].sentence);
        }
}

TEST(fields_that_the_api_does_not_know_and_those_of_no_use_here_are_told)
{
        json_auto_t *items = PLAN(
                "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d','label':{}},"
                "'spec':{'selector':{},'replica':1,'template':{'spec':{'containers':[{'name':'c',"
                "'image':'here:1','imagePullPolicie':'Never','securityContext':{'seLinuxOptions':{"
                "'level':'s0'}}}],'nodeSelector':{}}}},'status':{'anything':1}}");

        check_json(json_object_get(json_array_get(items, 0), "fields"),
                   "[{'path':'metadata.label','what':'unknown'},"
                   "{'path':'spec.replica','what':'unknown'},"
                   "{'path':'spec.template.spec.containers[0].imagePullPolicie','what':'unknown'},"
                   "{'path':'spec.template.spec.containers[0].securityContext.seLinuxOptions',"
                   "'what':'ignored','why':'SELinux is not used on this node'}]");
        CHECK_STR(text_of(items, 0, "outcome"), "admitted");
}

TEST(what_others_would_decide_is_a_warning)
{
        json_auto_t *object = json_of("{'metadata':{'labels':{}},'spec':{'taints':[{'key':'gpu',"
                                      "'effect':'NoSchedule'}]}}");
        struct admission_node tainted = node;
        json_auto_t *items = NULL;

        tainted.node = object;
        tainted.standalone = false;
        items = plan_with(&tainted, (const char *const[]){ POD(CONTAINER("")), NULL });
        CHECK_STR(text_of(items, 0, "outcome"), "admitted");
        check_json(json_object_get(json_array_get(items, 0), "warnings"),
                   "['the scheduler would not choose this node for its taint \\u0027gpu\\u0027']");
}

static int count(_unused_ const char *path, _unused_ enum api_field what, _unused_ const char *why,
                 void *userdata)
{
        ++*(size_t *)userdata;
        return 0;
}

TEST(a_pod_that_uses_much_of_the_api_has_no_unknown_field)
{
        json_auto_t *pod = json_of(
                "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'a':'b'},"
                "'annotations':{'x':'y'},'ownerReferences':[{'kind':'X','name':'x','uid':'u',"
                "'controller':true}]},'spec':{'affinity':{'nodeAffinity':{"
                "'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{"
                "'matchExpressions':[{'key':'a','operator':'In','values':['b']}]}]}}},"
                "'volumes':[{'name':'v','projected':{'sources':[{'serviceAccountToken':{'path':'t',"
                "'expirationSeconds':3600}},{'configMap':{'name':'c','items':[{'key':'k','path':"
                "'p'}]}}]}},{'name':'w','csi':{'driver':'d','volumeAttributes':{'free':'key'}}}],"
                "'containers':[{'name':'c','image':'i','env':[{'name':'E','valueFrom':{"
                "'secretKeyRef':{'name':'s','key':'k'}}}],'livenessProbe':{'grpc':{'port':1}},"
                "'lifecycle':{'preStop':{'sleep':{'seconds':1}}},'resources':{'limits':{"
                "'example.com/gpu':1}}}],'topologySpreadConstraints':[{'maxSkew':1,'labelSelector':"
                "{'matchLabels':{'x':'y'}}}]}}");
        size_t n = 0;

        CHECK(api_schema_walk(pod, "Pod", count, &n) == 0);
        CHECK_INT(n, 0);
        CHECK(api_schema_walk(pod, "Service", count, &n) == -ENOENT);
}
