#include "base/kube-client.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"

struct run {
        sd_event *event;
        struct kube_session *session;
        unsigned n_done;
        int status;
        enum err_kind kind;
        char text[512], reason[64];
        json_t *object;
        usec_t retry_after_usec;
        bool free_session;
};

static void on_done(struct kube_call *call, int status, json_t *object, const struct err *err,
                    void *userdata)
{
        struct run *r = userdata;

        r->n_done++;
        r->status = status;
        r->kind = err ? err->kind : ERR_OTHER;
        snprintf(r->text, sizeof r->text, "%s", err ? err_text(err) : "");
        snprintf(r->reason, sizeof r->reason, "%s", kube_call_reason(call));
        r->retry_after_usec = kube_call_retry_after(call);
        json_decref(r->object);
        r->object = json_incref(object);
        CHECK(!(object && err));
        kube_cancel(call); /* harmless now */
        if (r->free_session)
                r->session = kube_session_free(r->session);
}

static void begin(struct run *r, const struct kube_config *config)
{
        _cleanup_err_ struct err err = { 0 };

        *r = (struct run){ 0 };
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, config, "skiffd/test", &r->session, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        kube_session_free(r->session);
        sd_event_unref(r->event);
        json_decref(r->object);
}

static struct kube_call *start(struct run *r, const char *method, const char *path,
                               const char *body, enum kube_patch patch)
{
        json_auto_t *tree = body ? json_loads(body, 0, NULL) : NULL;
        struct kube_request q = { .method = method,
                                  .path = path,
                                  .body = tree,
                                  .patch = patch,
                                  .timeout_usec = 5 * USEC_PER_SEC,
                                  .done = on_done,
                                  .userdata = r };
        struct kube_call *call = NULL;

        CHECK(!body || tree);
        r->n_done = 0;
        CHECK_INT(kube_start(r->session, &q, &call, NULL), 0);
        return call;
}

static void ask(struct run *r, const char *method, const char *path, const char *body,
                enum kube_patch patch)
{
        start(r, method, path, body, patch);
        RUN_UNTIL(r->event, r->n_done == 1);
}

TEST(objects_are_created_read_patched_and_deleted)
{
        struct fake *api = fake_start("apiserver.py", NULL);
        struct kube_config config = { .server = api->url };
        struct run r;

        begin(&r, &config);
        ask(&r, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}", KUBE_PATCH_NONE);
        CHECK_INT(r.status, 201);
        CHECK_STR(json_text_at(r.object, "kind"), "Node");
        ask(&r, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}", KUBE_PATCH_NONE);
        CHECK_INT(r.status, 409);
        CHECK_INT(r.kind, ERR_CONFLICT);
        CHECK_STR(r.reason, "AlreadyExists");
        CHECK_STR(r.text, "nodes \"n\" already exists");
        ask(&r, "PATCH", "/api/v1/nodes/n/status",
            "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
            KUBE_PATCH_STRATEGIC);
        CHECK_INT(r.status, 200);
        ask(&r, "PATCH", "/api/v1/nodes/n/status",
            "{\"status\":{\"conditions\":[{\"type\":\"X\",\"status\":\"False\"}]}}",
            KUBE_PATCH_STRATEGIC);
        CHECK_INT(json_array_size(json_path(r.object, "status", "conditions", NULL)), 2);
        ask(&r, "PATCH", "/api/v1/nodes/n", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}",
            KUBE_PATCH_MERGE);
        CHECK_STR(json_text_at(json_path(r.object, "metadata", "labels", NULL), "a"), "b");
        ask(&r, "GET", "/api/v1/nodes/n", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        ask(&r, "DELETE", "/api/v1/nodes/n", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        ask(&r, "GET", "/api/v1/nodes/n", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 404);
        CHECK_INT(r.kind, ERR_NOT_FOUND);
        CHECK(r.object == NULL);
        finish(&r);
        fake_stop(api);
}

TEST(failures_keep_the_server_s_words_and_get_a_kind)
{
        static const struct {
                int code;
                enum err_kind kind;
        } cases[] = { { 400, ERR_BAD_INPUT }, { 401, ERR_UNAUTHORIZED }, { 403, ERR_FORBIDDEN },
                      { 404, ERR_NOT_FOUND }, { 409, ERR_CONFLICT },     { 410, ERR_GONE },
                      { 422, ERR_BAD_INPUT }, { 429, ERR_TOO_MANY },     { 500, ERR_SERVER },
                      { 503, ERR_SERVER } };
        struct fake *api = fake_start("apiserver.py", NULL);
        struct kube_config config = { .server = api->url };
        struct run r;

        begin(&r, &config);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                fake_control(
                        api,
                        "{\"op\":\"fault\",\"action\":\"status\",\"code\":%d,\"reason\":\"Why\","
                        "\"message\":\"because\",\"retry_after\":3}",
                        cases[i].code);
                ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
                CHECK_INT(r.status, cases[i].code);
                CHECK_INT(r.kind, cases[i].kind);
                CHECK_STR(r.text, "because");
                CHECK_STR(r.reason, "Why");
                CHECK(r.retry_after_usec == 3 * USEC_PER_SEC);
        }
        fake_control(api,
                     "{\"op\":\"fault\",\"action\":\"status\",\"code\":502,\"raw\":\"<html>\"}");
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_STR(r.text, "HTTP status 502: <html>");
        fake_control(api,
                     "{\"op\":\"fault\",\"action\":\"status\",\"code\":200,\"raw\":\"{broken\"}");
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        CHECK_INT(r.kind, ERR_BAD_INPUT);
        CHECK(r.object == NULL);
        finish(&r);
        fake_stop(api);
}

TEST(the_session_knows_whether_the_server_answers)
{
        struct fake *api = fake_start("apiserver.py", NULL);
        struct kube_config config = { .server = api->url };
        struct run r;
        usec_t since = 0;

        begin(&r, &config);
        CHECK(!kube_session_is_connected(r.session, &since));
        CHECK(since > 0);
        ask(&r, "GET", "/api/v1/nodes/none", NULL, KUBE_PATCH_NONE);
        CHECK(kube_session_is_connected(r.session, NULL)); /* a 404 is an answer */
        fake_stop(api);
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 0);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        CHECK(!kube_session_is_connected(r.session, NULL));
        finish(&r);
}

static char *write_file(const char *dir, const char *name, const char *text)
{
        char *path = text_printf("%s/%s", dir, name);

        CHECK_INT(fs_replace_at(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
        return path;
}

TEST(a_token_file_is_read_again_when_it_changes)
{
        static const char *const args[] = { "--token", "second", NULL };
        char dir[] = "/tmp/skiff-test-XXXXXX";
        _cleanup_free_ char *path = NULL;
        struct fake *api = fake_start("apiserver.py", args);
        struct kube_config config = { .server = api->url, .token = (char *)"zeroth" };
        struct run r;

        CHECK(mkdtemp(dir) != NULL);
        path = write_file(dir, "token", "first\n");
        config.token_file = path;
        begin(&r, &config);
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.kind, ERR_UNAUTHORIZED);
        free(write_file(dir, "token", " \n")); /* no token: the old one is kept */
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.kind, ERR_UNAUTHORIZED);
        free(write_file(dir, "token", "second\r\n"));
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        unlink(path);
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        finish(&r);
        fs_remove_tree_at(AT_FDCWD, dir);
        fake_stop(api);
}

static char *pki_text(const char *name)
{
        _cleanup_free_ char *path = text_printf("%s/%s", fake_pki(), name);
        char *text = NULL;

        CHECK(fs_read_at(AT_FDCWD, path, 65536, &text, NULL) == 0);
        return text;
}

TEST(a_client_certificate_that_changes_on_disk_is_used_at_once)
{
        _cleanup_free_ char *ca = text_printf("%s/ca.crt", fake_pki()),
                            *cert = text_printf("%s/server.crt", fake_pki()),
                            *key = text_printf("%s/server.key", fake_pki()),
                            *stranger = pki_text("stranger.crt"),
                            *stranger_key = pki_text("stranger.key"),
                            *good = pki_text("client.crt"), *good_key = pki_text("client.key"),
                            *cert_path = NULL, *key_path = NULL;
        const char *const args[] = {
                "--tls-cert", cert, "--tls-key", key, "--client-ca", ca, NULL
        };
        char dir[] = "/tmp/skiff-test-XXXXXX";
        struct fake *api = fake_start("apiserver.py", args);
        struct kube_config config = { .server = api->url, .ca_file = ca };
        struct run r;

        CHECK(mkdtemp(dir) != NULL);
        config.cert_file = cert_path = write_file(dir, "c", stranger);
        config.key_file = key_path = write_file(dir, "k", stranger_key);
        begin(&r, &config);
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        free(write_file(dir, "c", good));
        free(write_file(dir, "k", good_key));
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.status, 200);
        free(write_file(dir, "c", stranger)); /* also when the old connection would still do */
        free(write_file(dir, "k", stranger_key));
        ask(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        finish(&r);
        fs_remove_tree_at(AT_FDCWD, dir);
        fake_stop(api);
}

TEST(a_call_can_be_cancelled_and_the_session_freed_in_a_callback)
{
        struct fake *api = fake_start("apiserver.py", NULL);
        struct kube_config config = { .server = api->url };
        struct run r;

        begin(&r, &config);
        CHECK(kube_cancel(start(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE)) == NULL);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_done, 0);
        for (int i = 0; i < 3; i++)
                start(&r, "GET", "/api/v1/nodes", NULL, KUBE_PATCH_NONE);
        r.free_session = true;
        RUN_UNTIL(r.event, r.n_done > 0);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_done, 1);
        finish(&r);
        fake_stop(api);
}
