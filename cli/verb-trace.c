#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/trace-target.h"
#include "cli/verbs.h"

/* ---- the question ---- */

static int refuse(struct err *err, const char *text, const char *rule)
{
        return err_set(err, -EINVAL, "'%s': expected IP:PORT[/PROTOCOL]: %s", text, rule);
}

static int parse_protocol(const char *text, const char **ret)
{
        static const char *const names[] = { "TCP", "UDP", "SCTP" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcasecmp(names[i], text) == 0) {
                        *ret = names[i];
                        return 0;
                }
        return -EINVAL;
}

int trace_target_parse(const char *text, struct trace_target *ret, struct err *err)
{
        const char *slash = strchr(text, '/'), *end = slash ? slash : text + strlen(text),
                   *colon = memrchr(text, ':', (size_t)(end - text));
        bool brackets = *text == '[';
        struct trace_target t = { .protocol = "TCP" };
        _cleanup_free_ char *address = NULL, *port = NULL;

        if (!colon || (brackets && (colon - text < 2 || colon[-1] != ']')))
                return refuse(err, text, "a colon and a port behind the address");
        address = strndup(text + brackets, (size_t)(colon - text) - 2UL * brackets);
        port = strndup(colon + 1, (size_t)(end - colon - 1));
        if (!address || !port)
                return err_sys(err, -ENOMEM, "read '%s'", text);
        if (ip_parse(address, &t.ip) < 0)
                return refuse(err, text, "an IP address (a name is not looked up)");
        if (brackets != (t.ip.family == AF_INET6))
                return refuse(err, text, "brackets around an IPv6 address, and around no other");
        if (text_to_u16(port, &t.port) < 0 || t.port == 0)
                return refuse(err, text, "a port of 1 to 65535");
        if (slash && parse_protocol(slash + 1, &t.protocol) < 0)
                return refuse(err, text, "tcp, udp or sctp as protocol");
        *ret = t;
        return 0;
}

static json_t *ask(struct invocation *in, const struct trace_target *t, struct err *err)
{
        char text[IP_TEXT_MAX];
        _cleanup_free_ char *address = client_escape(ip_format(&t->ip, text));
        _cleanup_free_ char *path =
                address ? text_printf("/v1/trace?address=%s&port=%u&protocol=%s", address, t->port,
                                      t->protocol)
                        : NULL;
        json_t *answer = NULL;

        if (!path)
                err_sys(err, -ENOMEM, "ask skiff-netproxy");
        else if (client_call(in->client, "GET", path, NULL, &answer, err) < 0)
                return NULL;
        return answer;
}

/* ---- what is skiffd's: host ports and the pods' own addresses ---- */

/* The list of pods, or NULL when skiffd does not answer: then nothing is said of it. */
static json_t *ask_pods(const struct invocation *in)
{
        _cleanup_(client_freep)
        struct client *client = NULL;
        _cleanup_err_ struct err err = { 0 };
        json_t *pods = NULL;

        if (client_new_beside(CLIENT_SKIFFD, in->values[FLAG_SOCKET], &client, &err) < 0 ||
            client_call(client, "GET", "/v1/pods", NULL, &pods, &err) < 0)
                return NULL;
        return pods;
}

static bool is_host_port(const json_t *port, const json_t *trace)
{
        const char *protocol = json_text_at(port, "protocol"), *ip = json_text_at(port, "hostIP");

        return json_integer_value(json_object_get(port, "hostPort")) ==
                       json_integer_value(json_object_get(trace, "port")) &&
               streq_null(protocol ? protocol : "TCP", json_text_at(trace, "protocol")) &&
               (!ip || !*ip || streq(ip, "0.0.0.0") || streq(ip, "::") ||
                streq_null(ip, json_text_at(trace, "address")));
}

static const json_t *find_host_port(const json_t *pod, const json_t *trace)
{
        const json_t *c, *p, *containers = json_path(pod, "spec", "containers", NULL);
        size_t i, k;

        json_array_foreach ((json_t *)containers, i, c)
                json_array_foreach (json_object_get(c, "ports"), k, p)
                        if (is_host_port(p, trace))
                                return p;
        return NULL;
}

static bool has_address(const json_t *pod, const char *address)
{
        const json_t *ip;
        size_t i;

        if (json_is_true(json_path(pod, "spec", "hostNetwork", NULL)))
                return false;
        json_array_foreach ((json_t *)json_path(pod, "status", "podIPs", NULL), i, ip)
                if (streq_null(json_text_at(ip, "ip"), address))
                        return true;
        return false;
}

/* Adds "pod", and "hostPort" for a port that leads to its container's. */
static void add_pod(const struct invocation *in, json_t *trace)
{
        json_auto_t *pods = ask_pods(in);
        bool is_node = json_is_true(json_object_get(trace, "isNodeAddress"));
        const json_t *pod;
        size_t i;

        json_array_foreach (json_object_get(pods, "items"), i, pod) {
                const json_t *port = is_node ? find_host_port(pod, trace) : NULL;

                if (!port && !has_address(pod, json_text_at(trace, "address")))
                        continue;
                json_set(trace, "pod",
                         json_pack("{s:s, s:s}", "namespace", text_in(pod, "metadata", "namespace"),
                                   "name", text_in(pod, "metadata", "name")));
                if (port) {
                        json_set_text(trace, "kind", "HostPort");
                        json_set(trace, "containerPort",
                                 json_incref(json_object_get(port, "containerPort")));
                }
                return;
        }
}

/* ---- the answer ---- */

static void print_nobody(const json_t *t)
{
        const json_t *pod = json_object_get(t, "pod");
        const char *ns = json_text_at(pod, "namespace"), *name = json_text_at(pod, "name");

        if (streq_null(json_text_at(t, "kind"), "HostPort"))
                printf("is a host port of pod %s/%s: skiffd leads it to the pod's port %lld\n", ns,
                       name, (long long)json_integer_value(json_object_get(t, "containerPort")));
        else if (pod)
                printf("is the address of pod %s/%s itself, and no Service's\n", ns, name);
        else if (json_is_true(json_object_get(t, "isNodeAddress")))
                printf("is this node's own, and no Service's: whoever listens there gets it\n");
        else
                printf("is no Service's\n");
}

static void print_head(const json_t *t)
{
        static const char *const kinds[][2] = { { "ClusterIP", "the cluster IP" },
                                                { "NodePort", "a node port" },
                                                { "ExternalIP", "an external IP" },
                                                { "LoadBalancer", "a load balancer's address" } };
        const char *kind = json_text_at(t, "kind"), *address = json_text_at(t, "address"),
                   *service = json_text_at(t, "service"), *port = json_text_at(t, "portName");

        printf(strchr(address, ':') ? "[%s]:%lld/%s " : "%s:%lld/%s ", address,
               (long long)json_integer_value(json_object_get(t, "port")),
               json_text_at(t, "protocol"));
        if (streq_null(kind, "HealthCheckNodePort")) {
                printf("is the healthCheckNodePort of Service %s: skiff-netproxy answers\n",
                       service);
                return;
        }
        for (size_t i = 0; service && i < ARRAY_SIZE(kinds); i++)
                if (streq_null(kind, kinds[i][0])) {
                        printf("is %s of Service %s%s%s\n", kinds[i][1], service,
                               port ? ", port " : "", port ? port : "");
                        return;
                }
        print_nobody(t);
}

/* "pods, node" */
static void print_senders(const json_t *way)
{
        const json_t *from = json_object_get(way, "from"), *f;
        size_t i;

        if (json_array_size(from) == 3) {
                printf("from everywhere: ");
                return;
        }
        printf("from ");
        json_array_foreach ((json_t *)from, i, f) {
                const char *name = json_string_value(f);

                printf("%s%s", i ? ", " : "",
                       streq(name, "pods")   ? "this node's pods"
                       : streq(name, "node") ? "this node itself"
                                             : "outside");
        }
        printf(": ");
}

static void print_endpoint(const json_t *e)
{
        const char *address = json_text_at(e, "address"), *node = json_text_at(e, "node"),
                   *zone = json_text_at(e, "zone");

        printf("  %5.1f%%  ", 100 * json_number_value(json_object_get(e, "chance")));
        printf(strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address,
               (long long)json_integer_value(json_object_get(e, "port")));
        if (node)
                printf("  %s%s", node,
                       json_is_true(json_object_get(e, "local")) ? " (this node)" : "");
        if (zone)
                printf(", zone %s", zone);
        if (json_is_true(json_object_get(e, "stale")))
                printf("  gone, to be taken out");
        printf("\n");
}

static void print_way(const json_t *way)
{
        const char *verdict = json_text_at(way, "verdict"), *why = json_text_at(way, "why");
        const json_t *list = json_object_get(way, "endpoints"), *e;
        bool sent = streq_null(verdict, "sent"), passes = streq_null(verdict, "passes");
        size_t i;

        print_senders(way);
        printf("%s%s%s",
               colour_on(sent     ? COLOUR_GOOD
                         : passes ? COLOUR_NONE
                                  : COLOUR_BAD),
               sent     ? "sent to one of these"
               : passes ? "goes on as it is"
                        : verdict,
               colour_off(sent     ? COLOUR_GOOD
                          : passes ? COLOUR_NONE
                                   : COLOUR_BAD));
        printf("%s%s%s\n", why ? ": " : "", why ? why : "",
               sent ? json_is_true(json_object_get(way, "masquerade"))
                               ? ", with this node's address as source (masquerade)"
                               : ", with the source as it is"
                    : "");
        json_array_foreach ((json_t *)list, i, e)
                print_endpoint(e);
}

static void print_conditions(const json_t *t)
{
        const json_t *ranges = json_object_get(t, "sourceRanges"), *range,
                     *check = json_object_get(t, "healthCheck");
        char age[32];
        size_t i;

        if (json_object_get(t, "affinitySeconds"))
                printf("affinity: a client stays with its endpoint until it is quiet for %s\n",
                       age_format((usec_t)json_integer_value(
                                          json_object_get(t, "affinitySeconds")) *
                                          USEC_PER_SEC,
                                  age));
        if (ranges)
                printf("only from loadBalancerSourceRanges, others are dropped:");
        json_array_foreach ((json_t *)ranges, i, range)
                printf(" %s", json_string_value(range));
        if (ranges)
                printf("\n");
        if (check)
                printf("it tells %lld local endpoints, %s\n",
                       (long long)json_integer_value(json_object_get(check, "localEndpoints")),
                       json_integer_value(json_object_get(check, "localEndpoints"))
                               ? "so load balancers send here"
                               : "so load balancers pass by this node");
}

/* Returns whether the kernel agrees, as far as that is known. */
static bool print_kernel(const json_t *t)
{
        const json_t *kernel = json_object_get(t, "kernel"), *d;
        bool checked = json_is_true(json_object_get(kernel, "checked")),
             agrees = json_is_true(json_object_get(kernel, "agrees"));
        size_t i;

        if (json_is_false(json_object_get(t, "inForce")))
                printf("a newer change of this Service is not in force yet\n");
        if (!checked)
                printf("the kernel was not asked: %s\n", json_text_at(kernel, "why"));
        else if (agrees)
                printf("the kernel has the same\n");
        else
                printf("%sthe kernel has something else%s; skiff-netproxy repairs what it notices, "
                       "restart it if this stays\n",
                       colour_on(COLOUR_BAD), colour_off(COLOUR_BAD));
        json_array_foreach (json_object_get(kernel, "differences"), i, d)
                printf("  %s\n", json_string_value(d));
        return agrees || !checked;
}

int verb_trace(struct invocation *in, struct err *err)
{
        struct trace_target target;
        json_auto_t *t = NULL;
        const json_t *way, *kernel;
        size_t i;

        if (trace_target_parse(in->words[0], &target, err) < 0)
                return EXIT_USAGE;
        t = ask(in, &target, err);
        if (!t)
                return EXIT_FAILED;
        if (streq_null(json_text_at(t, "kind"), "None"))
                add_pod(in, t);
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                kernel = json_object_get(t, "kernel");
                return output_tree(in->format, t) < 0 ||
                                       json_is_false(json_object_get(kernel, "agrees"))
                               ? EXIT_FAILED
                               : EXIT_OK;
        }
        print_head(t);
        json_array_foreach (json_object_get(t, "ways"), i, way)
                print_way(way);
        print_conditions(t);
        return print_kernel(t) ? EXIT_OK : EXIT_FAILED;
}
