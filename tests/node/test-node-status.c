/* The Node object against an API server in which others write too. */
#include "kubelet/node-status.h"

#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"

#define NODE "/api/v1/nodes/n1"

struct run {
        sd_event *event;
        struct fake *api;
        struct kube_session *session;
        struct node_status *status;
        const char *not_ready;
};

static const struct node_facts facts = { .machine_id = "",
                                         .system_uuid = "",
                                         .boot_id = "",
                                         .kernel_version = "",
                                         .os_image = "",
                                         .architecture = "amd64",
                                         .cpus = 2,
                                         .memory_bytes = UINT64_C(8) << 30 };

static void fill(struct node_input *in, void *userdata)
{
        const struct run *r = userdata;

        in->address = "10.0.0.1";
        in->facts = &facts;
        in->max_pods = 110;
        in->not_ready = r->not_ready;
}

static void on_node(_unused_ const json_t *node, _unused_ void *userdata)
{
}

static void on_synced(_unused_ void *userdata)
{
}

static void on_condition(_unused_ const char *reason, _unused_ void *userdata)
{
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        const struct node_status_options options = { .node_name = "n1",
                                                     .register_node = true,
                                                     .update_period_usec = 60 * USEC_PER_SEC,
                                                     .report_period_usec = 300 * USEC_PER_SEC,
                                                     .fill = fill,
                                                     .on_node = on_node,
                                                     .on_synced = on_synced,
                                                     .on_condition = on_condition,
                                                     .userdata = r };
        struct kube_config config;

        *r = (struct run){ .api = fake_start("apiserver.py", NULL) };
        config = (struct kube_config){ .server = r->api->url };
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, &config, "skiffd/test", &r->session, &err) < 0 ||
            node_status_new(r->session, &options, &r->status, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        node_status_free(r->status);
        kube_session_free(r->session);
        sd_event_unref(r->event);
        fake_stop(r->api);
}

/* Is this the Ready condition that the server has? */
static bool is_ready(struct run *r, const char *value)
{
        json_auto_t *node = fake_ask(r->api, "GET", NODE, NULL);
        const json_t *c;
        size_t i;

        json_array_foreach (json_path(node, "status", "conditions", NULL), i, c)
                if (streq_null(json_text_at(c, "type"), "Ready"))
                        return streq_null(json_text_at(c, "status"), value);
        return false;
}

static void somebody_says_unknown(struct run *r)
{
        json_auto_t *node = fake_ask(r->api, "GET", NODE, NULL), *answer = NULL;
        json_t *status = json_object_get(node, "status"), *c;
        _cleanup_free_ char *text = NULL;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, c)
                json_object_set_new(c, "status", json_string("Unknown"));
        text = json_dumps(node, JSON_COMPACT);
        answer = fake_ask(r->api, "PUT", NODE "/status", "%s", text);
        CHECK(is_ready(r, "Unknown"));
}

TEST(conditions_that_somebody_made_unknown_are_put_right_at_once)
{
        struct run r;

        begin(&r);
        RUN_UNTIL(r.event, is_ready(&r, "True"));
        somebody_says_unknown(&r);
        RUN_UNTIL(r.event, is_ready(&r, "True"));
        finish(&r);
}

TEST(a_condition_of_our_own_that_flips_is_written_once)
{
        struct run r;
        int before;

        begin(&r);
        RUN_UNTIL(r.event, is_ready(&r, "True"));
        run_for(r.event, 100 * USEC_PER_MSEC);
        before = fake_count(r.api, NODE "/status", NULL);
        r.not_ready = "the network is not there";
        node_status_changed(r.status);
        RUN_UNTIL(r.event, is_ready(&r, "False"));
        run_for(r.event, 300 * USEC_PER_MSEC);
        CHECK_INT(fake_count(r.api, NODE "/status", NULL), before + 1);
        finish(&r);
}
