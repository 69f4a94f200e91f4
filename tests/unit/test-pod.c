#include "kubelet/pod.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define ONE "{'containers':[{'name':'c','image':'i'}]}"

TEST(what_a_manifest_leaves_out_has_the_apis_defaults)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}],"
                "'env':[{'name':'E'}],'livenessProbe':{'httpGet':{'port':'http'}},"
                "'readinessProbe':{'grpc':{'port':9}},'resources':{'limits':{'cpu':1,'memory':'1Mi'},"
                "'requests':{'cpu':'500m'}}}],'volumes':[{'name':'v'},{'name':'s','secret':"
                "{'secretName':'x'}}],'tolerations':[{'operator':'Exists'}]}",
                NULL);
        const struct pod_container *c = &p->containers[0];

        CHECK_INT(p->restart_policy, POD_RESTART_ALWAYS);
        CHECK_INT(p->grace_sec, 30);
        CHECK_INT(p->active_deadline_sec, POD_UNSET);
        CHECK_INT(p->dns_policy, POD_DNS_CLUSTER_FIRST);
        CHECK(p->enable_service_links && p->host_users);
        CHECK_INT(p->security.run_as_user, POD_UNSET);
        CHECK_INT(c->kind, POD_CONTAINER_REGULAR);
        CHECK_INT(c->restart_policy, POD_UNSET);
        CHECK_INT(c->ports[0].protocol, IPPROTO_TCP);
        CHECK_STR(c->env[0].value, "");
        CHECK_INT(c->liveness->handler.kind, POD_HANDLER_HTTP_GET);
        CHECK_STR(c->liveness->handler.path, "/");
        CHECK_STR(c->liveness->handler.port.name, "http");
        CHECK_INT(c->liveness->timeout_sec, 1);
        CHECK_INT(c->liveness->period_sec, 10);
        CHECK_INT(c->liveness->failure_threshold, 3);
        CHECK_INT(c->liveness->grace_sec, POD_UNSET);
        CHECK_STR(c->readiness->handler.service, "");
        CHECK_STR(c->termination_message_path, "/dev/termination-log");
        CHECK_INT(pod_resource_milli(&c->resources.limits, "cpu"), 1000);
        CHECK_INT(pod_resource_milli(&c->resources.requests, "cpu"), 500);
        CHECK_INT(pod_resource_value(&c->resources.requests, "memory"), 1 << 20);
        CHECK_INT(pod_resource_value(&c->resources.requests, "nothing"), POD_UNSET);
        CHECK_INT(p->volumes[0].source.kind, POD_VOLUME_EMPTY_DIR);
        CHECK_STR(p->volumes[0].medium, "");
        CHECK_INT(p->volumes[0].size_limit, POD_UNSET);
        CHECK_INT(p->volumes[1].default_mode, 0644);
        CHECK(p->tolerations[0].exists && p->tolerations[0].seconds == POD_UNSET);
}

TEST(a_quantity_without_quotes_is_the_number_that_was_written)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'a','image':'i','resources':{"
                               "'limits':{'cpu':0.1,'memory':1048576},'requests':{'cpu':0.07}}}]}",
                               NULL);

        CHECK_INT(pod_resource_milli(&p->containers[0].resources.limits, "cpu"), 100);
        CHECK_INT(pod_resource_milli(&p->containers[0].resources.requests, "cpu"), 70);
        CHECK_INT(pod_resource_value(&p->containers[0].resources.limits, "memory"), 1 << 20);
}

TEST(an_image_without_tag_or_with_latest_is_always_pulled)
{
        static const struct {
                const char *image;
                int policy;
        } cases[] = {
                { "busybox", POD_PULL_ALWAYS },
                { "busybox:latest", POD_PULL_ALWAYS },
                { "busybox:1", POD_PULL_IF_NOT_PRESENT },
                { "localhost:5000/busybox", POD_PULL_ALWAYS },
                { "localhost:5000/busybox:1", POD_PULL_IF_NOT_PRESENT },
                { "busybox@sha256:00", POD_PULL_IF_NOT_PRESENT },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        text_printf("{'containers':[{'name':'c','image':'%s'}]}", cases[i].image);
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(spec, NULL);

                CHECK_INT(p->containers[0].pull_policy, cases[i].policy);
        }
}

TEST(every_field_of_a_container_arrives)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'hostNetwork':true,'restartPolicy':'Never','containers':[{'name':'c','image':'i:1',"
                "'command':['a'],'args':['b','c'],'workingDir':'/w','imagePullPolicy':'Never',"
                "'ports':[{'name':'dns','containerPort':53,'protocol':'UDP','hostIP':'1.2.3.4'}],"
                "'env':[{'name':'F','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}},"
                "{'name':'R','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'1m'}}},"
                "{'name':'C','valueFrom':{'configMapKeyRef':{'name':'cm','key':'k','optional':true}}},"
                "{'name':'S','valueFrom':{'secretKeyRef':{'name':'se','key':'k'}}},"
                "{'name':'X','valueFrom':{'fileKeyRef':{'volumeName':'v','path':'a/b','key':'k'}}}],"
                "'envFrom':[{'prefix':'P_','configMapRef':{'name':'cm'}},{'secretRef':{'name':'se',"
                "'optional':true}}],"
                "'volumeMounts':[{'name':'v','mountPath':'/m','subPath':'s','readOnly':true,"
                "'mountPropagation':'Bidirectional','recursiveReadOnly':'IfPossible'}],"
                "'volumeDevices':[{'name':'d','devicePath':'/dev/x'}],"
                "'startupProbe':{'exec':{'command':['true']},'periodSeconds':7,"
                "'terminationGracePeriodSeconds':3},"
                "'lifecycle':{'postStart':{'sleep':{'seconds':2}},'preStop':{'tcpSocket':{'port':1}},"
                "'stopSignal':'SIGUSR1'},'terminationMessagePolicy':'FallbackToLogsOnError',"
                "'securityContext':{'privileged':false,'runAsUser':7,'runAsNonRoot':true,"
                "'capabilities':{'add':['NET_ADMIN'],'drop':['ALL']},'procMount':'Unmasked',"
                "'seccompProfile':{'type':'Localhost','localhostProfile':'p.json'},"
                "'seLinuxOptions':{'level':'s0'}},'stdin':true,'tty':true,"
                "'restartPolicy':'OnFailure','restartPolicyRules':[{'action':'RestartAllContainers',"
                "'exitCodes':{'operator':'NotIn','values':[1,2]}}],"
                "'resizePolicy':[{'resourceName':'cpu','restartPolicy':'NotRequired'}]}],"
                "'initContainers':[{'name':'i','image':'x'},{'name':'s','image':'x',"
                "'restartPolicy':'Always'}],"
                "'ephemeralContainers':[{'name':'e','image':'x','targetContainerName':'c'}]}",
                NULL);
        const struct pod_container *c = pod_find_container(p, "c");

        CHECK_STR(c->args[1], "c");
        CHECK_STR(c->working_dir, "/w");
        CHECK_INT(c->pull_policy, POD_PULL_NEVER);
        CHECK_INT(c->ports[0].protocol, IPPROTO_UDP);
        CHECK_INT(c->ports[0].host_port, 53); /* hostNetwork */
        CHECK_STR(c->env[0].from->field_path, "metadata.name");
        CHECK_STR(c->env[1].from->divisor, "1m");
        CHECK(c->env[2].from->kind == POD_VALUE_CONFIG_MAP && c->env[2].from->optional);
        CHECK_STR(c->env[3].from->name, "se");
        CHECK_STR(c->env[4].from->path, "a/b");
        CHECK(!c->env_from[0].is_secret && c->env_from[1].is_secret && c->env_from[1].optional);
        CHECK_STR(c->env_from[0].prefix, "P_");
        CHECK_INT(c->mounts[0].propagation, POD_PROPAGATION_BIDIRECTIONAL);
        CHECK_INT(c->mounts[0].recursive_read_only, POD_RRO_IF_POSSIBLE);
        CHECK_STR(c->devices[0].value, "/dev/x");
        CHECK(c->startup->period_sec == 7 && c->startup->grace_sec == 3);
        CHECK_INT(c->post_start->sleep_sec, 2);
        CHECK_INT(c->pre_stop->port.number, 1);
        CHECK_STR(c->stop_signal, "SIGUSR1");
        CHECK(c->message_fallback_to_logs && c->stdin && c->tty && !c->stdin_once);
        CHECK(c->security->privileged == 0 && c->security->read_only_root == POD_UNSET);
        CHECK(c->security->proc_unmasked && c->security->seccomp.type == POD_PROFILE_LOCALHOST);
        CHECK_STR(c->security->selinux->level, "s0");
        CHECK_INT(c->restart_policy, POD_RESTART_ON_FAILURE);
        CHECK(c->restart_rules[0].not_in && c->restart_rules[0].exit_codes[1] == 2);
        CHECK_INT(pod_container_at(p, 0)->kind, POD_CONTAINER_INIT);
        CHECK_INT(pod_container_at(p, 1)->kind, POD_CONTAINER_SIDECAR);
        CHECK_INT(pod_container_at(p, 3)->kind, POD_CONTAINER_EPHEMERAL);
        CHECK(pod_container_at(p, 4) == NULL);
}

TEST(every_kind_of_volume_arrives_and_a_foreign_one_keeps_its_name)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'containers':[{'name':'c','image':'i'}],'volumes':["
                "{'name':'e','emptyDir':{'medium':'Memory','sizeLimit':'1Gi'}},"
                "{'name':'h','hostPath':{'path':'/x','type':'Directory'}},"
                "{'name':'c','configMap':{'name':'cm','defaultMode':256,'optional':true,"
                "'items':[{'key':'k','path':'a/k','mode':384}]}},"
                "{'name':'d','downwardAPI':{'items':[{'path':'l','fieldRef':{'fieldPath':"
                "'metadata.labels'}}]}},"
                "{'name':'p','projected':{'defaultMode':288,'sources':[{'serviceAccountToken':"
                "{'path':'token'}},{'configMap':{'name':'ca'}},{'secret':{'name':'s'}},"
                "{'clusterTrustBundle':{'path':'x'}}]}},"
                "{'name':'n','iscsi':{'lun':0}},"
                "{'name':'i','image':{'reference':'r/i:1'}},{'name':'l','image':{'reference':'r/i'}},"
                "{'name':'a','image':{'reference':'r/i:1','pullPolicy':'Always'}}]}",
                NULL);

        CHECK(p->volumes[0].size_limit == 1 << 30 && streq(p->volumes[0].medium, "Memory"));
        CHECK_STR(p->volumes[1].source.path, "/x");
        CHECK_STR(p->volumes[1].host_path_type, "Directory");
        CHECK(p->volumes[2].source.optional && p->volumes[2].default_mode == 0400);
        CHECK_INT(p->volumes[2].source.items[0].mode, 0600);
        CHECK_STR(p->volumes[3].source.items[0].from.field_path, "metadata.labels");
        CHECK_INT(p->volumes[3].source.items[0].mode, POD_UNSET);
        CHECK_INT(p->volumes[4].sources[0].expiration_sec, 3600);
        CHECK_INT(p->volumes[4].sources[2].kind, POD_VOLUME_SECRET);
        CHECK_STR(p->volumes[4].sources[3].unsupported, "clusterTrustBundle");
        CHECK_STR(pod_find_volume(p, "n")->source.unsupported, "iscsi");
        CHECK_INT(pod_find_volume(p, "i")->source.kind, POD_VOLUME_IMAGE);
        CHECK_STR(pod_find_volume(p, "i")->image, "r/i:1");
        CHECK_INT(pod_find_volume(p, "i")->pull_policy, POD_PULL_IF_NOT_PRESENT);
        CHECK_INT(pod_find_volume(p, "l")->pull_policy, POD_PULL_ALWAYS);
        CHECK_INT(pod_find_volume(p, "a")->pull_policy, POD_PULL_ALWAYS);
}

TEST(bad_objects_are_refused_with_path_value_and_rule)
{
        static const struct {
                const char *spec, *error;
        } cases[] = {
                { "{}", "spec: containers: required, but missing" },
                { "{'containers':[]}", "spec: containers: expected at least one" },
                { "{'containers':[{'name':'../x'}]}",
                  "spec: containers: [0]: name: '../x': expected a DNS label" },
                { "{'containers':[{'name':'a'},{'name':'a'}]}",
                  "spec: container name 'a': expected each name only once" },
                { "{'containers':[{'name':'a'}],'initContainers':[{'name':'a'}]}",
                  "spec: container name 'a': expected each name only once" },
                { "{'containers':[{'name':'a','ports':[{'containerPort':70000}]}]}",
                  "spec: containers: [0]: ports: [0]: containerPort: 70000: expected 1 to 65535" },
                { "{'containers':[{'name':'a','env':[{'name':'A=B'}]}]}",
                  "env: [0]: name: 'A=B': expected at least one character and no '='" },
                { "{'containers':[{'name':'a','env':[{'name':'A','valueFrom':{}}]}]}",
                  "env: [0]: valueFrom: expected one of fieldRef" },
                { "{'containers':[{'name':'a','resources':{'limits':{'cpu':'1x'}}}]}",
                  "resources: limits: cpu: '1x': expected a quantity such as 500m, 2 or 64Mi" },
                { "{'containers':[{'name':'a','resources':{'limits':{'memory':-1}}}]}",
                  "memory: '-1': expected a quantity that is not negative" },
                { "{'containers':[{'name':'a','livenessProbe':{'exec':{},'grpc':{'port':1}}}]}",
                  "livenessProbe: grpc: expected only one handler" },
                { "{'containers':[{'name':'a','livenessProbe':{}}]}",
                  "livenessProbe: expected a handler" },
                { "{'containers':[{'name':'a'}],'volumes':[{'name':'v'},{'name':'v'}]}",
                  "spec: volumes: [1]: name: 'v': expected each name only once" },
                { "{'containers':[{'name':'a'}],'volumes':[{'name':'v','emptyDir':{},'hostPath':"
                  "{'path':'/'}}]}",
                  "volumes: [0]: hostPath: expected only one source" },
                { "{'containers':[{'name':'a'}],'volumes':[{'name':'v','configMap':{'name':'c',"
                  "'items':[{'key':'k','path':'a/../b'}]}}]}",
                  "items: [0]: path: 'a/../b': expected a path without '..'" },
                { "{'containers':[{'name':'a','securityContext':{'runAsUser':4294967295}}]}",
                  "runAsUser: 4294967295: expected 0 to 4294967294" },
                { "{'containers':[{'name':'a'}],'securityContext':{'supplementalGroups':[-1]}}",
                  "supplementalGroups: [0]: -1: expected 0 to 4294967294" },
                { "{'containers':[{'name':'a'}],'restartPolicy':'Perhaps'}",
                  "restartPolicy: 'Perhaps': expected one of Always, OnFailure, Never" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text =
                        text_printf("{'metadata':{'name':'w','namespace':'n','uid':'u'},'spec':%s}",
                                    cases[i].spec);
                json_auto_t *object = json_of(text);
                _cleanup_err_ struct err err = { 0 };
                struct pod *p = NULL;

                CHECK(pod_decode(object, POD_SOURCE_API, &p, &err) < 0);
                CHECK(p == NULL && err.kind == ERR_BAD_INPUT);
                CHECK_CONTAINS(err_text(&err), cases[i].error);
        }
}

TEST(names_that_would_leave_their_directory_are_refused)
{
        static const char *const metadata[] = {
                "{'name':'a/b','namespace':'n','uid':'u'}",
                "{'name':'a','namespace':'..','uid':'u'}",
                "{'name':'a','namespace':'n','uid':'../u'}",
                "{'name':'a','namespace':'n','uid':''}",
                "{'name':'a','namespace':'n'}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(metadata); i++) {
                _cleanup_free_ char *text = text_printf("{'metadata':%s,'spec':" ONE "}",
                                                        metadata[i]);
                json_auto_t *object = json_of(text);
                struct pod *p = NULL;

                CHECK_INT(pod_decode(object, POD_SOURCE_API, &p, NULL), -EINVAL);
        }
}

TEST(the_object_comes_back_as_it_came_without_managed_fields_and_status)
{
        json_auto_t *object = json_of("{'metadata':{'name':'w','namespace':'n','uid':'u','new':1,"
                                      "'managedFields':[{}]},'spec':{'containers':[{'name':'c',"
                                      "'future':{'x':[1.5]}}]},'status':{'phase':'Running'}}");
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;
        json_auto_t *back = NULL, *status = NULL;

        CHECK_INT(pod_decode(object, POD_SOURCE_API, &p, NULL), 0);
        back = pod_to_json(p);
        status = pod_status_json(p);
        check_json(back, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'w','namespace':'n',"
                         "'uid':'u','new':1},'spec':{'containers':[{'name':'c','future':{'x':[1.5]}"
                         "}]}}");
        check_json(status, "{'phase':'Running'}");
        CHECK_INT(p->phase, POD_RUNNING);
}

static struct pod *with_metadata(const char *more)
{
        _cleanup_free_ char *text =
                text_printf("{'metadata':{'name':'w','namespace':'n','uid':'u',%s},'spec':" ONE "}",
                            more);
        json_auto_t *object = json_of(text);
        struct pod *p = NULL;

        CHECK_INT(pod_decode(object, POD_SOURCE_API, &p, NULL), 0);
        return p;
}

TEST(only_what_this_node_acts_upon_counts_as_a_change)
{
        static const struct {
                const char *a, *b;
                bool differs;
        } cases[] = {
                { "'resourceVersion':'1'", "'resourceVersion':'2'", false },
                { "'labels':{'a':'1'}", "'labels':{'a':'1'}", false },
                { "'labels':{'a':'1'}", "'labels':{'a':'2'}", true },
                { "'annotations':{'a':'1'}", "'annotations':{'b':'1'}", true },
                { "'annotations':{'a':'1'}",
                  "'annotations':{'a':'1','kubernetes.io/config.seen':'x','kubernetes.io/config.source"
                  "':'api'}",
                  false },
                { "'generation':1", "'deletionTimestamp':'2026-01-01T00:00:00Z'", true },
                { "'deletionGracePeriodSeconds':1", "'deletionGracePeriodSeconds':0", true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *a = with_metadata(cases[i].a);
                _cleanup_(pod_unrefp)
                struct pod *b = with_metadata(cases[i].b);

                CHECK(pod_differs(a, b) == cases[i].differs);
        }
}

TEST(a_change_of_the_spec_is_seen_and_a_change_of_field_order_is_none)
{
        _cleanup_(pod_unrefp)
        struct pod *a = pod_of(ONE, NULL);
        _cleanup_(pod_unrefp)
        struct pod *b = pod_of("{'containers':[{'image':'i','name':'c'}]}", NULL);
        _cleanup_(pod_unrefp)
        struct pod *c = pod_of("{'containers':[{'name':'c','image':'j'}]}", NULL);

        CHECK(!pod_differs(a, b));
        CHECK(pod_differs(a, c));
}

#define GATED               "{'readinessGates':[{'conditionType':'x/a'}],'containers':[{'name':'c','image':'i'}]}"
#define SHOWN(type, status) "'status':{'conditions':[{'type':'" type "','status':'" status "'}]}"

TEST(of_a_changed_status_only_the_pods_readiness_gates_matter)
{
        static const struct {
                const char *spec, *a, *b;
                bool differs;
        } cases[] = {
                { GATED, NULL, NULL, false },
                { GATED, NULL, SHOWN("x/a", "True"), true },
                { GATED, SHOWN("x/a", "True"), NULL, true },
                { GATED, SHOWN("x/a", "False"), SHOWN("x/a", "True"), true },
                { GATED, SHOWN("x/a", "True"), SHOWN("x/a", "True"), false },
                { GATED, SHOWN("x/b", "False"), SHOWN("x/b", "True"), false },
                { ONE, NULL, SHOWN("x/a", "True"), false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *a = pod_of(cases[i].spec, cases[i].a);
                _cleanup_(pod_unrefp)
                struct pod *b = pod_of(cases[i].spec, cases[i].b);

                CHECK(pod_gates_differ(a, b) == cases[i].differs);
                CHECK(!pod_differs(a, b));
        }
}

TEST(static_mirror_and_critical_pods_are_told_apart)
{
        _cleanup_(pod_unrefp)
        struct pod *plain = pod_of(ONE, NULL);
        _cleanup_(pod_unrefp)
        struct pod *mirror = with_metadata("'annotations':{'kubernetes.io/config.mirror':'x'}");
        _cleanup_(pod_unrefp)
        struct pod *critical = pod_of(
                "{'priority':2000001000,'priorityClassName':'system-node-critical','containers':[{"
                "'name':'c'}]}",
                NULL);

        CHECK(!pod_is_static(plain) && !pod_is_mirror(plain) && !pod_is_critical(plain));
        CHECK(pod_is_mirror(mirror) && pod_is_critical(mirror) && !pod_is_node_critical(mirror));
        CHECK(pod_is_node_critical(critical));
}

TEST(a_port_is_found_by_name_by_number_and_by_the_number_its_name_spells)
{
        _cleanup_(pod_unrefp)
        struct pod *p =
                pod_of("{'containers':[{'name':'c','ports':[{'name':'http','containerPort':80}]}]}",
                       NULL);
        const struct pod_container *c = &p->containers[0];
        uint16_t port = 0;

        CHECK_INT(pod_port_number(c, &(struct pod_int_or_name){ .name = "http" }, &port), 0);
        CHECK_INT(port, 80);
        CHECK_INT(pod_port_number(c, &(struct pod_int_or_name){ .name = "8080" }, &port), 0);
        CHECK_INT(port, 8080);
        CHECK_INT(pod_port_number(c, &(struct pod_int_or_name){ .name = "x" }, &port), -ENOENT);
        CHECK_INT(pod_port_number(c, &(struct pod_int_or_name){ .number = 0 }, &port), -ERANGE);
}

TEST(a_pod_lives_as_long_as_its_last_reference)
{
        struct pod *p = pod_of(ONE, NULL);

        CHECK(pod_ref(p) == p);
        CHECK(pod_unref(p) == NULL);
        CHECK_STR(p->name, "web");
        pod_unref(p);
        CHECK(pod_unref(NULL) == NULL);
}
