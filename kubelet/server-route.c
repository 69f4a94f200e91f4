#include "kubelet/server-route.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

/* Is @path @prefix itself, or below it? @prefix: without a '/' at its end. */
static bool is_below(const char *path, const char *prefix)
{
        const char *rest = startswith(path, prefix);

        return rest && (*rest == '\0' || *rest == '/');
}

static const char *verb_of(const char *method)
{
        static const struct {
                const char *method, *verb;
        } verbs[] = {
                { "GET", "get" },     { "POST", "create" },   { "PUT", "update" },
                { "PATCH", "patch" }, { "DELETE", "delete" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (streq(verbs[i].method, method))
                        return verbs[i].verb;
        return "";
}

/* What runs something in a container is a create, whatever the method: a WebSocket is a GET. */
static bool runs_something(const char *path)
{
        return is_below(path, "/exec") || is_below(path, "/attach") || is_below(path, "/run") ||
               is_below(path, "/portForward");
}

static void fill_access(const char *method, const char *path, struct server_request *r)
{
        static const struct {
                const char *prefix, *subresources[2];
        } table[] = {
                /* clang-format off */
                { "/pods",        { "pods", "proxy" } },
                { "/runningpods", { "pods", "proxy" } },
                { "/healthz",     { "healthz", "proxy" } },
                { "/configz",     { "configz", "proxy" } },
                { "/stats",       { "stats" } },
                { "/metrics",     { "metrics" } },
                { "/logs",        { "log" } },
                { "/checkpoint",  { "checkpoint" } },
                { "/statusz",     { "statusz" } },
                { "/flagz",       { "configz" } },
        }; /* clang-format on */

        r->verb = runs_something(path) ? "create" : verb_of(method);
        r->subresources[0] = "proxy";
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                if (!is_below(path, table[i].prefix))
                        continue;
                r->subresources[0] = table[i].subresources[0];
                r->subresources[1] = table[i].subresources[1];
        }
}

/* Splits what follows the first segment. Returns the number of parts, at most @max + 1. */
static size_t split_rest(char *text, const char **parts, size_t max)
{
        size_t n = 0;
        char *next = strchr(text + 1, '/');

        while (next && next[1]) { /* a '/' at the end is nothing */
                char *part = next + 1;

                *next = '\0';
                next = strchr(part, '/');
                if (n < max)
                        parts[n] = part;
                if (n++ == max)
                        break;
        }
        if (next)
                *next = '\0';
        return n;
}

/* /exec/{namespace}/{pod}[/{uid}]/{container} */
static enum server_route route_to_container(struct server_request *r, enum server_route route,
                                            size_t n)
{
        if (n == 4) {
                const char *container = r->names[3];

                r->names[3] = r->names[2];
                r->names[2] = container;
        }
        return n == 3 || n == 4 ? route : ROUTE_UNKNOWN;
}

static enum server_route route_of(struct server_request *r, const char *first, size_t n)
{
        if (streq(first, "/healthz"))
                return n <= 1 ? ROUTE_HEALTHZ : ROUTE_NONE;
        if (streq(first, "/pods"))
                return n == 0 ? ROUTE_PODS : ROUTE_UNKNOWN;
        if (streq(first, "/containerLogs"))
                return n == 3 ? ROUTE_CONTAINER_LOGS : ROUTE_UNKNOWN;
        if (streq(first, "/exec"))
                return route_to_container(r, ROUTE_EXEC, n);
        if (streq(first, "/attach"))
                return route_to_container(r, ROUTE_ATTACH, n);
        if (streq(first, "/portForward") && (n == 2 || n == 3)) {
                r->names[3] = r->names[2];
                r->names[2] = NULL;
                return ROUTE_PORT_FORWARD;
        }
        if (streq(first, "/portForward"))
                return ROUTE_UNKNOWN;
        if (streq(first, "/metrics") && n == 0)
                return ROUTE_METRICS;
        if (streq(first, "/metrics") && n == 1 && streq(r->names[0], "resource"))
                return ROUTE_METRICS_RESOURCE;
        if (streq(first, "/metrics") && n == 1 && streq(r->names[0], "probes"))
                return ROUTE_METRICS_PROBES;
        if (streq(first, "/metrics") && n == 1 && streq(r->names[0], "cadvisor"))
                return ROUTE_METRICS_CADVISOR;
        if (streq(first, "/run"))
                return route_to_container(r, ROUTE_RUN, n);
        if (streq(first, "/runningpods"))
                return n == 0 ? ROUTE_RUNNING_PODS : ROUTE_UNKNOWN;
        if (streq(first, "/configz"))
                return n == 0 ? ROUTE_CONFIGZ : ROUTE_NONE;
        if (streq(first, "/statusz"))
                return n == 0 ? ROUTE_STATUSZ : ROUTE_NONE;
        if (streq(first, "/flagz"))
                return n == 0 ? ROUTE_FLAGZ : ROUTE_NONE;
        if (streq(first, "/checkpoint"))
                return n == 3 ? ROUTE_CHECKPOINT : ROUTE_UNKNOWN;
        if (streq(first, "/debug") && n > 0 && streq(r->names[0], "pprof"))
                return ROUTE_PPROF;
        if (streq(first, "/debug") && n == 2 && streq(r->names[0], "flags") &&
            streq(r->names[1], "v"))
                return ROUTE_DEBUG_FLAGS;
        if (streq(first, "/stats"))
                return n == 1 && streq(r->names[0], "summary") ? ROUTE_STATS_SUMMARY
                                                               : ROUTE_UNKNOWN;
        return ROUTE_NONE;
}

/* It takes the connection over. */
static bool is_upgrade(enum server_route route)
{
        return route == ROUTE_EXEC || route == ROUTE_ATTACH || route == ROUTE_PORT_FORWARD;
}

const char *server_route_methods(enum server_route route)
{
        if (route == ROUTE_RUN || route == ROUTE_CHECKPOINT)
                return "POST";
        return is_upgrade(route) || route == ROUTE_STATS_SUMMARY ? "GET, POST" : "GET";
}

/* Go's own mux, which has these, does not look at the method. */
static bool takes_any_method(enum server_route route)
{
        return route == ROUTE_HEALTHZ || route == ROUTE_CONFIGZ || route == ROUTE_STATUSZ ||
               route == ROUTE_FLAGZ || route == ROUTE_PPROF || route == ROUTE_DEBUG_FLAGS;
}

static bool takes_method(enum server_route route, const char *method)
{
        return takes_any_method(route) || ((streq(method, "GET") || streq(method, "POST")) &&
                                           strstr(server_route_methods(route), method));
}

static bool is_debug(enum server_route route)
{
        return is_upgrade(route) || route == ROUTE_CONTAINER_LOGS || route == ROUTE_RUN ||
               route == ROUTE_RUNNING_PODS || route == ROUTE_LOGS || route == ROUTE_PPROF;
}

int server_request_parse(const char *method, const char *path, struct server_request *ret)
{
        struct server_request r = { 0 };
        size_t n;

        fill_access(method, path, &r);
        r.text = strdup(path);
        if (!r.text)
                return -ENOMEM;
        if (is_below(path, "/logs")) { /* a path of its own, however long */
                r.route = ROUTE_LOGS;
                r.names[0] = r.text + strlen("/logs") + (r.text[strlen("/logs")] == '/');
        } else {
                n = split_rest(r.text, r.names, ARRAY_SIZE(r.names));
                r.route = route_of(&r, r.text, n);
        }
        r.is_method_ok = takes_method(r.route, method);
        r.is_debug = is_debug(r.route);
        *ret = r;
        return 0;
}

void server_request_done(struct server_request *r)
{
        free(r->text);
        *r = (struct server_request){ 0 };
}
