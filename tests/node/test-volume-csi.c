/* The steps of a CSI volume against a driver that mounts, and misbehaves. */
#include "kubelet/volume-csi.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "kubelet/csi-volume.h"
#include "tests/check.h"
#include "tests/node/fake.h"
#include "tests/unit/pod-fixture.h"

#define DRIVER "fake.csi.example.com"
#define STAGED                              \
        "plugins/kubernetes.io/csi/" DRIVER \
        "/b9f6da279ec59af95d121d1e1e502ecf056504e267f2f7dfc747ebd0f3f74298"
#define TARGET "pods/u1/volumes/kubernetes.io~csi/pv1"

struct run {
        sd_event *event;
        struct fake *api, *driver;
        struct kube_session *session;
        struct csi *csi;
        struct volume_csi_kind *kind;
        struct pod *pod;
        struct volume_spec *spec;
        char dir[64];
        char *registry, *socket, *state, *target; /* owned */
        bool is_done, is_uncertain;
        int r;
        char *error, *device; /* owned */
};

static const char *node_uid(_unused_ void *userdata)
{
        return NULL;
}

static void on_changed(_unused_ void *userdata)
{
}

static bool is_registered(struct run *r)
{
        _cleanup_strv_ char **names = csi_drivers_names(csi_get_drivers(r->csi));

        return strv_contains(names, DRIVER);
}

static void start_driver(struct run *r, const char *capabilities)
{
        const char *const args[] = { "--registry",     r->registry,  "--socket",
                                     r->socket,        "--state",    r->state,
                                     "--capabilities", capabilities, NULL };

        r->driver = fake_start("csi.py", args);
        RUN_UNTIL(r->event, is_registered(r));
}

/* As after a start of skiffd: nothing is remembered. */
static void start_kind(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        const struct csi_options options = { r->session, r->dir, "n1", node_uid, on_changed, r };
        struct volume_csi_options kind = {
                .event = r->event, .session = r->session, .root_dir = r->dir, .node_name = "n1"
        };

        if (csi_new(r->event, &options, &r->csi, &err) < 0)
                fail_msg("%s", err_text(&err));
        kind.csi = r->csi;
        if (volume_csi_new(&kind, &r->kind, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        struct kube_config config;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                check_skip_all("mounts may not be made here");
        *r = (struct run){ .api = fake_start("apiserver.py", NULL),
                           .dir = "/tmp/skiff-csi-XXXXXX" };
        CHECK(mkdtemp(r->dir) != NULL);
        r->registry = text_printf("%s/plugins_registry", r->dir);
        r->socket = text_printf("%s/csi.sock", r->dir);
        r->state = text_printf("%s/state", r->dir);
        r->target = text_printf("%s/" TARGET "/mount", r->dir);
        CHECK_INT(fs_mkdir_p_at(AT_FDCWD, r->registry, 0750), 0);
        config = (struct kube_config){ .server = r->api->url };
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, &config, "skiffd/test", &r->session, &err) < 0)
                fail_msg("%s", err_text(&err));
        json_decref(
                fake_ask(r->api, "POST", "/api/v1/nodes", "{\"metadata\": {\"name\": \"n1\"}}"));
        r->pod = pod_of("{'serviceAccountName':'sa','securityContext':{'fsGroup':7},"
                        "'containers':[{'name':'c','image':'i'}]}",
                        NULL);
        start_kind(r);
}

static void stop_kind(struct run *r)
{
        r->kind = volume_csi_free(r->kind);
        r->csi = csi_free(r->csi);
}

static void finish(struct run *r)
{
        stop_kind(r);
        kube_session_free(r->session);
        volume_spec_free(r->spec);
        pod_unref(r->pod);
        sd_event_unref(r->event);
        fake_stop(r->driver);
        fake_stop(r->api);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, r->dir), 0); /* nothing is mounted there */
        free(r->registry);
        free(r->socket);
        free(r->state);
        free(r->target);
        free(r->error);
        free(r->device);
}

static void make_pv(struct run *r, const char *rest)
{
        _cleanup_free_ char *text =
                text_printf("{'metadata':{'name':'pv1'},'spec':{'accessModes':['ReadWriteOnce'],"
                            "'capacity':{'storage':'1Gi'},"
                            "'claimRef':{'namespace':'ns','name':'claim','uid':'c1'},"
                            "'mountOptions':['noatime'],%s'csi':{'driver':'" DRIVER
                            "','volumeHandle':'vol',"
                            "'fsType':'ext4','volumeAttributes':{'a':'b'},"
                            "'nodeStageSecretRef':{'name':'s','namespace':'ns'}}}}",
                            rest);
        json_auto_t *pv = json_of(text);
        json_auto_t *claim = json_of("{'metadata':{'name':'claim','namespace':'ns','uid':'c1'},"
                                     "'spec':{'volumeName':'pv1'},'status':{'phase':'Bound'}}");
        _cleanup_err_ struct err err = { 0 };

        if (volume_spec_from_pv(pv, claim, false, &r->spec, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void make_attachment(struct run *r, const char *status)
{
        _cleanup_free_ char *name = csi_attachment_name("vol", DRIVER, "n1");

        json_decref(fake_ask(r->api, "POST", "/apis/storage.k8s.io/v1/volumeattachments",
                             "{\"metadata\": {\"name\": \"%s\"}, \"status\": %s}", name, status));
}

static void make_objects(struct run *r)
{
        json_decref(
                fake_ask(r->api, "POST", "/api/v1/namespaces/ns/secrets",
                         "{\"metadata\": {\"name\": \"s\"}, \"data\": {\"key\": \"c2VjcmV0\"}}"));
        make_attachment(r, "{\"attached\": true, \"attachmentMetadata\": {\"dev\": \"sdx\"}}");
}

static void make_driver_object(struct run *r, const char *spec)
{
        json_decref(fake_ask(r->api, "POST", "/apis/storage.k8s.io/v1/csidrivers",
                             "{\"metadata\": {\"name\": \"" DRIVER "\"}, \"spec\": %s}", spec));
}

static void take_result(struct run *r, const struct volume_result *result, const char *error)
{
        r->is_done = true;
        r->r = result->r;
        r->is_uncertain = result->is_uncertain;
        free(r->error);
        free(r->device);
        r->error = strdup(error);
        r->device = strdup_null(result->device);
}

static void on_step_done(const struct volume_result *result, void *userdata)
{
        take_result(userdata, result, result->err ? err_text(result->err) : "");
}

static int knows_objects(struct run *r)
{
        const struct csi_driver_object *o;

        return csi_objects_find(csi_get_objects(r->csi), DRIVER, &o, NULL) == 0;
}

static int do_step(struct run *r, enum volume_step step)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *name = NULL;
        bool knows_spec = step <= VOLUME_PUBLISH, is_of_pod = step != VOLUME_UNSTAGE;
        struct volume_request q = { .step = step,
                                    .spec = knows_spec ? r->spec : NULL,
                                    .pod = knows_spec ? r->pod : NULL,
                                    .spec_name = is_of_pod ? r->spec->name : NULL,
                                    .pod_uid = is_of_pod ? "u1" : NULL,
                                    .is_block = is_of_pod && r->spec->is_block,
                                    .target = is_of_pod ? r->target : NULL };
        struct volume_result result = { 0 };
        void *work = NULL;
        int k;

        RUN_UNTIL(r->event, knows_objects(r));
        CHECK_INT(volume_csi_driver.unique_name(r->kind, r->spec, "u1", &name, NULL), 0);
        q.unique_name = name;
        r->is_done = false;
        k = volume_csi_driver.start(r->kind, &q, on_step_done, r, &work, &result, &err);
        if (k != 0) {
                result.r = MIN(k, 0);
                take_result(r, &result, k < 0 ? err_text(&err) : "");
        }
        RUN_UNTIL(r->event, r->is_done);
        return r->r;
}

/* What the manager does for a driver. */
static void make_target_dir(struct run *r)
{
        _cleanup_free_ char *dir = text_printf("%s/" TARGET, r->dir);

        CHECK_INT(fs_mkdir_p_at(AT_FDCWD, dir, 0750), 0);
}

static bool exists(struct run *r, const char *path)
{
        _cleanup_free_ char *full = text_printf("%s/%s", r->dir, path);
        struct stat st;

        return lstat(full, &st) == 0;
}

static bool is_mounted(struct run *r, const char *path)
{
        _cleanup_free_ char *full = text_printf("%s/%s", r->dir, path);
        struct statx st;

        return statx(AT_FDCWD, full, 0, STATX_BASIC_STATS, &st) == 0 &&
               st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* The last request of a call, as the driver understood it; new reference. */
static json_t *last(struct run *r, const char *method)
{
        json_auto_t *calls = fake_ask(r->driver, "POST", "/_control", "{\"op\": \"calls\"}");

        for (size_t i = json_array_size(calls); i-- > 0;) {
                const json_t *c = json_array_get(calls, i);

                if (streq(json_text_at(c, "method"), method))
                        return json_incref(json_object_get(c, "request"));
        }
        fail_msg("%s was never called", method);
        return NULL;
}

static void fault(struct run *r, const char *method, const char *rest)
{
        fake_control(r->driver, "{\"op\": \"fault\", \"method\": \"%s\", %s}", method, rest);
}

static const char *text_of(const json_t *o, const char *a, const char *b)
{
        const char *s = json_string_value(b ? json_path(o, a, b, NULL) : json_path(o, a, NULL));

        return s ? s : "";
}

static void take_down(struct run *r)
{
        _cleanup_free_ char *dir = text_printf("%s/" TARGET, r->dir);

        CHECK_INT(do_step(r, VOLUME_UNPUBLISH), 0);
        CHECK(!exists(r, TARGET "/mount") && !exists(r, TARGET "/vol_data.json"));
        CHECK_INT(rmdir(dir), 0); /* as the manager does */
        CHECK_INT(do_step(r, VOLUME_UNSTAGE), 0);
        CHECK(!exists(r, STAGED));
}

TEST(a_persistent_volume_is_staged_published_and_taken_down)
{
        struct run r;
        json_t *q;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        CHECK_INT(volume_csi_driver.must_attach(r.kind, r.spec, NULL) != 0, 1);
        CHECK_INT(do_step(&r, VOLUME_ATTACH), 0);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        CHECK(is_mounted(&r, STAGED "/globalmount"));
        q = last(&r, "NodeStageVolume");
        CHECK_STR(text_of(q, "volume_id", NULL), "vol");
        CHECK_STR(text_of(q, "publish_context", "dev"), "sdx");
        CHECK_STR(text_of(q, "secrets", "key"), "secret");
        CHECK_STR(text_of(q, "volume_context", "a"), "b");
        CHECK_STR(text_of(q, "capability", "fs_type"), "ext4");
        CHECK_STR(text_of(q, "capability", "mount_group"), "");
        json_decref(q);
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        CHECK(is_mounted(&r, TARGET "/mount"));
        q = last(&r, "NodePublishVolume");
        CHECK_STR(text_of(q, "target_path", NULL), r.target);
        CHECK(endswith(text_of(q, "staging_target_path", NULL), STAGED "/globalmount"));
        json_decref(q);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0); /* once more does no harm */
        take_down(&r);
        finish(&r);
}

TEST(what_an_earlier_skiffd_mounted_is_recognized_and_taken_down)
{
        _cleanup_free_ char *dir = NULL, *name = NULL;
        _cleanup_strv_ char **staged = NULL;
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        stop_kind(&r);
        start_kind(&r);
        CHECK_INT(volume_csi_driver.list_staged(r.kind, &staged, NULL), 0);
        CHECK_INT(strv_len(staged), 1);
        CHECK_STR(staged[0], "kubernetes.io/csi/" DRIVER "^vol");
        dir = text_printf("%s/" TARGET, r.dir);
        CHECK_INT(volume_csi_driver.recognize(r.kind, dir, false, "pv1", "u1", &name, NULL), 0);
        CHECK_STR(name, staged[0]);
        CHECK(do_step(&r, VOLUME_UNPUBLISH) < 0);
        CHECK_STR(r.error,
                  "driver name " DRIVER " not found in the list of registered CSI drivers");
        RUN_UNTIL(r.event, is_registered(&r));
        take_down(&r);
        finish(&r);
}

TEST(a_volume_waits_for_its_attachment)
{
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        CHECK(do_step(&r, VOLUME_ATTACH) < 0);
        CHECK(strstr(r.error, "VolumeAttachment 'csi-") == r.error);
        CHECK(strstr(r.error, "not found"));
        make_attachment(&r, "{\"attached\": false, \"attachError\": {\"message\": \"no disk\"}}");
        CHECK(do_step(&r, VOLUME_ATTACH) < 0);
        CHECK(endswith(r.error, "volume vol is not attached: no disk"));
        finish(&r);
}

TEST(a_driver_that_needs_no_attaching_and_no_staging_is_only_published)
{
        struct run r;
        json_t *q;

        begin(&r);
        start_driver(&r, "6");
        make_driver_object(&r, "{\"attachRequired\": false}");
        make_pv(&r, "");
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        CHECK(!exists(&r, STAGED));
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        q = last(&r, "NodePublishVolume");
        CHECK_STR(text_of(q, "staging_target_path", NULL), "");
        CHECK_STR(text_of(q, "capability", "mount_group"), "7"); /* VOLUME_MOUNT_GROUP */
        json_decref(q);
        CHECK_INT(volume_csi_driver.group(r.kind, r.spec), VOLUME_GROUP_NEVER);
        CHECK_INT(volume_csi_driver.must_attach(r.kind, r.spec, NULL), 0);
        take_down(&r);
        finish(&r);
}

static void make_inline(struct run *r)
{
        json_auto_t *v = json_of("{'driver':'" DRIVER "','volumeAttributes':{'size':'1'},"
                                 "'nodePublishSecretRef':{'name':'s'}}");

        CHECK_INT(volume_spec_decode_inline(VOLUME_SPEC_CSI, "pv1", v, &r->spec, NULL), 0);
}

TEST(an_inline_volume_is_published_with_what_the_driver_asks_of_the_pod)
{
        struct run r;
        json_t *q;

        begin(&r);
        start_driver(&r, "1");
        make_objects(&r);
        json_decref(fake_ask(r.api, "POST", "/api/v1/namespaces/ns/serviceaccounts",
                             "{\"metadata\": {\"name\": \"sa\"}}"));
        make_driver_object(&r,
                           "{\"volumeLifecycleModes\": [\"Ephemeral\"], \"podInfoOnMount\": true, "
                           "\"requiresRepublish\": true, \"fsGroupPolicy\": \"File\", "
                           "\"tokenRequests\": [{\"audience\": \"x\"}, {\"audience\": \"\"}]}");
        make_inline(&r);
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        q = last(&r, "NodePublishVolume");
        CHECK_STR(text_of(q, "volume_id", NULL),
                  "csi-2b3171c0b3e90873e29d1363714fde9da58a14878485eef9bd02654eb259e5fb");
        CHECK_STR(text_of(q, "volume_context", "size"), "1");
        CHECK_STR(text_of(q, "volume_context", "csi.storage.k8s.io/pod.name"), "web");
        CHECK_STR(text_of(q, "volume_context", "csi.storage.k8s.io/ephemeral"), "true");
        CHECK_STR(text_of(q, "volume_context", "csi.storage.k8s.io/serviceAccount.name"), "sa");
        CHECK(strstr(text_of(q, "volume_context", "csi.storage.k8s.io/serviceAccount.tokens"),
                     "\"x\":{\"expirationTimestamp\":"));
        CHECK(strstr(text_of(q, "volume_context", "csi.storage.k8s.io/serviceAccount.tokens"),
                     "{\"\":{\"expirationTimestamp\":"));
        CHECK_STR(text_of(q, "secrets", "key"), "secret");
        json_decref(q);
        CHECK_INT(volume_csi_driver.group(r.kind, r.spec), VOLUME_GROUP_ALWAYS);
        CHECK(volume_csi_driver.wants_republish(r.kind, r.spec));
        take_down(&r);
        finish(&r);
}

TEST(an_inline_volume_wants_a_driver_that_says_so)
{
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_inline(&r);
        make_target_dir(&r);
        CHECK(do_step(&r, VOLUME_PUBLISH) < 0);
        CHECK_STR(r.error, "volume mode \"Ephemeral\" not supported by driver " DRIVER
                           " (no CSIDriver object)");
        finish(&r);
}

TEST(a_call_that_fails_for_good_leaves_nothing_and_says_who_and_why)
{
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        fault(&r, "NodeStageVolume",
              "\"action\": \"code\", \"code\": 3, \"message\": \"no such disk\"");
        CHECK(do_step(&r, VOLUME_STAGE) < 0);
        CHECK_STR(r.error, "CSI driver '" DRIVER "': NodeStageVolume: rpc error: code = "
                           "InvalidArgument desc = no such disk");
        CHECK(!r.is_uncertain && !exists(&r, STAGED));
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        make_target_dir(&r);
        fault(&r, "NodePublishVolume", "\"action\": \"code\", \"code\": 13");
        CHECK(do_step(&r, VOLUME_PUBLISH) < 0);
        CHECK(!r.is_uncertain && !exists(&r, TARGET "/vol_data.json"));
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        take_down(&r);
        finish(&r);
}

TEST(a_call_of_which_nobody_knows_how_it_ended_is_to_be_undone)
{
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        fault(&r, "NodeStageVolume", "\"action\": \"close\"");
        CHECK(do_step(&r, VOLUME_STAGE) < 0);
        CHECK(exists(&r,
                     STAGED "/vol_data.json")); /* so that it is unstaged, also by a later skiffd */
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        make_target_dir(&r);
        fault(&r, "NodePublishVolume", "\"action\": \"code\", \"code\": 10");
        CHECK(do_step(&r, VOLUME_PUBLISH) < 0);
        CHECK(r.is_uncertain);
        take_down(&r);
        finish(&r);
}

TEST(answers_that_are_none_end_a_step_and_nothing_else)
{
        static const char *const actions[] = { "garbage", "lie", "bare", "http", "close" };
        struct run r;
        int fds;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        fds = count_descriptors();
        for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
                _cleanup_free_ char *text = text_printf("\"action\": \"%s\"", actions[i]);

                fault(&r, i % 2 ? "NodeStageVolume" : "NodeGetCapabilities", text);
                CHECK(do_step(&r, VOLUME_STAGE) < 0);
                CHECK(strstr(r.error, "CSI driver '" DRIVER "': Node") == r.error);
        }
        fault(&r, "NodeGetCapabilities", "\"action\": \"nonsense\"");
        CHECK(do_step(&r, VOLUME_STAGE) < 0);
        CHECK_STR(r.error,
                  "CSI driver '" DRIVER "': NodeGetCapabilitiesResponse: a number is longer "
                  "than 64 bits");
        RUN_UNTIL(r.event, count_descriptors() <= fds);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        take_down(&r);
        finish(&r);
}

TEST(a_driver_that_lies_about_unmounting_is_found_out)
{
        struct run r;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        make_target_dir(&r);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        fault(&r, "NodeUnpublishVolume", "\"action\": \"nothing\"");
        CHECK_INT(do_step(&r, VOLUME_UNPUBLISH), -EBUSY);
        CHECK(strstr(r.error, "the driver says it is done, but '"));
        CHECK(exists(&r, TARGET "/vol_data.json"));
        take_down(&r);
        finish(&r);
}

#define BLOCK "plugins/kubernetes.io/csi/volumeDevices/"

TEST(a_block_volume_has_its_own_places_and_leaves_none)
{
        _cleanup_strv_ char **staged = NULL;
        _cleanup_free_ char *device = NULL, *name = NULL;
        struct run r;
        json_t *q;

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "'volumeMode':'Block',");
        make_objects(&r);
        CHECK_INT(do_step(&r, VOLUME_STAGE), 0);
        q = last(&r, "NodeStageVolume");
        CHECK(endswith(text_of(q, "staging_target_path", NULL), BLOCK "staging/pv1"));
        CHECK(json_is_true(json_path(q, "capability", "block", NULL)));
        json_decref(q);
        CHECK_INT(do_step(&r, VOLUME_PUBLISH), 0);
        device = text_printf("%s/" BLOCK "publish/pv1/u1", r.dir);
        CHECK_STR(r.device, device);
        CHECK(is_mounted(&r, BLOCK "publish/pv1/u1"));
        stop_kind(&r);
        start_kind(&r);
        RUN_UNTIL(r.event, is_registered(&r));
        CHECK_INT(volume_csi_driver.list_staged(r.kind, &staged, NULL), 0);
        CHECK_INT(strv_len(staged), 1);
        CHECK_INT(volume_csi_driver.recognize(r.kind, "/nowhere", true, "pv1", "u1", &name, NULL),
                  0);
        CHECK_STR(name, staged[0]);
        CHECK_INT(do_step(&r, VOLUME_UNPUBLISH), 0);
        CHECK(!exists(&r, BLOCK "publish/pv1"));
        CHECK_INT(do_step(&r, VOLUME_UNSTAGE), 0);
        CHECK(!exists(&r, BLOCK "staging/pv1") && !exists(&r, BLOCK "pv1/data"));
        finish(&r);
}

TEST(a_step_that_is_cancelled_tells_nobody)
{
        _cleanup_free_ char *name = NULL;
        struct volume_result result = { 0 };
        void *work = NULL;
        struct run r;
        struct volume_request q = { .step = VOLUME_STAGE };

        begin(&r);
        start_driver(&r, "1");
        make_pv(&r, "");
        make_objects(&r);
        RUN_UNTIL(r.event, knows_objects(&r));
        CHECK_INT(volume_csi_driver.unique_name(r.kind, r.spec, "u1", &name, NULL), 0);
        q.spec = r.spec;
        q.pod = r.pod;
        q.unique_name = name;
        q.spec_name = "pv1";
        q.pod_uid = "u1";
        CHECK_INT(volume_csi_driver.start(r.kind, &q, on_step_done, &r, &work, &result, NULL), 0);
        volume_csi_driver.cancel(work);
        CHECK_INT(do_step(&r, VOLUME_ATTACH), 0);
        finish(&r);
}
