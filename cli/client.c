#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define SOCKET_DEFAULT "/run/skiff/skiff.sock"

static const char *const daemon_names[] = {
        [CLIENT_SKIFFD] = "skiffd",
        [CLIENT_NETPROXY] = "skiff-netproxy",
};
/* What a person needs to know who gets no answer. */
static const char *const daemon_hints[] = {
        [CLIENT_SKIFFD] = "is it running?",
        [CLIENT_NETPROXY] = "is it running ('systemctl status skiff-netproxy')? What it had "
                            "installed stays in force without it, but follows no change; where "
                            "another proxy routes Services there is none",
};

struct client {
        CURL *curl;
        enum client_daemon daemon;
        char *socket;
        long timeout_sec; /* 0: none */
};

struct answer {
        CURL *curl;
        struct strbuf body; /* everything, or what is not a 2xx of a stream */
        int (*on_data)(const void *data, size_t n, void *userdata);
        void *userdata;
        int result; /* of on_data */
};

static const char *const socket_names[] = {
        [CLIENT_SKIFFD] = "skiff.sock",
        [CLIENT_NETPROXY] = "netproxy.sock",
};

/* Owned. */
static char *socket_beside(enum client_daemon daemon, const char *other)
{
        const char *slash = strrchr(other, '/');

        return text_printf("%.*s%s", slash ? (int)(slash + 1 - other) : 0, other,
                           socket_names[daemon]);
}

/* Owned. */
static char *default_socket(enum client_daemon daemon)
{
        const char *env = getenv("SKIFF_SOCKET"), *own = getenv("SKIFF_NETPROXY_SOCKET"),
                   *skiffd = env ? env : SOCKET_DEFAULT;

        if (daemon == CLIENT_SKIFFD)
                return strdup(skiffd);
        if (own)
                return strdup(own);
        return socket_beside(daemon, skiffd);
}

int client_new(enum client_daemon daemon, const char *socket, struct client **ret, struct err *err)
{
        struct client *c = calloc(1, sizeof *c);

        if (!c)
                return err_sys(err, -ENOMEM, "start");
        c->daemon = daemon;
        c->socket = socket ? strdup(socket) : default_socket(daemon);
        c->curl = curl_easy_init();
        if (!c->socket || !c->curl) {
                client_free(c);
                return err_sys(err, -ENOMEM, "start");
        }
        *ret = c;
        return 0;
}

int client_new_beside(enum client_daemon daemon, const char *others_socket, struct client **ret,
                      struct err *err)
{
        _cleanup_free_ char *socket = others_socket ? socket_beside(daemon, others_socket) : NULL;

        if (others_socket && !socket)
                return err_sys(err, -ENOMEM, "start");
        return client_new(daemon, socket, ret, err);
}

struct client *client_free(struct client *c)
{
        if (!c)
                return NULL;
        curl_easy_cleanup(c->curl);
        free(c->socket);
        free(c);
        return NULL;
}

const char *client_socket(const struct client *c)
{
        return c->socket;
}

void client_set_timeout(struct client *c, unsigned seconds)
{
        c->timeout_sec = (long)seconds;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
        struct answer *a = userdata;
        long status = 0;

        n *= size;
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
        if (a->on_data && status >= 200 && status < 300) {
                a->result = a->on_data(data, n, a->userdata);
                return a->result < 0 ? 0 : n;
        }
        strbuf_add_n(&a->body, data, n);
        return a->body.failed ? 0 : n;
}

/* The daemon's sentence out of a metav1.Status. */
static int refused(const struct client *c, const struct answer *a, long status, struct err *err)
{
        _cleanup_free_ char *silent = text_printf("%s refused without a word",
                                                  daemon_names[c->daemon]);
        json_auto_t *root = NULL;
        const char *message = NULL;

        if (a->body.data && json_parse(a->body.data, a->body.len, false, &root, NULL) == 0)
                message = json_text_at(root, "message");
        err_set_kind(err, -EREMOTEIO,
                     status == 404   ? ERR_NOT_FOUND
                     : status == 403 ? ERR_FORBIDDEN
                                     : ERR_OTHER,
                     "%s",
                     message        ? message
                     : a->body.data ? a->body.data
                                    : silent);
        return status == 404   ? -ENOENT
               : status == 403 ? -EPERM
               : status == 400 ? -EINVAL
                               : -EREMOTEIO;
}

static int unreachable(struct client *c, CURLcode code, struct err *err)
{
        const char *name = daemon_names[c->daemon];
        long number = 0, status = 0;

        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &number);
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status)
                return err_set_kind(err, -EPIPE, ERR_UNREACHABLE,
                                    "%s at '%s' ended in the middle of its answer: %s", name,
                                    c->socket, curl_easy_strerror(code));
        if (number == 0)
                return err_set_kind(err, -EHOSTUNREACH, ERR_UNREACHABLE,
                                    "%s at '%s' closed the connection: %s; it turns away who "
                                    "lives in another PID or user namespace, its log says so",
                                    name, c->socket, curl_easy_strerror(code));
        return err_set_kind(err, -EHOSTUNREACH, ERR_UNREACHABLE, "cannot reach %s at '%s': %s; %s",
                            name, c->socket, strerror((int)number),
                            number == EACCES ? "expected root, or a member of the socket's group"
                                             : daemon_hints[c->daemon]);
}

static int perform(struct client *c, const char *method, const char *path, const json_t *body,
                   struct answer *a, struct err *err)
{
        _cleanup_free_ char *url = text_printf("http://skiff%s", path);
        char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        struct curl_slist *headers = NULL;
        long status = 0;
        CURLcode code;

        if (!url || (body && !text)) {
                free(text);
                return err_sys(err, -ENOMEM, "ask %s", daemon_names[c->daemon]);
        }
        curl_easy_reset(c->curl);
        a->curl = c->curl;
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
        curl_easy_setopt(c->curl, CURLOPT_URL, url);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, a);
        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, c->timeout_sec);
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
        if (text)
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text);
        code = curl_easy_perform(c->curl);
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_slist_free_all(headers);
        free(text);
        if (a->result < 0)
                return err_sys(err, a->result, "write the output");
        if (code != CURLE_OK)
                return unreachable(c, code, err);
        return status >= 200 && status < 300 ? 0 : refused(c, a, status, err);
}

int client_call(struct client *c, const char *method, const char *path, const json_t *body,
                json_t **ret, struct err *err)
{
        struct answer a = { 0 };
        int r = perform(c, method, path, body, &a, err);

        if (r == 0 && ret)
                r = json_parse(a.body.data ? a.body.data : "", a.body.len, false, ret, err);
        strbuf_done(&a.body);
        return r;
}

int client_stream(struct client *c, const char *method, const char *path, const json_t *body,
                  int (*on_data)(const void *data, size_t n, void *userdata), void *userdata,
                  struct err *err)
{
        struct answer a = { .on_data = on_data, .userdata = userdata };
        int r = perform(c, method, path, body, &a, err);

        strbuf_done(&a.body);
        return r;
}

char *client_escape(const char *text)
{
        struct strbuf b = { 0 };

        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr("-._~", *p))
                        strbuf_add_n(&b, p, 1);
                else
                        strbuf_addf(&b, "%%%02X", *p);
        return strbuf_take(&b);
}
