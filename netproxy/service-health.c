#include "netproxy/service-health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/http-server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

enum { RETRY_SEC = 5, CONNECTIONS_MAX = 32, BODY_MAX = 1024 };

/* One Service in one family. */
struct port_server {
        struct served *service; /* borrowed: it is part of that */
        bool is_wanted;
        size_t wanted, shown;       /* local endpoints: of the newest objects; as in force */
        struct http_server *server; /* owned; NULL: not listening */
};

struct served {
        struct service_health *health; /* borrowed */
        char *key, *namespace, *name;  /* owned; "namespace/name" and its parts */
        uint16_t wanted_port, port;    /* wanted_port 0: it goes; port: of the servers */
        struct port_server servers[FAMILIES];
        bool has_warned;
};

struct service_health {
        sd_event *event; /* borrowed */
        struct service_health_options options;
        struct map *services; /* of struct served; owned */
        struct {
                struct ip_range *ips; /* owned */
                size_t n;
                bool some_only; /* else all addresses */
        } addresses[FAMILIES];
        sd_event_source *retry; /* owned */
};

static void close_servers(struct served *s)
{
        for (size_t i = 0; i < FAMILIES; i++)
                s->servers[i].server = http_server_free(s->servers[i].server);
}

static void served_free(void *p)
{
        struct served *s = p;

        close_servers(s);
        free(s->key);
        free(s->namespace);
        free(s->name);
        free(s);
}

static void answer(struct http_exchange *x, void *userdata)
{
        const struct port_server *p = userdata;
        const struct service_health *h = p->service->health;
        bool well = h->options.is_well(h->options.userdata);
        char weight[24];

        snprintf(weight, sizeof weight, "%zu", p->shown);
        http_exchange_add_header(x, "X-Load-Balancing-Endpoint-Weight", weight);
        http_answer_json(x, p->shown > 0 && well ? 200 : 503,
                         json_pack("{s:{s:s, s:s}, s:I, s:b}", "service", "namespace",
                                   p->service->namespace, "name", p->service->name,
                                   "localEndpoints", (json_int_t)p->shown, "serviceProxyHealthy",
                                   well));
}

static int add_listener(struct http_server *server, const struct ip *ip, uint16_t port,
                        struct err *err)
{
        char text[IP_TEXT_MAX];
        int fd = http_listen_tcp_family(ip_format(ip, text), port, err), r;

        if (fd < 0)
                return fd;
        r = http_server_add_listener(server, fd);
        return r < 0 ? err_sys(err, r, "listen on '%s' port %u", text, port) : 0;
}

/* On all addresses or on none: half of them would make the node look ill at random. */
static int listen_all(struct port_server *p, size_t family, struct err *err)
{
        struct service_health *h = p->service->health;
        const struct http_server_options options = {
                .name = "health of a Service",
                .max_connections = CONNECTIONS_MAX,
                .body_max = BODY_MAX,
                .handler = answer,
                .userdata = p,
        };
        const struct ip any = { .family = (uint8_t)family_of_index(family) };
        _cleanup_(http_server_freep)
        struct http_server *server = NULL;
        int r = http_server_new(h->event, &options, &server, err);

        if (r == 0 && !h->addresses[family].some_only)
                r = add_listener(server, &any, p->service->port, err);
        for (size_t i = 0; r == 0 && i < h->addresses[family].n; i++)
                r = add_listener(server, &h->addresses[family].ips[i].first, p->service->port, err);
        if (r < 0)
                return r;
        p->server = TAKE_PTR(server);
        return 0;
}

static void tell_trouble(struct served *s, const struct err *err)
{
        _cleanup_free_ char *why = text_printf("failed to start healthcheck \"%s\" on port %u: %s",
                                               s->key, s->port, err_text(err));

        if (s->has_warned)
                return;
        s->has_warned = true;
        log_warn(0, "Service '%s': healthCheckNodePort %u is not served, trying every %d s: %s",
                 s->key, s->port, RETRY_SEC, err_text(err));
        if (why && s->health->options.on_trouble)
                s->health->options.on_trouble(s->key, why, s->health->options.userdata);
}

/* Opens and closes; false when something could not be opened. */
static bool serve(struct served *s)
{
        if (s->port != s->wanted_port) {
                close_servers(s);
                s->has_warned = false;
        }
        s->port = s->wanted_port;
        for (size_t i = 0; i < FAMILIES; i++) {
                struct port_server *p = &s->servers[i];
                _cleanup_err_ struct err err = { 0 };

                if (!p->is_wanted)
                        p->server = http_server_free(p->server);
                if (!p->is_wanted || p->server)
                        continue;
                if (listen_all(p, i, &err) < 0) {
                        close_servers(s);
                        tell_trouble(s, &err);
                        return false;
                }
        }
        s->has_warned = false;
        return true;
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t due_usec, void *userdata);

static void arm_retry(struct service_health *h)
{
        int r;

        h->retry = sd_event_source_disable_unref(h->retry);
        r = sd_event_add_time_relative(h->event, &h->retry, CLOCK_MONOTONIC,
                                       RETRY_SEC * USEC_PER_SEC, USEC_PER_SEC, on_retry, h);
        if (r < 0)
                log_warn(r, "Failed to arm a timer: ports are tried again at the next change");
}

static void serve_all(struct service_health *h)
{
        bool all = true;
        struct served *s;
        const char *key;

        MAP_FOREACH (key, s, h->services)
                if (s->wanted_port)
                        all &= serve(s);
        if (!all)
                arm_retry(h);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t due_usec, void *userdata)
{
        serve_all(userdata);
        return 0;
}

void service_health_apply(struct service_health *h)
{
        struct served *s;
        const char *key;

        MAP_FOREACH (key, s, h->services) {
                if (!s->wanted_port) {
                        served_free(map_remove(h->services, s->key));
                        continue;
                }
                for (size_t i = 0; i < FAMILIES; i++)
                        s->servers[i].shown = s->servers[i].wanted;
        }
        serve_all(h);
}

static struct served *served_new(struct service_health *h, const char *key)
{
        const char *slash = strchr(key, '/');
        struct served *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->health = h;
        for (size_t i = 0; i < FAMILIES; i++)
                s->servers[i].service = s;
        s->key = strdup(key);
        s->namespace = strndup(key, slash ? (size_t)(slash - key) : 0);
        s->name = strdup(slash ? slash + 1 : key);
        if (s->key && s->namespace && s->name && map_put(h->services, key, s, NULL) == 0)
                return s;
        served_free(s);
        return NULL;
}

int service_health_want(struct service_health *h, const struct known_service *k)
{
        uint16_t port = k->service ? k->service->health_check_node_port : 0;
        struct served *s = map_get(h->services, k->key);

        if (!s && !port)
                return 0;
        if (!s)
                s = served_new(h, k->key);
        if (!s)
                return -ENOMEM;
        s->wanted_port = port;
        for (size_t i = 0; i < FAMILIES; i++) {
                struct port_server *p = &s->servers[i];

                p->is_wanted = port && service_cluster_ip(k->service, family_of_index(i));
                p->wanted = 0;
                if (p->is_wanted &&
                    endpoints_count_local((const struct endpoint_slice *const *)k->slices,
                                          k->n_slices, family_of_index(i), &p->wanted) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int service_health_set_addresses(struct service_health *h, size_t family, bool any,
                                 const struct ip_range *ips, size_t n)
{
        struct ip_range *copy;
        struct served *s;
        const char *key;

        n = any ? 0 : n;
        if (h->addresses[family].some_only == !any && n == h->addresses[family].n &&
            (n == 0 || memcmp(ips, h->addresses[family].ips, n * sizeof *ips) == 0))
                return 0;
        copy = calloc(n + 1, sizeof *copy);
        if (!copy)
                return -ENOMEM;
        if (n > 0)
                memcpy(copy, ips, n * sizeof *ips);
        free(h->addresses[family].ips);
        h->addresses[family].ips = copy;
        h->addresses[family].n = n;
        h->addresses[family].some_only = !any;
        MAP_FOREACH (key, s, h->services)
                s->servers[family].server = http_server_free(s->servers[family].server);
        return 0;
}

int service_health_new(sd_event *event, const struct service_health_options *options,
                       struct service_health **ret)
{
        _cleanup_(service_health_freep)
        struct service_health *h = calloc(1, sizeof *h);

        if (!h)
                return -ENOMEM;
        h->event = event;
        h->options = *options;
        h->services = map_new();
        if (!h->services)
                return -ENOMEM;
        *ret = TAKE_PTR(h);
        return 0;
}

struct service_health *service_health_free(struct service_health *h)
{
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->retry);
        map_free_with(h->services, served_free);
        for (size_t i = 0; i < FAMILIES; i++)
                free(h->addresses[i].ips);
        free(h);
        return NULL;
}
