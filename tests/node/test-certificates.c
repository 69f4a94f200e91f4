/* Certificates asked for from an API server: approved, denied, removed, lost, and renewed. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "kubelet/certificate-manager.h"
#include "kubelet/certificate-store.h"
#include "kubelet/credentials.h"
#include "tests/check.h"
#include "tests/node/fake.h"

#define REQUESTS "/apis/certificates.k8s.io/v1/certificatesigningrequests"

struct run {
        sd_event *event;
        struct fake *api;
        struct kube_session *session;
        char dir[32], *changed;
        unsigned n_changed;
};

static const char *const names[] = { "n1", NULL }, *const addresses[] = { "127.0.0.1", NULL };

static void on_changed(const char *path, void *userdata)
{
        struct run *r = userdata;

        r->n_changed++;
        free_and_strdup(&r->changed, path);
}

static void begin(struct run *r)
{
        _cleanup_err_ struct err err = { 0 };
        struct kube_config config;

        *r = (struct run){ .api = fake_start("apiserver.py", NULL), .dir = "/tmp/cert.XXXXXX" };
        CHECK(mkdtemp(r->dir));
        config = (struct kube_config){ .server = r->api->url };
        CHECK(sd_event_new(&r->event) >= 0);
        if (kube_session_new(r->event, &config, "skiffd/test", &r->session, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        kube_session_free(r->session);
        sd_event_unref(r->event);
        fake_stop(r->api);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, r->dir), 0);
        free(r->changed);
}

static struct certificate_manager *manage(struct run *r, enum certificate_purpose purpose)
{
        const struct certificate_manager_options o = {
                .purpose = purpose,
                .dir = r->dir,
                .node_name = "n1",
                .dns_names = purpose == CERTIFICATE_SERVING ? names : NULL,
                .addresses = purpose == CERTIFICATE_SERVING ? addresses : NULL,
                .session = r->session,
                .on_changed = on_changed,
                .userdata = r,
        };
        struct certificate_manager *m = NULL;
        _cleanup_err_ struct err err = { 0 };

        if (certificate_manager_new(&o, &m, &err) < 0)
                fail_msg("%s", err_text(&err));
        return m;
}

/* The newest request that nobody has answered; new reference, NULL: none. */
static json_t *pending(struct run *r)
{
        json_auto_t *list = fake_ask(r->api, "GET", REQUESTS, NULL);
        const json_t *items = json_object_get(list, "items"), *o;
        size_t i;

        json_array_foreach (items, i, o)
                if (!json_object_get(o, "status"))
                        return json_incref((json_t *)o);
        return NULL;
}

/* A certificate for @request (base64 of PEM) that lives from @from to @to seconds from now; base64.
 */
static char *sign(const char *request, long from, long to)
{
        _cleanup_free_ uint8_t *pem = NULL;
        EVP_PKEY *ca = EVP_EC_gen("P-256");
        X509_NAME *issuer = X509_NAME_new();
        STACK_OF(X509_EXTENSION) * list;
        BIO *in, *out = BIO_new(BIO_s_mem());
        X509 *x = X509_new();
        X509_REQ *q;
        char *data, *text;
        size_t n;

        CHECK_INT(base64_decode(request, strlen(request), &pem, &n), 0);
        in = BIO_new_mem_buf(pem, (int)n);
        q = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
        CHECK(q && X509_REQ_verify(q, X509_REQ_get0_pubkey(q)) == 1);
        X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, (const unsigned char *)"ca", -1, -1,
                                   0);
        X509_set_version(x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
        X509_gmtime_adj(X509_getm_notBefore(x), from);
        X509_gmtime_adj(X509_getm_notAfter(x), to);
        X509_set_subject_name(x, X509_REQ_get_subject_name(q));
        X509_set_issuer_name(x, issuer);
        X509_set_pubkey(x, X509_REQ_get0_pubkey(q));
        list = X509_REQ_get_extensions(q);
        for (int i = 0; i < sk_X509_EXTENSION_num(list); i++)
                X509_add_ext(x, sk_X509_EXTENSION_value(list, i), -1);
        CHECK(X509_sign(x, ca, EVP_sha256()) > 0);
        PEM_write_bio_X509(out, x);
        n = (size_t)BIO_get_mem_data(out, &data);
        text = base64_encode(data, n);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        X509_NAME_free(issuer);
        X509_REQ_free(q);
        X509_free(x);
        EVP_PKEY_free(ca);
        BIO_free(in);
        BIO_free(out);
        return text;
}

static void set_status(struct run *r, const json_t *request, const char *status)
{
        const char *name = json_text_at(json_object_get(request, "metadata"), "name");
        _cleanup_free_ char *path = text_printf(REQUESTS "/%s/status", name);
        json_auto_t *o = json_deep_copy(request), *answer = NULL;
        _cleanup_free_ char *text = NULL;

        json_object_set_new(o, "status", json_loads(status, 0, NULL));
        text = json_dumps(o, JSON_COMPACT);
        answer = fake_ask(r->api, "PUT", path, "%s", text);
        CHECK(json_object_get(answer, "metadata"));
}

static void issue(struct run *r, const json_t *request, long from, long to)
{
        const char *pem = json_text_at(json_object_get(request, "spec"), "request");
        _cleanup_free_ char *certificate = sign(pem, from, to);
        _cleanup_free_ char *status = text_printf("{\"conditions\":[{\"type\":\"Approved\","
                                                  "\"status\":\"True\"}],\"certificate\":\"%s\"}",
                                                  certificate);

        set_status(r, request, status);
}

static json_t *wait_for_request(struct run *r)
{
        json_t *request = NULL;

        RUN_UNTIL(r->event, (request = pending(r)));
        return request;
}

TEST(a_request_that_is_approved_becomes_the_current_certificate)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL;
        _cleanup_free_ char *path = NULL;
        char target[256] = "";
        struct stat st;
        struct run r;
        int before;

        begin(&r);
        m = manage(&r, CERTIFICATE_SERVING);
        request = wait_for_request(&r);
        run_for(r.event, 200 * USEC_PER_MSEC);
        CHECK_INT(r.n_changed, 0);
        issue(&r, request, -60, 3600);
        RUN_UNTIL(r.event, r.n_changed == 1);
        path = certificate_store_path(r.dir, "kubelet-server");
        CHECK_STR(r.changed, path);
        CHECK(readlink(path, target, sizeof target - 1) > 0);
        CHECK_CONTAINS(target, "/kubelet-server-20");
        CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
        CHECK(certificate_manager_counts(m)->not_after > now_realtime());
        CHECK_INT(certificate_manager_counts(m)->renew_errors, 0);
        certificate_manager_free(m);

        /* it is still good for who comes after us */
        before = fake_count(r.api, REQUESTS, NULL);
        m = manage(&r, CERTIFICATE_SERVING);
        run_for(r.event, 300 * USEC_PER_MSEC);
        CHECK_INT(fake_count(r.api, REQUESTS, NULL), before);
        certificate_manager_free(m);
        finish(&r);
}

TEST(a_certificate_near_its_end_is_renewed_at_once_and_its_age_is_counted)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL, *next = NULL;
        struct run r;

        begin(&r);
        m = manage(&r, CERTIFICATE_CLIENT);
        request = wait_for_request(&r);
        issue(&r, request, -3600, 60);
        RUN_UNTIL(r.event, r.n_changed == 1);
        certificate_manager_free(m);
        m = manage(&r, CERTIFICATE_CLIENT); /* one that is due is asked for 10 s after the start */
        for (int i = 0; i < 150 && !next; i++) {
                run_for(r.event, 100 * USEC_PER_MSEC);
                next = pending(&r);
        }
        CHECK(next);
        issue(&r, next, -60, 3600);
        RUN_UNTIL(r.event, r.n_changed == 2);
        CHECK_INT(certificate_manager_counts(m)->n_replaced, 1);
        CHECK_INT(certificate_manager_counts(m)->ages[2], 1); /* an hour and more */
        certificate_manager_free(m);
        finish(&r);
}

TEST(a_denied_request_is_made_anew_after_a_pause)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL, *next = NULL;
        struct run r;

        begin(&r);
        m = manage(&r, CERTIFICATE_CLIENT);
        request = wait_for_request(&r);
        set_status(&r, request, "{\"conditions\":[{\"type\":\"Denied\",\"reason\":\"no\"}]}");
        RUN_UNTIL(r.event, certificate_manager_counts(m)->renew_errors == 1);
        next = wait_for_request(&r);
        issue(&r, next, -60, 3600);
        RUN_UNTIL(r.event, r.n_changed == 1);
        certificate_manager_free(m);
        finish(&r);
}

TEST(a_request_that_somebody_removed_is_made_anew)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL, *next = NULL, *gone = NULL;
        _cleanup_free_ char *path = NULL;
        struct run r;

        begin(&r);
        m = manage(&r, CERTIFICATE_CLIENT);
        request = wait_for_request(&r);
        run_for(r.event, 200 * USEC_PER_MSEC);
        path = text_printf(REQUESTS "/%s",
                           json_text_at(json_object_get(request, "metadata"), "name"));
        gone = fake_ask(r.api, "DELETE", path, NULL);
        RUN_UNTIL(r.event, certificate_manager_counts(m)->renew_errors == 1);
        next = wait_for_request(&r);
        certificate_manager_free(m);
        finish(&r);
}

TEST(a_certificate_for_another_key_is_not_taken)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL;
        _cleanup_free_ char *key = NULL, *other = NULL, *encoded = NULL, *path = NULL;
        const struct certificate_subject subject = { .common_name = "system:node:n1" };
        struct run r;

        begin(&r);
        m = manage(&r, CERTIFICATE_CLIENT);
        request = wait_for_request(&r);
        CHECK_INT(certificate_request_make(&subject, &key, &other, NULL), 0);
        encoded = base64_encode(other, strlen(other));
        json_object_set_new(json_object_get(request, "spec"), "request", json_string(encoded));
        issue(&r, request, -60, 3600);
        RUN_UNTIL(r.event, certificate_manager_counts(m)->renew_errors == 1);
        CHECK_INT(r.n_changed, 0);
        path = certificate_store_path(r.dir, "kubelet-client");
        CHECK(faccessat(AT_FDCWD, path, F_OK, 0) < 0);
        certificate_manager_free(m);
        finish(&r);
}

TEST(an_api_server_that_is_away_is_asked_again)
{
        struct certificate_manager *m;
        json_auto_t *request = NULL;
        struct run r;

        begin(&r);
        fake_control(r.api,
                     "{\"op\":\"fault\",\"match\":{\"method\":\"POST\"},\"action\":\"close\","
                     "\"times\":2}");
        m = manage(&r, CERTIFICATE_CLIENT);
        request = wait_for_request(&r);
        CHECK(certificate_manager_counts(m)->renew_errors > 0);
        certificate_manager_free(m);
        finish(&r);
}

TEST(nothing_is_left_of_a_manager_whatever_it_was_doing)
{
        json_auto_t *request = NULL;
        struct certificate_manager *m;
        struct run r;
        int before;

        begin(&r);
        before = count_descriptors();
        for (int i = 0; i < 20; i++) {
                m = manage(&r, CERTIFICATE_CLIENT);
                run_for(r.event, (usec_t)i * 3 * USEC_PER_MSEC);
                certificate_manager_free(m);
        }
        request = wait_for_request(&r);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK(count_descriptors() <= before + 8); /* curl's connections */
        finish(&r);
}

/* ---- the kubeconfig of a node that joins ---- */

static void put_file(const struct run *r, const char *name, const char *text)
{
        _cleanup_free_ char *path = text_printf("%s/%s", r->dir, name);

        CHECK_INT(fs_replace_at(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
}

static char *bootstrap_text(const struct run *r)
{
        return text_printf(
                "{\"apiVersion\":\"v1\",\"kind\":\"Config\",\"current-context\":\"c\","
                "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"%s\"}}],"
                "\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"abcdef.0123456789abcdef\"}}],"
                "\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\"}}]}",
                r->api->url);
}

static struct credentials *join(struct run *r, bool rotate, struct err *err)
{
        _cleanup_free_ char *kubeconfig = text_printf("%s/kubelet.conf", r->dir);
        _cleanup_free_ char *bootstrap = text_printf("%s/bootstrap.conf", r->dir);
        const struct credentials_options o = { .event = r->event,
                                               .kubeconfig = kubeconfig,
                                               .bootstrap_kubeconfig = bootstrap,
                                               .cert_dir = r->dir,
                                               .node_name = "n1",
                                               .user_agent = "skiffd/test",
                                               .rotate = rotate };
        struct credentials *c = NULL;

        return credentials_new(&o, &c, err) < 0 ? NULL : c;
}

TEST(a_node_that_joins_writes_its_kubeconfig_and_is_known_by_its_certificate_afterwards)
{
        _cleanup_free_ char *bootstrap = NULL, *path = NULL, *text = NULL, *pem = NULL;
        json_auto_t *request = NULL, *config = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct credentials *c;
        const json_t *user;
        struct run r;

        begin(&r);
        bootstrap = bootstrap_text(&r);
        put_file(&r, "bootstrap.conf", bootstrap);
        c = join(&r, true, &err);
        if (!c)
                fail_msg("%s", err_text(&err));
        path = text_printf("%s/kubelet.conf", r.dir);
        CHECK_INT(fs_read_at(AT_FDCWD, path, 65536, &text, NULL), 0);
        config = json_loads(text, 0, NULL);
        CHECK_STR(json_text_at(config, "current-context"), "default-context");
        user = json_path(json_array_get(json_object_get(config, "users"), 0), "user", NULL);
        pem = certificate_store_path(r.dir, "kubelet-client");
        CHECK_STR(json_text_at(user, "client-certificate"), pem);
        CHECK_STR(json_text_at(user, "client-key"), pem);
        request = wait_for_request(&r);
        CHECK_STR(json_text_at(json_object_get(request, "spec"), "signerName"),
                  "kubernetes.io/kube-apiserver-client-kubelet");
        issue(&r, request, -60, 3600);
        RUN_UNTIL(r.event, credentials_counts(c)->not_after > 0);
        credentials_free(c);

        /* from now on the kubeconfig is enough, and no more is asked for */
        put_file(&r, "bootstrap.conf", "nonsense");
        c = join(&r, false, &err);
        if (!c)
                fail_msg("%s", err_text(&err));
        CHECK(!credentials_counts(c));
        credentials_free(c);
        finish(&r);
}

TEST(a_bootstrap_kubeconfig_that_is_none_is_refused_with_its_name)
{
        _cleanup_err_ struct err err = { 0 };
        struct run r;

        begin(&r);
        put_file(&r, "bootstrap.conf", "nonsense");
        CHECK(!join(&r, true, &err));
        CHECK_CONTAINS(err_text(&err), "bootstrap.conf");
        finish(&r);
}
