/*
 * Theory of operation. Each table has two maps from protocol and port (and, in the first, the
 * host's address) to the pod's address and port, which one chain looks up for whatever is addressed
 * to the host, from outside (prerouting) or from here (output). A pod that reaches itself by the
 * host's address would get packets from its own address, which it drops: those are masqueraded.
 *
 * A sandbox that comes or goes is a few elements in one transaction. When the kernel says that the
 * table is not what we left (somebody flushed it), or a notification says so, all of it is made
 * anew, in one transaction too.
 */
#include "runtime/host-port.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/log.h"
#include "base/nft.h"
#include "base/text.h"

enum { PRIORITY_DSTNAT = -100, PRIORITY_SRCNAT = 100 };

/* What differs between the two families. */
struct family {
        int nf;         /* NFPROTO_… */
        uint8_t af;     /* AF_… */
        unsigned words; /* registers of an address */
        struct nft_set exact, any, own;
};
static const struct family families[] = {
        {
                .nf = NFPROTO_IPV4,
                .af = AF_INET,
                .words = 1,
                .exact = { .name = "address-ports",
                           .key = { NFT_FIELD_IPV4, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT },
                           .data = { NFT_FIELD_IPV4, NFT_FIELD_PORT } },
                .any = { .name = "ports",
                         .key = { NFT_FIELD_PROTOCOL, NFT_FIELD_PORT },
                         .data = { NFT_FIELD_IPV4, NFT_FIELD_PORT } },
                .own = { .name = "hairpins", .key = { NFT_FIELD_IPV4, NFT_FIELD_IPV4 } },
        },
        {
                .nf = NFPROTO_IPV6,
                .af = AF_INET6,
                .words = 4,
                .exact = { .name = "address-ports",
                           .key = { NFT_FIELD_IPV6, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT },
                           .data = { NFT_FIELD_IPV6, NFT_FIELD_PORT } },
                .any = { .name = "ports",
                         .key = { NFT_FIELD_PROTOCOL, NFT_FIELD_PORT },
                         .data = { NFT_FIELD_IPV6, NFT_FIELD_PORT } },
                .own = { .name = "hairpins", .key = { NFT_FIELD_IPV6, NFT_FIELD_IPV6 } },
        },
};
enum { N_FAMILIES = ARRAY_SIZE(families) };

struct host_ports {
        struct runtime *rt; /* borrowed */
        struct nft *nft;    /* owned; NULL: this kernel has none */
        char *table;        /* owned */
        bool exists[N_FAMILIES];
        struct nft_watch *watches[N_FAMILIES];
        sd_event_source *repair; /* a change by somebody else was seen */
};

/* ---- one table ---- */

static void add_chain(struct nft_batch *b, const char *name, int hook, int priority)
{
        nft_batch_add_chain(b, &(struct nft_chain){ .name = name,
                                                    .type = hook < 0 ? NULL : "nat",
                                                    .hook = hook,
                                                    .priority = priority });
}

static void add_rule(struct nft_batch *b, const char *chain, struct nft_rule *r)
{
        nft_batch_add_rule(b, chain, r, NULL);
        nft_rule_free(r);
}

static struct nft_rule *for_the_host(void)
{
        struct nft_rule *r = nft_rule_new();

        nft_rule_fib_type(r, NFTA_FIB_F_DADDR, 0);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, RTN_LOCAL);
        return r;
}

/* What comes from a loopback address cannot leave for a pod. An address that is only asked for may
 * be one: the answer gets it back when it has arrived. */
static struct nft_rule *but_from_loopback(const struct family *f, struct nft_rule *r)
{
        static const uint8_t mask4[4] = { 0xff }, zero4[4] = { 0 }, net4[4] = { 127 };
        static const uint8_t loopback6[16] = { [15] = 1 };

        nft_rule_saddr(r, f->nf, 0);
        if (f->af == AF_INET) {
                nft_rule_bitwise(r, 0, mask4, zero4, sizeof mask4);
                nft_rule_compare(r, NFT_CMP_NEQ, 0, net4, sizeof net4);
        } else {
                nft_rule_compare(r, NFT_CMP_NEQ, 0, loopback6, sizeof loopback6);
        }
        return r;
}

static void add_lookups(struct nft_batch *b, const struct family *f)
{
        struct nft_rule *r = nft_rule_new();

        nft_rule_daddr(r, f->nf, 0);
        nft_rule_l4proto(r, f->words);
        nft_rule_dport(r, f->words + 1);
        nft_rule_map(r, f->exact.name, 0, 0);
        nft_rule_dnat(r, f->nf, 0, f->words);
        add_rule(b, "lookup", r);
        r = nft_rule_new();
        nft_rule_l4proto(r, 0);
        nft_rule_dport(r, 1);
        nft_rule_map(r, f->any.name, 0, 0);
        nft_rule_dnat(r, f->nf, 0, f->words);
        add_rule(b, "lookup", r);
}

static void add_skeleton(struct nft_batch *b, const struct family *f)
{
        struct nft_rule *r;

        nft_batch_add_table(b); /* so that there is one to delete */
        nft_batch_delete_table(b);
        nft_batch_add_table(b);
        nft_batch_add_set(b, &f->exact);
        nft_batch_add_set(b, &f->any);
        nft_batch_add_set(b, &f->own);
        add_chain(b, "lookup", -1, 0);
        add_chain(b, "prerouting", NF_INET_PRE_ROUTING, PRIORITY_DSTNAT);
        add_chain(b, "output", NF_INET_LOCAL_OUT, PRIORITY_DSTNAT);
        add_chain(b, "postrouting", NF_INET_POST_ROUTING, PRIORITY_SRCNAT);
        add_lookups(b, f);
        r = for_the_host();
        nft_rule_verdict(r, NFT_JUMP, "lookup");
        add_rule(b, "prerouting", r);
        r = but_from_loopback(f, for_the_host());
        nft_rule_verdict(r, NFT_JUMP, "lookup");
        add_rule(b, "output", r);
        r = nft_rule_new();
        nft_rule_saddr(r, f->nf, 0);
        nft_rule_daddr(r, f->nf, f->words);
        nft_rule_lookup(r, f->own.name, 0, false);
        nft_rule_masquerade(r, 0);
        add_rule(b, "postrouting", r);
}

/* ---- elements ---- */

static size_t put(uint8_t *at, const void *data, size_t n)
{
        memcpy(at, data, n);
        return (n + 3) & ~(size_t)3; /* each field fills its registers */
}

static void change(struct nft_batch *b, const struct nft_set *set, const void *key,
                   const void *data, bool add)
{
        struct nft_element e = { .key = key, .data = data };

        if (add)
                nft_batch_add_element(b, set, &e);
        else
                nft_batch_delete_element(b, set, &e);
}

static const struct ip *address_of(const struct sandbox *s, uint8_t af)
{
        for (size_t i = 0; i < s->addresses.n; i++)
                if (s->addresses.ips[i].family == af)
                        return &s->addresses.ips[i];
        return NULL;
}

/* False: the port is not of this family. */
static bool change_port(struct nft_batch *b, const struct family *f, const struct ip *pod,
                        const struct runtime_port *p, bool add)
{
        uint8_t key[NFT_KEY_MAX] = { 0 }, data[NFT_KEY_MAX] = { 0 };
        uint16_t host_port = htons(p->host_port), pod_port = htons(p->container_port);
        struct ip host = { 0 };
        bool is_exact = p->host_ip && ip_parse(p->host_ip, &host) == 0;
        size_t n = 0;

        if (is_exact && host.family != f->af)
                return false;
        is_exact = is_exact && !ip_is_unspecified(&host);
        if (is_exact)
                n += put(key, host.bytes, ip_len(&host));
        n += put(key + n, &p->protocol, 1);
        put(key + n, &host_port, sizeof host_port);
        n = put(data, pod->bytes, ip_len(pod));
        put(data + n, &pod_port, sizeof pod_port);
        change(b, is_exact ? &f->exact : &f->any, key, data, add);
        return true;
}

static bool change_sandbox(struct nft_batch *b, const struct family *f, const struct sandbox *s,
                           bool add)
{
        const struct ip *pod = address_of(s, f->af);
        uint8_t both[NFT_KEY_MAX] = { 0 };
        bool any = false;

        if (!pod)
                return false;
        for (size_t i = 0; i < s->n_ports; i++)
                any |= change_port(b, f, pod, &s->ports[i], add);
        if (any) {
                size_t n = put(both, pod->bytes, ip_len(pod));

                put(both + n, pod->bytes, ip_len(pod));
                change(b, &f->own, both, NULL, add);
        }
        return any;
}

static bool wants_ports(const struct sandbox *s)
{
        return s->n_ports && !(s->flags & PLAN_HOST_NETWORK) && !s->stopped;
}

/* ---- making it so ---- */

static int on_repair(_unused_ sd_event_source *source, void *userdata)
{
        struct host_ports *h = userdata;

        h->repair = sd_event_source_disable_unref(h->repair);
        log_notice("Somebody changed table '%s', making it anew", h->table);
        host_ports_restore(h);
        return 0;
}

static void on_change(_unused_ int family, void *userdata)
{
        struct host_ports *h = userdata;
        int r;

        if (h->repair)
                return;
        r = sd_event_add_defer(h->rt->event, &h->repair, on_repair, h);
        if (r < 0)
                log_warn(r, "Failed to repair table '%s'", h->table);
}

static void watch(struct host_ports *h, size_t i, bool on)
{
        _cleanup_err_ struct err err = { 0 };

        if (!on)
                h->watches[i] = nft_watch_free(h->watches[i]);
        else if (!h->watches[i] && nft_watch_new(h->rt->event, h->table, h->nft, on_change, h,
                                                 &h->watches[i], &err) < 0)
                log_warn(0, "Changes to table '%s' by others go unnoticed: %s", h->table,
                         err_text(&err));
}

/* The whole table of a family from the sandboxes there are; or no table when none has a port. */
static int make_table(struct host_ports *h, size_t i, struct err *err)
{
        const struct family *f = &families[i];
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        const char *id;
        struct sandbox *s;
        bool any = false;
        int r = nft_batch_new(f->nf, h->table, &b);

        if (r < 0)
                return err_sys(err, r, "make table '%s'", h->table);
        add_skeleton(b, f);
        MAP_FOREACH (id, s, h->rt->sandboxes)
                if (s->ports_in_force)
                        any |= change_sandbox(b, f, s, true);
        if (!any) {
                b = nft_batch_free(b);
                r = nft_batch_new(f->nf, h->table, &b);
                if (r < 0)
                        return err_sys(err, r, "remove table '%s'", h->table);
                nft_batch_add_table(b);
                nft_batch_delete_table(b);
        }
        if (!any && !h->exists[i])
                return 0;
        watch(h, i, false); /* it would tell of our own doing */
        r = nft_commit(h->nft, b, NULL, err);
        if (r < 0)
                return r;
        h->exists[i] = any;
        watch(h, i, any);
        return 0;
}

static int apply(struct host_ports *h, size_t i, const struct sandbox *s, bool add, struct err *err)
{
        const struct family *f = &families[i];
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r;

        if (!h->exists[i]) /* the first one, or nothing to take away */
                return add ? make_table(h, i, err) : 0;
        r = nft_batch_new(f->nf, h->table, &b);
        if (r < 0)
                return err_sys(err, r, "change table '%s'", h->table);
        if (!change_sandbox(b, f, s, add))
                return 0;
        r = nft_commit(h->nft, b, NULL, err);
        if (r == -ENOENT) /* flushed by somebody */
                r = make_table(h, i, err);
        return r;
}

static bool is_any_in_force(const struct host_ports *h)
{
        const char *id;
        struct sandbox *s;

        MAP_FOREACH (id, s, h->rt->sandboxes)
                if (s->ports_in_force)
                        return true;
        return false;
}

int host_ports_check(const struct runtime_port *ports, size_t n, struct err *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct runtime_port *p = &ports[i];
                struct ip ip;

                if (p->host_ip && *p->host_ip && ip_parse(p->host_ip, &ip) < 0)
                        return err_set_kind(err, -EINVAL, ERR_SANDBOX,
                                            "hostIP '%s': expected an address", p->host_ip);
                if (!p->host_port || !p->container_port)
                        return err_set_kind(err, -EINVAL, ERR_SANDBOX,
                                            "hostPort %u: expected 1 to 65535 for it and for "
                                            "containerPort",
                                            p->host_port);
        }
        return 0;
}

int host_ports_add(struct host_ports *h, struct sandbox *s, struct err *err)
{
        int r = 0;

        if (!wants_ports(s))
                return 0;
        if (!h->nft)
                return err_set_kind(err, -EOPNOTSUPP, ERR_SANDBOX_NETWORK,
                                    "hostPort needs nftables, which this kernel lacks");
        s->ports_in_force = true;
        for (size_t i = 0; r == 0 && i < N_FAMILIES; i++)
                r = apply(h, i, s, true, err);
        if (r == 0)
                return 0;
        s->ports_in_force = false;
        for (size_t i = 0; i < N_FAMILIES; i++)
                make_table(h, i, NULL); /* one family may have it already */
        if (r == -EEXIST || r == -EBUSY)
                return err_set_kind(err, r, ERR_SANDBOX_NETWORK,
                                    "a hostPort of the pod belongs to another pod already");
        return err_kind(err, err_wrap(err, r, "hostPort"), ERR_SANDBOX_NETWORK);
}

void host_ports_remove(struct host_ports *h, struct sandbox *s)
{
        bool last;

        if (!s->ports_in_force)
                return;
        s->ports_in_force = false;
        last = !is_any_in_force(h);
        for (size_t i = 0; i < N_FAMILIES; i++) {
                _cleanup_err_ struct err err = { 0 };
                int r = last ? make_table(h, i, &err) : apply(h, i, s, false, &err);

                if (r < 0)
                        log_warn(0, "Failed to take back hostPorts of sandbox '%s': %s", s->id,
                                 err_text(&err));
        }
}

static int note_chain(_unused_ const struct nft_found_chain *chain, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

void host_ports_restore(struct host_ports *h)
{
        const char *id;
        struct sandbox *s;

        MAP_FOREACH (id, s, h->rt->sandboxes)
                s->ports_in_force = h->nft && wants_ports(s) && s->shim;
        for (size_t i = 0; h->nft && i < N_FAMILIES; i++) {
                _cleanup_err_ struct err err = { 0 };

                /* of an earlier skiffd; not looked for by those who never had any */
                nft_list_chains(h->nft, families[i].nf, h->table, note_chain, &h->exists[i], NULL);
                if (make_table(h, i, &err) < 0)
                        log_warn(0, "hostPorts do not work: %s", err_text(&err));
        }
}

int host_ports_new(struct runtime *rt, struct host_ports **ret, struct err *err)
{
        _cleanup_(host_ports_freep)
        struct host_ports *h = calloc(1, sizeof *h);
        _cleanup_err_ struct err why = { 0 };
        int r;

        if (!h)
                return err_sys(err, -ENOMEM, "open hostPorts");
        h->rt = rt;
        h->table = text_printf("skiff-%s-ports", rt->options.instance);
        if (!h->table)
                return err_sys(err, -ENOMEM, "open hostPorts");
        r = nft_open(&h->nft, &why);
        if (r < 0)
                runtime_add_missing_feature(rt, "nftables (%s): hostPorts are refused",
                                            err_text(&why));
        *ret = TAKE_PTR(h);
        return 0;
}

struct host_ports *host_ports_free(struct host_ports *h)
{
        if (!h)
                return NULL;
        for (size_t i = 0; i < N_FAMILIES; i++)
                nft_watch_free(h->watches[i]);
        sd_event_source_disable_unref(h->repair);
        nft_free(h->nft);
        free(h->table);
        free(h);
        return NULL;
}
