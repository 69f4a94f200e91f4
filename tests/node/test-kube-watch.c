#include "base/kube-watch.h"

#include <errno.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"

static struct fake *api;
static unsigned n_namespaces;

/* One watch of the pods of a namespace of its own, and what it told: "+a ~a -a S ". */
struct seen {
        sd_event *event;
        struct kube_session *session;
        struct kube_watch *watch;
        char namespace[32], path[64];
        struct strbuf story;
        size_t n_added;
        const char *refuse, *free_at; /* names of objects */
        usec_t last_usec;
};

static int on_event(enum kube_event event, const char *key, const json_t *object, void *userdata,
                    struct err *err)
{
        struct seen *s = userdata;
        const char *name = strchr(key, '/') + 1;

        CHECK_STR(json_text_at(json_object_get(object, "metadata"), "name"), name);
        CHECK_STR(json_text_at(json_object_get(object, "metadata"), "namespace"), s->namespace);
        if (s->refuse && streq(name, s->refuse))
                return err_set(err, -EINVAL, "spec: cannot be decoded");
        strbuf_addf(&s->story, "%c%s ", "+~-"[event], name);
        s->n_added += event == KUBE_ADDED;
        s->last_usec = now_monotonic();
        if (s->free_at && streq(name, s->free_at))
                s->watch = kube_watch_free(s->watch);
        return 0;
}

static void on_synced(void *userdata)
{
        struct seen *s = userdata;

        CHECK(!s->watch || kube_watch_is_synced(s->watch));
        strbuf_add(&s->story, "S ");
        s->last_usec = now_monotonic();
}

static const char *story(struct seen *s)
{
        return s->story.data ? s->story.data : "";
}

static void prepare(struct seen *s)
{
        struct kube_config config = { 0 };

        if (!api)
                api = fake_start("apiserver.py", NULL);
        *s = (struct seen){ 0 };
        config.server = api->url;
        fake_control(api, "{\"op\":\"clear\"}");
        snprintf(s->namespace, sizeof s->namespace, "t%u", n_namespaces++);
        snprintf(s->path, sizeof s->path, "/api/v1/namespaces/%s/pods", s->namespace);
        CHECK(sd_event_new(&s->event) >= 0);
        CHECK_INT(kube_session_new(s->event, &config, "test", &s->session, NULL), 0);
}

static void watch(struct seen *s)
{
        static const struct kube_watch_ops ops = { on_event, on_synced };
        struct kube_watch_options o = { .path = s->path,
                                        .what = "pods",
                                        .idle_timeout_usec = USEC_PER_SEC };

        CHECK_INT(kube_watch_new(s->session, &o, &ops, s, &s->watch, NULL), 0);
}

static void finish(struct seen *s)
{
        s->watch = kube_watch_free(s->watch);
        kube_session_free(s->session);
        sd_event_unref(s->event);
        strbuf_done(&s->story);
}

static void add(struct seen *s, const char *name)
{
        json_decref(fake_ask(api, "POST", s->path, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{}}",
                             name));
}

static void change(struct seen *s, const char *name)
{
        _cleanup_free_ char *path = text_printf("%s/%s", s->path, name);
        json_t *pod = fake_ask(api, "GET", path, NULL);
        _cleanup_free_ char *text = NULL;

        json_object_set_new(json_object_get(pod, "spec"), "x",
                            json_integer((json_int_t)random_u32()));
        text = json_dumps(pod, 0);
        json_decref(fake_ask(api, "PUT", path, "%s", text));
        json_decref(pod);
}

static void delete (struct seen *s, const char *name)
{
        _cleanup_free_ char *path = text_printf("%s/%s", s->path, name);

        json_decref(fake_ask(api, "DELETE", path, NULL));
}

/* @match, @more: further members of the fault and of its match, or NULL. */
static void fault(struct seen *s, const char *action, const char *match, const char *more)
{
        fake_control(api,
                     "{\"op\":\"fault\",\"action\":\"%s\",\"match\":{\"method\":\"GET\","
                     "\"path\":\"%s\"%s%s}%s%s}",
                     action, s->path, match ? "," : "", match ? match : "", more ? "," : "",
                     more ? more : "");
}

#define CHECK_STORY(s, text)                                                      \
        do {                                                                      \
                for (usec_t _end = now_monotonic() + 10 * USEC_PER_SEC;           \
                     strlen(story(s)) < strlen(text) && now_monotonic() < _end;)  \
                        CHECK(sd_event_run((s)->event, 10 * USEC_PER_MSEC) >= 0); \
                CHECK_STR(story(s), text);                                        \
        } while (0)

/* A watch that has listed "a" and waits for changes. */
static void begin(struct seen *s)
{
        prepare(s);
        add(s, "a");
        watch(s);
        CHECK_STORY(s, "+a S ");
        fake_control(api, "{\"op\":\"clear\"}");
}

TEST(a_list_and_its_changes_come_in_one_stream)
{
        struct seen s;

        begin(&s);
        add(&s, "b");
        change(&s, "b");
        delete (&s, "a");
        CHECK_STORY(&s, "+a S +b ~b -a ");
        CHECK_INT(fake_count(api, s.path, "watch"), 1);
        CHECK_INT(fake_count(api, s.path, "sendInitialEvents"), 1);
        finish(&s);
}

TEST(an_empty_list_is_synced_too)
{
        struct seen s;

        prepare(&s);
        watch(&s);
        CHECK(!kube_watch_is_synced(s.watch));
        CHECK_STORY(&s, "S ");
        finish(&s);
}

TEST(a_stream_cut_within_an_object_goes_on_within_a_second_without_a_list)
{
        struct seen s;
        usec_t before;

        begin(&s);
        fault(&s, "cut", NULL, NULL);
        before = now_monotonic();
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        CHECK(now_monotonic() - before < 1500 * USEC_PER_MSEC);
        CHECK_INT(fake_count(api, s.path, "sendInitialEvents"), 1);
        finish(&s);
}

TEST(a_stream_that_ends_in_good_order_goes_on)
{
        struct seen s;

        begin(&s);
        fault(&s, "end", NULL, NULL);
        add(&s, "b"); /* swallowed by the end; told by the next stream */
        CHECK_STORY(&s, "+a S +b ");
        CHECK_INT(fake_count(api, s.path, "sendInitialEvents"), 1);
        finish(&s);
}

TEST(a_list_cut_in_its_middle_begins_again)
{
        struct seen s;

        prepare(&s);
        add(&s, "a");
        add(&s, "b");
        fault(&s, "cut", NULL, "\"after\":1");
        watch(&s);
        CHECK_STORY(&s, "+a +a +b S ");
        finish(&s);
}

TEST(deletions_missed_during_an_outage_are_told)
{
        struct seen s;

        begin(&s);
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        fault(&s, "hang", NULL, NULL); /* the next connection hears nothing … */
        fake_control(api, "{\"op\":\"drop\"}");
        RUN_UNTIL(s.event, fake_count(api, s.path, "watch") == 2);
        delete (&s, "a"); /* … of this */
        fake_control(api, "{\"op\":\"compact\"}");
        fake_control(api, "{\"op\":\"clear\"}");
        CHECK_STORY(&s, "+a S +b +b -a S ");
        add(&s, "c");
        CHECK_STORY(&s, "+a S +b +b -a S +c ");
        finish(&s);
}

TEST(gone_as_a_status_lists_again)
{
        struct seen s;

        begin(&s);
        fault(&s, "status", NULL, "\"code\":410,\"reason\":\"Expired\"");
        fake_control(api, "{\"op\":\"drop\"}");
        CHECK_STORY(&s, "+a S +a S ");
        finish(&s);
}

TEST(gone_as_an_event_lists_again)
{
        struct seen s;

        begin(&s);
        fault(&s, "error", NULL, "\"code\":410,\"reason\":\"Expired\"");
        add(&s, "b");
        CHECK_STORY(&s, "+a S +a +b S ");
        CHECK_INT(fake_count(api, s.path, "sendInitialEvents"), 2);
        finish(&s);
}

TEST(an_internal_error_lists_again)
{
        struct seen s;

        begin(&s);
        fault(&s, "error", NULL, "\"code\":500,\"reason\":\"InternalError\"");
        add(&s, "b");
        CHECK_STORY(&s, "+a S +a +b S ");
        finish(&s);
}

TEST(a_server_that_is_behind_is_asked_without_a_version)
{
        struct seen s;

        begin(&s);
        fault(&s, "status", NULL,
              "\"code\":504,\"reason\":\"Timeout\",\"cause\":\"ResourceVersionTooLarge\"");
        fake_control(api, "{\"op\":\"drop\"}");
        CHECK_STORY(&s, "+a S +a S ");
        finish(&s);
}

TEST(too_many_requests_waits_as_told_and_does_not_list)
{
        struct seen s;
        usec_t before;

        begin(&s);
        fault(&s, "status", NULL, "\"code\":429,\"retry_after\":2");
        fake_control(api, "{\"op\":\"drop\"}");
        before = now_monotonic();
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        CHECK(now_monotonic() - before >= 2 * USEC_PER_SEC);
        CHECK_INT(fake_count(api, s.path, "sendInitialEvents"), 1);
        finish(&s);
}

TEST(a_server_without_streamed_lists_is_listed_in_pages)
{
        struct seen s;
        char name[16];

        prepare(&s);
        for (int i = 0; i < 1010; i++) {
                snprintf(name, sizeof name, "p%d", i);
                add(&s, name);
        }
        fault(&s, "no-watchlist", NULL, "\"times\":-1");
        watch(&s);
        RUN_UNTIL(s.event, kube_watch_is_synced(s.watch));
        CHECK_INT(s.n_added, 1010);
        CHECK_INT(fake_count(api, s.path, "limit"), 3);
        CHECK_INT(fake_count(api, s.path, "continue"), 2);
        add(&s, "x");
        RUN_UNTIL(s.event, s.n_added == 1011);
        finish(&s);
}

TEST(pages_that_expire_begin_again_and_imply_deletions)
{
        struct seen s;

        prepare(&s);
        add(&s, "a");
        fault(&s, "no-watchlist", NULL, "\"times\":-1");
        watch(&s);
        CHECK_STORY(&s, "+a S ");
        fault(&s, "status", "\"watch\":true,\"initial\":false", "\"code\":410");
        fault(&s, "status", "\"watch\":false", "\"code\":410");
        fault(&s, "hang", "\"watch\":true,\"initial\":true", NULL);
        fake_control(api, "{\"op\":\"drop\"}");
        RUN_UNTIL(s.event, fake_count(api, s.path, "sendInitialEvents") == 2);
        delete (&s, "a");
        add(&s, "b");
        fake_control(api, "{\"op\":\"drop\"}");
        CHECK_STORY(&s, "+a S +b -a S ");
        finish(&s);
}

TEST(lines_that_are_no_event_are_skipped)
{
        static const char *const lines[] = {
                "not JSON at all\\n",
                "{\\\"type\\\":\\\"ADDED\\\"\\n",
                "{\\\"type\\\":\\\"ADDED\\\",\\\"object\\\":{\\\"metadata\\\":{}}}\\n",
                "{\\\"type\\\":\\\"ADDED\\\",\\\"object\\\":{\\\"metadata\\\":{\\\"name\\\":7}}}\\n",
                "{\\\"type\\\":\\\"ADDED\\\",\\\"object\\\":[]}\\n",
                "{\\\"type\\\":\\\"NEW\\\",\\\"object\\\":{\\\"metadata\\\":{\\\"name\\\":\\\"q\\\"}}}\\n",
                "[]\\n",
                "null\\n",
                "\\n\\n",
                "\\u0000\\u0000\\n",
                "{\\\"type\\\":\\\"ADDED\\\",\\\"object\\\":{\\\"metadata\\\":{\\\"name\\\":\\\"a\\u0000\\\"}}}\\n",
                "{\\\"type\\\":\\\"BOOKMARK\\\",\\\"object\\\":{}}\\n",
        };
        struct seen s;

        begin(&s);
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                fake_control(api, "{\"op\":\"inject\",\"text\":\"%s\"}", lines[i]);
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        CHECK_INT(fake_count(api, s.path, "watch"), 1);
        finish(&s);
}

TEST(nothing_but_such_lines_ends_the_stream_with_backoff)
{
        struct seen s;
        int n;

        begin(&s);
        for (int i = 0; i < 101; i++)
                fake_control(api, "{\"op\":\"inject\",\"text\":\"x\\n\"}");
        RUN_UNTIL(s.event, (n = fake_count(api, s.path, "watch")) > 1);
        CHECK_INT(n, 2);
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        finish(&s);
}

TEST(nul_characters_within_an_object_are_no_harm)
{
        struct seen s;

        prepare(&s);
        json_decref(fake_ask(api, "POST", s.path,
                             "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"v\":\"a\\u0000b\"}}"));
        watch(&s);
        CHECK_STORY(&s, "+n S ");
        finish(&s);
}

TEST(an_object_that_is_too_large_is_skipped)
{
        struct seen s;

        begin(&s);
        fault(&s, "raw", NULL, "\"repeat\":9000000");
        add(&s, "b"); /* replaced by the large line */
        add(&s, "c");
        CHECK_STORY(&s, "+a S +c ");
        CHECK_INT(fake_count(api, s.path, "watch"), 1);
        finish(&s);
}

TEST(what_could_not_be_read_in_a_list_is_not_taken_for_deleted)
{
        struct seen s;

        begin(&s);
        fault(&s, "status", NULL, "\"code\":410");
        fault(&s, "raw", NULL, "\"text\":\"{broken\\n\""); /* instead of "a" in the new list */
        fake_control(api, "{\"op\":\"drop\"}");
        CHECK_STORY(&s, "+a S S ");
        delete (&s, "a");
        CHECK_STORY(&s, "+a S S -a ");
        finish(&s);
}

TEST(bytes_may_come_one_by_one)
{
        struct seen s;

        begin(&s);
        fault(&s, "drip", NULL, NULL);
        add(&s, "b");
        add(&s, "c");
        CHECK_STORY(&s, "+a S +b +c ");
        finish(&s);
}

TEST(a_silent_stream_is_made_anew)
{
        struct seen s;

        begin(&s);
        fault(&s, "silence", NULL, NULL);
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        CHECK_INT(fake_count(api, s.path, "watch"), 2);
        finish(&s);
}

TEST(a_server_that_accepts_and_says_nothing_costs_the_connection)
{
        struct seen s;

        begin(&s);
        fault(&s, "hang", NULL, NULL);
        fake_control(api, "{\"op\":\"drop\"}");
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        finish(&s);
}

TEST(a_server_that_was_away_is_found_again_within_a_second)
{
        struct seen s;
        usec_t since;

        begin(&s);
        fake_control(api, "{\"op\":\"down\",\"seconds\":2}");
        RUN_UNTIL(s.event, !kube_session_is_connected(s.session, NULL));
        run_for(s.event, 1700 * USEC_PER_MSEC);
        since = now_monotonic();
        RUN_UNTIL(s.event, kube_session_is_connected(s.session, NULL));
        CHECK(now_monotonic() - since < 1600 * USEC_PER_MSEC);
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        finish(&s);
}

/* As one that is being mended: each time it comes back it has forgotten what was before. */
TEST(a_server_that_goes_again_and_again_is_listed_at_once_each_time)
{
        struct seen s;

        begin(&s);
        for (int i = 0; i < 4; i++) {
                char name[8];
                usec_t since;

                snprintf(name, sizeof name, "b%d", i);
                fault(&s, "status", "\"watch\":true", "\"code\":410,\"reason\":\"Expired\"");
                fake_control(api, "{\"op\":\"down\",\"seconds\":1.2}");
                RUN_UNTIL(s.event, !kube_session_is_connected(s.session, NULL));
                RUN_UNTIL(s.event, kube_session_is_connected(s.session, NULL));
                since = now_monotonic();
                add(&s, name);
                RUN_UNTIL(s.event, strstr(story(&s), name));
                CHECK(now_monotonic() - since < USEC_PER_SEC);
        }
        finish(&s);
}

TEST(all_watches_of_a_session_find_the_server_again_though_one_knocks)
{
        static const struct kube_watch_ops ops = { on_event, on_synced };
        struct kube_watch *more[10];
        struct seen s;
        usec_t since;

        begin(&s);
        for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
                struct kube_watch_options o = { .path = s.path, .what = "pods" };

                CHECK_INT(kube_watch_new(s.session, &o, &ops, &s, &more[i], NULL), 0);
        }
        RUN_UNTIL(s.event, s.n_added == 11);
        run_for(s.event, 100 * USEC_PER_MSEC);
        fake_control(api, "{\"op\":\"down\",\"seconds\":3}");
        RUN_UNTIL(s.event, !kube_session_is_connected(s.session, NULL));
        run_for(s.event, 2500 * USEC_PER_MSEC);
        RUN_UNTIL(s.event, kube_session_is_connected(s.session, NULL));
        since = now_monotonic();
        add(&s, "b");
        RUN_UNTIL(s.event, s.n_added == 22);
        CHECK(now_monotonic() - since < USEC_PER_SEC);
        for (size_t i = 0; i < ARRAY_SIZE(more); i++)
                kube_watch_free(more[i]);
        finish(&s);
}

TEST(an_object_the_caller_cannot_decode_stays_unknown_until_it_can)
{
        struct seen s;

        prepare(&s);
        add(&s, "a");
        add(&s, "bad");
        s.refuse = "bad";
        watch(&s);
        CHECK_STORY(&s, "+a S ");
        delete (&s, "bad"); /* never known: no word of it */
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        s.refuse = "a"; /* known, and now undecodable */
        change(&s, "a");
        add(&s, "c");
        CHECK_STORY(&s, "+a S +b +c ");
        s.refuse = NULL;
        delete (&s, "a");
        CHECK_STORY(&s, "+a S +b +c -a ");
        finish(&s);
}

TEST(a_watch_may_be_freed_from_its_callback)
{
        struct seen s;

        prepare(&s);
        add(&s, "a");
        add(&s, "b");
        add(&s, "c");
        s.free_at = "b";
        watch(&s);
        RUN_UNTIL(s.event, !s.watch);
        run_for(s.event, 100 * USEC_PER_MSEC);
        CHECK_STR(story(&s), "+a +b ");
        finish(&s);

        prepare(&s);
        add(&s, "a");
        add(&s, "b");
        fault(&s, "no-watchlist", NULL, NULL);
        s.free_at = "a";
        watch(&s);
        RUN_UNTIL(s.event, !s.watch);
        CHECK_STR(story(&s), "+a ");
        finish(&s);
}

TEST(bookmarks_move_the_version_on)
{
        struct seen s, other;

        begin(&s);
        prepare(&other); /* another namespace moves the server's version */
        add(&other, "x");
        fake_control(api, "{\"op\":\"compact\"}");
        fake_control(api, "{\"op\":\"bookmarks\"}");
        run_for(s.event, 200 * USEC_PER_MSEC);
        fake_control(api, "{\"op\":\"drop\"}");
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b "); /* no list, though the old version is gone */
        finish(&other);
        finish(&s);
}

TEST(garbage_instead_of_http_backs_off_and_goes_on)
{
        struct seen s;

        begin(&s);
        fault(&s, "garbage", NULL, "\"times\":2");
        fake_control(api, "{\"op\":\"drop\"}");
        add(&s, "b");
        CHECK_STORY(&s, "+a S +b ");
        finish(&s);
}

TEST(selectors_are_escaped)
{
        struct seen s;
        static const struct kube_watch_ops ops = { on_event, on_synced };
        struct kube_watch_options o = { .what = "pods",
                                        .field_selector = "metadata.name=a",
                                        .label_selector = "x notin (y, z),!w" };

        prepare(&s);
        o.path = s.path;
        add(&s, "a");
        add(&s, "b");
        CHECK_INT(kube_watch_new(s.session, &o, &ops, &s, &s.watch, NULL), 0);
        CHECK_STORY(&s, "+a S ");
        finish(&s);
}

TEST(nothing_is_left_open)
{
        struct seen s;
        int before = count_descriptors();

        begin(&s);
        finish(&s);
        CHECK_INT(count_descriptors(), before);
        api = fake_stop(api);
}
