#include "kubelet/server-zpages.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "kubelet/local-config.h"

#define HEAD                                                                                 \
        "\nkubelet %s\nWarning: This endpoint is not meant to be machine parseable, has no " \
        "formatting compatibility guarantees and is for debugging purposes only.\n"

/* The first segments of the paths that :10250 has, sorted. */
static const char *const paths[] = { "/attach", "/checkpoint",  "/configz", "/containerLogs",
                                     "/debug",  "/exec",        "/flagz",   "/healthz",
                                     "/logs",   "/metrics",     "/pods",    "/portForward",
                                     "/run",    "/runningpods", "/stats",   "/statusz" };

/* What the header Accept asks for: the version of the object, "" for text, NULL for neither. */
static const char *version_wanted(const struct http_exchange *x, const char *kind)
{
        const char *accept = http_exchange_header(x, "Accept");
        _cleanup_free_ char *as = text_printf("as=%s", kind);

        if (!accept || !accept[strspn(accept, " \t")])
                return "";
        if (as && strstr(accept, "application/json") && strstr(accept, as) &&
            strstr(accept, "g=config.k8s.io")) {
                if (strstr(accept, "v=v1beta1"))
                        return "v1beta1";
                if (strstr(accept, "v=v1alpha1"))
                        return "v1alpha1";
        }
        return strstr(accept, "text/plain") || strstr(accept, "text/*") || strstr(accept, "*/*")
                       ? ""
                       : NULL;
}

/* Steals @o. */
static void answer_object(struct http_exchange *x, const char *kind, const char *version, json_t *o)
{
        _cleanup_free_ char *api = text_printf("config.k8s.io/%s", version), *text = NULL;

        json_set_text(o, "kind", kind);
        json_set_text(o, "apiVersion", api);
        json_object_set_new(o, "metadata", json_pack("{s:s}", "name", "kubelet"));
        text = o && api ? json_dumps(o, JSON_COMPACT) : NULL;
        json_decref(o);
        if (text)
                http_answer(x, 200, "application/json", text, strlen(text));
        else
                http_answer_text(x, 500, "out of memory");
}

static void answer_not_acceptable(struct http_exchange *x)
{
        http_answer_text(x, 406,
                         "only the following media types are accepted: text/plain, "
                         "application/json with as, v and g\n");
}

static void answer_strbuf(struct http_exchange *x, struct strbuf *b)
{
        if (b->failed || !b->data)
                http_answer_text(x, 500, "out of memory");
        else
                http_answer(x, 200, "text/plain; charset=utf-8", b->data, b->len);
}

/* "1.36" of "1.36.3" */
static int minor_length(const char *version)
{
        const char *dot = strchr(version, '.'), *end = dot ? strchr(dot + 1, '.') : NULL;

        return end ? (int)(end - version) : (int)strlen(version);
}

static json_t *statusz_json(usec_t started_at, uint64_t up_sec, const char *version)
{
        char start[TIME_TEXT_MAX];
        json_t *list = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                json_array_append_new(list, json_string(paths[i]));
        return json_pack("{s:s, s:I, s:s, s:s%, s:o}", "startTime", time_format(started_at, start),
                         "uptimeSeconds", (json_int_t)up_sec, "binaryVersion", version,
                         "emulationVersion", version, (size_t)minor_length(version), "paths", list);
}

void server_statusz_handle(struct http_exchange *x, usec_t started_at)
{
        static const char version[] = KUBERNETES_VERSION;
        const char *wanted = version_wanted(x, "Statusz"), *number = version + (version[0] == 'v');
        const time_t start = (time_t)(started_at / USEC_PER_SEC);
        const usec_t now = now_realtime();
        const uint64_t up = now > started_at ? (now - started_at) / USEC_PER_SEC : 0;
        _cleanup_strbuf_ struct strbuf b = { 0 };
        char since[64] = "";
        struct tm tm;

        if (!wanted) {
                answer_not_acceptable(x);
                return;
        }
        if (*wanted) {
                answer_object(x, "Statusz", wanted, statusz_json(started_at, up, number));
                return;
        }
        if (gmtime_r(&start, &tm))
                strftime(since, sizeof since, "%a %b %e %H:%M:%S UTC %Y", &tm);
        strbuf_addf(&b, HEAD, "statusz");
        strbuf_addf(&b, "\nStarted: %s\nUp: %" PRIu64 " hr %02d min %02d sec\nGo version: none\n",
                    since, up / 3600, (int)(up / 60 % 60), (int)(up % 60));
        strbuf_addf(&b, "Binary version: %s\nEmulation version: %.*s\nPaths:", number,
                    minor_length(number), number);
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                strbuf_addf(&b, " %s", paths[i]);
        strbuf_add(&b, "\n");
        answer_strbuf(x, &b);
}

void server_flagz_handle(struct http_exchange *x, const struct options *agent)
{
        const char *wanted = version_wanted(x, "Flagz");
        json_auto_t *all = agent ? local_config_options(agent) : json_array();
        _cleanup_strbuf_ struct strbuf b = { 0 };
        json_t *flags = json_object();
        const json_t *flag;
        size_t i;

        strbuf_addf(&b, HEAD, "flagz");
        json_array_foreach (all, i, flag) {
                const char *value = json_text_at(flag, "value"), *name = json_text_at(flag, "name");

                if (!name)
                        continue;
                strbuf_addf(&b, "%s=%s\n", name, value ? value : "");
                json_set_text(flags, name, value ? value : "");
        }
        if (wanted && *wanted) {
                answer_object(x, "Flagz", wanted, json_pack("{s:O}", "flags", flags));
        } else if (wanted) {
                answer_strbuf(x, &b);
        } else {
                answer_not_acceptable(x);
        }
        json_decref(flags);
}
