/* Reads tables back from the kernel, and notices what others change in them. */
#include "base/nft-internal.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/text.h"

static struct nl_msg *list_message(int type, int family, const char *table, int table_attr)
{
        struct nfgenmsg header = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };
        struct nl_msg *m = netlink_message((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0, &header,
                                           sizeof header, 1024);

        if (m && table && nla_put_string(m, table_attr, table) < 0) {
                nlmsg_free(m);
                return NULL;
        }
        return m;
}

static int parse(const struct nlmsghdr *h, struct nlattr **attrs, int max)
{
        return nlmsg_parse((struct nlmsghdr *)h, sizeof(struct nfgenmsg), attrs, max, NULL) < 0
                       ? -EBADMSG
                       : 0;
}

/* NULL unless it is a string with its NUL. */
static const char *text_of(struct nlattr *a)
{
        size_t n = a ? (size_t)nla_len(a) : 0;
        const char *s = a ? nla_data(a) : NULL;

        return n > 0 && s[n - 1] == 0 ? s : NULL;
}

static uint32_t be32_of(struct nlattr *a)
{
        uint32_t value = 0;

        if (a && nla_len(a) >= (int)sizeof value)
                memcpy(&value, nla_data(a), sizeof value);
        return ntohl(value);
}

static uint64_t be64_of(struct nlattr *a)
{
        uint64_t value = 0;

        if (a && nla_len(a) >= (int)sizeof value)
                memcpy(&value, nla_data(a), sizeof value);
        return be64toh(value);
}

/* The comment in a list of the nft tool's records, or NULL. */
static const char *comment_of(struct nlattr *a)
{
        const uint8_t *p = a ? nla_data(a) : NULL;
        size_t left = a ? (size_t)nla_len(a) : 0;

        while (left >= 2 && left - 2 >= p[1]) {
                if (p[0] == NFT_UDATA_COMMENT && p[1] > 0 && p[1 + p[1]] == 0)
                        return (const char *)p + 2;
                left -= 2 + (size_t)p[1];
                p += 2 + p[1];
        }
        return NULL;
}

struct lister {
        int family;
        const char *table;
        const struct nft_set *set;
        int (*on_chain)(const struct nft_found_chain *chain, void *userdata);
        int (*on_rule)(const struct nft_found_rule *rule, void *userdata);
        int (*on_set)(const struct nft_found_set *set, void *userdata);
        int (*on_element)(const struct nft_element *element, void *userdata);
        void *userdata;
};

/* Chains of all tables and families are listed together. */
static bool is_ours(const struct lister *l, const struct nlmsghdr *h, struct nlattr *table)
{
        const struct nfgenmsg *header = nlmsg_data(h);
        const char *name = text_of(table);

        return header->nfgen_family == l->family && name && streq(name, l->table);
}

static int take_chain(const struct nlmsghdr *h, void *userdata)
{
        struct lister *l = userdata;
        struct nlattr *a[NFTA_CHAIN_MAX + 1] = { 0 }, *hook[NFTA_HOOK_MAX + 1] = { 0 };
        struct nft_found_chain c = { 0 };

        if (parse(h, a, NFTA_CHAIN_MAX) < 0 || !is_ours(l, h, a[NFTA_CHAIN_TABLE]))
                return 0;
        c.name = text_of(a[NFTA_CHAIN_NAME]);
        c.use = be32_of(a[NFTA_CHAIN_USE]);
        if (a[NFTA_CHAIN_HOOK] &&
            nla_parse_nested(hook, NFTA_HOOK_MAX, a[NFTA_CHAIN_HOOK], NULL) >= 0) {
                c.type = text_of(a[NFTA_CHAIN_TYPE]);
                c.hook = (int)be32_of(hook[NFTA_HOOK_HOOKNUM]);
                c.priority = (int)be32_of(hook[NFTA_HOOK_PRIORITY]);
                c.policy = be32_of(a[NFTA_CHAIN_POLICY]);
        }
        return c.name ? l->on_chain(&c, l->userdata) : 0;
}

/* "No such table" is an empty list. */
static int list(struct nft *n, struct lister *l, struct nl_msg *m, netlink_message_fn take,
                const char *what, struct err *err)
{
        int r = netlink_dump(n->netlink, m, take, l, err);

        if (r == -ENOENT) {
                if (err)
                        err_done(err);
                return 0;
        }
        return r < 0 ? err_wrap(err, r, "list %s of table '%s'", what, l->table) : 0;
}

int nft_list_chains(struct nft *n, int family, const char *table,
                    int (*fn)(const struct nft_found_chain *chain, void *userdata), void *userdata,
                    struct err *err)
{
        struct lister l = {
                .family = family, .table = table, .on_chain = fn, .userdata = userdata
        };

        return list(n, &l, list_message(NFT_MSG_GETCHAIN, family, table, NFTA_CHAIN_TABLE),
                    take_chain, "chains", err);
}

static int take_rule(const struct nlmsghdr *h, void *userdata)
{
        struct lister *l = userdata;
        struct nlattr *a[NFTA_RULE_MAX + 1] = { 0 };
        struct nft_found_rule rule = { 0 };

        if (parse(h, a, NFTA_RULE_MAX) < 0 || !is_ours(l, h, a[NFTA_RULE_TABLE]))
                return 0;
        rule.chain = text_of(a[NFTA_RULE_CHAIN]);
        rule.comment = comment_of(a[NFTA_RULE_USERDATA]);
        rule.handle = be64_of(a[NFTA_RULE_HANDLE]);
        return rule.chain ? l->on_rule(&rule, l->userdata) : 0;
}

int nft_list_rules(struct nft *n, int family, const char *table,
                   int (*fn)(const struct nft_found_rule *rule, void *userdata), void *userdata,
                   struct err *err)
{
        struct lister l = { .family = family, .table = table, .on_rule = fn, .userdata = userdata };

        return list(n, &l, list_message(NFT_MSG_GETRULE, family, table, NFTA_RULE_TABLE), take_rule,
                    "rules", err);
}

static int take_set(const struct nlmsghdr *h, void *userdata)
{
        struct lister *l = userdata;
        struct nlattr *a[NFTA_SET_MAX + 1] = { 0 }, *desc[NFTA_SET_DESC_MAX + 1] = { 0 };
        struct nft_found_set set = { 0 };

        if (parse(h, a, NFTA_SET_MAX) < 0 || !is_ours(l, h, a[NFTA_SET_TABLE]))
                return 0;
        set.name = text_of(a[NFTA_SET_NAME]);
        set.flags = be32_of(a[NFTA_SET_FLAGS]);
        if (set.flags & NFT_SET_ANONYMOUS)
                return 0;
        set.key_len = be32_of(a[NFTA_SET_KEY_LEN]);
        set.is_verdict_map = be32_of(a[NFTA_SET_DATA_TYPE]) == NFT_DATA_VERDICT;
        set.data_len = set.is_verdict_map ? 0 : be32_of(a[NFTA_SET_DATA_LEN]);
        set.timeout_msec = be64_of(a[NFTA_SET_TIMEOUT]);
        if (a[NFTA_SET_DESC] &&
            nla_parse_nested(desc, NFTA_SET_DESC_MAX, a[NFTA_SET_DESC], NULL) >= 0)
                set.size = be32_of(desc[NFTA_SET_DESC_SIZE]);
        return set.name ? l->on_set(&set, l->userdata) : 0;
}

int nft_list_sets(struct nft *n, int family, const char *table,
                  int (*fn)(const struct nft_found_set *set, void *userdata), void *userdata,
                  struct err *err)
{
        struct lister l = { .family = family, .table = table, .on_set = fn, .userdata = userdata };

        return list(n, &l, list_message(NFT_MSG_GETSET, family, table, NFTA_SET_TABLE), take_set,
                    "sets", err);
}

bool nft_set_matches(const struct nft_set *set, const struct nft_found_set *found)
{
        bool is_verdict_map = set->data[0] == NFT_FIELD_VERDICT;
        uint32_t flags = set->flags | (set->data[0] ? NFT_SET_MAP : 0);

        return streq(set->name, found->name) &&
               flags == (found->flags & ~(uint32_t)NFT_SET_CONCAT) &&
               nft_fields_len(set->key) == found->key_len &&
               is_verdict_map == found->is_verdict_map &&
               (is_verdict_map || nft_fields_len(set->data) == found->data_len) &&
               set->timeout_msec == found->timeout_msec && set->size == found->size;
}

/* The bytes of an NFTA_DATA_VALUE of just @n bytes inside @a, or NULL. */
static const void *value_of(struct nlattr *a, size_t n)
{
        struct nlattr *d[NFTA_DATA_MAX + 1] = { 0 };

        if (!a || nla_parse_nested(d, NFTA_DATA_MAX, a, NULL) < 0 || !d[NFTA_DATA_VALUE] ||
            (size_t)nla_len(d[NFTA_DATA_VALUE]) != n)
                return NULL;
        return nla_data(d[NFTA_DATA_VALUE]);
}

static bool verdict_of(struct nlattr *a, struct nft_verdict *ret)
{
        struct nlattr *d[NFTA_DATA_MAX + 1] = { 0 }, *v[NFTA_VERDICT_MAX + 1] = { 0 };

        if (!a || nla_parse_nested(d, NFTA_DATA_MAX, a, NULL) < 0 || !d[NFTA_DATA_VERDICT] ||
            nla_parse_nested(v, NFTA_VERDICT_MAX, d[NFTA_DATA_VERDICT], NULL) < 0 ||
            !v[NFTA_VERDICT_CODE])
                return false;
        ret->code = (int)be32_of(v[NFTA_VERDICT_CODE]);
        ret->chain = text_of(v[NFTA_VERDICT_CHAIN]);
        return true;
}

static int take_element(struct lister *l, struct nlattr *element)
{
        struct nlattr *a[NFTA_SET_ELEM_MAX + 1] = { 0 };
        size_t key_len = nft_fields_len(l->set->key);
        struct nft_element e = { 0 };

        if (nla_parse_nested(a, NFTA_SET_ELEM_MAX, element, NULL) < 0)
                return 0;
        e.key = value_of(a[NFTA_SET_ELEM_KEY], key_len);
        e.key_end = value_of(a[NFTA_SET_ELEM_KEY_END], key_len);
        e.interval_end = be32_of(a[NFTA_SET_ELEM_FLAGS]) & NFT_SET_ELEM_INTERVAL_END;
        e.comment = comment_of(a[NFTA_SET_ELEM_USERDATA]);
        if (!e.key)
                return 0;
        if (l->set->data[0] == NFT_FIELD_VERDICT) {
                if (!verdict_of(a[NFTA_SET_ELEM_DATA], &e.verdict))
                        return 0;
        } else if (l->set->data[0]) {
                e.data = value_of(a[NFTA_SET_ELEM_DATA], nft_fields_len(l->set->data));
                if (!e.data)
                        return 0;
        }
        return l->on_element(&e, l->userdata);
}

static int take_elements(const struct nlmsghdr *h, void *userdata)
{
        struct lister *l = userdata;
        struct nlattr *a[NFTA_SET_ELEM_LIST_MAX + 1] = { 0 }, *element;
        int left, r;

        if (parse(h, a, NFTA_SET_ELEM_LIST_MAX) < 0 || !a[NFTA_SET_ELEM_LIST_ELEMENTS])
                return 0;
        nla_for_each_nested(element, a[NFTA_SET_ELEM_LIST_ELEMENTS], left)
        {
                r = take_element(l, element);
                if (r < 0)
                        return r;
        }
        return 0;
}

int nft_list_elements(struct nft *n, int family, const char *table, const struct nft_set *set,
                      int (*fn)(const struct nft_element *element, void *userdata), void *userdata,
                      struct err *err)
{
        struct lister l = {
                .family = family, .table = table, .set = set, .on_element = fn, .userdata = userdata
        };
        struct nl_msg *m = list_message(NFT_MSG_GETSETELEM, family, table,
                                        NFTA_SET_ELEM_LIST_TABLE);

        if (m && nla_put_string(m, NFTA_SET_ELEM_LIST_SET, set->name) < 0) {
                nlmsg_free(m);
                return err_sys(err, -ENAMETOOLONG, "list set '%s'", set->name);
        }
        return list(n, &l, m, take_elements, "elements", err);
}

/* NFTA_SET_ELEM_LIST_ELEMENTS of one element, of which only the key is said. */
static int put_key(struct nl_msg *m, const void *key, size_t n)
{
        struct nlattr *list = nla_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED),
                      *element = list ? nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED) : NULL,
                      *value = element ? nla_nest_start(m, NFTA_SET_ELEM_KEY | NLA_F_NESTED) : NULL;

        if (!value || nla_put(m, NFTA_DATA_VALUE, (int)n, key) < 0)
                return -ENOMEM;
        nla_nest_end(m, value);
        nla_nest_end(m, element);
        nla_nest_end(m, list);
        return 0;
}

int nft_get_element(struct nft *n, int family, const char *table, const struct nft_set *set,
                    const void *key, int (*fn)(const struct nft_element *element, void *userdata),
                    void *userdata, struct err *err)
{
        struct lister l = {
                .family = family, .table = table, .set = set, .on_element = fn, .userdata = userdata
        };
        struct nl_msg *m = list_message(NFT_MSG_GETSETELEM, family, table,
                                        NFTA_SET_ELEM_LIST_TABLE);
        int r;

        if (m && (nla_put_string(m, NFTA_SET_ELEM_LIST_SET, set->name) < 0 ||
                  put_key(m, key, nft_fields_len(set->key)) < 0)) {
                nlmsg_free(m);
                return err_sys(err, -ENOMEM, "look into set '%s'", set->name);
        }
        r = netlink_get(n->netlink, m, take_elements, &l, err);
        if (r == -ENOENT && err)
                err_done(err);
        return r < 0 && r != -ENOENT ? err_wrap(err, r, "look into set '%s'", set->name) : r;
}

static int take_generation(const struct nlmsghdr *h, void *userdata)
{
        struct nlattr *a[NFTA_GEN_MAX + 1] = { 0 };

        if (parse(h, a, NFTA_GEN_MAX) < 0 || !a[NFTA_GEN_ID])
                return -EBADMSG;
        *(uint32_t *)userdata = be32_of(a[NFTA_GEN_ID]);
        return 0;
}

int nft_generation(struct nft *n, uint32_t *ret, struct err *err)
{
        uint32_t generation;
        int r = netlink_get(n->netlink, list_message(NFT_MSG_GETGEN, NFPROTO_UNSPEC, NULL, 0),
                            take_generation, &generation, err);

        if (r < 0)
                return err_wrap(err, r, "read the ruleset's generation");
        *ret = generation;
        return 0;
}

struct nft_watch {
        uint32_t own_port;
        char *table;                   /* owned */
        struct netlink_watch *netlink; /* owned */
        void (*on_change)(int family, void *userdata);
        void *userdata;
};

static void on_notification(const struct nlmsghdr *h, void *userdata)
{
        struct nft_watch *w = userdata;
        const struct nfgenmsg *header = nlmsg_data(h);
        struct nlattr *table;
        const char *name;

        if (NFNL_SUBSYS_ID(h->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
            NFNL_MSG_TYPE(h->nlmsg_type) == NFT_MSG_NEWGEN || h->nlmsg_pid == w->own_port ||
            h->nlmsg_len < NLMSG_LENGTH(sizeof *header))
                return;
        /* tables, chains, rules, sets, elements, objects: the table's name is attribute 1 of all */
        table = nlmsg_find_attr((struct nlmsghdr *)h, sizeof *header, NFTA_TABLE_NAME);
        name = text_of(table);
        if (name && streq(name, w->table))
                w->on_change(header->nfgen_family, w->userdata);
}

static void on_lost(void *userdata)
{
        struct nft_watch *w = userdata;

        w->on_change(NFPROTO_UNSPEC, w->userdata);
}

int nft_watch_new(sd_event *event, const char *table, const struct nft *own,
                  void (*on_change)(int family, void *userdata), void *userdata,
                  struct nft_watch **ret, struct err *err)
{
        static const struct netlink_watch_ops ops = { .on_message = on_notification,
                                                      .on_lost = on_lost };
        static const unsigned group = NFNLGRP_NFTABLES;
        _cleanup_(nft_watch_freep)
        struct nft_watch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return err_sys(err, -ENOMEM, "watch nftables");
        w->own_port = netlink_port(own->netlink);
        w->on_change = on_change;
        w->userdata = userdata;
        w->table = strdup(table);
        if (!w->table)
                return err_sys(err, -ENOMEM, "watch nftables");
        r = netlink_watch_new(event, NETLINK_NETFILTER, &group, 1, &ops, w, &w->netlink, err);
        if (r < 0)
                return err_wrap(err, r, "watch nftables");
        *ret = TAKE_PTR(w);
        return 0;
}

struct nft_watch *nft_watch_free(struct nft_watch *w)
{
        if (!w)
                return NULL;
        netlink_watch_free(w->netlink);
        free(w->table);
        free(w);
        return NULL;
}

int nft_watch_pause(struct nft_watch *w)
{
        int r;

        netlink_watch_drain(w->netlink);
        r = netlink_watch_pause(w->netlink);
        netlink_watch_drain(w->netlink);
        return r;
}

int nft_watch_resume(struct nft_watch *w)
{
        return netlink_watch_resume(w->netlink);
}
