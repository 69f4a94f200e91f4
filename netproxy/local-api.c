#include "netproxy/local-api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/local-socket.h"
#include "base/log.h"
#include "base/text.h"
#include "netproxy/service-json.h"
#include "netproxy/trace-json.h"

enum {
        CONNECTIONS_MAX = 32,
        BODY_MAX = 1024, /* nothing is asked with a body */
        PENDING_MAX = 256 * 1024,
};

struct local_api {
        struct sync *sync;          /* borrowed */
        char *path;                 /* owned */
        struct http_server *server; /* owned */
};

/* ---- the list: object by object, as fast as it is read ---- */

struct listing {
        struct local_api *api;
        struct http_exchange *x;
        char **keys; /* owned */
        size_t next;
        bool any; /* something was listed: a comma comes first */
};

static struct listing *listing_free(struct listing *l)
{
        if (!l)
                return NULL;
        strv_free(l->keys);
        free(l);
        return NULL;
}
DEFINE_CLEANUP(struct listing *, listing_free)

/* Bytes that wait for the reader; negative: it is gone. Services that went meanwhile are left out.
 */
static ssize_t write_item(struct listing *l, const char *key)
{
        const struct state *state = sync_state(l->api->sync);
        const struct known_service *k = state_service(state, key);
        json_auto_t *o = k && k->service ? service_json_brief(state, k) : NULL;
        _cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

        if (!text)
                return k && k->service ? -ENOMEM : 0;
        if (l->any && http_stream_write(l->x, ",", 1) < 0)
                return -EPIPE;
        l->any = true;
        return http_stream_write(l->x, text, strlen(text));
}

static void pump(struct listing *l)
{
        while (l->keys[l->next]) {
                ssize_t waiting = write_item(l, l->keys[l->next++]);

                if (waiting == -ENOMEM) {
                        http_stream_abort(l->x);
                        listing_free(l);
                        return;
                }
                if (waiting < 0 || waiting > PENDING_MAX)
                        return; /* gone: on_closed() follows; else on_drained() */
        }
        if (http_stream_write(l->x, "]}\n", 3) < 0)
                return;
        http_stream_end(l->x);
        listing_free(l);
}

static void on_drained(_unused_ struct http_exchange *x, void *userdata)
{
        pump(userdata);
}

static void on_closed(_unused_ struct http_exchange *x, void *userdata)
{
        listing_free(userdata);
}

/* The answer's beginning: the proxy itself, and an array that is still open. Owned. */
static char *list_head(struct local_api *a)
{
        json_auto_t *o = service_json_proxy(a->sync, sync_state(a->sync));
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL, *head;

        if (!text)
                return NULL;
        text[strlen(text) - 1] = 0;
        head = text_printf("%s,\"items\":[", text);
        free(text);
        return head;
}

static void serve_list(struct local_api *a, struct http_exchange *x)
{
        static const struct http_stream_ops ops = { on_drained, on_closed };
        const char *name = http_exchange_query(x, "name");
        _cleanup_(listing_freep)
        struct listing *l = calloc(1, sizeof *l);
        _cleanup_free_ char *head = list_head(a);

        if (!l || !head ||
            state_service_keys(sync_state(a->sync), http_exchange_query(x, "namespace"),
                               name ? name : "", &l->keys) < 0 ||
            http_stream_begin(x, 200, "application/json", &ops, l) < 0)
                return local_socket_fail(x, 500, "out of memory");
        l->api = a;
        l->x = x;
        if (http_stream_write(x, head, strlen(head)) >= 0)
                pump(TAKE_PTR(l));
        else
                (void)TAKE_PTR(l); /* on_closed() follows */
}

/* ---- one Service ---- */

static void serve_service(struct local_api *a, struct http_exchange *x, const char *key)
{
        const struct known_service *k = state_service(sync_state(a->sync), key);
        _cleanup_free_ char *message = NULL;
        json_t *o;

        if (!k || !k->service) {
                message =
                        text_printf("Service '%s' is not routed here: it does not exist, or it is "
                                    "headless, of type ExternalName, or another proxy's%s",
                                    key, k ? "; EndpointSlices of it are known" : "");
                return local_socket_fail(x, 404, message ? message : "no such Service");
        }
        o = service_json_full(a->sync, k);
        if (o && json_set(o, "proxy", service_json_proxy(a->sync, sync_state(a->sync))) == 0)
                http_answer_json(x, 200, o);
        else
                local_socket_fail(x, 500, "out of memory");
}

/* ---- trace ---- */

static bool parse_protocol(const char *text, uint8_t *ret)
{
        static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                if (!streq(text, protocol_name(numbers[i])))
                        continue;
                *ret = numbers[i];
                return true;
        }
        return false;
}

static int refuse(struct err *err, const char *field, const char *value, const char *rule)
{
        return err_set(err, -EINVAL, "%s: '%s': expected %s", field, value ? value : "", rule);
}

static int parse_trace(struct http_exchange *x, struct ip *ip, uint16_t *port, uint8_t *protocol,
                       struct err *err)
{
        const char *address = http_exchange_query(x, "address"),
                   *number = http_exchange_query(x, "port"),
                   *name = http_exchange_query(x, "protocol");

        if (!address || ip_parse(address, ip) < 0)
                return refuse(err, "address", address, "an IP address");
        if (!number || text_to_u16(number, port) < 0 || *port == 0)
                return refuse(err, "port", number, "1 to 65535");
        *protocol = IPPROTO_TCP;
        if (name && !parse_protocol(name, protocol))
                return refuse(err, "protocol", name, "TCP, UDP or SCTP");
        return 0;
}

static void serve_trace(struct local_api *a, struct http_exchange *x)
{
        _cleanup_err_ struct err err = { 0 };
        uint8_t protocol;
        struct ip ip;
        uint16_t port;
        json_t *o;

        if (parse_trace(x, &ip, &port, &protocol, &err) < 0)
                return local_socket_fail(x, 400, err_text(&err));
        o = trace_json(a->sync, &ip, protocol, port, &err);
        if (o)
                http_answer_json(x, 200, o);
        else
                local_socket_fail(x, 409, err_text(&err));
}

/* ---- the whole ---- */

static void handle(struct http_exchange *x, void *userdata)
{
        struct local_api *a = userdata;
        const char *path = http_exchange_path(x), *rest;

        http_exchange_trust(x);
        if (!local_socket_is_method(x, "GET"))
                return;
        if (streq(path, "/v1/services"))
                serve_list(a, x);
        else if ((rest = startswith(path, "/v1/services/")) && strchr(rest, '/'))
                serve_service(a, x, rest);
        else if (streq(path, "/v1/trace"))
                serve_trace(a, x);
        else
                local_socket_fail(x, 404,
                                  "no such path: expected /v1/services, "
                                  "/v1/services/NAMESPACE/NAME or /v1/trace");
}

static int listen_at(sd_event *event, struct local_api *a, struct err *err)
{
        const struct http_server_options options = {
                .name = "local socket",
                .max_connections = CONNECTIONS_MAX,
                .body_max = BODY_MAX,
                .handler = handle,
                .userdata = a,
        };
        int fd, r = http_server_new(event, &options, &a->server, err);

        if (r < 0)
                return r;
        fd = local_socket_listen(a->path, err);
        if (fd < 0)
                return fd;
        r = http_server_add_listener(a->server, fd);
        return r < 0 ? err_sys(err, r, "listen on '%s'", a->path) : 0;
}

int local_api_new(sd_event *event, struct sync *sync, const char *run_dir, struct local_api **ret,
                  struct err *err)
{
        _cleanup_(local_api_freep)
        struct local_api *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return err_sys(err, -ENOMEM, "start the local socket");
        a->sync = sync;
        a->path = text_printf("%s/netproxy.sock", run_dir);
        if (!a->path)
                return err_sys(err, -ENOMEM, "start the local socket");
        r = listen_at(event, a, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

struct local_api *local_api_free(struct local_api *a)
{
        if (!a)
                return NULL;
        http_server_free(a->server);
        free(a->path);
        free(a);
        return NULL;
}
