/* What a status writer does with an API server that refuses, or is late. */
#include "kubelet/status-writer.h"

#include "base/json.h"
#include "tests/check.h"
#include "tests/node/fake.h"
#include "tests/unit/pod-fixture.h"

#define POD "/api/v1/namespaces/ns/pods/web"

struct run {
        sd_event *event;
        struct fake *api;
        struct kube_session *session;
        struct status_writer *writer;
        struct pod *pod;
        unsigned n_written, n_gone;
        char phase[32]; /* as last accepted */
};

static void on_written(const char *uid, const json_t *status, void *userdata)
{
        struct run *r = userdata;

        CHECK_STR(uid, r->pod->uid);
        r->n_written++;
        snprintf(r->phase, sizeof r->phase, "%s", json_text_at(status, "phase"));
}

static void on_gone(const char *uid, void *userdata)
{
        struct run *r = userdata;

        CHECK_STR(uid, r->pod->uid);
        r->n_gone++;
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        struct status_writer_ops ops = { on_gone, on_written, r };
        struct kube_config config;
        json_auto_t *object = NULL;

        *r = (struct run){ .api = fake_start("apiserver.py", NULL) };
        config = (struct kube_config){ .server = r->api->url };
        object = fake_ask(r->api, "POST", "/api/v1/namespaces/ns/pods",
                          "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"},"
                          "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
        if (pod_decode(object, POD_SOURCE_API, &r->pod, &err) < 0)
                fail_msg("%s", err_text(&err));
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, &config, "skiffd/test", &r->session, &err) < 0 ||
            status_writer_new(r->session, &ops, &r->writer, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        status_writer_free(r->writer);
        kube_session_free(r->session);
        pod_unref(r->pod);
        sd_event_unref(r->event);
        fake_stop(r->api);
}

static void put(struct run *r, const char *text)
{
        json_auto_t *status = json_of(text);

        status_writer_put(r->writer, r->pod, status);
}

static void refuse(struct run *r, const char *method, int code, int times)
{
        fake_control(r->api,
                     "{\"op\":\"fault\",\"match\":{\"method\":\"%s\",\"path\":\"" POD "\"},"
                     "\"action\":\"status\",\"code\":%d,\"reason\":\"Why\","
                     "\"message\":\"because\",\"times\":%d}",
                     method, code, times);
}

TEST(a_status_is_written_once)
{
        struct run r;
        int before;

        begin(&r);
        put(&r, "{'phase':'Running'}");
        RUN_UNTIL(r.event, r.n_written == 1);
        CHECK_STR(r.phase, "Running");
        CHECK(status_writer_is_idle(r.writer, r.pod->uid));
        before = fake_count(r.api, POD "/status", NULL);
        put(&r, "{'phase':'Running'}");
        CHECK(status_writer_is_idle(r.writer, r.pod->uid));
        CHECK_INT(fake_count(r.api, POD "/status", NULL), before);
        finish(&r);
}

TEST(a_server_in_trouble_is_asked_again_with_the_newest)
{
        struct run r;

        begin(&r);
        refuse(&r, "PATCH", 503, 2);
        put(&r, "{'phase':'Pending'}");
        put(&r, "{'phase':'Running'}");
        CHECK(!status_writer_is_idle(r.writer, r.pod->uid));
        RUN_UNTIL(r.event, r.n_written == 1);
        CHECK_STR(r.phase, "Running");
        CHECK_INT(fake_count(r.api, POD "/status", NULL), 3);
        finish(&r);
}

TEST(an_invalid_status_holds_back_neither_the_next_one_nor_the_deletion)
{
        static const int codes[] = { 400, 413, 422 };

        for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
                struct run r;

                begin(&r);
                refuse(&r, "PATCH", codes[i], 1);
                put(&r, "{'phase':'Nonsense'}");
                RUN_UNTIL(r.event, status_writer_is_idle(r.writer, r.pod->uid));
                CHECK_INT(r.n_written, 0);
                put(&r, "{'phase':'Running'}");
                RUN_UNTIL(r.event, r.n_written == 1);
                CHECK_STR(r.phase, "Running");

                refuse(&r, "PATCH", codes[i], -1);
                put(&r, "{'phase':'Failed'}");
                status_writer_delete(r.writer, r.pod);
                RUN_UNTIL(r.event, r.n_gone == 1);
                CHECK_INT(r.n_written, 1);
                finish(&r);
        }
}

TEST(a_deletion_waits_for_the_last_status)
{
        struct run r;

        begin(&r);
        refuse(&r, "PATCH", 500, 1);
        put(&r, "{'phase':'Succeeded'}");
        status_writer_delete(r.writer, r.pod);
        RUN_UNTIL(r.event, r.n_gone == 1);
        CHECK_INT(r.n_written, 1);
        CHECK_STR(r.phase, "Succeeded");
        finish(&r);
}

TEST(a_pod_that_is_another_one_now_is_let_go)
{
        struct run r;

        begin(&r);
        refuse(&r, "PATCH", 409, 1);
        put(&r, "{'phase':'Running'}");
        RUN_UNTIL(r.event, r.n_gone == 1);
        CHECK_INT(r.n_written, 0);
        finish(&r);
}
