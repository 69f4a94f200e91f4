/* CSI drivers that come, go and misbehave, and what the API is told of them. */
#include "kubelet/csi.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "tests/check.h"
#include "tests/node/fake.h"

#define DRIVER   "fake.csi.example.com"
#define CSI_NODE "/apis/storage.k8s.io/v1/csinodes/n1"

struct run {
        sd_event *event;
        struct fake *api, *driver;
        struct kube_session *session;
        struct csi *csi;
        char dir[64];
        char *registry, *socket; /* owned */
        char uid[64];
        int changes;
};

static const char *node_uid(void *userdata)
{
        return ((struct run *)userdata)->uid;
}

static void on_changed(void *userdata)
{
        ((struct run *)userdata)->changes++;
}

static void start_driver(struct run *r, const char *option, const char *value)
{
        const char *const args[] = { "--registry", r->registry,  "--socket",
                                     r->socket,    "--topology", "example.com/zone=z1",
                                     "--max",      "7",          option,
                                     value,        NULL };

        r->driver = fake_start("csi.py", args);
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        struct csi_options options = {
                .node_name = "n1", .node_uid = node_uid, .on_changed = on_changed, .userdata = r
        };
        struct kube_config config;
        json_t *node;

        *r = (struct run){ .api = fake_start("apiserver.py", NULL),
                           .dir = "/tmp/skiff-csi-XXXXXX" };
        CHECK(mkdtemp(r->dir) != NULL);
        r->registry = text_printf("%s/plugins_registry", r->dir);
        r->socket = text_printf("%s/csi.sock", r->dir);
        CHECK_INT(fs_mkdir_p_at(AT_FDCWD, r->registry, 0750), 0);
        node = fake_ask(r->api, "POST", "/api/v1/nodes",
                        "{\"metadata\": {\"name\": \"n1\", \"labels\": {\"a\": \"b\"}}}");
        snprintf(r->uid, sizeof r->uid, "%s",
                 json_string_value(json_path(node, "metadata", "uid", NULL)));
        json_decref(node);
        config = (struct kube_config){ .server = r->api->url };
        options.root_dir = r->dir;
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, &config, "skiffd/test", &r->session, &err) < 0)
                fail_msg("%s", err_text(&err));
        options.session = r->session;
        if (csi_new(r->event, &options, &r->csi, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        csi_free(r->csi);
        kube_session_free(r->session);
        sd_event_unref(r->event);
        fake_stop(r->driver);
        fake_stop(r->api);
        fs_remove_tree_at(AT_FDCWD, r->dir);
        free(r->registry);
        free(r->socket);
}

/* Does the CSINode list so many drivers, and is this what it says of the first? */
static bool csi_node_says(struct run *r, size_t n, const char *node_id)
{
        json_auto_t *o = fake_ask(r->api, "GET", CSI_NODE, NULL);
        const json_t *drivers = json_path(o, "spec", "drivers", NULL);

        return json_array_size(drivers) == n &&
               (n == 0 || streq(json_text_at(json_array_get(drivers, 0), "nodeID"), node_id));
}

static bool has_driver(struct run *r)
{
        _cleanup_strv_ char **names = csi_drivers_names(csi_get_drivers(r->csi));

        return strv_contains(names, DRIVER);
}

/* The last thing that the driver was told about its registration; NULL: none. */
static json_t *last_notice(struct run *r)
{
        json_auto_t *calls = fake_ask(r->driver, "POST", "/_control", "{\"op\": \"calls\"}");

        for (size_t i = json_array_size(calls); i-- > 0;) {
                const json_t *c = json_array_get(calls, i);

                if (streq(json_text_at(c, "method"), "NotifyRegistrationStatus"))
                        return json_incref(json_object_get(c, "request"));
        }
        return NULL;
}

static bool was_told(struct run *r, const char *piece)
{
        json_auto_t *notice = last_notice(r);
        const char *error = json_text_at(notice, "error");

        if (!piece)
                return json_is_true(json_object_get(notice, "registered"));
        return error && strstr(error, piece);
}

TEST(a_driver_registers_and_the_api_is_told)
{
        struct run r;
        json_t *o;

        begin(&r);
        start_driver(&r, "--node-id", "id-1");
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "id-1"));
        RUN_UNTIL(r.event, was_told(&r, NULL));
        CHECK(has_driver(&r));
        o = fake_ask(r.api, "GET", CSI_NODE, NULL);
        CHECK(csi_node_object_is_owned(o, "n1", r.uid));
        json_decref(o);
        o = fake_ask(r.api, "GET", "/api/v1/nodes/n1", NULL);
        CHECK_STR(json_string_value(
                          json_path(o, "metadata", "annotations", CSI_NODE_ID_ANNOTATION, NULL)),
                  "{\"" DRIVER "\":\"id-1\"}");
        CHECK_STR(json_string_value(json_path(o, "metadata", "labels", "example.com/zone", NULL)),
                  "z1");
        CHECK_STR(json_string_value(json_path(o, "metadata", "labels", "a", NULL)), "b");
        json_decref(o);
        finish(&r);
}

TEST(a_socket_that_goes_takes_its_driver_along_and_brings_it_back)
{
        struct run r;

        begin(&r);
        start_driver(&r, NULL, NULL);
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "fake-node"));
        fake_control(r.driver, "{\"op\": \"unregister\"}");
        RUN_UNTIL(r.event, csi_node_says(&r, 0, NULL));
        CHECK(!has_driver(&r));
        fake_control(r.driver, "{\"op\": \"set\", \"node_id\": \"other\"}");
        fake_control(r.driver, "{\"op\": \"register\"}");
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "other"));
        /* made anew under the same name before anybody looked */
        fake_control(r.driver, "{\"op\": \"set\", \"node_id\": \"third\"}");
        fake_control(r.driver, "{\"op\": \"register\"}");
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "third"));
        finish(&r);
}

TEST(a_plugin_of_another_kind_is_told_that_nobody_takes_it)
{
        struct run r;

        begin(&r);
        start_driver(&r, "--type", "DevicePlugin");
        RUN_UNTIL(r.event, was_told(&r, "no handler registered for plugin type: DevicePlugin"));
        CHECK(!has_driver(&r));
        finish(&r);
}

TEST(a_driver_of_a_version_that_nobody_speaks_is_told_so)
{
        struct run r;

        begin(&r);
        start_driver(&r, "--versions", "0.3.0,2.0.0");
        RUN_UNTIL(r.event, was_told(&r, "supported_versions '0.3.0, 2.0.0': expected one of 1.x"));
        CHECK(!has_driver(&r));
        finish(&r);
}

TEST(a_driver_that_misbehaves_is_asked_until_it_behaves)
{
        static const char *const actions[] = { "close", "garbage", "lie", "nonsense",
                                               "text",  "bare",    "http" };
        struct run r;

        begin(&r);
        for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
                int fds = i ? count_descriptors() : 0;

                start_driver(&r, "--no-register", NULL);
                fake_control(r.driver,
                             "{\"op\": \"fault\", \"method\": \"%s\", \"action\": \"%s\"}",
                             i % 2 ? "GetInfo" : "NodeGetInfo", actions[i]);
                fake_control(r.driver, "{\"op\": \"register\"}");
                RUN_UNTIL(r.event, csi_node_says(&r, 1, "fake-node"));
                fake_control(r.driver, "{\"op\": \"unregister\"}");
                RUN_UNTIL(r.event, csi_node_says(&r, 0, NULL));
                r.driver = fake_stop(r.driver);
                if (i > 1)
                        RUN_UNTIL(r.event, count_descriptors() <= fds);
        }
        finish(&r);
}

TEST(topology_that_contradicts_the_nodes_labels_is_refused)
{
        struct run r;

        begin(&r);
        start_driver(&r, "--topology", "a=c");
        RUN_UNTIL(r.event, was_told(&r, "detected topology value collision"));
        CHECK(!has_driver(&r));
        finish(&r);
}

TEST(a_csinode_of_an_earlier_node_of_that_name_is_made_anew)
{
        struct run r;
        json_t *o;

        begin(&r);
        json_decref(
                fake_ask(r.api, "POST", "/apis/storage.k8s.io/v1/csinodes",
                         "{\"metadata\": {\"name\": \"n1\", \"ownerReferences\": "
                         "[{\"kind\": \"Node\", \"name\": \"n1\", \"uid\": \"old\"}]}, "
                         "\"spec\": {\"drivers\": [{\"name\": \"gone\", \"nodeID\": \"x\"}]}}"));
        start_driver(&r, NULL, NULL);
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "fake-node"));
        o = fake_ask(r.api, "GET", CSI_NODE, NULL);
        CHECK(csi_node_object_is_owned(o, "n1", r.uid));
        json_decref(o);
        finish(&r);
}

TEST(the_api_that_refuses_is_asked_again)
{
        struct run r;

        begin(&r);
        fake_control(r.api, "{\"op\": \"fault\", \"action\": \"status\", \"code\": 409, "
                            "\"reason\": \"Conflict\", \"times\": 2, \"match\": "
                            "{\"method\": \"POST\", \"path\": \"/apis/storage.k8s.io\"}}");
        fake_control(r.api, "{\"op\": \"fault\", \"action\": \"close\", \"times\": 1, \"match\": "
                            "{\"method\": \"PATCH\", \"path\": \"/api/v1/nodes\"}}");
        start_driver(&r, NULL, NULL);
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "fake-node"));
        finish(&r);
}

struct call {
        bool is_done;
        enum grpc_code code;
        char *error; /* owned */
};

static void on_call(const struct grpc_result *result, void *userdata)
{
        struct call *c = userdata;

        c->is_done = true;
        c->code = result->code;
        free(c->error);
        c->error = strdup(result->err ? err_text(result->err) : "");
}

static void call_stats(struct run *r, usec_t timeout, struct call *c)
{
        _cleanup_strbuf_ struct strbuf message = { 0 };
        const struct grpc_options o = { .socket = r->socket,
                                        .method = CSI_METHOD("NodeGetVolumeStats"),
                                        .message = &message,
                                        .timeout_usec = timeout,
                                        .done = on_call,
                                        .userdata = c };
        struct grpc_call *call = NULL;

        csi_write_get_stats(&message, "v", r->dir);
        c->is_done = false;
        CHECK_INT(grpc_start(r->event, &o, &call, NULL), 0);
        RUN_UNTIL(r->event, c->is_done);
}

TEST(a_call_ends_with_the_drivers_code_or_at_its_deadline)
{
        struct call c = { 0 };
        struct run r;

        begin(&r);
        start_driver(&r, NULL, NULL);
        call_stats(&r, 5 * USEC_PER_SEC, &c);
        CHECK_INT(c.code, GRPC_OK);
        fake_control(r.driver, "{\"op\": \"fault\", \"method\": \"NodeGetVolumeStats\", "
                               "\"action\": \"code\", \"code\": 9, \"message\": \"50%% sure\\n\"}");
        call_stats(&r, 5 * USEC_PER_SEC, &c);
        CHECK_INT(c.code, GRPC_FAILED_PRECONDITION);
        CHECK_STR(c.error, "rpc error: code = FailedPrecondition desc = 50% sure ");
        fake_control(r.driver, "{\"op\": \"fault\", \"method\": \"NodeGetVolumeStats\", "
                               "\"action\": \"hang\"}");
        call_stats(&r, 200 * USEC_PER_MSEC, &c);
        CHECK_INT(c.code, GRPC_DEADLINE_EXCEEDED);
        r.driver = fake_stop(r.driver);
        call_stats(&r, 5 * USEC_PER_SEC, &c);
        CHECK_INT(c.code, GRPC_UNAVAILABLE);
        free(c.error);
        finish(&r);
}

TEST(a_call_that_is_cancelled_is_never_told)
{
        static const struct strbuf empty;
        struct call c = { 0 };
        struct run r;
        struct grpc_options o = { .method = CSI_METHOD("NodeGetInfo"),
                                  .message = &empty,
                                  .timeout_usec = USEC_PER_SEC,
                                  .done = on_call,
                                  .userdata = &c };
        struct grpc_call *call = NULL;

        begin(&r);
        start_driver(&r, NULL, NULL);
        o.socket = r.socket;
        CHECK_INT(grpc_start(r.event, &o, &call, NULL), 0);
        call = grpc_cancel(call);
        RUN_UNTIL(r.event, csi_node_says(&r, 1, "fake-node"));
        CHECK(!c.is_done);
        finish(&r);
}
