#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "cli/verbs.h"

static long long number_at(const json_t *o, const char *key)
{
        return (long long)json_integer_value(json_object_get(o, key));
}

static bool flag_at(const json_t *o, const char *key)
{
        return json_is_true(json_object_get(o, key));
}

/* "a,b", or "-"; owned. */
static char *join(const json_t *list)
{
        struct strbuf b = { 0 };
        const json_t *e;
        size_t i;

        json_array_foreach ((json_t *)list, i, e)
                strbuf_addf(&b, "%s%s", i ? "," : "", json_string_value(e));
        if (b.len == 0)
                strbuf_add(&b, "-");
        return strbuf_take(&b);
}

/* "80:30080/TCP,53/UDP" as kubectl shows them; owned. */
static char *ports_text(const json_t *ports)
{
        struct strbuf b = { 0 };
        const json_t *p;
        size_t i;

        json_array_foreach ((json_t *)ports, i, p) {
                strbuf_addf(&b, "%s%lld", i ? "," : "", number_at(p, "port"));
                if (number_at(p, "nodePort"))
                        strbuf_addf(&b, ":%lld", number_at(p, "nodePort"));
                strbuf_addf(&b, "/%s", json_text_at(p, "protocol"));
        }
        return strbuf_take(&b);
}

/* External IPs and load balancers'; owned. */
static char *externals_text(const json_t *s)
{
        json_auto_t *all = json_array();
        json_t *list = json_object_get(s, "externalIPs"),
               *vips = json_object_get(s, "loadBalancerIPs");

        if (list)
                json_array_extend(all, list);
        if (vips)
                json_array_extend(all, vips);
        return join(all);
}

/* "Cluster", or "Cluster/Local" inside and outside where that differs. */
static const char *policy_text(const json_t *s, char buf[static 32])
{
        const char *inside = json_text_at(s, "internalTrafficPolicy"),
                   *outside = json_text_at(s, "externalTrafficPolicy");

        snprintf(buf, 32, "%s%s%s", inside ? inside : "",
                 outside && !streq_null(inside, outside) ? "/" : "",
                 outside && !streq_null(inside, outside) ? outside : "");
        return buf;
}

static const char *affinity_text(const json_t *s, char buf[static 32])
{
        long long seconds = number_at(s, "sessionAffinitySeconds");

        if (seconds)
                return age_format((usec_t)seconds * USEC_PER_SEC, buf);
        snprintf(buf, 32, "-");
        return buf;
}

/* ---- services ---- */

static int get_services(struct invocation *in, json_t **ret, struct err *err)
{
        _cleanup_free_ char *namespace = in->namespace ? client_escape(in->namespace) : NULL;
        _cleanup_free_ char *path = text_printf("/v1/services%s%s", namespace ? "?namespace=" : "",
                                                namespace ? namespace : "");

        if (!path)
                return err_sys(err, -ENOMEM, "ask skiff-netproxy");
        return client_call(in->client, "GET", path, NULL, ret, err);
}

static int service_row(struct invocation *in, const json_t *s, struct table *t)
{
        const json_t *counts = json_object_get(s, "endpoints");
        _cleanup_free_ char *ips = join(json_object_get(s, "clusterIPs")),
                            *externals = externals_text(s),
                            *ports = ports_text(json_object_get(s, "ports"));
        char ready[48], more[80], policy[32], affinity[32];
        const char *const cells[] = { json_text_at(s, "namespace"),
                                      json_text_at(s, "name"),
                                      json_text_at(s, "type"),
                                      ips,
                                      ports,
                                      ready,
                                      more,
                                      externals,
                                      policy_text(s, policy),
                                      affinity_text(s, affinity),
                                      flag_at(s, "inForce") ? "in force" : "pending" };

        snprintf(ready, sizeof ready, "%lld/%lld", number_at(counts, "ready"),
                 number_at(counts, "total"));
        snprintf(more, sizeof more, "%lld/%lld/%lld", number_at(counts, "serving"),
                 number_at(counts, "terminating"), number_at(counts, "local"));
        if (!ips || !externals || !ports || table_add(t, cells) < 0)
                return -ENOMEM;
        if (number_at(counts, "ready") == 0)
                table_set_colour(t, 5, COLOUR_BAD);
        if (in->format == OUTPUT_WIDE && !flag_at(s, "inForce"))
                table_set_colour(t, 10, COLOUR_WARNING);
        return 0;
}

/* What concerns all Services, to standard error. */
static void warn_of_families(const json_t *proxy)
{
        const json_t *f;
        size_t i;

        json_array_foreach (json_object_get(proxy, "families"), i, f) {
                const char *missing = json_text_at(f, "missing"), *name = json_text_at(f, "family"),
                           *since = json_text_at(f, "waitingSince");

                if (missing)
                        fprintf(stderr, "skiff: %s is not routed: %s\n", name, missing);
                else if (!json_text_at(f, "lastSync"))
                        fprintf(stderr,
                                "skiff: %s: nothing is installed yet: skiff-netproxy "
                                "waits for the API server's lists, see its log\n",
                                name);
                else if (number_at(f, "failures") && since)
                        fprintf(stderr,
                                "skiff: %s: changes wait since %s, see the log of "
                                "skiff-netproxy\n",
                                name, since);
        }
}

static int services_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *s;
        size_t i;

        warn_of_families(answer);
        json_array_foreach (json_object_get(answer, "items"), i, s)
                if (service_row(in, s, t) < 0)
                        return -ENOMEM;
        return 0;
}

static void services_names(_unused_ struct invocation *in, const json_t *answer)
{
        const json_t *s;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, s)
                printf("%s/%s\n", json_text_at(s, "namespace"), json_text_at(s, "name"));
}

int verb_services(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "NAMESPACE", "NAME",  "TYPE", "CLUSTER-IP",
                                              "PORTS",     "READY", NULL };
        static const char *const wide[] = { "NAMESPACE",
                                            "NAME",
                                            "TYPE",
                                            "CLUSTER-IP",
                                            "PORTS",
                                            "READY",
                                            "SERVING/TERMINATING/HERE",
                                            "EXTERNAL",
                                            "POLICY",
                                            "AFFINITY",
                                            "STATE",
                                            NULL };
        static const struct list_view view = {
                narrow, wide, "No Services.", get_services, services_rows, services_names, 2, 5
        };

        return list_show(in, &view, err);
}

/* ---- service ---- */

/* The one that @word means, or NULL with a sentence; borrowed from @items. */
static const json_t *choose(const json_t *items, const char *word, const char *name,
                            struct err *err)
{
        const json_t *s, *exact = NULL, *first = NULL;
        size_t i, n_exact = 0, n = json_array_size(items);

        json_array_foreach ((json_t *)items, i, s) {
                first = first ? first : s;
                if (streq_null(json_text_at(s, "name"), name)) {
                        exact = s;
                        n_exact++;
                }
        }
        if (n_exact == 1)
                return exact;
        if (n == 1)
                return first;
        if (n == 0)
                err_set(err, -ENOENT,
                        "no Service '%s' is routed here: it does not exist, or it is headless, of "
                        "type ExternalName, or another proxy's",
                        word);
        else
                err_set(err, -ENOTUNIQ, "'%s' is the beginning of %zu Services' names: '%s/%s', …",
                        word, n, json_text_at(first, "namespace"), json_text_at(first, "name"));
        return NULL;
}

/* The path of the one that @word means; owned. */
static char *find_service(struct invocation *in, const char *word, struct err *err)
{
        const char *slash = strchr(word, '/'), *name = slash ? slash + 1 : word;
        _cleanup_free_ char *namespace = slash ? strndup(word, (size_t)(slash - word))
                                               : strdup_null(in->namespace);
        _cleanup_free_ char *ns = client_escape(namespace ? namespace : ""),
                            *prefix = client_escape(name), *path = NULL;
        json_auto_t *answer = NULL;
        const json_t *s;

        if (ns && prefix)
                path = text_printf("/v1/services?name=%s%s%s", prefix, *ns ? "&namespace=" : "",
                                   ns);
        if (!path) {
                err_sys(err, -ENOMEM, "ask skiff-netproxy");
                return NULL;
        }
        if (client_call(in->client, "GET", path, NULL, &answer, err) < 0)
                return NULL;
        s = choose(json_object_get(answer, "items"), word, name, err);
        return s ? text_printf("/v1/services/%s/%s", json_text_at(s, "namespace"),
                               json_text_at(s, "name"))
                 : NULL;
}

static void print_line(const char *label, const char *text)
{
        if (text && *text)
                printf("%-14s %s\n", label, text);
}

static void print_state(const json_t *s)
{
        const json_t *f;
        size_t i;

        json_array_foreach ((json_t *)json_path(s, "proxy", "families", NULL), i, f) {
                const char *last = json_text_at(f, "lastSync");
                char age[32], line[160];

                snprintf(line, sizeof line, "%s, last sync %s (%s ago)",
                         flag_at(s, "inForce") && flag_at(f, "inForce") ? "in force" : "pending",
                         last ? last : "never", age_since(time_at(f, "lastSync"), age));
                print_line(json_text_at(f, "family"), line);
        }
}

static void print_head(const json_t *s)
{
        static const struct {
                const char *label, *key;
        } lists[] = { { "cluster IPs", "clusterIPs" },
                      { "external IPs", "externalIPs" },
                      { "load balancers", "loadBalancerIPs" },
                      { "allowed from", "loadBalancerSourceRanges" } };
        char policy[32], affinity[32];
        const json_t *counts = json_object_get(s, "endpoints");

        printf("%s/%s (%s)\n", json_text_at(s, "namespace"), json_text_at(s, "name"),
               json_text_at(s, "type"));
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                _cleanup_free_ char *text = json_object_get(s, lists[i].key)
                                                    ? join(json_object_get(s, lists[i].key))
                                                    : NULL;

                print_line(lists[i].label, text);
        }
        print_line("policy", policy_text(s, policy));
        if (number_at(s, "sessionAffinitySeconds"))
                print_line("affinity", affinity_text(s, affinity));
        if (number_at(s, "healthCheckNodePort"))
                printf("%-14s %lld\n", "health check", number_at(s, "healthCheckNodePort"));
        printf("%-14s %lld ready, %lld serving, %lld terminating, %lld here, %lld in all\n",
               "endpoints", number_at(counts, "ready"), number_at(counts, "serving"),
               number_at(counts, "terminating"), number_at(counts, "local"),
               number_at(counts, "total"));
        print_state(s);
}

static int print_addresses(const struct invocation *in, const json_t *s)
{
        static const char *const headings[] = { "ADDRESS", "KIND", "LEADS TO", NULL };
        _cleanup_(table_freep)
        struct table *t = table_new(headings, !has_flag(in, FLAG_NO_HEADERS));
        const json_t *a;
        size_t i;

        if (!t)
                return -ENOMEM;
        json_array_foreach (json_object_get(s, "addresses"), i, a) {
                const char *address = json_text_at(a, "address"), *why = json_text_at(a, "why"),
                           *owner = json_text_at(a, "owner"), *verdict = json_text_at(a, "verdict");
                bool sent = streq_null(verdict, "sent");
                _cleanup_free_ char *where =
                        text_printf(address && strchr(address, ':') ? "[%s]:%lld/%s" : "%s:%lld/%s",
                                    address ? address : json_text_at(a, "family"),
                                    number_at(a, "port"), json_text_at(a, "protocol"));
                _cleanup_free_ char *leads =
                        sent && !owner
                                ? text_printf("%lld endpoint%s%s", number_at(a, "endpoints"),
                                              number_at(a, "endpoints") == 1 ? "" : "s",
                                              flag_at(a, "masquerade") ? ", masqueraded" : "")
                                : text_printf("%s%s%s%s%s", verdict ? verdict : "nowhere yet",
                                              why ? ": " : "", why ? why : "", owner ? ": " : "",
                                              owner ? owner : "");
                const char *const cells[] = { where, json_text_at(a, "kind"), leads };

                if (!where || !leads || table_add(t, cells) < 0)
                        return -ENOMEM;
                if (!sent || owner)
                        table_set_colour(t, 2, COLOUR_BAD);
        }
        printf("\n");
        table_print(t);
        return 0;
}

/* "yes", "no", "inside", "outside": from where traffic comes to it. */
static const char *chosen_text(const json_t *e)
{
        bool inside = flag_at(json_object_get(e, "inside"), "chosen"),
             outside = json_object_get(e, "outside")
                               ? flag_at(json_object_get(e, "outside"), "chosen")
                               : inside;

        if (inside == outside)
                return inside ? "yes" : "no";
        return inside ? "inside" : "outside";
}

static const char *why_text(const json_t *e)
{
        const char *inside = json_text_at(json_object_get(e, "inside"), "why"),
                   *outside = json_text_at(json_object_get(e, "outside"), "why");

        return inside ? inside : outside;
}

static const char *condition_text(const json_t *e)
{
        if (flag_at(e, "terminating"))
                return flag_at(e, "serving") ? "terminating, serving" : "terminating";
        return flag_at(e, "ready") ? "ready" : flag_at(e, "serving") ? "serving" : "not ready";
}

static int endpoint_row(struct table *t, const json_t *port, const json_t *e)
{
        const char *address = json_text_at(e, "address"), *node = json_text_at(e, "node"),
                   *name = json_text_at(port, "name"), *chosen = chosen_text(e);
        _cleanup_free_ char *number = name ? strdup(name)
                                           : text_printf("%lld", number_at(port, "port"));
        _cleanup_free_ char *target = text_printf(strchr(address, ':') ? "[%s]:%lld" : "%s:%lld",
                                                  address, number_at(e, "port"));
        _cleanup_free_ char *where = text_printf("%s%s", node ? node : "-",
                                                 flag_at(e, "local") ? " (this)" : "");
        const char *const cells[] = {
                number, target,     where, json_text_at(e, "zone"), condition_text(e),
                chosen, why_text(e)
        };

        if (!number || !target || !where || table_add(t, cells) < 0)
                return -ENOMEM;
        table_set_colour(t, 5, streq(chosen, "no") ? COLOUR_WARNING : COLOUR_GOOD);
        return 0;
}

static int print_endpoints(const struct invocation *in, const json_t *s)
{
        static const char *const headings[] = { "PORT",  "ENDPOINT", "NODE", "ZONE",
                                                "STATE", "CHOSEN",   "WHY",  NULL };
        _cleanup_(table_freep)
        struct table *t = table_new(headings, !has_flag(in, FLAG_NO_HEADERS));
        const json_t *port, *e;
        size_t i, k;

        if (!t)
                return -ENOMEM;
        json_array_foreach (json_object_get(s, "ports"), i, port)
                json_array_foreach (json_object_get(port, "endpoints"), k, e)
                        if (endpoint_row(t, port, e) < 0)
                                return -ENOMEM;
        if (table_n_rows(t)) {
                printf("\n");
                table_print(t);
        }
        return 0;
}

int verb_service(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *path = find_service(in, in->words[0], err);
        json_auto_t *s = NULL;

        if (!path || client_call(in->client, "GET", path, NULL, &s, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, s) < 0 ? EXIT_FAILED : EXIT_OK;
        if (in->format == OUTPUT_NAME) {
                printf("%s/%s\n", json_text_at(s, "namespace"), json_text_at(s, "name"));
                return EXIT_OK;
        }
        warn_of_families(json_object_get(s, "proxy"));
        print_head(s);
        if (print_addresses(in, s) < 0 || print_endpoints(in, s) < 0) {
                err_sys(err, -ENOMEM, "show the Service");
                return EXIT_FAILED;
        }
        return EXIT_OK;
}
