#include "runtime/registry-http.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/text.h"

enum {
        CONNECT_SEC = 15,
        DOCUMENT_SEC = 120,
        STALL_BYTES_PER_SEC = 256,
        HEADERS_SIZE_MAX = 64 << 10, /* all headers of one request, 1xx answers included */
        BUFFER_SIZE = 128 << 10,
        HEADER_VALUE_MAX = 16 << 10,
};

struct registry_http {
        const struct image_job *job; /* borrowed */
        CURLM *multi;
        struct list streams; /* of struct http_stream */
        bool has_ca_bundle;
};

/* One request under way; a document is a stream whose data goes into a buffer. */
struct http_stream {
        struct registry_http *http; /* borrowed */
        struct list_node node;
        CURL *easy;
        struct curl_slist *headers;
        struct http_stream_events events;
        const struct image_job_host *tls; /* borrowed; NULL: the system's store alone */
        struct registry_url url;          /* own copy of host and text */
        bool refuse_internal, refused, is_document, proxied, internal;
        size_t headers_size, body_max;
        uint64_t first_byte;
        int failure; /* negative errno a callback stopped with */
        struct strbuf body;
        struct http_answer answer;
        char curl_error[CURL_ERROR_SIZE];
};

void http_answer_done(struct http_answer *a)
{
        free(a->body);
        free(a->content_type);
        free(a->docker_digest);
        free(a->challenge);
        free(a->location);
        *a = (struct http_answer){ 0 };
}

static struct http_stream *stream_free(struct http_stream *s)
{
        if (!s)
                return NULL;
        list_remove(&s->node);
        if (s->easy) {
                curl_multi_remove_handle(s->http->multi, s->easy);
                curl_easy_cleanup(s->easy);
        }
        for (struct curl_slist *l = s->headers; l; l = l->next)
                explicit_bzero(l->data, strlen(l->data));
        curl_slist_free_all(s->headers);
        registry_url_done(&s->url);
        strbuf_done(&s->body);
        http_answer_done(&s->answer);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(struct http_stream *, stream_free)

struct http_stream *http_stream_cancel(struct http_stream *s)
{
        return stream_free(s);
}

int registry_http_new(const struct image_job *job, struct registry_http **ret, struct err *err)
{
        _cleanup_(registry_http_freep)
        struct registry_http *h = calloc(1, sizeof *h);

        if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return err_sys(err, -ENOMEM, "set up HTTP");
        list_init(&h->streams);
        h->job = job;
        h->multi = curl_multi_init();
        if (!h->multi)
                return err_sys(err, -ENOMEM, "set up HTTP");
        h->has_ca_bundle = access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0;
        *ret = TAKE_PTR(h);
        return 0;
}

struct registry_http *registry_http_free(struct registry_http *h)
{
        struct http_stream *s, *next;

        if (!h)
                return NULL;
        if (h->multi) {
                LIST_FOREACH_SAFE (s, next, &h->streams, node)
                        stream_free(s);
                curl_multi_cleanup(h->multi);
        }
        free(h);
        return NULL;
}

/* ---- callbacks of libcurl ---- */

/* "Name: value\r\n" of a header named @name: its value, or NULL. */
static const char *header_value(const char *line, size_t n, const char *name, size_t *ret_len)
{
        size_t len = strlen(name);

        if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
                return NULL;
        line += len + 1;
        n -= len + 1;
        while (n > 0 && (*line == ' ' || *line == '\t')) {
                line++;
                n--;
        }
        while (n > 0 && strchr(" \t\r\n", line[n - 1]))
                n--;
        *ret_len = n;
        return n <= HEADER_VALUE_MAX && !memchr(line, '\0', n) ? line : NULL;
}

static void keep_header(char **member, const char *line, size_t n, const char *name)
{
        size_t len;
        const char *value = header_value(line, n, name, &len);

        if (value && !*member)
                *member = strndup(value, len);
}

static void keep_challenge(struct http_stream *s, const char *line, size_t n)
{
        size_t len;
        const char *value = header_value(line, n, "WWW-Authenticate", &len);
        const char *before = s->answer.challenge;
        char *joined;

        if (!value || (before && strlen(before) > HEADER_VALUE_MAX))
                return;
        joined = text_printf("%s%s%.*s", before ? before : "", before ? ", " : "", (int)len, value);
        free(s->answer.challenge);
        s->answer.challenge = joined;
}

static void keep_numbers(struct http_stream *s, const char *line, size_t n)
{
        char text[32];
        size_t len;
        const char *value = header_value(line, n, "Retry-After", &len);
        uint32_t sec;

        if (value && len < sizeof text) {
                memcpy(text, value, len);
                text[len] = '\0';
                if (text_to_u32(text, &sec) == 0) /* dates are for browsers */
                        s->answer.retry_after_sec = sec;
        }
        value = header_value(line, n, "Content-Range", &len);
        if (value && len > 6 && strncasecmp(value, "bytes ", 6) == 0) {
                size_t digits = strspn(value + 6, "0123456789");

                if (digits > 0 && digits < 20) {
                        memcpy(text, value + 6, digits);
                        text[digits] = '\0';
                        (void)text_to_u64(text, &s->first_byte);
                }
        }
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
        struct http_stream *s = userdata;

        n *= size;
        s->headers_size += n;
        if (s->headers_size > HEADERS_SIZE_MAX) {
                s->failure = -EFBIG;
                return 0;
        }
        if (n > 5 && memcmp(line, "HTTP/", 5) == 0) /* what a 1xx or a proxy said is not it */
                http_answer_done(&s->answer);
        keep_header(&s->answer.content_type, line, n, "Content-Type");
        keep_header(&s->answer.docker_digest, line, n, "Docker-Content-Digest");
        keep_header(&s->answer.location, line, n, "Location");
        keep_challenge(s, line, n);
        keep_numbers(s, line, n);
        return n;
}

static size_t collect(struct http_stream *s, const char *data, size_t n)
{
        if (n > s->body_max - s->body.len) {
                s->failure = -EFBIG;
                return 0;
        }
        strbuf_add_n(&s->body, data, n);
        return s->body.failed ? 0 : n;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata)
{
        struct http_stream *s = userdata;
        int r;

        n *= size;
        if (s->is_document || http_stream_status(s) / 100 != 2)
                return collect(s, data, n);
        r = s->events.data(s, data, n, s->events.userdata);
        if (r < 0)
                s->failure = r;
        return r < 0 ? 0 : r > 0 ? CURL_WRITEFUNC_PAUSE : n;
}

void http_stream_resume(struct http_stream *s)
{
        curl_easy_pause(s->easy, CURLPAUSE_CONT);
}

static curl_socket_t on_open_socket(void *userdata, _unused_ curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
        struct http_stream *s = userdata;
        bool internal = registry_address_is_internal(&address->addr);

        if (internal && s->refuse_internal && !s->proxied) {
                s->refused = true;
                return CURL_SOCKET_BAD;
        }
        s->internal = internal;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Certificates beyond the system's, and names by subjectAltName alone (RG-04). */
static CURLcode on_ssl_context(_unused_ CURL *easy, void *context, void *userdata)
{
        struct http_stream *s = userdata;
        SSL_CTX *ctx = context;
        X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
        BIO *bio;
        X509 *certificate;

        if (!s->tls || !s->tls->insecure_skip_verify) {
                bool address = registry_url_host_is_address(&s->url);
                _cleanup_free_ char *plain = strndup(s->url.host + (s->url.host[0] == '['),
                                                     strcspn(s->url.host, "]") -
                                                             (s->url.host[0] == '['));

                X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
                if (!plain || (address ? X509_VERIFY_PARAM_set1_ip_asc(param, plain)
                                       : X509_VERIFY_PARAM_set1_host(param, plain, 0)) != 1)
                        return CURLE_SSL_CERTPROBLEM;
        }
        if (!s->tls || !s->tls->ca)
                return CURLE_OK;
        bio = BIO_new_mem_buf(s->tls->ca, -1);
        while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate);
                X509_free(certificate);
        }
        BIO_free(bio);
        return CURLE_OK;
}

/* ---- setting up a request ---- */

static const struct image_job_host *find_tls(const struct registry_http *h,
                                             const struct http_ask *ask)
{
        _cleanup_free_ char *authority = registry_url_authority(ask->url);
        const struct image_job_host *any = NULL;

        for (size_t i = 0; i < h->job->n_hosts; i++) {
                const struct image_job_host *host = &h->job->hosts[i];

                if ((ask->tls_host && streq(host->host, ask->tls_host)) ||
                    (!ask->tls_host && authority && streq(host->host, authority)))
                        return host;
                if (streq(host->host, "*"))
                        any = host;
        }
        return any;
}

static int set_tls(struct http_stream *s)
{
        CURL *c = s->easy;
        const struct image_job_host *tls = s->tls;
        bool verify = !tls || !tls->insecure_skip_verify;
        CURLcode r = CURLE_OK;

        curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
        curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
        curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, s);
        if (!s->http->has_ca_bundle) {
                curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
                curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
        }
        if (tls && tls->certificate && tls->key) {
                struct curl_blob cert = { tls->certificate, strlen(tls->certificate),
                                          CURL_BLOB_COPY };
                struct curl_blob key = { tls->key, strlen(tls->key), CURL_BLOB_COPY };

                r = curl_easy_setopt(c, CURLOPT_SSLCERT_BLOB, &cert);
                if (r == CURLE_OK)
                        r = curl_easy_setopt(c, CURLOPT_SSLKEY_BLOB, &key);
        }
        return r == CURLE_OK ? 0 : -ENOMEM;
}

static void set_proxy(struct http_stream *s)
{
        const struct image_job *job = s->http->job;
        const char *proxy = s->url.https ? job->https_proxy : job->http_proxy;

        s->proxied = proxy && *proxy;
        curl_easy_setopt(s->easy, CURLOPT_PROXY, proxy ? proxy : "");
        curl_easy_setopt(s->easy, CURLOPT_NOPROXY, job->no_proxy ? job->no_proxy : "");
}

static void set_times(struct http_stream *s)
{
        curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SEC);
        curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SEC);
        curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME, (long)s->http->job->stall_sec);
        if (s->is_document)
                curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, (long)DOCUMENT_SEC);
        curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
}

static int add_header(struct http_stream *s, const char *name, const char *value)
{
        _cleanup_free_ char *line = text_printf("%s: %s", name, value);
        struct curl_slist *l = line ? curl_slist_append(s->headers, line) : NULL;

        if (!l)
                return -ENOMEM;
        s->headers = l;
        explicit_bzero(line, strlen(line));
        return 0;
}

static int set_request(struct http_stream *s, const struct http_ask *ask)
{
        CURL *c = s->easy;
        char range[32];
        int r = 0;

        curl_easy_setopt(c, CURLOPT_URL, ask->url->text);
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, ask->url->https ? "https" : "http");
        curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(c, CURLOPT_USERAGENT, "skiff/" SKIFF_VERSION);
        curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
        curl_easy_setopt(c, CURLOPT_NOBODY, ask->head ? 1L : 0L);
        if (ask->form)
                curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, ask->form);
        if (ask->authorization)
                r = add_header(s, "Authorization", ask->authorization);
        if (r == 0 && ask->accept)
                r = add_header(s, "Accept", ask->accept);
        if (ask->offset > 0) {
                snprintf(range, sizeof range, "%llu-", (unsigned long long)ask->offset);
                curl_easy_setopt(c, CURLOPT_RANGE, range);
        }
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, s->headers);
        return r;
}

static void set_callbacks(struct http_stream *s)
{
        CURL *c = s->easy;

        curl_easy_setopt(c, CURLOPT_PRIVATE, s);
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->curl_error);
        curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(c, CURLOPT_HEADERDATA, s);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, s);
        curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, s);
}

static int start(struct registry_http *h, const struct http_ask *ask,
                 const struct http_stream_events *events, struct http_stream **ret, struct err *err)
{
        _cleanup_(stream_freep)
        struct http_stream *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "ask '%s'", ask->url->host);
        s->http = h;
        s->is_document = !events;
        if (events)
                s->events = *events;
        s->body_max = events ? 64 << 10 : ask->body_max; /* what an error has to say */
        s->refuse_internal = ask->refuse_internal;
        s->tls = find_tls(h, ask);
        s->easy = curl_easy_init();
        r = s->easy ? registry_url_parse(ask->url->text, NULL, &s->url, err) : -ENOMEM;
        if (r == 0)
                r = set_request(s, ask);
        if (r == 0)
                r = set_tls(s);
        if (r < 0)
                return err_sys(err, r, "ask '%s'", ask->url->host);
        set_proxy(s);
        set_times(s);
        set_callbacks(s);
        if (curl_multi_add_handle(h->multi, s->easy) != CURLM_OK)
                return err_sys(err, -ENOMEM, "ask '%s'", ask->url->host);
        list_append(&h->streams, &s->node);
        *ret = TAKE_PTR(s);
        return 0;
}

int registry_http_stream(struct registry_http *h, const struct http_ask *ask,
                         const struct http_stream_events *events, struct http_stream **ret,
                         struct err *err)
{
        return start(h, ask, events, ret, err);
}

int http_stream_status(const struct http_stream *s)
{
        long status = 0;

        curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        return (int)status;
}

uint64_t http_stream_first_byte(const struct http_stream *s)
{
        return s->first_byte;
}

/* ---- how it ended ---- */

/* What libcurl says, sorted: nobody there, took too long, or will not work when tried again. */
static int explain(const struct http_stream *s, CURLcode code, struct err *err)
{
        const char *why = s->curl_error[0] ? s->curl_error : curl_easy_strerror(code);

        if (s->refused)
                return err_set_kind(err, -EACCES, ERR_IMAGE_PULL,
                                    "'%s' leads to an internal address of this node or its cloud",
                                    s->url.host);
        if (s->failure == -EFBIG)
                return err_set_kind(err, -EFBIG, ERR_TOO_MANY, "answer of '%s' is too large",
                                    s->url.host);
        if (s->failure < 0)
                return s->failure;
        switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
                return err_set_kind(err, -ETIMEDOUT, ERR_TIMEOUT, "'%s': %s", s->url.host, why);
        case CURLE_OUT_OF_MEMORY:
                return err_sys(err, -ENOMEM, "ask '%s'", s->url.host);
        case CURLE_COULDNT_CONNECT:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_HTTP2:
                return err_set_kind(err, -ECONNRESET, ERR_UNREACHABLE, "'%s': %s", s->url.host,
                                    why);
        default: /* names that do not resolve, certificates, nonsense instead of HTTP */
                return err_set_kind(err, -EIO, ERR_IMAGE_PULL, "'%s': %s", s->url.host, why);
        }
}

static void take_answer(struct http_stream *s, struct http_answer *out)
{
        *out = s->answer;
        s->answer = (struct http_answer){ 0 };
        out->status = http_stream_status(s);
        out->internal = s->internal;
        out->body_len = s->body.len;
        out->body = strbuf_take(&s->body);
}

static void finish(struct http_stream *s, CURLcode code)
{
        _cleanup_http_answer_ struct http_answer answer = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = code == CURLE_OK && s->failure == 0 ? 0 : explain(s, code, &err);

        take_answer(s, &answer);
        s->events.done(s, r, &answer, &err, s->events.userdata);
        stream_free(s);
}

/* Ends what has ended; 1 when @wanted is among it, which is left to the caller. */
static int dispatch(struct registry_http *h, const struct http_stream *wanted, CURLcode *ret)
{
        CURLMsg *m;
        int left, seen = 0;

        while ((m = curl_multi_info_read(h->multi, &left))) {
                struct http_stream *s = NULL;
                CURLcode code = m->data.result;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
                if (s == wanted) {
                        *ret = code;
                        seen = 1;
                } else {
                        finish(s, code);
                }
        }
        return seen;
}

int registry_http_get(struct registry_http *h, const struct http_ask *ask, struct http_answer *ret,
                      struct err *err)
{
        _cleanup_(stream_freep)
        struct http_stream *s = NULL;
        CURLcode code = CURLE_OK;
        int r = start(h, ask, NULL, &s, err), running;

        if (r < 0)
                return r;
        for (;;) {
                if (curl_multi_perform(h->multi, &running) != CURLM_OK)
                        return err_set(err, -EIO, "libcurl gave up");
                if (dispatch(h, s, &code))
                        break;
                curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
        }
        if (code != CURLE_OK || s->failure < 0)
                return explain(s, code, err);
        take_answer(s, ret);
        return ret->body ? 0 : err_sys(err, -ENOMEM, "ask '%s'", ask->url->host);
}

int registry_http_perform(struct registry_http *h, struct err *err)
{
        int running, ended = 0;
        CURLMsg *m;

        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
                return err_set(err, -EIO, "libcurl gave up");
        while ((m = curl_multi_info_read(h->multi, &running))) {
                struct http_stream *s = NULL;
                CURLcode code = m->data.result;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
                finish(s, code);
                ended++;
        }
        return ended;
}

int registry_http_wait(struct registry_http *h, struct pollfd *fds, size_t n_fds,
                       unsigned timeout_ms, struct err *err)
{
        struct curl_waitfd extra[32] = { 0 };

        if (n_fds > ARRAY_SIZE(extra))
                return err_set(err, -E2BIG, "too many descriptors to wait for");
        for (size_t i = 0; i < n_fds; i++) {
                extra[i].fd = fds[i].fd;
                extra[i].events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                                          (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
        }
        if (curl_multi_poll(h->multi, extra, (unsigned)n_fds, (int)timeout_ms, NULL) != CURLM_OK)
                return err_set(err, -EIO, "libcurl gave up");
        return 0;
}
