#include "kubelet/dns.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define NAMESERVERS_MAX   3
#define SEARCHES_MAX      32
#define SEARCH_LINE_MAX   2048
#define SEARCH_DOMAIN_MAX 253
#define BLANKS            " \t\r\v\f"

struct resolver {
        char **nameservers, **searches, **options; /* owned */
};

static void resolver_done(struct resolver *r)
{
        strv_free(r->nameservers);
        strv_free(r->searches);
        strv_free(r->options);
}

static int add_once(char ***v, const char *s)
{
        return strv_contains(*v, s) ? 0 : strv_append(v, s);
}

static size_t option_name_length(const char *option)
{
        return strcspn(option, ":");
}

/* A later option of the same name takes the place of the earlier one. */
static int set_option(char ***options, const char *option)
{
        size_t n = option_name_length(option);

        STRV_FOREACH (o, *options)
                if (option_name_length(*o) == n && strncmp(*o, option, n) == 0) {
                        char *copy = strdup(option);

                        if (!copy)
                                return -ENOMEM;
                        free(*o);
                        *(char **)o = copy;
                        return 0;
                }
        return strv_append(options, option);
}

/* ---- the node's file ---- */
static int read_searches(struct resolver *r, char *const *words)
{
        r->searches = strv_free(r->searches); /* the last such line counts */
        STRV_FOREACH (w, words) {
                size_t n = strlen(*w);
                int k;

                if (streq(*w, "."))
                        continue;
                if ((*w)[n - 1] == '.')
                        (*w)[n - 1] = '\0';
                k = strv_append(&r->searches, *w);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int read_line(struct resolver *r, const char *line)
{
        _cleanup_strv_ char **words = NULL;
        int k = strv_split(line, BLANKS, &words);

        if (k < 0 || strv_len(words) < 1 || words[0][0] == '#')
                return k < 0 ? k : 0;
        if (streq(words[0], "search"))
                return read_searches(r, words + 1);
        if (streq(words[0], "nameserver") && words[1])
                return strv_append(&r->nameservers, words[1]);
        if (streq(words[0], "options"))
                STRV_FOREACH (w, words + 1) {
                        k = set_option(&r->options, *w);
                        if (k < 0)
                                return k;
                }
        return 0;
}

static int read_node(struct resolver *r, const char *text)
{
        _cleanup_strv_ char **lines = NULL;
        int k = strv_split(text, "\n", &lines);

        STRV_FOREACH (line, lines) {
                if (k == 0)
                        k = read_line(r, *line);
        }
        return k;
}

/* ---- by policy ---- */
static bool wants_cluster(const struct pod *pod)
{
        return pod->dns_policy == POD_DNS_CLUSTER_FIRST_WITH_HOST_NET ||
               (pod->dns_policy == POD_DNS_CLUSTER_FIRST && !pod->host_network);
}

bool pod_dns_misses_cluster(const struct pod *pod, const struct dns_node *node)
{
        return wants_cluster(pod) && strv_len(node->cluster_dns) == 0;
}

static int add_cluster_searches(char ***searches, const char *namespace, const char *domain)
{
        _cleanup_free_ char *own = text_printf("%s.svc.%s", namespace, domain);
        _cleanup_free_ char *svc = text_printf("svc.%s", domain);
        int r;

        if (!own || !svc)
                return -ENOMEM;
        r = add_once(searches, own);
        if (r == 0)
                r = add_once(searches, svc);
        return r < 0 ? r : add_once(searches, domain);
}

/* The node's options are dropped, its search list comes after the cluster's. */
static int use_cluster(struct resolver *r, const struct pod *pod, const struct dns_node *node)
{
        _cleanup_strv_ char **node_searches = TAKE_PTR(r->searches);
        int k = 0;

        r->nameservers = strv_free(r->nameservers);
        r->options = strv_free(r->options);
        STRV_FOREACH (ip, node->cluster_dns) {
                if (k == 0)
                        k = strv_append(&r->nameservers, *ip);
        }
        if (k == 0 && *node->cluster_domain)
                k = add_cluster_searches(&r->searches, pod->namespace, node->cluster_domain);
        STRV_FOREACH (s, node_searches) {
                if (k == 0)
                        k = add_once(&r->searches, *s);
        }
        return k < 0 ? k : strv_append(&r->options, "ndots:5");
}

static int use_nothing(struct resolver *r)
{
        int k = strv_append(&r->nameservers, "127.0.0.1");

        return k < 0 ? k : strv_append(&r->searches, ".");
}

static int start_from_policy(struct resolver *r, const struct pod *pod, const struct dns_node *node)
{
        int k = 0;

        if (pod->dns_policy == POD_DNS_NONE)
                return 0;
        if (node->resolv_conf_text)
                k = read_node(r, node->resolv_conf_text);
        if (k == 0 && wants_cluster(pod) && strv_len(node->cluster_dns) > 0)
                return use_cluster(r, pod, node);
        if (k == 0 && !node->resolv_conf_text)
                return use_nothing(r);
        return k;
}

/* ---- the pod's own dnsConfig ---- */
static int check_words(char *const *words, const char *field, struct err *err)
{
        STRV_FOREACH (w, words) {
                bool bad = **w == '\0';

                for (const char *p = *w; *p; p++)
                        bad = bad || (unsigned char)*p <= ' ' || *p == 0x7f;
                if (bad)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "spec: dnsConfig: %s: '%s': expected a word without "
                                            "blanks and control characters",
                                            field, *w);
        }
        return 0;
}

static int add_options(struct resolver *r, const struct pod *pod)
{
        for (size_t i = 0; i < pod->n_dns_options; i++) {
                const struct pod_string_pair *o = &pod->dns_options[i];
                bool has_value = o->value && *o->value;
                _cleanup_free_ char *text = text_printf("%s%s%s", o->name ? o->name : "",
                                                        has_value ? ":" : "",
                                                        has_value ? o->value : "");
                int k = text ? set_option(&r->options, text) : -ENOMEM;

                if (k < 0)
                        return k;
        }
        return 0;
}

static int add_config(struct resolver *r, const struct pod *pod)
{
        int k = 0;

        STRV_FOREACH (s, pod->dns_nameservers) {
                if (k == 0)
                        k = add_once(&r->nameservers, *s);
        }
        STRV_FOREACH (s, pod->dns_searches) {
                if (k == 0)
                        k = add_once(&r->searches, *s);
        }
        return k < 0 ? k : add_options(r, pod);
}

static int check_config(const struct resolver *r, struct err *err)
{
        int k = check_words(r->nameservers, "nameservers", err);

        if (k == 0)
                k = check_words(r->searches, "searches", err);
        return k < 0 ? k : check_words(r->options, "options", err);
}

/* ---- limits ---- */
static int warn(char ***warnings, const char *fmt, char *const *words)
{
        _cleanup_free_ char *line = strv_join(words, " ");

        return line ? strv_consume(warnings, text_printf("%s%s", fmt, line)) : -ENOMEM;
}

static void cut_from(char **v, size_t n)
{
        for (char **p = v + n; *p; p++) {
                free(*p);
                *p = NULL;
        }
}

static int limit_nameservers(struct resolver *r, char ***warnings)
{
        if (strv_len(r->nameservers) <= NAMESERVERS_MAX)
                return 0;
        cut_from(r->nameservers, NAMESERVERS_MAX);
        return warn(warnings,
                    "Nameserver limits were exceeded, some nameservers have been omitted, the "
                    "applied nameserver line is: ",
                    r->nameservers);
}

/* Some resolvers abort on a domain that is too long: it goes even where the list is short. */
static bool drop_long_domains(char **searches)
{
        char **to = searches;
        bool dropped = false;

        for (char **from = searches; from && *from; from++) {
                if (strlen(*from) <= SEARCH_DOMAIN_MAX) {
                        *to++ = *from;
                        continue;
                }
                free(*from);
                dropped = true;
        }
        if (to)
                *to = NULL;
        return dropped;
}

static int limit_searches(struct resolver *r, char ***warnings)
{
        bool exceeded = strv_len(r->searches) > SEARCHES_MAX;
        size_t length = 0, n = 0;

        if (exceeded)
                cut_from(r->searches, SEARCHES_MAX);
        exceeded = drop_long_domains(r->searches) || exceeded;
        STRV_FOREACH (s, r->searches) {
                length += strlen(*s) + (n > 0);
                if (length > SEARCH_LINE_MAX) {
                        cut_from(r->searches, n);
                        exceeded = true;
                        break;
                }
                n++;
        }
        if (!exceeded)
                return 0;
        return warn(warnings,
                    "Search Line limits were exceeded, some search paths have been omitted, the "
                    "applied search line is: ",
                    r->searches);
}

static char *format(const struct resolver *r)
{
        _cleanup_free_ char *searches = strv_join(r->searches, " ");
        _cleanup_free_ char *options = strv_join(r->options, " ");
        struct strbuf b = { 0 };

        if (strv_len(r->searches) > 0)
                strbuf_addf(&b, "search %s\n", searches ? searches : "");
        STRV_FOREACH (ip, r->nameservers)
                strbuf_addf(&b, "nameserver %s\n", *ip);
        if (strv_len(r->options) > 0)
                strbuf_addf(&b, "options %s\n", options ? options : "");
        return strbuf_take(&b);
}

int pod_resolv_conf(const struct pod *pod, const struct dns_node *node, char **ret,
                    char ***ret_warnings, struct err *err)
{
        _cleanup_(resolver_done)
        struct resolver r = { 0 };
        _cleanup_strv_ char **warnings = NULL;
        char *text = NULL;
        int k = start_from_policy(&r, pod, node);

        if (k == 0)
                k = add_config(&r, pod);
        if (k < 0)
                return err_sys(err, k, "make resolv.conf");
        k = check_config(&r, err);
        if (k < 0)
                return k;
        k = limit_nameservers(&r, &warnings);
        if (k == 0)
                k = limit_searches(&r, &warnings);
        text = k == 0 ? format(&r) : NULL;
        if (!text)
                return err_sys(err, -ENOMEM, "make resolv.conf");
        *ret = text;
        *ret_warnings = TAKE_PTR(warnings);
        return 0;
}
