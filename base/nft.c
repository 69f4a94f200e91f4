/*
 * The transaction.
 *
 * A batch is bytes in a row: BATCH_BEGIN, one message for each operation, BATCH_END, sent in one
 * piece. Elements are gathered: as long as the same set gets more of the same, they go into the
 * same message. The last operation asks for an acknowledgement; the kernel answers it (and every
 * operation that failed) when the whole batch has been tried, so the answer says what became of it.
 */
#include "base/nft-internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/text.h"

enum {
        MESSAGE_ROOM = 4096,       /* any operation but elements */
        ELEMENTS_ROOM = 48 * 1024, /* an attribute's length has 16 bits */
        ELEMENT_ROOM_MAX = 512,    /* of one element with the longest key, data and comment */
};

/* Number and kernel's name for the nft tool; length in registers. */
static const struct {
        uint32_t type, len;
} fields[] = {
        [NFT_FIELD_NONE] = { 0, 0 },    [NFT_FIELD_IPV4] = { 7, 4 },
        [NFT_FIELD_IPV6] = { 8, 16 },   [NFT_FIELD_PROTOCOL] = { 12, 4 },
        [NFT_FIELD_PORT] = { 13, 4 },   [NFT_FIELD_MARK] = { 19, 4 },
        [NFT_FIELD_VERDICT] = { 0, 0 },
};
static_assert(ARRAY_SIZE(fields) == _NFT_FIELD_MAX, "a field has no type");

struct nft_batch {
        int family;
        char *table;             /* owned */
        struct strbuf bytes;     /* complete messages */
        uint32_t seq;            /* of the newest message */
        size_t last_offset;      /* of the newest message in bytes */
        size_t count;            /* operations */
        int result;              /* the first failure */
        struct nl_msg *elements; /* owned; being filled, NULL: none */
        struct nlattr *list;     /* in elements */
        int elements_type;
        char *elements_set; /* owned */
};

size_t nft_fields_len(const enum nft_field list[static NFT_FIELDS_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < NFT_FIELDS_MAX && list[i] != NFT_FIELD_NONE; i++)
                n += fields[list[i]].len;
        return n;
}

/* The nft tool's number of a concatenation: six bits a field. */
static uint32_t fields_type(const enum nft_field list[static NFT_FIELDS_MAX])
{
        uint32_t type = 0;

        for (size_t i = 0; i < NFT_FIELDS_MAX && list[i] != NFT_FIELD_NONE; i++)
                type = type << 6 | fields[list[i]].type;
        return type;
}

static struct nl_msg *new_message(struct nft_batch *b, int type, uint16_t flags, size_t room)
{
        struct nfgenmsg header = { .nfgen_family = (uint8_t)b->family, .version = NFNETLINK_V0 };
        struct nl_msg *m;

        if (b->result < 0)
                return NULL;
        m = netlink_message((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_REQUEST | flags,
                            &header, sizeof header, room);
        if (!m)
                b->result = -ENOMEM;
        return m;
}

static void append(struct nft_batch *b, struct nl_msg *m, int r)
{
        struct nlmsghdr *h;

        if (!m)
                return;
        if (r < 0 && b->result == 0)
                b->result = r == -NLE_NOMEM ? -ENOSPC : r;
        if (b->result == 0) {
                h = nlmsg_hdr(m);
                h->nlmsg_seq = ++b->seq;
                h->nlmsg_pid = 0;
                b->last_offset = b->bytes.len;
                strbuf_add_n(&b->bytes, h, NLMSG_ALIGN(h->nlmsg_len));
                if (b->bytes.failed)
                        b->result = -ENOMEM;
        }
        nlmsg_free(m);
}

static void finish_elements(struct nft_batch *b)
{
        if (!b->elements)
                return;
        nla_nest_end(b->elements, b->list);
        append(b, TAKE_PTR(b->elements), 0);
        b->list = NULL;
        free(TAKE_PTR(b->elements_set));
}

static int put_be32(struct nl_msg *m, int type, uint32_t value)
{
        return nla_put_u32(m, type, htonl(value));
}

static int put_be64(struct nl_msg *m, int type, uint64_t value)
{
        return nla_put_u64(m, type, htobe64(value));
}

/* nfnetlink carries its generation and subsystem in messages of their own kind. */
static void append_control(struct nft_batch *b, int type, const uint32_t *generation)
{
        struct nfgenmsg header = { .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
        struct nl_msg *m = NULL;
        int r = 0;

        if (b->result == 0) {
                m = netlink_message((uint16_t)type, NLM_F_REQUEST, &header, sizeof header, 64);
                if (!m)
                        b->result = -ENOMEM;
        }
        if (m && generation)
                netlink_keep(&r, put_be32(m, NFNL_BATCH_GENID, *generation));
        append(b, m, r);
}

int nft_batch_new(int family, const char *table, struct nft_batch **ret)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = calloc(1, sizeof *b);
        uint32_t generation = 0;

        if (!b)
                return -ENOMEM;
        b->family = family;
        b->table = strdup(table);
        if (!b->table)
                return -ENOMEM;
        /* Room for the generation, which nft_commit() knows; 0 means any. */
        append_control(b, NFNL_MSG_BATCH_BEGIN, &generation);
        if (b->result < 0)
                return b->result;
        *ret = TAKE_PTR(b);
        return 0;
}

struct nft_batch *nft_batch_free(struct nft_batch *b)
{
        if (!b)
                return NULL;
        nlmsg_free(b->elements);
        free(b->elements_set);
        strbuf_done(&b->bytes);
        free(b->table);
        free(b);
        return NULL;
}

size_t nft_batch_count(const struct nft_batch *b)
{
        return b->count;
}

void nft_batch_add_table(struct nft_batch *b)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, MESSAGE_ROOM);
        if (m)
                netlink_keep(&r, nla_put_string(m, NFTA_TABLE_NAME, b->table));
        append(b, m, r);
        b->count++;
}

void nft_batch_delete_table(struct nft_batch *b)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_DELTABLE, 0, MESSAGE_ROOM);
        if (m)
                netlink_keep(&r, nla_put_string(m, NFTA_TABLE_NAME, b->table));
        append(b, m, r);
        b->count++;
}

static int put_hook(struct nl_msg *m, const struct nft_chain *chain)
{
        struct nlattr *hook = nla_nest_start(m, NFTA_CHAIN_HOOK | NLA_F_NESTED);
        int r = hook ? 0 : -ENOSPC;

        if (!hook)
                return r;
        netlink_keep(&r, put_be32(m, NFTA_HOOK_HOOKNUM, (uint32_t)chain->hook));
        netlink_keep(&r, put_be32(m, NFTA_HOOK_PRIORITY, (uint32_t)chain->priority));
        nla_nest_end(m, hook);
        netlink_keep(&r, nla_put_string(m, NFTA_CHAIN_TYPE, chain->type));
        netlink_keep(&r, put_be32(m, NFTA_CHAIN_POLICY, NF_ACCEPT));
        return r;
}

void nft_batch_add_chain(struct nft_batch *b, const struct nft_chain *chain)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_CHAIN_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_CHAIN_NAME, chain->name));
                if (chain->type)
                        netlink_keep(&r, put_hook(m, chain));
        }
        append(b, m, r);
        b->count++;
}

void nft_batch_delete_chain(struct nft_batch *b, const char *chain)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_DELCHAIN, 0, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_CHAIN_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_CHAIN_NAME, chain));
        }
        append(b, m, r);
        b->count++;
}

void nft_batch_flush_chain(struct nft_batch *b, const char *chain)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_DELRULE, 0, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_RULE_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_RULE_CHAIN, chain));
        }
        append(b, m, r);
        b->count++;
}

/* The nft tool's record of a comment: type, length, text with its NUL. */
static int put_comment(struct nl_msg *m, int type, const char *comment)
{
        uint8_t record[2 + NFT_COMMENT_MAX];
        size_t n = MIN(strlen(comment), (size_t)NFT_COMMENT_MAX - 1);

        record[0] = NFT_UDATA_COMMENT;
        record[1] = (uint8_t)(n + 1);
        memcpy(record + 2, comment, n);
        record[2 + n] = 0;
        return nla_put(m, type, (int)(n + 3), record);
}

void nft_batch_add_rule(struct nft_batch *b, const char *chain, const struct nft_rule *rule,
                        const char *comment)
{
        const void *expressions;
        struct nl_msg *m;
        size_t n = 0;
        int r;

        finish_elements(b);
        r = nft_rule_bytes(rule, &expressions, &n);
        if (r < 0 && b->result == 0)
                b->result = r;
        m = new_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_RULE_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_RULE_CHAIN, chain));
                netlink_keep(&r,
                             nla_put(m, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, (int)n, expressions));
                if (comment)
                        netlink_keep(&r, put_comment(m, NFTA_RULE_USERDATA, comment));
        }
        append(b, m, r);
        b->count++;
}

static int put_set_description(struct nl_msg *m, const struct nft_set *set, bool is_concat)
{
        struct nlattr *desc = nla_nest_start(m, NFTA_SET_DESC | NLA_F_NESTED), *concat, *field;
        int r = desc ? 0 : -ENOSPC;

        if (!desc)
                return r;
        if (set->size)
                netlink_keep(&r, put_be32(m, NFTA_SET_DESC_SIZE, set->size));
        if (is_concat) {
                concat = nla_nest_start(m, NFTA_SET_DESC_CONCAT | NLA_F_NESTED);
                for (size_t i = 0; concat && i < NFT_FIELDS_MAX && set->key[i]; i++) {
                        field = nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED);
                        if (!field)
                                return -ENOSPC;
                        netlink_keep(&r, put_be32(m, NFTA_SET_FIELD_LEN, fields[set->key[i]].len));
                        nla_nest_end(m, field);
                }
                if (!concat)
                        return -ENOSPC;
                nla_nest_end(m, concat);
        }
        nla_nest_end(m, desc);
        return r;
}

static int put_set(struct nl_msg *m, const struct nft_set *set, uint32_t id)
{
        bool is_concat = (set->flags & NFT_SET_INTERVAL) && set->key[1];
        uint32_t flags = set->flags;
        int r = 0;

        if (set->data[0])
                flags |= NFT_SET_MAP;
        if (is_concat)
                flags |= NFT_SET_CONCAT;
        netlink_keep(&r, put_be32(m, NFTA_SET_FLAGS, flags));
        netlink_keep(&r, put_be32(m, NFTA_SET_ID, id));
        netlink_keep(&r, put_be32(m, NFTA_SET_KEY_TYPE, fields_type(set->key)));
        netlink_keep(&r, put_be32(m, NFTA_SET_KEY_LEN, (uint32_t)nft_fields_len(set->key)));
        if (set->data[0] == NFT_FIELD_VERDICT) {
                netlink_keep(&r, put_be32(m, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT));
        } else if (set->data[0]) {
                netlink_keep(&r, put_be32(m, NFTA_SET_DATA_TYPE, fields_type(set->data)));
                netlink_keep(&r,
                             put_be32(m, NFTA_SET_DATA_LEN, (uint32_t)nft_fields_len(set->data)));
        }
        if (set->timeout_msec)
                netlink_keep(&r, put_be64(m, NFTA_SET_TIMEOUT, set->timeout_msec));
        if (set->size || is_concat)
                netlink_keep(&r, put_set_description(m, set, is_concat));
        return r;
}

void nft_batch_add_set(struct nft_batch *b, const struct nft_set *set)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_NEWSET, NLM_F_CREATE, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_SET_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_SET_NAME, set->name));
                netlink_keep(&r, put_set(m, set, b->seq + 1));
        }
        append(b, m, r);
        b->count++;
}

void nft_batch_flush_set(struct nft_batch *b, const char *set)
{
        struct nl_msg *m;
        int r = 0;

        finish_elements(b);
        m = new_message(b, NFT_MSG_DELSETELEM, 0, MESSAGE_ROOM);
        if (m) {
                netlink_keep(&r, nla_put_string(m, NFTA_SET_ELEM_LIST_TABLE, b->table));
                netlink_keep(&r, nla_put_string(m, NFTA_SET_ELEM_LIST_SET, set));
        }
        append(b, m, r);
        b->count++;
}

static void begin_elements(struct nft_batch *b, int type, uint16_t flags, const char *set)
{
        int r = 0;

        if (b->elements && (b->elements_type != type || !streq(b->elements_set, set) ||
                            nlmsg_hdr(b->elements)->nlmsg_len > ELEMENTS_ROOM - ELEMENT_ROOM_MAX))
                finish_elements(b);
        if (b->elements || b->result < 0)
                return;
        b->elements = new_message(b, type, flags, ELEMENTS_ROOM);
        if (!b->elements)
                return;
        b->elements_type = type;
        b->elements_set = strdup(set);
        netlink_keep(&r, nla_put_string(b->elements, NFTA_SET_ELEM_LIST_TABLE, b->table));
        netlink_keep(&r, nla_put_string(b->elements, NFTA_SET_ELEM_LIST_SET, set));
        b->list = nla_nest_start(b->elements, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
        if (r < 0 || !b->elements_set || !b->list) {
                b->result = -ENOMEM;
                nlmsg_free(TAKE_PTR(b->elements));
        }
}

static int put_value(struct nl_msg *m, int type, const void *data, size_t n)
{
        struct nlattr *a = nla_nest_start(m, type | NLA_F_NESTED);
        int r;

        if (!a)
                return -ENOSPC;
        r = nla_put(m, NFTA_DATA_VALUE, (int)n, data);
        nla_nest_end(m, a);
        return r;
}

static int put_verdict(struct nl_msg *m, const struct nft_verdict *v)
{
        struct nlattr *data = nla_nest_start(m, NFTA_SET_ELEM_DATA | NLA_F_NESTED), *verdict;
        int r = 0;

        if (!data)
                return -ENOSPC;
        verdict = nla_nest_start(m, NFTA_DATA_VERDICT | NLA_F_NESTED);
        if (!verdict)
                return -ENOSPC;
        netlink_keep(&r, put_be32(m, NFTA_VERDICT_CODE, (uint32_t)v->code));
        if (v->chain)
                netlink_keep(&r, nla_put_string(m, NFTA_VERDICT_CHAIN, v->chain));
        nla_nest_end(m, verdict);
        nla_nest_end(m, data);
        return r;
}

static void put_element(struct nft_batch *b, const struct nft_set *set, const struct nft_element *e,
                        bool with_data)
{
        size_t key_len = nft_fields_len(set->key);
        struct nlattr *a;
        int r = 0;

        if (!b->elements)
                return;
        a = nla_nest_start(b->elements, NFTA_LIST_ELEM | NLA_F_NESTED);
        if (!a)
                r = -ENOSPC;
        if (e->interval_end)
                netlink_keep(&r,
                             put_be32(b->elements, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END));
        netlink_keep(&r, put_value(b->elements, NFTA_SET_ELEM_KEY, e->key, key_len));
        if (e->key_end)
                netlink_keep(&r,
                             put_value(b->elements, NFTA_SET_ELEM_KEY_END, e->key_end, key_len));
        if (with_data && set->data[0] == NFT_FIELD_VERDICT)
                netlink_keep(&r, put_verdict(b->elements, &e->verdict));
        else if (with_data && set->data[0])
                netlink_keep(&r, put_value(b->elements, NFTA_SET_ELEM_DATA, e->data,
                                           nft_fields_len(set->data)));
        if (with_data && e->comment)
                netlink_keep(&r, put_comment(b->elements, NFTA_SET_ELEM_USERDATA, e->comment));
        if (a)
                nla_nest_end(b->elements, a);
        if (r < 0 && b->result == 0)
                b->result = -ENOSPC;
}

void nft_batch_add_element(struct nft_batch *b, const struct nft_set *set,
                           const struct nft_element *element)
{
        begin_elements(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, set->name);
        put_element(b, set, element, true);
        b->count++;
}

void nft_batch_delete_element(struct nft_batch *b, const struct nft_set *set,
                              const struct nft_element *element)
{
        begin_elements(b, NFT_MSG_DELSETELEM, 0, set->name);
        put_element(b, set, element, false);
        b->count++;
}

int nft_open(struct nft **ret, struct err *err)
{
        _cleanup_(nft_freep)
        struct nft *n = calloc(1, sizeof *n);
        int r;

        if (!n)
                return err_sys(err, -ENOMEM, "open nftables");
        r = netlink_open(NETLINK_NETFILTER, &n->netlink, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct nft *nft_free(struct nft *n)
{
        if (n)
                netlink_free(n->netlink);
        free(n);
        return NULL;
}

/* "add element of 'service-ips'": what the message with number @seq wanted, for people. */
static char *describe(const struct nft_batch *b, uint32_t seq)
{
        static const char *const verbs[] = {
                [NFT_MSG_NEWTABLE] = "add table",
                [NFT_MSG_DELTABLE] = "delete table",
                [NFT_MSG_NEWCHAIN] = "add chain",
                [NFT_MSG_DELCHAIN] = "delete chain",
                [NFT_MSG_NEWRULE] = "add rule to",
                [NFT_MSG_DELRULE] = "flush chain",
                [NFT_MSG_NEWSET] = "add set",
                [NFT_MSG_DELSET] = "delete set",
                [NFT_MSG_NEWSETELEM] = "add elements to",
                [NFT_MSG_DELSETELEM] = "delete elements of",
        };
        int left = (int)b->bytes.len;

        for (struct nlmsghdr *h = (struct nlmsghdr *)b->bytes.data; nlmsg_ok(h, left);
             h = nlmsg_next(h, &left)) {
                unsigned type = NFNL_MSG_TYPE(h->nlmsg_type);
                struct nlattr *name;

                if (h->nlmsg_seq != seq || h->nlmsg_type < NLMSG_MIN_TYPE + 2)
                        continue;
                /* a table's name is attribute 1; the name of what is in it is attribute 2 or 3 */
                name = nlmsg_find_attr(h, sizeof(struct nfgenmsg),
                                       type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN
                                               ? NFTA_CHAIN_NAME
                                               : 2);
                if (type >= ARRAY_SIZE(verbs) || !verbs[type])
                        break;
                return text_printf("%s '%s'", verbs[type],
                                   name && type > NFT_MSG_DELTABLE ? nla_get_string(name)
                                                                   : b->table);
        }
        return text_printf("commit");
}

static void set_generation(struct nft_batch *b, uint32_t generation)
{
        struct nlmsghdr *h = (struct nlmsghdr *)b->bytes.data;
        struct nlattr *a = nlmsg_find_attr(h, sizeof(struct nfgenmsg), NFNL_BATCH_GENID);
        uint32_t value = htonl(generation);

        if (a)
                memcpy(nla_data(a), &value, sizeof value);
}

int nft_commit(struct nft *n, struct nft_batch *b, const uint32_t *generation, struct err *err)
{
        _cleanup_free_ char *what = NULL;
        uint32_t failed = 0, last = 0;
        int r;

        finish_elements(b);
        if (b->count == 0)
                return 0;
        if (b->result == 0) {
                ((struct nlmsghdr *)(b->bytes.data + b->last_offset))->nlmsg_flags |= NLM_F_ACK;
                last = b->seq;
                append_control(b, NFNL_MSG_BATCH_END, NULL);
        }
        if (b->result < 0)
                return err_sys(err, b->result, "build transaction for table '%s'", b->table);
        if (generation)
                set_generation(b, *generation);
        r = netlink_batch(n->netlink, b->bytes.data, b->bytes.len, last, &failed, err);
        if (r < 0) {
                what = describe(b, failed);
                return err_wrap(err, r, "table '%s': %s", b->table, what ? what : "commit");
        }
        return 0;
}

/*
 * An empty transaction waits for the one under way, which tells all who watch before it is over. It
 * changes nothing, and is answered only when it is refused.
 */
int nft_settle(struct nft *n, uint32_t generation, struct err *err)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r = nft_batch_new(NFPROTO_UNSPEC, "", &b);

        if (r < 0)
                return err_sys(err, r, "build transaction");
        append_control(b, NFNL_MSG_BATCH_END, NULL);
        if (b->result < 0)
                return err_sys(err, b->result, "build transaction");
        set_generation(b, generation);
        r = netlink_batch(n->netlink, b->bytes.data, b->bytes.len, 0, NULL, err);
        return r < 0 ? err_wrap(err, r, "wait for the ruleset to settle") : 0;
}
