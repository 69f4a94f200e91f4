#include "runtime/source-guard.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/nft.h"
#include "base/text.h"

enum { PRIORITY_RAW = -300 };

struct source_guard {
        struct runtime *rt; /* borrowed */
        struct nft *nft;    /* owned; NULL: this kernel has none */
        char *table;        /* owned */
        bool exists;
        struct nft_watch *watch; /* owned; while it exists */
        sd_event_source *repair; /* owned; a change by somebody else was seen */
};

static bool has_ipv6(const struct sandbox *s)
{
        for (size_t i = 0; i < s->addresses.n; i++)
                if (s->addresses.ips[i].family == AF_INET6)
                        return true;
        return false;
}

static bool is_needed(const struct source_guard *g)
{
        const char *id;
        struct sandbox *s;

        MAP_FOREACH (id, s, g->rt->sandboxes)
                if (has_ipv6(s))
                        return true;
        return false;
}

static int on_repair(_unused_ sd_event_source *source, void *userdata)
{
        struct source_guard *g = userdata;

        g->repair = sd_event_source_disable_unref(g->repair);
        log_notice("Somebody changed table '%s', making it anew", g->table);
        source_guard_restore(g);
        return 0;
}

static void on_change(_unused_ int family, void *userdata)
{
        struct source_guard *g = userdata;
        int r;

        if (g->repair)
                return;
        r = sd_event_add_defer(g->rt->event, &g->repair, on_repair, g);
        if (r < 0)
                log_warn(r, "Failed to repair table '%s'", g->table);
}

/* What comes over a pod's link, told by its name, from an address that is not routed there. */
static void add_rule(struct nft_batch *b, const char *instance)
{
        struct nft_rule *r = nft_rule_new();
        char prefix[16];

        snprintf(prefix, sizeof prefix, "%.8s-", instance);
        nft_rule_meta(r, NFT_META_IIFNAME, 0);
        nft_rule_compare(r, NFT_CMP_EQ, 0, prefix, strlen(prefix));
        nft_rule_fib_oif(r, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF, 0);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, 0);
        nft_rule_verdict(r, NF_DROP, NULL);
        nft_batch_add_rule(b, "prerouting", r, NULL);
        nft_rule_free(r);
}

static void watch(struct source_guard *g)
{
        _cleanup_err_ struct err err = { 0 };

        if (nft_watch_new(g->rt->event, g->table, g->nft, on_change, g, &g->watch, &err) < 0)
                log_warn(0, "Changes to table '%s' by others go unnoticed: %s", g->table,
                         err_text(&err));
}

/* The table anew, or no table; in one transaction. */
static int apply(struct source_guard *g, bool wanted, struct err *err)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r = nft_batch_new(NFPROTO_IPV6, g->table, &b);

        if (r < 0)
                return err_sys(err, r, "make table '%s'", g->table);
        nft_batch_add_table(b); /* so that there is one to delete */
        nft_batch_delete_table(b);
        if (wanted) {
                nft_batch_add_table(b);
                nft_batch_add_chain(b, &(struct nft_chain){ .name = "prerouting",
                                                            .type = "filter",
                                                            .hook = NF_INET_PRE_ROUTING,
                                                            .priority = PRIORITY_RAW });
                add_rule(b, g->rt->options.instance);
        }
        g->watch = nft_watch_free(g->watch); /* it would tell of our own doing */
        r = nft_commit(g->nft, b, NULL, err);
        if (r < 0)
                return r;
        g->exists = wanted;
        if (wanted)
                watch(g);
        return 0;
}

int source_guard_add(struct source_guard *g, const struct sandbox *s, struct err *err)
{
        int r;

        if (g->exists || !has_ipv6(s))
                return 0;
        if (!g->nft)
                return runtime_add_missing_feature(
                        g->rt, "nftables: pods can send from IPv6 addresses that are not theirs");
        r = apply(g, true, err);
        return r < 0 ? err_kind(err, err_wrap(err, r, "guard of IPv6 addresses"),
                                ERR_SANDBOX_NETWORK)
                     : 0;
}

void source_guard_check(struct source_guard *g)
{
        _cleanup_err_ struct err err = { 0 };

        if (g->exists && !is_needed(g) && apply(g, false, &err) < 0)
                log_warn(0, "Failed to take back table '%s': %s", g->table, err_text(&err));
}

static int note_chain(_unused_ const struct nft_found_chain *chain, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

void source_guard_restore(struct source_guard *g)
{
        _cleanup_err_ struct err err = { 0 };
        bool needed = is_needed(g);

        if (!g->nft)
                return;
        /* of an earlier skiffd */
        nft_list_chains(g->nft, NFPROTO_IPV6, g->table, note_chain, &g->exists, NULL);
        if ((needed || g->exists) && apply(g, needed, &err) < 0)
                log_warn(0, "Pods can send from IPv6 addresses that are not theirs: %s",
                         err_text(&err));
}

int source_guard_new(struct runtime *rt, struct source_guard **ret, struct err *err)
{
        _cleanup_(source_guard_freep)
        struct source_guard *g = calloc(1, sizeof *g);

        if (!g)
                return err_sys(err, -ENOMEM, "open the guard of addresses");
        g->rt = rt;
        g->table = text_printf("skiff-%s-sources", rt->options.instance);
        if (!g->table)
                return err_sys(err, -ENOMEM, "open the guard of addresses");
        if (nft_open(&g->nft, NULL) < 0)
                g->nft = NULL; /* said when a pod needs it */
        *ret = TAKE_PTR(g);
        return 0;
}

struct source_guard *source_guard_free(struct source_guard *g)
{
        if (!g)
                return NULL;
        nft_watch_free(g->watch);
        sd_event_source_disable_unref(g->repair);
        nft_free(g->nft);
        free(g->table);
        free(g);
        return NULL;
}
