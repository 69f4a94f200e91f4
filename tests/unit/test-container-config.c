#include "kubelet/container-config.h"

#include <errno.h>
#include <linux/capability.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

/* ---- what comes in ---- */
static const json_t *on_object(bool is_secret, const char *name, void *userdata)
{
        return json_path(userdata, is_secret ? "secrets" : "configMaps", name, NULL);
}

static int on_read_file(const char *volume, const char *path, char **ret, void *userdata)
{
        (void)userdata;
        if (!streq(volume, "v") || !streq(path, "env"))
                return -ENOENT;
        *ret = strdup("KEY='from a file'\n");
        return 0;
}

static const char *const image_entrypoint[] = { "/entry", NULL }, *const image_cmd[] = { "cmd",
                                                                                         NULL };
static const char *const image_env[] = { "PATH=/image", "LANG=C", "=broken", "alsobroken", NULL };

struct fixture {
        struct pod *pod;
        json_t *objects;
        struct image_info image;
        struct image_user user;
        struct container_input in;
};

static void fixture_init(struct fixture *f, const char *spec, const char *objects)
{
        *f = (struct fixture){
                .pod = pod_of(spec, NULL),
                .objects = json_of(objects ? objects : "{}"),
                .image = { .entrypoint = (char *const *)image_entrypoint,
                           .cmd = (char *const *)image_cmd,
                           .env = (char *const *)image_env,
                           .user = "",
                           .working_dir = "" },
        };
        f->in = (struct container_input){
                .pod = f->pod,
                .container = pod_container_at(f->pod, 0),
                .image = &f->image,
                .user = &f->user,
                .object = on_object,
                .read_file = on_read_file,
                .userdata = f->objects,
                .pod_ip = "10.1.0.2",
                .pod_ips = "10.1.0.2",
                .host_ip = "192.0.2.1",
                .host_ips = "192.0.2.1",
                .node_name = "node-1",
                .hostname = "web",
                .node_memory_bytes = 1 << 30,
                .allocatable = { 2000, 1 << 30, 1 << 30 },
                .possible_cpus = 1,
                .cpu_quota = true,
                .cpu_period_usec = 100000,
        };
}

static void fixture_done(struct fixture *f)
{
        pod_unref(f->pod);
        json_decref(f->objects);
}

static void build(struct fixture *f, struct container_output *out)
{
        _cleanup_err_ struct err err = { 0 };

        if (container_config_build(&f->in, out, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void check_refused(const char *spec, const char *objects, const char *sentence)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_err_ struct err err = { 0 };

        fixture_init(&f, spec, objects);
        CHECK(container_config_build(&f.in, &out, &err) < 0);
        CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
        CHECK_CONTAINS(err_text(&err), sentence);
}

#define POD(container, more) "{'containers':[{'name':'c','image':'i'" container "}]" more "}"

/* ---- command line ---- */
TEST(the_command_line_is_the_images_the_pods_or_of_both)
{
        static const struct {
                const char *container, *line;
        } cases[] = {
                { "", "/entry cmd" },
                { ",'args':['a','b']", "/entry a b" },
                { ",'command':['run']", "run" },
                { ",'command':['run'],'args':['$(LANG)','$(X)']", "run $(LANG) y" },
                { ",'command':['$(X)','$$(X)']", "y $(X)" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fixture_done)
                struct fixture f;
                _cleanup_(container_output_done)
                struct container_output out = { 0 };
                _cleanup_free_ char *spec =
                        text_printf(POD(",'env':[{'name':'X','value':'y'}]%s", ""),
                                    cases[i].container);
                _cleanup_free_ char *line = NULL;

                fixture_init(&f, spec, NULL);
                build(&f, &out);
                line = strv_join(out.spec.process.args, " ");
                CHECK_STR(line, cases[i].line);
        }
}

TEST(a_container_without_anything_to_run_is_refused)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_err_ struct err err = { 0 };

        fixture_init(&f, POD("", ""), NULL);
        f.image.entrypoint = f.image.cmd = NULL;
        CHECK(container_config_build(&f.in, &out, &err) < 0);
        CHECK_INT(err.kind, ERR_CONTAINER_CREATE);
        CHECK_STR(err_text(&err), "no command specified");
}

/* ---- environment ---- */
static const char *env_of(const struct container_output *out, const char *name)
{
        STRV_FOREACH (e, out->spec.process.env) {
                const char *rest = startswith(*e, name);

                if (rest && *rest == '=')
                        return rest + 1;
        }
        return NULL;
}

TEST(the_environment_has_the_image_below_and_the_pod_above)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(
                &f,
                POD(",'env':[{'name':'LANG','value':'de'},{'name':'REF','value':'<$(LANG) $(A) "
                    "$(LATER) $(PATH)>'},{'name':'LATER','value':'l'},{'name':'LATER','value':"
                    "'again'}],'envFrom':[{'configMapRef':{'name':'cm'}},{'prefix':'S_',"
                    "'secretRef':{'name':'se'}},{'configMapRef':{'name':'no','optional':true}}]",
                    ""),
                "{'configMaps':{'cm':{'data':{'A':'a','LANG':'fr','odd-name.1':'x'}}},"
                "'secrets':{'se':{'data':{'K':'c2VjcmV0'}}}}");
        build(&f, &out);
        CHECK_STR(env_of(&out, "LANG"), "de");
        CHECK_STR(env_of(&out, "A"), "a");
        CHECK_STR(env_of(&out, "S_K"), "secret");
        CHECK_STR(env_of(&out, "odd-name.1"), "x");
        CHECK_STR(env_of(&out, "REF"), "<de a $(LATER) $(PATH)>");
        CHECK_STR(env_of(&out, "LATER"), "again");
        CHECK_STR(env_of(&out, "PATH"), "/image");
        CHECK_STR(env_of(&out, "HOSTNAME"), "web");
        CHECK_STR(env_of(&out, "HOME"), "/root");
        CHECK(env_of(&out, "alsobroken") == NULL && env_of(&out, "") == NULL);
}

TEST(values_come_from_fields_resources_objects_and_files)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(
                &f,
                POD(",'env':["
                    "{'name':'NODE','valueFrom':{'fieldRef':{'fieldPath':'spec.nodeName'}}},"
                    "{'name':'IP','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}},"
                    "{'name':'CPU','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu'}}},"
                    "{'name':'CM','valueFrom':{'configMapKeyRef':{'name':'cm','key':'k'}}},"
                    "{'name':'SE','valueFrom':{'secretKeyRef':{'name':'se','key':'k'}}},"
                    "{'name':'FILE','valueFrom':{'fileKeyRef':{'volumeName':'v','path':'env',"
                    "'key':'KEY'}}},"
                    "{'name':'OPT','valueFrom':{'secretKeyRef':{'name':'no','key':'k',"
                    "'optional':true}}},"
                    "{'name':'OPT2','valueFrom':{'configMapKeyRef':{'name':'cm','key':'no',"
                    "'optional':true}}}]",
                    ",'volumes':[{'name':'v'}]"),
                "{'configMaps':{'cm':{'data':{'k':'v'}}},'secrets':{'se':{'data':{'k':'dw=='}}}}");
        build(&f, &out);
        CHECK_STR(env_of(&out, "NODE"), "node-1");
        CHECK_STR(env_of(&out, "IP"), "10.1.0.2");
        CHECK_STR(env_of(&out, "CPU"), "2");
        CHECK_STR(env_of(&out, "CM"), "v");
        CHECK_STR(env_of(&out, "SE"), "w");
        CHECK_STR(env_of(&out, "FILE"), "from a file");
        CHECK(env_of(&out, "OPT") == NULL && env_of(&out, "OPT2") == NULL);
}

TEST(what_is_missing_is_named_in_the_kubelets_words)
{
        static const struct {
                const char *container, *objects, *sentence;
        } cases[] = {
                { ",'envFrom':[{'configMapRef':{'name':'x'}}]", NULL, "configmap \"x\" not found" },
                { ",'envFrom':[{'secretRef':{'name':'x'}}]", NULL, "secret \"x\" not found" },
                { ",'env':[{'name':'E','valueFrom':{'secretKeyRef':{'name':'x','key':'k'}}}]", NULL,
                  "secret \"x\" not found" },
                { ",'env':[{'name':'E','valueFrom':{'configMapKeyRef':{'name':'x','key':'k'}}}]",
                  "{'configMaps':{'x':{'data':{}}}}", "couldn't find key k in ConfigMap ns/x" },
                { ",'env':[{'name':'E','valueFrom':{'secretKeyRef':{'name':'x','key':'k'}}}]",
                  "{'secrets':{'x':{}}}", "couldn't find key k in Secret ns/x" },
                { ",'env':[{'name':'E','valueFrom':{'secretKeyRef':{'name':'x','key':'k'}}}]",
                  "{'secrets':{'x':{'data':{'k':'AAA='}}}}", "without NUL bytes" },
                { ",'env':[{'name':'E','valueFrom':{'fileKeyRef':{'volumeName':'q','path':'p','key':"
                  "'k'}}}]",
                  NULL, "cannot find the volume \"q\" referenced by FileKeyRef" },
                { ",'env':[{'name':'E','valueFrom':{'fileKeyRef':{'volumeName':'v','path':'p','key':"
                  "'k'}}}]",
                  NULL, "couldn't parse env file" },
                { ",'env':[{'name':'E','valueFrom':{'fileKeyRef':{'volumeName':'v','path':'env',"
                  "'key':'NO'}}}]",
                  NULL, "environment variable key \"NO\" not found in file \"env\"" },
                { ",'env':[{'name':'E','valueFrom':{'fieldRef':{'fieldPath':'spec.secret'}}}]",
                  NULL, "unsupported fieldPath: spec.secret" },
                { ",'securityContext':{'capabilities':{'add':['FLY']}}", NULL,
                  "capabilities: 'FLY': expected a capability" },
                { ",'securityContext':{'appArmorProfile':{'type':'RuntimeDefault'}}", NULL,
                  "appArmorProfile type RuntimeDefault: profile 'skiff-default' was not loaded" },
                { ",'securityContext':{'seccompProfile':{'type':'Localhost'}}", NULL,
                  "localhostProfile must be set if seccompProfile type is Localhost." },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = text_printf(POD("%s", ",'volumes':[{'name':'v'}]"),
                                                        cases[i].container);

                check_refused(spec, cases[i].objects, cases[i].sentence);
        }
}

TEST(services_are_announced_and_lose_against_everything)
{
        struct service_port_info ports[] = { { (char *)"http", 80, (char *)"TCP" },
                                             { (char *)"my-dns", 53, (char *)"UDP" } };
        const struct service_info a = { (char *)"ns", (char *)"my-svc", (char *)"10.96.0.7", ports,
                                        2 };
        const struct service_info b = { (char *)"default", (char *)"kubernetes", (char *)"fd00::1",
                                        ports, 1 };
        const struct service_info *const services[] = { &a, &b };
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(&f,
                     POD(",'env':[{'name':'MY_SVC_PORT','value':'mine'},{'name':'URL','value':"
                         "'http://$(MY_SVC_SERVICE_HOST):$(MY_SVC_SERVICE_PORT_HTTP)'}]",
                         ""),
                     NULL);
        f.in.services = services;
        f.in.n_services = 2;
        build(&f, &out);
        CHECK_STR(env_of(&out, "MY_SVC_SERVICE_HOST"), "10.96.0.7");
        CHECK_STR(env_of(&out, "MY_SVC_SERVICE_PORT"), "80");
        CHECK_STR(env_of(&out, "MY_SVC_SERVICE_PORT_MY_DNS"), "53");
        CHECK_STR(env_of(&out, "MY_SVC_PORT"), "mine");
        CHECK_STR(env_of(&out, "MY_SVC_PORT_53_UDP"), "udp://10.96.0.7:53");
        CHECK_STR(env_of(&out, "MY_SVC_PORT_53_UDP_PROTO"), "udp");
        CHECK_STR(env_of(&out, "MY_SVC_PORT_80_TCP_PORT"), "80");
        CHECK_STR(env_of(&out, "MY_SVC_PORT_80_TCP_ADDR"), "10.96.0.7");
        CHECK_STR(env_of(&out, "KUBERNETES_PORT"), "tcp://[fd00::1]:80");
        CHECK_STR(env_of(&out, "URL"), "http://10.96.0.7:80");
}

TEST(sub_path_expressions_need_a_value_for_every_name)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *path = NULL;
        char *none = NULL;

        fixture_init(&f,
                     POD(",'env':[{'name':'P','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}"
                         "}},{'name':'E'}]",
                         ""),
                     NULL);
        CHECK_INT(container_expand_sub_path(&f.in, "logs/$(P)", &path, NULL), 0);
        CHECK_STR(path, "logs/web");
        CHECK_INT(container_expand_sub_path(&f.in, "$(Z)/$(E)/$(Z)", &none, &err), -ENOENT);
        CHECK_STR(err_text(&err), "missing value for E, Z");
        CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
}

/* ---- identity ---- */
TEST(the_user_is_the_containers_the_pods_or_the_images)
{
        static const struct {
                const char *container, *pod, *image, *user;
        } cases[] = {
                { "", "", "", "0" },
                { "", "", "www-data", "www-data" },
                { "", "", "1000:100", "1000" },
                { "", ",'securityContext':{'runAsUser':7}", "www-data", "7" },
                { ",'securityContext':{'runAsUser':0}", ",'securityContext':{'runAsUser':7}", "x",
                  "0" },
                { ",'securityContext':{'runAsGroup':9}", "", "www-data", "www-data:9" },
                { ",'securityContext':{'runAsUser':5,'runAsGroup':9}", "", "", "5:9" },
                { ",'securityContext':{'runAsNonRoot':true}", "", "1000", "1000" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = text_printf(POD("%s", "%s"), cases[i].container,
                                                        cases[i].pod);
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(spec, NULL);
                const struct image_info image = { .user = cases[i].image };
                _cleanup_free_ char *user = NULL;

                CHECK_INT(container_user_wanted(p, &p->containers[0], &image, &user, NULL), 0);
                CHECK_STR(user, cases[i].user);
        }
}

TEST(run_as_non_root_is_enforced_in_the_kubelets_words)
{
        static const struct {
                const char *security, *image, *sentence;
        } cases[] = {
                { "'runAsUser':0", "1000",
                  "container's runAsUser breaks non-root policy (pod: \"web_ns(u1)\", container: c)" },
                { "'privileged':false", "",
                  "container has runAsNonRoot and image will run as root (pod: \"web_ns(u1)\", "
                  "container: c)" },
                { "'privileged':false", "0:5", "image will run as root" },
                { "'privileged':false", "00", "image will run as root" },
                { "'privileged':false", "www-data",
                  "container has runAsNonRoot and image has non-numeric user (www-data), cannot verify "
                  "user is non-root (pod: \"web_ns(u1)\", container: c)" },
                { "'privileged':false", "4294967296", "image has an invalid user id (4294967296)" },
                { "'privileged':false", "2147483648", "image has an invalid user id (2147483648)" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        text_printf(POD(",'securityContext':{'runAsNonRoot':true,%s}", ""),
                                    cases[i].security);
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(spec, NULL);
                const struct image_info image = { .user = cases[i].image };
                _cleanup_err_ struct err err = { 0 };
                char *user = NULL;

                CHECK(container_user_wanted(p, &p->containers[0], &image, &user, &err) < 0);
                CHECK_CONTAINS(err_text(&err), cases[i].sentence);
                CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
        }
}

TEST(a_name_that_turns_out_to_be_root_is_root)
{
        /* the uid is known only after the lookup in the image */
        check_refused(POD(",'securityContext':{'runAsNonRoot':true}", ""), NULL,
                      "image will run as root");
}

TEST(groups_are_the_pods_and_by_policy_the_images_with_the_primary_one_among_them)
{
        static const uint32_t image_groups[] = { 44, 3000 };
        static uint32_t user_groups[] = { 45 };
        static const struct {
                const char *policy, *groups;
        } cases[] = { { "Merge", "100 2000 3000 45 44" }, { "Strict", "100 2000 3000" } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fixture_done)
                struct fixture f;
                _cleanup_(container_output_done)
                struct container_output out = { 0 };
                _cleanup_free_ char *spec = text_printf(
                        POD("", ",'securityContext':{'fsGroup':2000,'supplementalGroups':[3000],"
                                "'supplementalGroupsPolicy':'%s'}"),
                        cases[i].policy);
                struct strbuf b = { 0 };
                _cleanup_free_ char *groups = NULL;

                fixture_init(&f, spec, NULL);
                f.user = (struct image_user){ 1000, 100, user_groups, 1, NULL };
                f.in.image_groups = image_groups;
                f.in.n_image_groups = 2;
                build(&f, &out);
                CHECK_INT(out.spec.process.uid, 1000);
                CHECK_INT(out.spec.process.gid, 100);
                for (size_t k = 0; k < out.spec.process.n_additional_gids; k++)
                        strbuf_addf(&b, "%s%u", k ? " " : "", out.spec.process.additional_gids[k]);
                groups = strbuf_take(&b);
                CHECK_STR(groups, cases[i].groups);
        }
}

/* ---- confinement ---- */
static uint64_t caps_of(const char *security)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_free_ char *spec = text_printf(POD(",'securityContext':{%s}", ""), security);

        fixture_init(&f, spec, NULL);
        build(&f, &out);
        CHECK(out.spec.process.cap_inheritable == 0 && out.spec.process.cap_ambient == 0);
        CHECK(out.spec.process.cap_effective == out.spec.process.cap_bounding);
        CHECK(out.spec.process.cap_permitted == out.spec.process.cap_bounding);
        return out.spec.process.cap_bounding;
}

#define BIT(cap) (UINT64_C(1) << (cap))

TEST(capabilities_are_the_usual_ones_with_what_is_added_and_dropped)
{
        uint64_t usual = caps_of(""), all = caps_of("'privileged':true");

        CHECK_INT(__builtin_popcountll(usual), 14);
        CHECK(caps_of("'capabilities':{'add':['NET_ADMIN'],'drop':['CAP_CHOWN']}") ==
              ((usual | BIT(CAP_NET_ADMIN)) & ~BIT(CAP_CHOWN)));
        CHECK(caps_of("'capabilities':{'drop':['ALL'],'add':['NET_BIND_SERVICE']}") ==
              BIT(CAP_NET_BIND_SERVICE));
        CHECK(caps_of("'capabilities':{'drop':['ALL']}") == 0);
        CHECK(caps_of("'capabilities':{'add':['ALL'],'drop':['SYS_ADMIN']}") ==
              (all & ~BIT(CAP_SYS_ADMIN)));
        CHECK(all & BIT(CAP_SYS_ADMIN));
}

TEST(a_privileged_container_sees_everything)
{
        const struct oci_device host[] = { { (char *)"/dev/sda", 'b', 8, 0, 0660, 0, 6 },
                                           { (char *)"/dev/null", 'c', 1, 3, 0666, 0, 0 } };
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(&f,
                     POD(",'securityContext':{'privileged':true,'seccompProfile':{'type':"
                         "'RuntimeDefault'}}",
                         ""),
                     NULL);
        f.in.host_devices = host;
        f.in.n_host_devices = 2;
        build(&f, &out);
        CHECK_INT(out.seccomp, SECCOMP_UNCONFINED);
        CHECK(!out.spec.masked_paths && !out.spec.readonly_paths);
        CHECK(!out.spec.namespaces[OCI_NS_CGROUP].present);
        CHECK_INT(out.spec.n_devices, 7);
        CHECK_STR(out.spec.devices[6].path, "/dev/sda");
        CHECK(out.spec.resources.devices[0].allow);
}

TEST(an_ordinary_container_is_masked_and_has_few_devices)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(&f,
                     POD(",'securityContext':{'readOnlyRootFilesystem':true,"
                         "'allowPrivilegeEscalation':false,'procMount':'Unmasked'}",
                         ""),
                     NULL);
        build(&f, &out);
        /* without a user namespace of its own nothing is unmasked */
        CHECK(strv_contains(out.spec.masked_paths, "/proc/kcore"));
        CHECK(strv_contains(out.spec.masked_paths,
                            "/sys/devices/system/cpu/cpu0/thermal_throttle"));
        CHECK(strv_contains(out.spec.readonly_paths, "/proc/sys"));
        CHECK(out.spec.root_readonly && out.spec.process.no_new_privileges);
        CHECK_INT(out.spec.n_devices, 6);
        CHECK(!out.spec.resources.devices[0].allow);
        CHECK(out.spec.namespaces[OCI_NS_CGROUP].present);
        CHECK(out.spec.namespaces[OCI_NS_PID].present && !out.spec.namespaces[OCI_NS_PID].path);
        CHECK(!out.spec.namespaces[OCI_NS_USER].present);
}

TEST(seccomp_is_the_containers_the_pods_or_the_nodes_choice)
{
        static const struct {
                const char *container, *pod;
                bool by_default;
                int seccomp;
        } cases[] = {
                { "", "", false, SECCOMP_UNCONFINED },
                { "", "", true, SECCOMP_RUNTIME_DEFAULT },
                { "", "{'type':'RuntimeDefault'}", false, SECCOMP_RUNTIME_DEFAULT },
                { "{'type':'Unconfined'}", "{'type':'RuntimeDefault'}", true, SECCOMP_UNCONFINED },
                { "{'type':'Localhost','localhostProfile':'a/b.json'}", "", false,
                  SECCOMP_LOCALHOST },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fixture_done)
                struct fixture f;
                _cleanup_(container_output_done)
                struct container_output out = { 0 };
                _cleanup_free_ char *spec =
                        text_printf(POD(",'securityContext':{%s%s}", ",'securityContext':{%s%s}"),
                                    *cases[i].container ? "'seccompProfile':" : "",
                                    cases[i].container, *cases[i].pod ? "'seccompProfile':" : "",
                                    cases[i].pod);

                fixture_init(&f, spec, NULL);
                f.in.seccomp_default = cases[i].by_default;
                build(&f, &out);
                CHECK_INT(out.seccomp, cases[i].seccomp);
                if (cases[i].seccomp == SECCOMP_LOCALHOST)
                        CHECK_STR(out.seccomp_localhost, "a/b.json");
        }
}

TEST(apparmor_is_the_containers_the_pods_or_the_nodes_profile)
{
        static const char *const cases[][4] = {
                /* container, pod, loaded, profile */
                { "", "", NULL, NULL },
                { "", "", "d", "d" },
                { "", "'appArmorProfile':{'type':'RuntimeDefault'}", "d", "d" },
                { "", "'appArmorProfile':{'type':'Unconfined'}", "d", NULL },
                { "'privileged':true", "", "d", NULL },
                { "'appArmorProfile':{'type':'Localhost','localhostProfile':'x'}",
                  "'appArmorProfile':{'type':'Unconfined'}", "d", "x" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fixture_done)
                struct fixture f;
                _cleanup_(container_output_done)
                struct container_output out = { 0 };
                _cleanup_free_ char *spec =
                        text_printf(POD(",'securityContext':{%s}", ",'securityContext':{%s}"),
                                    cases[i][0], cases[i][1]);

                fixture_init(&f, spec, NULL);
                f.in.apparmor_default = cases[i][2];
                build(&f, &out);
                CHECK_STR(out.spec.process.apparmor_profile ? out.spec.process.apparmor_profile
                                                            : "",
                          cases[i][3] ? cases[i][3] : "");
        }
}

TEST(namespaces_follow_the_pod)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };

        fixture_init(&f, POD("", ",'hostNetwork':true,'hostIPC':true,'hostPID':true"), NULL);
        build(&f, &out);
        CHECK(!out.spec.namespaces[OCI_NS_NETWORK].present);
        CHECK(!out.spec.namespaces[OCI_NS_UTS].present);
        CHECK(!out.spec.namespaces[OCI_NS_IPC].present);
        CHECK(!out.spec.namespaces[OCI_NS_PID].present);
        CHECK(out.spec.hostname == NULL);
}

TEST(an_ephemeral_container_joins_the_processes_of_its_target)
{
        static const char spec[] = "{'containers':[{'name':'c','image':'i'}],'ephemeralContainers':"
                                   "[{'name':'e','image':'i','targetContainerName':'c'}]}";
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_(container_output_done)
        struct container_output none = { 0 };
        _cleanup_err_ struct err err = { 0 };

        fixture_init(&f, spec, NULL);
        f.in.container = pod_find_container(f.pod, "e");
        f.in.target_pid = 77;
        build(&f, &out);
        CHECK_STR(out.spec.namespaces[OCI_NS_PID].path, "/proc/77/ns/pid");
        f.in.target_pid = 0;
        CHECK_INT(container_config_build(&f.in, &none, &err), -ENOENT);
        CHECK_STR(err_text(&err), "unable to find target container c");
}

/* ---- mounts ---- */
/* "/proc=proc /x=/host(rbind,rprivate,ro)": with options for binds and images alone. */
static char *describe_mounts(const struct oci_spec *s)
{
        struct strbuf b = { 0 };

        for (size_t i = 0; i < s->n_mounts; i++) {
                const struct oci_mount *m = &s->mounts[i];
                _cleanup_free_ char *options = strv_join(m->options, ",");

                strbuf_addf(&b, "%s%s=%s", i ? " " : "", m->destination, m->source);
                if (streq(m->type, "bind") || streq(m->type, OCI_MOUNT_IMAGE))
                        strbuf_addf(&b, "(%s)", options);
        }
        return strbuf_take(&b);
}

TEST(volumes_lie_over_what_we_would_mount_and_parents_come_first)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        struct container_mount_input mounts[5] = { 0 };
        static const char *const paths[] = { "/h/a", "/h/b", "/h/c", "/h/d", "/h/e" };
        _cleanup_free_ char *text = NULL;

        fixture_init(
                &f,
                POD(",'volumeMounts':[{'name':'v','mountPath':'/data/deep//x/..'},"
                    "{'name':'v','mountPath':'data','readOnly':true,'recursiveReadOnly':'Enabled'},"
                    "{'name':'v','mountPath':'/dev/shm'},"
                    "{'name':'v','mountPath':'/etc/hosts','readOnly':true},"
                    "{'name':'v','mountPath':'/p','mountPropagation':'HostToContainer'}]",
                    ""),
                NULL);
        for (size_t i = 0; i < 5; i++)
                mounts[i] = (struct container_mount_input){ &f.in.container->mounts[i], paths[i],
                                                            i == 2, i == 4, NULL };
        mounts[0].source_type = "DirectoryOrCreate";
        mounts[3].source_type = "File";
        f.in.mounts = mounts;
        f.in.n_mounts = 5;
        f.in.hosts_file = "/pods/hosts";
        f.in.resolv_conf_file = "/pods/resolv";
        f.in.termination_log_file = "/pods/term";
        build(&f, &out);
        text = describe_mounts(&out.spec);
        CHECK_STR(
                text,
                "/proc=proc /dev=tmpfs /sys=sysfs /data=/h/b(rbind,rprivate,rro) "
                "/p=/h/e(rbind,rslave,rw,x-skiff.create-source) "
                "/dev/pts=devpts /dev/mqueue=mqueue /etc/resolv.conf=/pods/resolv(rbind,rprivate,rw) "
                "/dev/termination-log=/pods/term(rbind,rprivate,rw) "
                "/data/deep=/h/a(rbind,rprivate,rw,x-skiff.source=Directory) /dev/shm=/h/c(rbind,rprivate,ro) "
                "/etc/hosts=/h/d(rbind,rprivate,ro,x-skiff.source=File) /sys/fs/cgroup=cgroup");
}

TEST(an_image_is_mounted_read_only_and_without_programs_whatever_the_mount_says)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        struct container_mount_input mount = { 0 };
        _cleanup_free_ char *text = NULL;

        fixture_init(&f,
                     POD(",'volumeMounts':[{'name':'v','mountPath':'/i','mountPropagation':"
                         "'HostToContainer'}]",
                         ""),
                     NULL);
        mount = (struct container_mount_input){ .mount = &f.in.container->mounts[0],
                                                .image = "sha256:1/etc" };
        f.in.mounts = &mount;
        f.in.n_mounts = 1;
        build(&f, &out);
        text = describe_mounts(&out.spec);
        CHECK_CONTAINS(text, "/i=sha256:1/etc(ro,nosuid,nodev,noexec)");
}

TEST(a_volume_on_dev_takes_all_of_it)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        struct container_mount_input mount = { 0 };
        _cleanup_free_ char *text = NULL;

        fixture_init(&f, POD(",'volumeMounts':[{'name':'v','mountPath':'/dev'}]", ""), NULL);
        mount = (struct container_mount_input){ &f.in.container->mounts[0], "/dev", false, false };
        f.in.mounts = &mount;
        f.in.n_mounts = 1;
        f.in.termination_log_file = "/pods/term";
        build(&f, &out);
        text = describe_mounts(&out.spec);
        CHECK_STR(text, "/proc=proc /sys=sysfs /dev=/dev(rbind,rprivate,rw) /sys/fs/cgroup=cgroup");
}

TEST(a_recursive_read_only_mount_must_be_one)
{
        static const struct {
                const char *mount, *sentence;
        } cases[] = {
                { "'recursiveReadOnly':'Enabled'",
                  "failed to resolve recursive read-only mode: volume \"v\" requested recursive "
                  "read-only mode, but it is not read-only" },
                { "'readOnly':true,'mountPropagation':'HostToContainer','recursiveReadOnly':"
                  "'IfPossible'",
                  "but it is not compatible with propagation \"HostToContainer\"" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fixture_done)
                struct fixture f;
                _cleanup_(container_output_done)
                struct container_output out = { 0 };
                _cleanup_free_ char *spec =
                        text_printf(POD(",'volumeMounts':[{'name':'v','mountPath':'/v',%s}]", ""),
                                    cases[i].mount);
                struct container_mount_input mount;
                _cleanup_err_ struct err err = { 0 };

                fixture_init(&f, spec, NULL);
                mount = (struct container_mount_input){ &f.in.container->mounts[0], "/h", false,
                                                        false };
                f.in.mounts = &mount;
                f.in.n_mounts = 1;
                CHECK(container_config_build(&f.in, &out, &err) < 0);
                CHECK_CONTAINS(err_text(&err), cases[i].sentence);
        }
}

/* ---- resources ---- */
TEST(requests_and_limits_become_cgroup_values)
{
        _cleanup_(fixture_done)
        struct fixture f;
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        const struct oci_resources *r = &out.spec.resources;

        fixture_init(
                &f,
                POD(",'resources':{'limits':{'cpu':'1500m','memory':'64Mi','hugepages-2Mi':'4Mi'},"
                    "'requests':{'cpu':'100m'}}",
                    ""),
                NULL);
        build(&f, &out);
        CHECK_INT(r->cpu_shares, 102);
        CHECK_INT(r->cpu_quota, 150000);
        CHECK_INT(r->cpu_period, 100000);
        CHECK_INT(r->memory_limit, 64 << 20);
        CHECK_INT(r->memory_swap, 64 << 20);
        CHECK_STR(r->hugepage_limits[0].page_size, "2MB");
        CHECK_INT(r->hugepage_limits[0].limit, 4 << 20);
        CHECK_STR(string_map_get(&r->unified, "memory.oom.group"), "1");
        CHECK_INT(out.spec.process.oom_score_adj, 938);
}

TEST(without_limits_there_are_none_and_the_pods_stand_in)
{
        _cleanup_(fixture_done)
        struct fixture f, g;
        _cleanup_(container_output_done)
        struct container_output a = { 0 }, b = { 0 };

        fixture_init(&f, POD("", ""), NULL);
        fixture_init(&g, POD("", ",'resources':{'limits':{'cpu':'1','memory':'1Mi'}}"), NULL);
        f.in.single_process_oom_kill = true;
        g.in.cpu_quota = false;
        build(&f, &a);
        build(&g, &b);
        CHECK_INT(a.spec.resources.cpu_shares, 2);
        CHECK(a.spec.resources.cpu_quota == OCI_UNSET &&
              a.spec.resources.memory_limit == OCI_UNSET);
        CHECK_INT(a.spec.resources.unified.n, 0);
        CHECK_INT(a.spec.process.oom_score_adj, 1000);
        CHECK_INT(b.spec.resources.cpu_shares, 1024);
        CHECK(b.spec.resources.cpu_quota == OCI_UNSET);
        CHECK_INT(b.spec.resources.memory_limit, 1 << 20);
}

TEST(a_pods_cgroup_is_of_its_class_and_limited_only_when_all_of_it_is)
{
        static const struct {
                const char *spec, *path;
                int64_t shares, quota, memory;
        } cases[] = {
                { POD("", ""), "kubepods/besteffort/podu1", 2, OCI_UNSET, OCI_UNSET },
                { POD(",'resources':{'limits':{'cpu':'1','memory':'1Mi'}}", ""), "kubepods/podu1",
                  1024, 100000, 1 << 20 },
                { POD(",'resources':{'limits':{'cpu':'1'}}},{'name':'d'", ""),
                  "kubepods/burstable/podu1", 1024, OCI_UNSET, OCI_UNSET },
                { POD(",'resources':{'limits':{'cpu':'1','memory':'1Mi'},'requests':{'cpu':'500m'}}",
                      ""),
                  "kubepods/burstable/podu1", 512, 100000, 1 << 20 },
        };
        const struct container_input node = { .cpu_quota = true,
                                              .cpu_period_usec = 100000,
                                              .pod_pids_limit = 50 };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(cases[i].spec, NULL);
                _cleanup_free_ char *path = pod_cgroup_path(p);
                struct oci_resources r;

                CHECK_INT(pod_cgroup_resources(p, &node, &r), 0);
                CHECK_STR(path, cases[i].path);
                CHECK_INT(r.cpu_shares, cases[i].shares);
                CHECK(r.cpu_quota == cases[i].quota);
                CHECK(r.memory_limit == cases[i].memory);
                CHECK_INT(r.pids_limit, 50);
                oci_resources_done(&r);
        }
}

TEST(limits_of_a_container_that_runs_are_changed_one_resource_at_a_time)
{
        _cleanup_(fixture_done)
        struct fixture f, g;
        struct oci_resources r;

        fixture_init(&f, POD(",'resources':{'limits':{'cpu':'500m','memory':'2Mi'}}", ""), NULL);
        fixture_init(&g, POD("", ""), NULL);
        container_resize_resources(&f.in, "memory", &r);
        CHECK(r.memory_limit == 2 << 20 && r.memory_swap == 2 << 20);
        CHECK(r.cpu_shares == OCI_UNSET && r.cpu_quota == OCI_UNSET);
        container_resize_resources(&f.in, "cpu", &r);
        CHECK(r.cpu_shares == 512 && r.cpu_quota == 50000 && r.cpu_period == 100000);
        CHECK(r.memory_limit == OCI_UNSET);
        container_resize_resources(&g.in, "memory", &r);
        CHECK(r.memory_limit == -1 && r.memory_swap == -1);
        container_resize_resources(&g.in, "cpu", &r);
        CHECK(r.cpu_shares == 2 && r.cpu_quota == -1 && r.cpu_period == 100000);
}

TEST(while_containers_change_their_pod_has_the_wider_of_both_limits)
{
        static const struct {
                int64_t a, b, wide;
        } cases[] = {
                { 1000, 2000, 2000 }, { 2000, 1000, 2000 },  { 1000, OCI_UNSET, -1 },
                { -1, 1000, -1 },     { OCI_UNSET, -1, -1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct oci_resources a, b;

                oci_resources_init(&a);
                oci_resources_init(&b);
                a.memory_limit = a.cpu_quota = cases[i].a;
                b.memory_limit = b.cpu_quota = cases[i].b;
                a.cpu_shares = 10;
                b.cpu_shares = 20;
                b.cpu_period = 5;
                pod_cgroup_resources_widen(&a, &b);
                CHECK_INT(a.memory_limit, cases[i].wide);
                CHECK_INT(a.cpu_quota, cases[i].wide);
                CHECK_INT(a.cpu_shares, 20);
                CHECK_INT(a.cpu_period, 5);
        }
}

/* ---- host name ---- */
TEST(a_pod_has_a_host_name_and_perhaps_a_domain)
{
        static const struct {
                const char *more, *hostname, *domain;
        } cases[] = {
                { "", "web", "" },
                { ",'hostname':'h'", "h", "" },
                { ",'hostname':'h','subdomain':'s'", "h", "s.ns.svc.cluster.local" },
                { ",'subdomain':'s','setHostnameAsFQDN':true", "web.s.ns.svc.cluster.local",
                  "s.ns.svc.cluster.local" },
                { ",'setHostnameAsFQDN':true", "web", "" },
                { ",'hostnameOverride':'x.y','subdomain':'s'", "x.y", "" },
                { ",'hostNetwork':true,'hostname':'h'", "node-1", "" },
                { ",'hostname':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "" },
                { ",'hostnameOverride':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-"
                  ".bb'",
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = text_printf(POD("", "%s"), cases[i].more);
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(spec, NULL);
                _cleanup_free_ char *hostname = NULL, *domain = NULL;

                CHECK_INT(pod_hostname(p, "cluster.local", "node-1", &hostname, &domain, NULL), 0);
                CHECK_STR(hostname, cases[i].hostname);
                CHECK_STR(domain, cases[i].domain);
        }
}

TEST(an_fqdn_that_the_kernel_cannot_hold_is_refused)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                POD("", ",'setHostnameAsFQDN':true,'subdomain':'a-rather-long-subdomain-for-a-pod',"
                        "'hostname':'and-a-long-name'"),
                NULL);
        _cleanup_err_ struct err err = { 0 };
        char *hostname = NULL, *domain = NULL;

        CHECK_INT(pod_hostname(p, "cluster.local", "n", &hostname, &domain, &err), -ENAMETOOLONG);
        CHECK_STR(
                err_text(&err),
                "failed to construct FQDN from pod hostname and cluster domain, FQDN "
                "and-a-long-name.a-rather-long-subdomain-for-a-pod.ns.svc.cluster.local is too long "
                "(64 characters is the max, 70 characters requested)");
}
