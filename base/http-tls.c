#include "base/http-tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/text.h"

enum {
        CERTIFICATE_MESSAGE_MAX = 32 * 1024, /* what a client may send before it is anybody */
        CERTIFICATE_DEPTH_MAX = 8,
        KEY_BITS_MAX = 8192, /* verifying with a huge key is a cheap way to burn our time */
        ORGS_MAX = 64,
};

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* of TLS 1.2: forward secrecy and AEAD */

/* What tells one version of a file from the next without reading it. */
struct file_stamp {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec mtime;
        bool exists;
};

enum tls_file { FILE_CERT, FILE_KEY, FILE_CLIENT_CA, _FILE_MAX };

struct http_tls {
        char *paths[_FILE_MAX]; /* owned; FILE_CLIENT_CA may be NULL */
        struct file_stamp stamps[_FILE_MAX];
        int min_version; /* TLS1_2_VERSION or TLS1_3_VERSION */
        char *ciphers;   /* owned; OpenSSL's list for TLS 1.2; NULL: CIPHERS */
        SSL_CTX *ctx; /* owned; sessions hold references of their own; NULL: it awaits its files */
        uint64_t ca_generation;
        bool ca_changed;    /* since ctx was loaded */
        usec_t looked_usec; /* when the stamps were compared last */
};

static struct file_stamp stamp_of(const char *path)
{
        struct stat st;

        if (!path || stat(path, &st) < 0)
                return (struct file_stamp){ 0 };
        return (struct file_stamp){
                .dev = st.st_dev,
                .ino = st.st_ino,
                .size = st.st_size,
                .mtime = st.st_mtim,
                .exists = true,
        };
}

static bool stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
        return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino &&
               a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
               a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static int ssl_error(struct err *err, const char *what, const char *path)
{
        unsigned long code = ERR_peek_error(); /* the first one is the cause */
        const char *reason = ERR_reason_error_string(code);

        if (ERR_GET_LIB(code) == ERR_LIB_SYS)
                reason = strerror(ERR_GET_REASON(code));
        else if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
                reason = "expected PEM, and found no block of it";

        ERR_clear_error();
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s '%s': %s", what, path,
                            reason ? reason : "not usable");
}

/*
 * A client's chain is verified, but a bad one does not end the handshake: the client is then
 * nobody, may still have a token, and gets its 401 in a form that it can show. Only what would
 * cost us too much is refused here.
 */
static int verify_client(X509_STORE_CTX *store, void _unused_ *arg)
{
        STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);

        for (int i = 0; i < sk_X509_num(chain); i++) {
                EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(chain, i));

                if (!key || EVP_PKEY_get_bits(key) > KEY_BITS_MAX) {
                        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
                        return 0;
                }
        }
        (void)X509_verify_cert(store); /* the session keeps the outcome as its verify result */
        return 1;
}

static int select_alpn(SSL _unused_ *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void _unused_ *arg)
{
        static const unsigned char http11[] = "\x08http/1.1";
        unsigned char *selected;

        if (SSL_select_next_proto(&selected, out_len, http11, sizeof http11 - 1, in, in_len) !=
            OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        *out = selected;
        return SSL_TLSEXT_ERR_OK;
}

static int configure(const struct http_tls *t, SSL_CTX *ctx)
{
        SSL_CTX_set_min_proto_version(ctx, t->min_version);
        if (SSL_CTX_set_cipher_list(ctx, t->ciphers ? t->ciphers : CIPHERS) != 1)
                return -ENOMEM;
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_MESSAGE_MAX);
        SSL_CTX_set_verify_depth(ctx, CERTIFICATE_DEPTH_MAX);
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, verify_client, NULL);
        return 0;
}

static int load_client_ca(SSL_CTX *ctx, const char *path, struct err *err)
{
        X509_STORE *store = SSL_CTX_get_cert_store(ctx);

        if (!path)
                return 0;
        if (X509_STORE_load_file(store, path) != 1)
                return ssl_error(err, "client CA", path);
        /* Every certificate of the bundle is an anchor, self-signed or not. */
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
        return 0;
}

static void free_ctx(SSL_CTX **ctx)
{
        SSL_CTX_free(*ctx);
}

static int load(const struct http_tls *t, SSL_CTX **ret, struct err *err)
{
        _cleanup_(free_ctx)
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        int r;

        if (!ctx || configure(t, ctx) < 0)
                return -ENOMEM;
        ERR_clear_error();
        if (SSL_CTX_use_certificate_chain_file(ctx, t->paths[FILE_CERT]) != 1)
                return ssl_error(err, "serving certificate", t->paths[FILE_CERT]);
        if (SSL_CTX_use_PrivateKey_file(ctx, t->paths[FILE_KEY], SSL_FILETYPE_PEM) != 1)
                return ssl_error(err, "key of the serving certificate", t->paths[FILE_KEY]);
        r = load_client_ca(ctx, t->paths[FILE_CLIENT_CA], err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ctx);
        return 0;
}

int http_tls_reload(struct http_tls *t, struct err *err)
{
        struct file_stamp now[_FILE_MAX];
        bool changed = false;
        SSL_CTX *ctx;
        int r;

        for (int i = 0; i < _FILE_MAX; i++) {
                now[i] = stamp_of(t->paths[i]);
                changed |= !stamp_equal(&now[i], &t->stamps[i]);
        }
        if (!changed)
                return 0;
        t->ca_changed |= !stamp_equal(&now[FILE_CLIENT_CA], &t->stamps[FILE_CLIENT_CA]);
        /* Noted also when loading fails, so that the same bad files are complained about once. */
        memcpy(t->stamps, now, sizeof now);
        r = load(t, &ctx, err);
        if (r < 0)
                return r;
        SSL_CTX_free(t->ctx);
        t->ctx = ctx;
        t->ca_generation += t->ca_changed;
        t->ca_changed = false;
        return 1;
}

static void look_at_files(struct http_tls *t)
{
        _cleanup_err_ struct err err = { 0 };
        usec_t now = now_monotonic();
        int r;

        if (now - t->looked_usec < USEC_PER_SEC)
                return;
        t->looked_usec = now;
        r = http_tls_reload(t, &err);
        if (r < 0)
                log_warn(0, "Keeping the certificates in use: %s", err_text(&err));
        else if (r > 0)
                log_info("Read serving certificate '%s' and client CA anew", t->paths[FILE_CERT]);
}

static int make(const char *cert_file, const char *key_file, const char *client_ca_file,
                bool may_come_later, struct http_tls **ret, struct err *err)
{
        _cleanup_(http_tls_freep)
        struct http_tls *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return -ENOMEM;
        t->min_version = TLS1_2_VERSION;
        t->paths[FILE_CERT] = strdup(cert_file);
        t->paths[FILE_KEY] = strdup(key_file);
        t->paths[FILE_CLIENT_CA] = strdup_null(client_ca_file);
        if (!t->paths[FILE_CERT] || !t->paths[FILE_KEY] ||
            (client_ca_file && !t->paths[FILE_CLIENT_CA]))
                return -ENOMEM;
        for (int i = 0; i < _FILE_MAX; i++)
                t->stamps[i] = stamp_of(t->paths[i]);
        r = may_come_later && !t->stamps[FILE_CERT].exists ? 0 : load(t, &t->ctx, err);
        if (r < 0)
                return r;
        t->looked_usec = now_monotonic();
        *ret = TAKE_PTR(t);
        return 0;
}

int http_tls_new(const char *cert_file, const char *key_file, const char *client_ca_file,
                 struct http_tls **ret, struct err *err)
{
        return make(cert_file, key_file, client_ca_file, false, ret, err);
}

int http_tls_new_awaiting(const char *cert_file, const char *key_file, const char *client_ca_file,
                          struct http_tls **ret, struct err *err)
{
        return make(cert_file, key_file, client_ca_file, true, ret, err);
}

/* OpenSSL's list of those @suites that have forward secrecy and an AEAD cipher. */
static char *cipher_list(const char *const *suites)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        for (; *suites; suites++) {
                const char *kind = startswith(*suites, "TLS_ECDHE_");
                const char *name = *suites;
                _cleanup_free_ char *longer = NULL;

                if (kind && endswith(kind, "_CHACHA20_POLY1305")) { /* Go's older name */
                        longer = text_printf("%s_SHA256", *suites);
                        name = longer ? longer : *suites;
                }
                if (kind && (strstr(kind, "_GCM_") || strstr(kind, "_POLY1305")))
                        strbuf_addf(&b, "%s%s", b.len > 0 ? ":" : "", OPENSSL_cipher_name(name));
                else
                        log_warn(0, "Cipher suite '%s' is not offered", *suites);
        }
        return strbuf_take(&b);
}

int http_tls_restrict(struct http_tls *t, const char *min_version, const char *const *suites,
                      struct err *err)
{
        SSL_CTX *ctx;
        int r;

        if (min_version && streq(min_version, "VersionTLS13"))
                t->min_version = TLS1_3_VERSION;
        else if (min_version && !streq(min_version, "VersionTLS12"))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "minimum TLS version '%s': expected VersionTLS12 or "
                                    "VersionTLS13",
                                    min_version);
        if (suites && suites[0]) {
                free(t->ciphers);
                t->ciphers = cipher_list(suites);
                ctx = t->ciphers ? SSL_CTX_new(TLS_server_method()) : NULL;
                r = ctx && SSL_CTX_set_cipher_list(ctx, t->ciphers) == 1 ? 0 : -EINVAL;
                SSL_CTX_free(ctx);
                ERR_clear_error();
                if (r < 0)
                        return err_set_kind(err, r, ERR_BAD_INPUT,
                                            "cipher suites '%s' and others: expected an ECDHE "
                                            "suite with GCM or POLY1305 among them",
                                            suites[0]);
        }
        if (!t->ctx) /* it will be loaded so */
                return 0;
        r = load(t, &ctx, err);
        if (r < 0)
                return r;
        SSL_CTX_free(t->ctx);
        t->ctx = ctx;
        return 0;
}

struct http_tls *http_tls_free(struct http_tls *t)
{
        if (!t)
                return NULL;
        for (int i = 0; i < _FILE_MAX; i++)
                free(t->paths[i]);
        free(t->ciphers);
        SSL_CTX_free(t->ctx);
        free(t);
        return NULL;
}

SSL *http_tls_session(struct http_tls *t)
{
        SSL *ssl;

        look_at_files(t);
        ssl = t->ctx ? SSL_new(t->ctx) : NULL;
        if (ssl)
                SSL_set_accept_state(ssl);
        return ssl;
}

uint64_t http_tls_ca_generation(struct http_tls *t)
{
        look_at_files(t);
        return t->ca_generation;
}

void http_identity_done(struct http_identity *i)
{
        free(i->cn);
        strv_free(i->orgs);
        *i = (struct http_identity){ 0 };
}

/* The UTF-8 text of a name's entry. -EINVAL when it is empty or holds a NUL. */
static int entry_text(const X509_NAME_ENTRY *entry, char **ret)
{
        unsigned char *utf8 = NULL;
        int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)), r = -EINVAL;

        if (n > 0 && strlen((char *)utf8) == (size_t)n) {
                *ret = strdup((char *)utf8);
                r = *ret ? 0 : -ENOMEM;
        }
        OPENSSL_free(utf8);
        return r;
}

static int add_org(struct http_identity *i, const X509_NAME_ENTRY *entry)
{
        char *org;
        int r = entry_text(entry, &org);

        if (r < 0)
                return r;
        return strv_consume(&i->orgs, org);
}

static int read_subject(const X509_NAME *name, struct http_identity *i)
{
        int n_cn = 0, n_orgs = 0, r = 0;

        for (int n = 0; n < X509_NAME_entry_count(name) && r == 0; n++) {
                X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, n);
                int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));

                if (nid == NID_commonName && ++n_cn == 1)
                        r = entry_text(entry, &i->cn);
                else if (nid == NID_organizationName && ++n_orgs <= ORGS_MAX)
                        r = add_org(i, entry);
        }
        /* Two names are no name, and a part of the groups is not who was meant. */
        if (r < 0 || n_cn != 1 || n_orgs > ORGS_MAX)
                http_identity_done(i);
        return r == -ENOMEM ? r : 0;
}

int http_tls_identity(SSL *ssl, struct http_identity *ret)
{
        X509 *certificate = SSL_get0_peer_certificate(ssl);

        *ret = (struct http_identity){ 0 };
        if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
                return 0;
        return read_subject(X509_get_subject_name(certificate), ret);
}
