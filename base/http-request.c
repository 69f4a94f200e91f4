/*
 * One transfer: its easy handle set up from the session's and its own options, its bytes taken in,
 * curl's verdict turned into ours.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/http-internal.h"

#define BODY_MAX_DEFAULT              (16 << 20)
#define HEADERS_MAX                   (256 << 10)
#define RECEIVE_BUFFER_SIZE           (16 << 10)
#define CONNECT_TIMEOUT_DEFAULT_USEC  (10 * USEC_PER_SEC)
#define TCP_USER_TIMEOUT_DEFAULT_USEC (30 * USEC_PER_SEC)
#define KEEPALIVE_IDLE_SEC            30
#define KEEPALIVE_INTERVAL_SEC        10
#define RETRY_AFTER_MAX_SEC           (24 * 3600)

/* ---- what curl tells us while it runs ---- */

static int request_abort(struct http_request *r, int error, enum err_kind kind, const char *text)
{
        if (r->error == 0) {
                err_set_kind(&r->err, error, kind, "%s", text);
                r->error = error;
        }
        return 0; /* fewer bytes than given: curl stops the transfer */
}

static bool is_stopped(const struct http_request *r)
{
        return r->session->dead || r->state == REQUEST_DROPPED || r->error < 0;
}

static size_t on_curl_body(char *data, size_t size, size_t n, void *userdata)
{
        struct http_request *r = userdata;

        n *= size;
        if (is_stopped(r))
                return 0;
        if (r->idle_timer)
                r->last_byte_usec = now_monotonic();
        if (r->on_data && (r->on_data_always || r->status / 100 == 2)) {
                int k = r->on_data(r, data, n, r->userdata);

                if (k < 0)
                        return (size_t)request_abort(r, k, ERR_OTHER, "stopped by its reader");
                return n;
        }
        if (n > r->body_max - r->body.len) {
                request_abort(r, -EFBIG, ERR_TOO_MANY, "the answer is too large");
                return 0;
        }
        strbuf_add_n(&r->body, data, n);
        if (r->body.failed)
                return (size_t)request_abort(r, -ENOMEM, ERR_OTHER, "out of memory");
        return n;
}

static size_t on_curl_header(_unused_ char *data, size_t size, size_t n, void *userdata)
{
        struct http_request *r = userdata;
        long status = 0;

        n *= size;
        if (is_stopped(r))
                return 0;
        if (r->idle_timer)
                r->last_byte_usec = now_monotonic();
        r->header_bytes += n;
        if (r->header_bytes > HEADERS_MAX)
                return (size_t)request_abort(r, -EFBIG, ERR_TOO_MANY,
                                             "the answer's headers are too large");
        if (n > 2 || r->status)
                return n; /* no blank line, or that of trailers */
        curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status / 100 == 1)
                return n;
        r->status = (int)status;
        if (r->on_head)
                r->on_head(r, r->status, r->userdata);
        return n;
}

static void set_socket_option(int fd, int level, int option, int value)
{
        setsockopt(fd, level, option, &value, sizeof value);
}

static curl_socket_t on_curl_open_socket(void *userdata, curlsocktype purpose,
                                         struct curl_sockaddr *address)
{
        struct http_session *s = userdata;
        usec_t user_timeout = s->options.tcp_user_timeout_usec ? s->options.tcp_user_timeout_usec
                                                               : TCP_USER_TIMEOUT_DEFAULT_USEC;
        int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

        if (fd < 0)
                return CURL_SOCKET_BAD;
        http_session_socket_opened(s, fd);
        if (purpose == CURLSOCKTYPE_IPCXN && address->family != AF_UNIX) {
                set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
                set_socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_SEC);
                set_socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SEC);
                set_socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                                  (int)(user_timeout / USEC_PER_MSEC));
        }
        return fd;
}

static usec_t patience(const struct http_request *r)
{
        return r->header_bytes ? r->idle_timeout_usec : r->first_byte_timeout_usec;
}

/* Bytes only note their time: the timer goes off at the earliest end and looks. */
static int on_idle(sd_event_source *source, _unused_ uint64_t due, void *userdata)
{
        struct http_request *r = userdata;
        usec_t end = r->last_byte_usec + patience(r);

        if (now_monotonic() < end) {
                sd_event_source_set_time(source, end);
                sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                return 0;
        }
        r->error = err_set_kind(&r->err, -ETIMEDOUT, ERR_TIMEOUT, "no byte for %u ms",
                                (unsigned)(patience(r) / USEC_PER_MSEC));
        http_session_finish(r->session, r);
        return 0;
}

/* ---- set up ---- */

static long to_msec(usec_t usec)
{
        return (long)MIN((usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t)INT32_MAX);
}

/* One refusal (no memory, an option this libcurl lacks) refuses the request. */
#define SET(r, option, value) \
        ((r)->setup_failed |= curl_easy_setopt((r)->easy, option, value) != CURLE_OK)

static void set_blob(struct http_request *r, CURLoption option, const char *pem)
{
        /* borrowed from the session, which outlives its transfers */
        struct curl_blob blob = { (void *)pem, strlen(pem), CURL_BLOB_NOCOPY };

        SET(r, option, &blob);
}

static void set_pem(struct http_request *r, CURLoption file_option, const char *file,
                    CURLoption blob_option, const char *data)
{
        if (data)
                set_blob(r, blob_option, data);
        else if (file)
                SET(r, file_option, file);
}

static void set_tls(struct http_request *r, const struct http_session_options *o)
{
        if (o->ca_data || o->ca_file) {
                /* this authority alone: not the system's store besides */
                SET(r, CURLOPT_CAPATH, NULL);
                SET(r, CURLOPT_CAINFO, NULL);
                set_pem(r, CURLOPT_CAINFO, o->ca_file, CURLOPT_CAINFO_BLOB, o->ca_data);
        }
        set_pem(r, CURLOPT_SSLCERT, o->cert_file, CURLOPT_SSLCERT_BLOB, o->cert_data);
        set_pem(r, CURLOPT_SSLKEY, o->key_file, CURLOPT_SSLKEY_BLOB, o->key_data);
        SET(r, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        if (o->insecure_skip_verify) {
                SET(r, CURLOPT_SSL_VERIFYPEER, 0L);
                SET(r, CURLOPT_SSL_VERIFYHOST, 0L);
        }
}

static void set_session_options(struct http_request *r)
{
        const struct http_session_options *o = &r->session->options;

        SET(r, CURLOPT_NOSIGNAL, 1L);
        SET(r, CURLOPT_NOPROGRESS, 1L);
        SET(r, CURLOPT_PROTOCOLS_STR, "http,https");
        SET(r, CURLOPT_PATH_AS_IS, 1L);
        SET(r, CURLOPT_HTTP_VERSION,
            o->one_shot ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
        if (o->one_shot) {
                SET(r, CURLOPT_FRESH_CONNECT, 1L);
                SET(r, CURLOPT_FORBID_REUSE, 1L);
        }
        SET(r, CURLOPT_QUICK_EXIT, 1L); /* a cancelled name resolution is not waited for */
        SET(r, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_SIZE);
        SET(r, CURLOPT_UPLOAD_BUFFERSIZE, (long)RECEIVE_BUFFER_SIZE);
        SET(r, CURLOPT_PROXY, o->proxy_url ? o->proxy_url : "");
        SET(r, CURLOPT_NOPROXY, "");
        SET(r, CURLOPT_CONNECTTIMEOUT_MS,
            to_msec(o->connect_timeout_usec ? o->connect_timeout_usec
                                            : CONNECT_TIMEOUT_DEFAULT_USEC));
        SET(r, CURLOPT_OPENSOCKETFUNCTION, on_curl_open_socket);
        SET(r, CURLOPT_OPENSOCKETDATA, r->session);
        if (o->user_agent)
                SET(r, CURLOPT_USERAGENT, o->user_agent);
        if (o->unix_socket)
                SET(r, CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
        set_tls(r, o);
}

static int add_line(struct curl_slist **list, const char *line)
{
        struct curl_slist *l = line ? curl_slist_append(*list, line) : NULL;

        if (!l)
                return -ENOMEM;
        *list = l;
        return 0;
}

/*
 * curl verifies the name in the URL. So the URL gets the name to be verified, and CONNECT_TO and
 * Host: keep the place and the name that the caller asked for.
 */
static int set_url_with_server_name(struct http_request *r, CURLU *url, const char *name)
{
        char *host = NULL, *port = NULL;
        _cleanup_free_ char *connect_to = NULL, *header = NULL;
        int k = 0;

        if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
            curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
                k = -EINVAL;
        } else {
                connect_to = text_printf("::%s:%s", host, port);
                header = text_printf("Host: %s:%s", host, port);
                k = add_line(&r->connect_to, connect_to);
                if (k == 0)
                        k = add_line(&r->headers, header);
        }
        curl_free(host);
        curl_free(port);
        if (k < 0)
                return k;
        if (curl_url_set(url, CURLUPART_HOST, name, 0) != CURLUE_OK)
                return -EINVAL;
        SET(r, CURLOPT_CONNECT_TO, r->connect_to);
        return 0;
}

static int set_url(struct http_request *r, const char *text, struct err *err)
{
        const char *name = r->session->options.tls_server_name;
        bool https = startswith(text, "https://");
        CURLU *url;
        int k = 0;

        if (!https && !startswith(text, "http://"))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "URL '%s': expected http:// or https://", text);
        if (https) /* wait for a connection being made to see whether it multiplexes */
                SET(r, CURLOPT_PIPEWAIT, 1L);
        url = curl_url();
        if (!url)
                return err_sys(err, -ENOMEM, "read URL");
        if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) != CURLUE_OK)
                k = err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "URL '%s' is not valid", text);
        else if (https && name)
                k = set_url_with_server_name(r, url, name);
        if (k == 0 && name && https) {
                char *whole = NULL;

                curl_url_get(url, CURLUPART_URL, &whole, 0);
                SET(r, CURLOPT_URL, whole);
                curl_free(whole);
        } else if (k == 0) {
                SET(r, CURLOPT_URL, text);
        }
        curl_url_cleanup(url);
        if (k < 0 && err && !err->message)
                err_sys(err, k, "URL '%s' with TLS server name '%s'", text, name);
        return k;
}

static bool is_header_line(const char *line)
{
        for (const char *p = line; *p; p++)
                if (*p == '\r' || *p == '\n')
                        return false;
        return strchr(line, ':');
}

static int set_headers(struct http_request *r, const char *const *headers, struct err *err)
{
        bool typed = false;
        int k = 0;

        for (; k == 0 && headers && *headers; headers++) {
                if (!is_header_line(*headers))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "header line: expected 'Name: value' in one line");
                typed |= strncasecmp(*headers, "content-type:", strlen("content-type:")) == 0;
                k = add_line(&r->headers, *headers);
        }
        /* curl would call every body a form, and wait for 100-continue before a large one */
        if (k == 0 && !typed)
                k = add_line(&r->headers, "Content-Type:");
        if (k == 0)
                k = add_line(&r->headers, "Expect:");
        if (k < 0)
                return err_sys(err, k, "set headers");
        SET(r, CURLOPT_HTTPHEADER, r->headers);
        return 0;
}

static int set_method(struct http_request *r, const struct http_options *o, struct err *err)
{
        bool bodyless = streq(o->method, "GET") || streq(o->method, "HEAD");

        if (streq(o->method, "HEAD"))
                SET(r, CURLOPT_NOBODY, 1L);
        if (!o->body && (bodyless || streq(o->method, "DELETE"))) {
                if (!bodyless)
                        SET(r, CURLOPT_CUSTOMREQUEST, o->method);
                return 0;
        }
        r->request_body = malloc(o->body_len + 1);
        if (!r->request_body)
                return err_sys(err, -ENOMEM, "copy body");
        if (o->body)
                memcpy(r->request_body, o->body, o->body_len);
        SET(r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
        SET(r, CURLOPT_POSTFIELDS, r->request_body);
        SET(r, CURLOPT_CUSTOMREQUEST, o->method);
        return 0;
}

static int set_idle_timer(struct http_request *r, const struct http_options *o)
{
        usec_t first;

        if (o->idle_timeout_usec == 0)
                return 0;
        first = o->first_byte_timeout_usec ? o->first_byte_timeout_usec : o->idle_timeout_usec;
        r->idle_timeout_usec = o->idle_timeout_usec;
        r->first_byte_timeout_usec = first;
        r->last_byte_usec = now_monotonic();
        first = MIN(first, o->idle_timeout_usec);
        return sd_event_add_time_relative(r->session->event, &r->idle_timer, CLOCK_MONOTONIC, first,
                                          first / 64 + 1, on_idle, r);
}

struct http_request *http_request_free(struct http_request *r)
{
        if (!r)
                return NULL;
        list_remove(&r->node);
        sd_event_source_disable_unref(r->idle_timer);
        curl_easy_cleanup(r->easy);
        curl_slist_free_all(r->headers);
        curl_slist_free_all(r->connect_to);
        free(r->request_body);
        strbuf_done(&r->body);
        err_done(&r->err);
        free(r);
        return NULL;
}
DEFINE_CLEANUP(struct http_request *, http_request_free)

int http_request_new(struct http_session *s, const struct http_options *o,
                     struct http_request **ret, struct err *err)
{
        _cleanup_(http_request_freep)
        struct http_request *r = calloc(1, sizeof *r);
        int k;

        if (r)
                r->easy = curl_easy_init();
        if (!r || !r->easy)
                return err_sys(err, -ENOMEM, "make request");
        r->session = s;
        r->body_max = o->body_max ? o->body_max : BODY_MAX_DEFAULT;
        r->on_head = o->on_head;
        r->on_data = o->on_data;
        r->on_data_always = o->on_data_always;
        r->done = o->done;
        r->userdata = o->userdata;
        set_session_options(r);
        if (o->http2)
                SET(r, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
        SET(r, CURLOPT_PRIVATE, r);
        SET(r, CURLOPT_ERRORBUFFER, r->curl_text);
        SET(r, CURLOPT_WRITEFUNCTION, on_curl_body);
        SET(r, CURLOPT_WRITEDATA, r);
        SET(r, CURLOPT_HEADERFUNCTION, on_curl_header);
        SET(r, CURLOPT_HEADERDATA, r);
        if (o->timeout_usec)
                SET(r, CURLOPT_TIMEOUT_MS, to_msec(o->timeout_usec));
        k = set_url(r, o->url, err);
        if (k == 0)
                k = set_method(r, o, err);
        if (k == 0)
                k = set_headers(r, o->headers, err);
        if (k < 0)
                return k;
        if (r->setup_failed)
                return err_set(err, -ENOMEM, "libcurl refuses an option");
        k = set_idle_timer(r, o);
        if (k < 0)
                return err_sys(err, k, "make request");
        *ret = TAKE_PTR(r);
        return 0;
}

/* ---- the end ---- */

static void classify(CURLcode code, int *ret_error, enum err_kind *ret_kind)
{
        static const struct {
                CURLcode code;
                int error;
                enum err_kind kind;
        } table[] = {
                { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, ERR_TIMEOUT },
                { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH, ERR_UNREACHABLE },
                { CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH, ERR_UNREACHABLE },
                { CURLE_COULDNT_CONNECT, -ECONNREFUSED, ERR_UNREACHABLE },
                { CURLE_OUT_OF_MEMORY, -ENOMEM, ERR_OTHER },
                { CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED, ERR_UNREACHABLE },
                { CURLE_SSL_CACERT_BADFILE, -EKEYREJECTED, ERR_BAD_INPUT },
                { CURLE_SSL_CERTPROBLEM, -EKEYREJECTED, ERR_UNREACHABLE },
                { CURLE_SSL_CONNECT_ERROR, -EPROTO, ERR_UNREACHABLE },
                { CURLE_UNSUPPORTED_PROTOCOL, -EPROTO, ERR_UNREACHABLE },
                { CURLE_WEIRD_SERVER_REPLY, -EPROTO, ERR_UNREACHABLE },
                { CURLE_URL_MALFORMAT, -EINVAL, ERR_BAD_INPUT },
        };

        /* got nothing, partial file, send, receive, HTTP/2 and stream errors: the connection broke
         */
        *ret_error = -ECONNRESET;
        *ret_kind = ERR_UNREACHABLE;
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                if (table[i].code == code) {
                        *ret_error = table[i].error;
                        *ret_kind = table[i].kind;
                }
        }
}

/* Did it get as far as sending? A connection that stays silent afterwards is another matter. */
static bool was_connected(const struct http_request *r)
{
        curl_off_t usec = 0;

        curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &usec);
        return usec > 0;
}

void http_request_conclude(struct http_request *r, CURLcode code)
{
        long os_errno = 0;
        enum err_kind kind;

        if (r->error < 0 || code == CURLE_OK)
                return;
        classify(code, &r->error, &kind);
        if (code == CURLE_OPERATION_TIMEDOUT && !was_connected(r)) {
                r->error = -EHOSTUNREACH;
                kind = ERR_UNREACHABLE;
        }
        curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os_errno);
        if (code == CURLE_COULDNT_CONNECT && os_errno > 0) {
                r->error = -(int)os_errno;
                err_set_kind(&r->err, r->error, kind, "%s: %s", r->curl_text,
                             strerror((int)os_errno));
        } else {
                err_set_kind(&r->err, r->error, kind, "%s",
                             *r->curl_text ? r->curl_text : curl_easy_strerror(code));
        }
}

void http_request_report(struct http_request *r)
{
        struct http_response response = {
                .status = r->status,
                .body = r->body.data ? r->body.data : "",
                .body_len = r->body.len,
                .content_type = http_response_header(r, "content-type"),
                .err = r->error < 0 ? &r->err : NULL,
                .error = r->error,
        };
        curl_off_t retry_after_sec = 0;

        r->idle_timer = sd_event_source_disable_unref(r->idle_timer);
        if (!response.content_type)
                response.content_type = "";
        curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &retry_after_sec);
        if (retry_after_sec > 0)
                response.retry_after_usec = (usec_t)MIN(retry_after_sec, RETRY_AFTER_MAX_SEC) *
                                            USEC_PER_SEC;
        r->done(r, &response, r->userdata);
}

int http_request_status(const struct http_request *r)
{
        return r->status;
}

const char *http_response_header(const struct http_request *r, const char *name)
{
        struct curl_header *h;

        if (curl_easy_header(r->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK &&
            curl_easy_header(r->easy, name, 0, CURLH_TRAILER, -1, &h) != CURLHE_OK)
                return NULL;
        return h->value;
}

char *http_escape(const char *s)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("-._~", c))
                        strbuf_add_n(&b, s, 1);
                else
                        strbuf_addf(&b, "%%%02X", c);
        }
        return strbuf_take(&b);
}
