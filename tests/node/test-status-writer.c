/* What a status writer does with an API server that refuses, or is late. */
#include "kubelet/status-writer.h"

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"
#include "tests/unit/pod-fixture.h"

#define POD "/api/v1/namespaces/ns/pods/web"
#define NEW_POD                                                  \
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"}," \
        "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"

struct run {
        sd_event *event;
        struct fake *api;
        struct kube_session *session;
        struct status_writer *writer;
        struct pod *pod;
        unsigned n_gone;
};

static void on_gone(const char *uid, void *userdata)
{
        struct run *r = userdata;

        CHECK_STR(uid, r->pod->uid);
        r->n_gone++;
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        struct status_writer_ops ops = { on_gone, r };
        struct kube_config config;
        json_auto_t *object = NULL;

        *r = (struct run){ .api = fake_start("apiserver.py", NULL) };
        config = (struct kube_config){ .server = r->api->url };
        object = fake_ask(r->api, "POST", "/api/v1/namespaces/ns/pods", NEW_POD);
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

/* Runs until all that was put is accepted or dropped. */
static void settle(struct run *r)
{
        RUN_UNTIL(r->event, status_writer_is_idle(r->writer, r->pod->uid));
}

/* What the server has. */
static bool has_phase(struct run *r, const char *phase)
{
        json_auto_t *pod = fake_ask(r->api, "GET", POD, NULL);

        return streq_null(json_text_at(json_object_get(pod, "status"), "phase"), phase);
}

static void check_phase(struct run *r, const char *phase)
{
        json_auto_t *pod = fake_ask(r->api, "GET", POD, NULL);

        CHECK_STR(json_text_at(json_object_get(pod, "status"), "phase"), phase);
}

static int count_patches(struct run *r)
{
        return fake_count(r->api, POD "/status", NULL);
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
        settle(&r);
        check_phase(&r, "Running");
        before = count_patches(&r);
        put(&r, "{'phase':'Running'}");
        CHECK(status_writer_is_idle(r.writer, r.pod->uid));
        CHECK_INT(count_patches(&r), before);
        finish(&r);
}

TEST(steps_that_nobody_waits_for_are_written_as_one_and_not_before_the_phase)
{
        struct run r;
        int before;

        begin(&r);
        put(&r, "{'phase':'Pending'}");
        settle(&r);
        before = count_patches(&r);
        put(&r, "{'phase':'Pending','podIP':'10.0.0.1'}");
        put(&r, "{'phase':'Running','podIP':'10.0.0.1'}");
        settle(&r);
        check_phase(&r, "Running");
        CHECK_INT(count_patches(&r), before + 1);
        put(&r, "{'phase':'Running','podIP':'10.0.0.1','message':'one'}");
        put(&r, "{'phase':'Running','podIP':'10.0.0.1','message':'two'}");
        settle(&r);
        CHECK_INT(count_patches(&r), before + 2);
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
        settle(&r);
        check_phase(&r, "Running");
        CHECK_INT(count_patches(&r), 3);
        finish(&r);
}

TEST(a_refused_status_that_is_overtaken_by_the_one_before_holds_back_nothing)
{
        struct run r;

        begin(&r);
        put(&r, "{'phase':'Pending'}");
        settle(&r);
        refuse(&r, "PATCH", 500, 1);
        put(&r, "{'phase':'Running'}");
        RUN_UNTIL(r.event, count_patches(&r) == 2);
        put(&r, "{'phase':'Pending'}"); /* what the server has */
        settle(&r);
        put(&r, "{'phase':'Failed'}");
        settle(&r);
        check_phase(&r, "Failed");
        status_writer_delete(r.writer, r.pod);
        RUN_UNTIL(r.event, r.n_gone == 1);
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
                settle(&r);
                put(&r, "{'phase':'Running'}");
                settle(&r);
                check_phase(&r, "Running");

                refuse(&r, "PATCH", codes[i], -1);
                put(&r, "{'phase':'Failed'}");
                status_writer_delete(r.writer, r.pod);
                RUN_UNTIL(r.event, r.n_gone == 1);
                finish(&r);
        }
}

TEST(a_status_that_is_refused_once_is_tried_against_the_pod_as_it_is)
{
        struct run r;

        begin(&r);
        put(&r, "{'phase':'Pending'}");
        settle(&r);
        refuse(&r, "PATCH", 422, 1);
        put(&r, "{'phase':'Running'}");
        settle(&r);
        check_phase(&r, "Running");
        finish(&r);
}

/* The watch is faster than the answer. */
TEST(what_somebody_else_wrote_after_a_patch_under_way_is_repaired)
{
        struct run r;
        json_auto_t *object = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct pod *seen;

        begin(&r);
        put(&r, "{'phase':'Pending'}");
        settle(&r);
        fake_control(r.api, "{\"op\":\"fault\",\"match\":{\"method\":\"PATCH\",\"path\":\"" POD
                            "\"},\"action\":\"late\",\"times\":1}");
        put(&r, "{'phase':'Running'}");
        RUN_UNTIL(r.event, has_phase(&r, "Running"));
        CHECK(!status_writer_is_idle(r.writer, r.pod->uid));
        json_decref(fake_ask(r.api, "PUT", POD "/status",
                             "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"},"
                             "\"status\":{\"phase\":\"Unknown\"}}"));
        object = fake_ask(r.api, "GET", POD, NULL);
        CHECK_INT(pod_decode(object, POD_SOURCE_API, &seen, &err), 0);
        CHECK(!status_writer_seen(r.writer, seen));
        fake_control(r.api, "{\"op\":\"clear\"}");
        settle(&r);
        check_phase(&r, "Running");
        pod_unref(seen);
        finish(&r);
}

TEST(a_deletion_waits_for_the_last_status)
{
        struct run r;

        begin(&r);
        refuse(&r, "PATCH", 500, 1);
        put(&r, "{'phase':'Succeeded'}");
        status_writer_delete(r.writer, r.pod);
        RUN_UNTIL(r.event, r.n_gone == 1);
        CHECK_INT(count_patches(&r), 2);
        finish(&r);
}

TEST(a_conflict_is_no_reason_to_let_a_pod_go)
{
        json_auto_t *gone = NULL;
        struct run r;

        begin(&r);
        refuse(&r, "PATCH", 409, 1);
        put(&r, "{'phase':'Running'}");
        settle(&r);
        check_phase(&r, "Running");
        refuse(&r, "DELETE", 409, 1);
        status_writer_delete(r.writer, r.pod);
        RUN_UNTIL(r.event, r.n_gone == 1);
        gone = fake_ask(r.api, "GET", POD, NULL);
        CHECK_STR(json_text_at(gone, "reason"), "NotFound");
        finish(&r);
}

TEST(a_pod_that_is_another_one_now_is_let_go)
{
        struct run r;

        begin(&r);
        json_decref(fake_ask(r.api, "DELETE", POD, "{\"gracePeriodSeconds\":0}"));
        json_decref(fake_ask(r.api, "POST", "/api/v1/namespaces/ns/pods", NEW_POD));
        put(&r, "{'phase':'Running'}");
        RUN_UNTIL(r.event, r.n_gone == 1);
        check_phase(&r, "Pending");
        finish(&r);
}

TEST(what_somebody_else_wrote_is_to_be_put_again)
{
        struct run r;
        json_auto_t *object = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct pod *seen;

        begin(&r);
        put(&r, "{'phase':'Running'}");
        settle(&r);
        CHECK(!status_writer_seen(r.writer, r.pod)); /* older than what was written */
        json_decref(fake_ask(r.api, "PUT", POD "/status",
                             "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"},"
                             "\"status\":{\"phase\":\"Unknown\"}}"));
        object = fake_ask(r.api, "GET", POD, NULL);
        CHECK_INT(pod_decode(object, POD_SOURCE_API, &seen, &err), 0);
        CHECK(status_writer_seen(r.writer, seen));
        CHECK(!status_writer_seen(r.writer, seen));
        put(&r, "{'phase':'Running'}");
        settle(&r);
        check_phase(&r, "Running");
        pod_unref(seen);
        finish(&r);
}
