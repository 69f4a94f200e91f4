#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "cli/command-line.h"
#include "cli/document.h"
#include "cli/manifest.h"
#include "cli/progress.h"
#include "cli/redact.h"
#include "cli/timeline.h"
#include "cli/trace-target.h"
#include "tests/check.h"

#define NOW      (1767323045 * USEC_PER_SEC)
#define BEGIN    "{\"state\":{\""
#define RUNNING  BEGIN "running\":{}},\"ready\":true}"
#define ENDED(r) BEGIN "terminated\":{\"reason\":\"" r "\",\"exitCode\":1}}}"
#define WAITS(r) BEGIN "waiting\":{\"reason\":\"" r "\"}}}"
#define POD(n, statuses)                                \
        "{\"metadata\":{},\"spec\":{\"containers\":[" n \
        "]},\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" statuses "]}}"

static const char *status_of(const char *text)
{
        static char reason[64];
        json_auto_t *pod = json_loads(text, 0, NULL);
        char ready[16], restarts[64];

        CHECK(pod);
        pod_summary(pod, ready, reason, restarts, NOW);
        return reason;
}

TEST(a_pod_shows_the_first_container_that_is_not_well)
{
        CHECK_STR(status_of(POD("{},{}", RUNNING "," RUNNING)), "Running");
        CHECK_STR(status_of(POD("{},{}", RUNNING "," WAITS("ImagePullBackOff"))),
                  "ImagePullBackOff");
        CHECK_STR(status_of(POD("{},{}",
                                WAITS("CreateContainerConfigError") "," WAITS("CrashLoopBackOff"))),
                  "CreateContainerConfigError");
}

TEST(a_container_that_is_done_hides_none_that_runs)
{
        CHECK_STR(status_of(POD("{},{}", ENDED("Completed") "," RUNNING)), "Running");
        CHECK_STR(status_of(POD("{},{}", ENDED("Error") "," RUNNING)), "Error");
        CHECK_STR(status_of(POD("{}", ENDED("Completed"))), "Completed");
}

TEST(progress_has_a_bar_that_is_full_at_the_end_only)
{
        struct progress p = {
                .what = "exporting x", .bytes = 1000000, .about = 2000000, .began = 1
        };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        progress_format(&p, 1 + USEC_PER_SEC / 2, 40, &b);
        CHECK_STR(b.data, "exporting x  [##########          ]  1MB");
        b.len = 0;
        p.bytes = 3000000;
        progress_format(&p, 1 + USEC_PER_SEC, 79, &b);
        CHECK_STR(b.data, "exporting x  [############################# ]  3MB  3MB/s");
        b.len = 0;
        progress_format(&p, 1, 9, &b);
        CHECK_STR(b.data, "exporting");
        b.len = 0;
        p.about = 0;
        progress_format(&p, 1, 79, &b);
        CHECK_STR(b.data, "exporting x  3MB");
}

TEST(restarts_say_when_the_last_one_was)
{
        json_auto_t *pod = json_loads(
                "{\"spec\":{\"containers\":[{}]},\"status\":{\"containerStatuses\":[{\"restartCount\":"
                "3,\"lastState\":{\"terminated\":{\"finishedAt\":\"2026-01-02T03:03:05Z\"}}}]}}",
                0, NULL);
        char ready[16], reason[64], restarts[64];

        pod_summary(pod, ready, reason, restarts, NOW);
        CHECK_STR(ready, "0/1");
        CHECK_STR(reason, "Unknown");
        CHECK_STR(restarts, "3 (60s ago)");
}

TEST(ages_and_sizes_are_as_kubectl_and_crictl_show_them)
{
        char buf[32];

        CHECK_STR(age_format(119 * USEC_PER_SEC, buf), "119s");
        CHECK_STR(age_format(125 * USEC_PER_SEC, buf), "2m5s");
        CHECK_STR(age_format(3 * USEC_PER_MINUTE * 60, buf), "3h");
        CHECK_STR(size_format(999, buf), "999B");
        CHECK_STR(size_format(3973120, buf), "3.97MB");
}

TEST(a_state_is_coloured_by_what_it_means)
{
        CHECK(status_colour("Running") == COLOUR_GOOD);
        CHECK(status_colour("ContainerCreating") == COLOUR_WARNING);
        CHECK(status_colour("Init:0/1") == COLOUR_WARNING);
        CHECK(status_colour("Init:CrashLoopBackOff") == COLOUR_BAD);
        CHECK(status_colour("ImagePullBackOff") == COLOUR_BAD);
}

/* ---- the command line ---- */

static struct command_line line;

static int parse(const char *const *words, struct err *err)
{
        command_line_done(&line);
        return command_line_parse((int)strv_len((char **)words), (char **)words, &line, err);
}
#define PARSE(err, ...) parse((const char *const[]){ __VA_ARGS__, NULL }, err)

TEST(flags_stand_before_and_behind_words)
{
        CHECK(PARSE(NULL, "-n", "x", "pods", "-ojson") == 0);
        CHECK_STR(line.verb->name, "pods");
        CHECK_STR(line.in.namespace, "x");
        CHECK(line.in.format == OUTPUT_JSON);
        CHECK(PARSE(NULL, "logs", "-fp", "web", "--tail=3", "-c", "main") == 0);
        CHECK(has_flag(&line.in, FLAG_FOLLOW) && has_flag(&line.in, FLAG_PREVIOUS));
        CHECK_STR(line.in.values[FLAG_TAIL], "3");
        CHECK_STR(line.in.values[FLAG_CONTAINER], "main");
        CHECK(line.in.n_words == 1);
        CHECK_STR(line.in.words[0], "web");
}

TEST(what_stands_behind_two_dashes_is_a_word)
{
        CHECK(PARSE(NULL, "exec", "web", "--", "ls", "-n", "--help") == 0);
        CHECK(line.in.n_words == 4 && !line.help);
        CHECK_STR(line.in.words[3], "--help");
}

TEST(two_words_are_one_verb)
{
        _cleanup_err_ struct err err = { 0 };

        CHECK(PARSE(NULL, "image", "pull", "busybox") == 0);
        CHECK_STR(line.verb->name, "image pull");
        CHECK(line.in.n_words == 1);
        CHECK(PARSE(&err, "image", "paint") == -EINVAL);
        CHECK_STR(err_text(&err), "'image' is followed by another word, see 'skiff --help'");
}

TEST(a_flag_that_a_verb_does_not_take_is_refused)
{
        _cleanup_err_ struct err err = { 0 };

        CHECK(PARSE(&err, "pods", "--follow") == -EINVAL);
        CHECK_STR(err_text(&err), "option '--follow': unknown here, see 'skiff pods --help'");
        CHECK(PARSE(&err, "-c", "x", "pods") == -EINVAL);
        CHECK_STR(err_text(&err), "option '--container': unknown here, see 'skiff pods --help'");
        CHECK(PARSE(&err, "pods", "-n") == -EINVAL);
        CHECK_STR(err_text(&err),
                  "option '-n': expected a value behind it, see 'skiff pods --help'");
        CHECK(PARSE(&err, "pods", "--watch=yes") == -EINVAL);
        CHECK(PARSE(&err, "pods", "--n") == -EINVAL); /* --namespace, --no-headers */
        CHECK_STR(err_text(&err), "option '--n': ambiguous, see 'skiff pods --help'");
        CHECK(PARSE(&err, "pods", "--output", "xml") == -EINVAL);
        CHECK_STR(err_text(&err), "--output: 'xml': expected json, yaml, wide or name");
}

TEST(too_few_and_too_many_words_are_answered_with_the_usage)
{
        _cleanup_err_ struct err err = { 0 };

        CHECK(PARSE(&err, "pod") == -EINVAL);
        CHECK_STR(err_text(&err), "usage: skiff pod POD");
        CHECK(PARSE(&err, "pods", "what") == -EINVAL);
        CHECK(PARSE(&err, "pod", "--help") == 0 && line.help);
        CHECK(PARSE(&err, "podz") == -EINVAL);
        CHECK_STR(err_text(&err), "unknown verb 'podz', see 'skiff --help'");
}

/* ---- what is made from the table ---- */

TEST(every_verb_has_a_help_a_page_and_a_completion)
{
        _cleanup_strv_ char **pages = document_pages();
        _cleanup_strbuf_ struct strbuf all = { 0 }, bash = { 0 }, fish = { 0 };
        size_t i = 1;

        document_help(&all);
        CHECK(document_completion(&bash, "bash") == 0 && document_completion(&fish, "fish") == 0);
        CHECK(document_completion(&bash, "csh") == -EINVAL);
        CHECK_STR(pages[0], "skiff");
        for (const struct verb *v = verbs; v->name; v++, i++) {
                _cleanup_strbuf_ struct strbuf page = { 0 }, help = { 0 };

                CHECK(v->run && v->help && v->arguments && v->min_words <= v->max_words);
                CHECK(verb_find(v->name) == v);
                CHECK(strstr(all.data, v->help));
                document_verb(&help, v);
                CHECK(strstr(help.data, "Usage: skiff ") && strstr(help.data, "--socket"));
                CHECK(document_page(&page, pages[i]) == 0);
                CHECK(startswith(page.data, ".TH \"skiff-") && strstr(page.data, ".SH OPTIONS"));
                CHECK(strstr(bash.data,
                             strrchr(v->name, ' ') ? strrchr(v->name, ' ') + 1 : v->name));
                CHECK(strstr(fish.data, v->help) || strchr(v->help, '\''));
        }
        CHECK(pages[i] == NULL);
        CHECK(document_page(&all, "skiff-nothing") == -ENOENT);
}

TEST(letters_and_names_of_flags_mean_one_thing_in_each_verb)
{
        for (const struct verb *v = verbs; v->name; v++)
                for (int a = 0; a < _FLAG_MAX; a++)
                        for (int b = 0; b < a; b++) {
                                uint32_t both = UINT32_C(1) << a | UINT32_C(1) << b;

                                if (((v->flags | FLAGS_ALWAYS) & both) != both)
                                        continue;
                                CHECK(!flags[a].letter || flags[a].letter != flags[b].letter);
                                CHECK(!streq(flags[a].name, flags[b].name));
                        }
}

/* ---- trace ---- */

static const char *rule_of(const char *text)
{
        static char rule[256];
        _cleanup_err_ struct err err = { 0 };
        struct trace_target t;

        CHECK(trace_target_parse(text, &t, &err) == -EINVAL);
        snprintf(rule, sizeof rule, "%s", err_text(&err));
        return rule;
}

TEST(a_target_of_trace_is_an_address_a_port_and_a_protocol)
{
        struct trace_target t;
        char text[IP_TEXT_MAX];

        CHECK(trace_target_parse("10.96.0.10:53/udp", &t, NULL) == 0);
        CHECK_STR(ip_format(&t.ip, text), "10.96.0.10");
        CHECK(t.port == 53);
        CHECK_STR(t.protocol, "UDP");
        CHECK(trace_target_parse("[2001:db8::1]:80", &t, NULL) == 0);
        CHECK_STR(ip_format(&t.ip, text), "2001:db8::1");
        CHECK_STR(t.protocol, "TCP");
        CHECK(strstr(rule_of("10.96.0.10"), "a colon and a port behind the address"));
        CHECK(strstr(rule_of("web:80"), "a name is not looked up"));
        CHECK(strstr(rule_of("10.96.0.10:0"), "1 to 65535"));
        CHECK(strstr(rule_of("10.96.0.10:80/icmp"), "tcp, udp or sctp"));
        CHECK(strstr(rule_of("2001:db8::1:80"), "brackets"));
        CHECK(strstr(rule_of("[10.96.0.10]:80"), "brackets"));
        CHECK(strstr(rule_of("[:80"), "a colon and a port"));
        CHECK(strstr(rule_of("[]:80"), "an IP address"));
        CHECK(strstr(rule_of(":"), "an IP address"));
}

/* ---- manifests ---- */

TEST(a_manifest_is_a_flat_list_whatever_lists_and_documents_it_has)
{
        static const char text[] = "kind: Pod\nmetadata: {name: a}\n---\nkind: List\nitems:\n"
                                   "- {kind: Pod, metadata: {name: b, namespace: own}}\n"
                                   "- {kind: PodList, items: [{kind: Pod, metadata: {name: c}}]}\n"
                                   "---\n{\"kind\": \"Job\", \"items\": []}\n";
        json_auto_t *items = json_array();
        _cleanup_err_ struct err err = { 0 }, bad = { 0 };

        CHECK(manifest_append(text, strlen(text), "x.yaml", "ns", items, &err) == 0);
        CHECK(json_array_size(items) == 4);
        CHECK_STR(text_in(json_array_get(items, 0), "metadata", "namespace"), "ns");
        CHECK_STR(text_in(json_array_get(items, 1), "metadata", "namespace"), "own");
        CHECK_STR(text_in(json_array_get(items, 2), "metadata", "name"), "c");
        CHECK(manifest_append("a: [", 4, "x.yaml", NULL, items, &err) == -EINVAL);
        CHECK(strstr(err_text(&err), "'x.yaml': "));
        CHECK(manifest_append("kind: Pod\n--- 3\n", 16, "x.yaml", NULL, items, &bad) == -EINVAL);
        CHECK(strstr(err_text(&bad), "document 2: expected an object"));
}

/* ---- timeline ---- */

static const char steps[] =
        "{\"skiff\":{\"seen\":\"2026-01-02T03:04:05.000000Z\",\"timeline\":["
        "{\"step\":\"admitted\",\"time\":\"2026-01-02T03:04:05.000000Z\"},"
        "{\"step\":\"exited\",\"container\":\"a<b\",\"exitCode\":7,\"time\":\"2026-01-02T03:04:09.000000Z\"},"
        "{\"step\":\"sandbox\",\"time\":\"2026-01-02T03:04:05.250000Z\"},"
        "{\"step\":\"image\",\"container\":\"a<b\",\"bytes\":2000000,\"time\":\"2026-01-02T03:04:06.000000Z\"}]}}";

TEST(a_step_takes_from_the_one_before_it_of_its_kind)
{
        _cleanup_(timeline_done)
        struct timeline t = { 0 };
        json_auto_t *pod = json_loads(steps, 0, NULL);
        char buf[32];

        CHECK(timeline_read(pod, &t) == 0 && t.n == 4);
        CHECK_STR(t.spans[1].step, "sandbox");
        CHECK_STR(took_format(t.spans[1].end - t.spans[1].begin, buf), "250ms");
        CHECK_STR(t.spans[2].step, "image"); /* after the pod's sandbox */
        CHECK_STR(t.spans[2].detail, "2MB");
        CHECK_STR(took_format(t.spans[2].end - t.spans[2].begin, buf), "750ms");
        CHECK_STR(t.spans[3].detail, "exit code 7");
        CHECK_STR(took_format(t.spans[3].end - t.spans[3].begin, buf), "3.00s");
        CHECK(t.end - t.begin == 4 * USEC_PER_SEC);
}

TEST(bars_stand_where_steps_were)
{
        _cleanup_(timeline_done)
        struct timeline t = { 0 };
        json_auto_t *pod = json_loads(steps, 0, NULL);
        _cleanup_strbuf_ struct strbuf first = { 0 }, last = { 0 }, svg = { 0 };

        CHECK(timeline_read(pod, &t) == 0);
        timeline_bar(&t, &t.spans[0], 41, false, &first);
        timeline_bar(&t, &t.spans[3], 41, false, &last);
        CHECK_STR(first.data, "|");
        CHECK_STR(last.data, "          ==============================|");
        timeline_svg(&t, "default/p", &svg);
        CHECK(startswith(svg.data, "<svg ") && endswith(svg.data, "</svg>\n"));
        CHECK(strstr(svg.data, "a&lt;b: exited, exit code 7"));
}

TEST(no_steps_are_a_timeline_too)
{
        _cleanup_(timeline_done)
        struct timeline t = { 0 };
        json_auto_t *pod = json_object();
        _cleanup_strbuf_ struct strbuf svg = { 0 };

        CHECK(timeline_read(pod, &t) == 0 && t.n == 0);
        timeline_svg(&t, "x", &svg);
        CHECK(svg.data && !svg.failed);
}

/* ---- secrets ---- */

TEST(what_sounds_like_a_secret_is_left_out_of_text)
{
        static const struct {
                const char *text, *clean;
        } cases[] = {
                { "Authorization: Bearer abcdef123", "Authorization: Bearer (removed)" },
                { "url?token=abcdef&x=1", "url?token=(removed)&x=1" },
                { "{\"password\": \"hunter22\"}", "{\"password\": \"(removed)\"}" },
                { "secret \"x\" not found", "secret \"x\" not found" },
                { "a\n-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nb",
                  "a\n(removed)\nb" },
                { "-----BEGIN PRIVATE KEY-----\nabc", "(removed)" },
                { "nothing here", "nothing here" },
                { "", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *clean = redact_text(cases[i].text);

                CHECK_STR(clean, cases[i].clean);
        }
}

TEST(values_are_left_out_of_objects_and_names_are_not)
{
        json_auto_t *o = json_loads(
                "{\"metadata\":{\"name\":\"p\",\"annotations\":{\"a\":\"v\"}},\"data\":{\"k\":\"v\"},"
                "\"spec\":{\"containers\":[{\"env\":[{\"name\":\"A\",\"value\":\"v\"},{\"name\":"
                "\"B\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}}]}],"
                "\"volumes\":[{\"secret\":{\"secretName\":\"s\"}}],\"apiToken\":\"v\"}}",
                0, NULL);
        char *text;

        redact_tree(o);
        text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
        CHECK_STR(
                text,
                "{\"data\":{\"k\":\"(removed)\"},\"metadata\":{\"annotations\":{\"a\":"
                "\"(removed)\"},\"name\":\"p\"},\"spec\":{\"apiToken\":\"(removed)\",\"containers\":["
                "{\"env\":[{\"name\":\"A\",\"value\":\"(removed)\"},{\"name\":\"B\",\"valueFrom\":"
                "{\"secretKeyRef\":{\"key\":\"k\",\"name\":\"s\"}}}]}],\"volumes\":[{\"secret\":"
                "{\"secretName\":\"s\"}}]}}");
        free(text);
}
