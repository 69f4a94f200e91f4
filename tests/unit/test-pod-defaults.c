#include "kubelet/pod-defaults.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static const struct origin {
        const char *node_name, *path;
        usec_t now;
} file = { "Node-1", "/m/web.yaml", 1767323045 * USEC_PER_SEC };

static int decode(const char *text, const struct origin *origin, struct pod **p, struct err *err)
{
        json_auto_t *manifest = json_of(text);

        return pod_from_manifest(manifest, origin->node_name, origin->path, origin->now, p, err);
}

#define MANIFEST(metadata, spec) \
        "{'apiVersion':'v1','kind':'Pod','metadata':{" metadata "},'spec':{" spec "}}"
#define ONE "'containers':[{'name':'c','image':'i'}]"

TEST(a_manifest_gets_the_identity_of_its_node)
{
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;

        CHECK_INT(decode(MANIFEST("'name':'web'", ONE), &file, &p, NULL), 0);
        CHECK_STR(p->name, "web-node-1");
        CHECK_STR(p->namespace, "default");
        CHECK_STR(p->node_name, "Node-1");
        CHECK(is_hex_lower(p->uid, 32));
        CHECK_STR(string_map_get(&p->annotations, POD_ANNOTATION_HASH), p->uid);
        CHECK_STR(string_map_get(&p->annotations, POD_ANNOTATION_SOURCE), "file");
        CHECK_STR(string_map_get(&p->annotations, POD_ANNOTATION_SEEN),
                  "2026-01-02T03:04:05.000000Z");
        CHECK_INT(p->phase, POD_PENDING);
        CHECK_INT(p->n_tolerations, 1);
        CHECK(p->tolerations[0].exists && streq(p->tolerations[0].effect, "NoExecute"));
        CHECK(pod_is_static(p) && !pod_is_mirror(p));
}

TEST(the_uid_follows_content_node_and_path_and_stays_otherwise)
{
        struct origin other_node = file, other_path = file, later = file;
        _cleanup_(pod_unrefp)
        struct pod *a = NULL, *b = NULL, *c = NULL, *d = NULL, *e = NULL;
        _cleanup_(pod_unrefp)
        struct pod *fixed = NULL;

        other_node.node_name = "node-2";
        other_path.path = "/m/other.yaml";
        later.now += USEC_PER_SEC;
        CHECK_INT(decode(MANIFEST("'name':'web'", ONE), &file, &a, NULL), 0);
        CHECK_INT(decode(MANIFEST("'name':'web'", ONE), &later, &b, NULL), 0);
        CHECK_INT(decode(MANIFEST("'name':'web','labels':{}", ONE), &file, &c, NULL), 0);
        CHECK_INT(decode(MANIFEST("'name':'web'", ONE), &other_node, &d, NULL), 0);
        CHECK_INT(decode(MANIFEST("'name':'web'", ONE), &other_path, &e, NULL), 0);
        CHECK_STR(a->uid, b->uid);
        CHECK(!streq(a->uid, c->uid) && !streq(a->uid, d->uid) && !streq(a->uid, e->uid));
        CHECK_INT(decode(MANIFEST("'name':'web','uid':'my-uid'", ONE), &file, &fixed, NULL), 0);
        CHECK_STR(fixed->uid, "my-uid");
}

TEST(the_object_says_what_was_implied)
{
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;
        json_auto_t *o = NULL;

        CHECK_INT(decode(MANIFEST("'name':'web','uid':'u'", ONE ",'restartPolicy':'Never'"), &file,
                         &p, NULL),
                  0);
        o = pod_to_json(p);
        check_json(json_object_get(o, "spec"),
                   "{'containers':[{'name':'c','image':'i','terminationMessagePath':"
                   "'/dev/termination-log','terminationMessagePolicy':'File','resources':{}}],"
                   "'restartPolicy':'Never','nodeName':'Node-1','dnsPolicy':'ClusterFirst',"
                   "'securityContext':{},'terminationGracePeriodSeconds':30,"
                   "'schedulerName':'default-scheduler','enableServiceLinks':true,"
                   "'tolerations':[{'operator':'Exists','effect':'NoExecute'}]}");
}

TEST(a_manifest_cannot_call_itself_a_mirror)
{
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;

        CHECK_INT(decode(MANIFEST("'name':'w','annotations':{'kubernetes.io/config.mirror':'x'}",
                                  ONE),
                         &file, &p, NULL),
                  0);
        CHECK(string_map_get(&p->annotations, POD_ANNOTATION_MIRROR) == NULL);
}

TEST(bad_manifests_are_refused_with_path_value_and_rule)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "{'kind':'Deployment','apiVersion':'apps/v1'}",
                  "/m/web.yaml: couldn't parse as pod(kind 'Deployment', apiVersion 'apps/v1': "
                  "expected Pod, v1), please check config file" },
                { "null", "expected Pod, v1" },
                { "[]", "expected Pod, v1" },
                { MANIFEST("'namespace':'x'", ONE), "invalid pod: name is needed for the pod" },
                { "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'},'spec':[]}",
                  "spec: expected an object" },
                { MANIFEST("'name':'a','annotations':7", ONE),
                  "metadata: annotations: expected an object" },
                { MANIFEST("'name':'a/b'", ONE), "metadata: name: 'a/b-node-1': expected a DNS" },
                { MANIFEST("'name':'a'", "'containers':[{'name':'c'}]"),
                  "spec: container 'c': image: '': required" },
                { MANIFEST("'name':'a'",
                           "'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v',"
                           "'mountPath':'/x'}]}]"),
                  "volumeMounts: name: 'v': expected the name of a volume of this pod" },
                { MANIFEST("'name':'a'",
                           "'containers':[{'name':'c','image':'i','ports':[{'containerPort':1,"
                           "'hostPort':80}]},{'name':'d','image':'i','ports':[{'containerPort':2,"
                           "'hostPort':80}]}]"),
                  "container 'd': ports: hostPort: 80: must be unique" },
                { MANIFEST("'name':'a'", "'containers':[{'name':'c','image':'i','resources':"
                                         "{'requests':{'cpu':2},'limits':{'cpu':'1500m'}}}]"),
                  "resources: requests: cpu: '2': must be less than or equal to cpu limit of "
                  "1500m" },
                { MANIFEST("'name':'a'", ONE ",'initContainers':[{'name':'i','image':'i',"
                                             "'livenessProbe':{'exec':{}}}]"),
                  "may not be set for init containers" },
                { MANIFEST("'name':'a'", ONE ",'hostname':'A_b'"),
                  "spec: hostname: 'A_b': expected a DNS label" },
                { MANIFEST("'name':'a'", ONE ",'dnsPolicy':'None'"),
                  "must provide at least one DNS nameserver" },
                { MANIFEST("'name':'a'", ONE ",'hostAliases':[{'ip':'nowhere'}]"),
                  "spec: hostAliases: ip: 'nowhere': expected an IP address" },
                { MANIFEST("'name':'a'", ONE ",'hostUsers':false,'hostNetwork':true"),
                  "spec: hostUsers: 'false': not together with" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                struct pod *p = NULL;

                CHECK(decode(cases[i].text, &file, &p, &err) < 0);
                CHECK(p == NULL && err.kind == ERR_BAD_INPUT);
                CHECK_CONTAINS(err_text(&err), cases[i].error);
        }
}

TEST(what_only_the_api_can_give_is_refused_by_name)
{
        static const struct {
                const char *spec, *what; /* NULL: allowed */
        } cases[] = {
                { ONE ",'serviceAccountName':'x'", "serviceaccounts" },
                { ONE ",'imagePullSecrets':[{'name':'x'}]", "secrets" },
                { ONE ",'volumes':[{'name':'v','secret':{'secretName':'x'}}]", "secrets" },
                { ONE ",'volumes':[{'name':'v','configMap':{'name':'x'}}]", "configmaps" },
                { "'containers':[{'name':'c','image':'i','envFrom':[{'configMapRef':{'name':'x'}}]}]",
                  "configmaps" },
                { "'containers':[{'name':'c','image':'i','env':[{'name':'E','valueFrom':"
                  "{'secretKeyRef':{'name':'x','key':'k'}}}]}]",
                  "secrets" },
                { ONE ",'volumes':[{'name':'v','projected':{'sources':[{'serviceAccountToken':"
                      "{'path':'t'}}]}}]",
                  "serviceaccounts (via projected volumes)" },
                { ONE ",'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'x'}}]",
                  "persistentvolumeclaims" },
                { ONE ",'volumes':[{'name':'v','csi':{'driver':'x'}}]",
                  "csidrivers (via CSI volumes)" },
                { ONE ",'resourceClaims':[{'name':'x'}]", "resourceclaims" },
                { ONE ",'volumes':[{'name':'v','emptyDir':{}},{'name':'h','hostPath':{'path':'/'}},"
                      "{'name':'d','projected':{'sources':[{'downwardAPI':{}}]}}]",
                  NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = text_printf(MANIFEST("'name':'a'", "%s"),
                                                        cases[i].spec);
                _cleanup_free_ char *error = text_printf("static pods may not reference %s)",
                                                         cases[i].what ? cases[i].what : "");
                _cleanup_(pod_unrefp)
                struct pod *p = NULL;
                _cleanup_err_ struct err err = { 0 };
                int r = decode(text, &file, &p, &err);

                CHECK_INT(r, cases[i].what ? -EINVAL : 0);
                if (cases[i].what)
                        CHECK_CONTAINS(err_text(&err), error);
        }
}
