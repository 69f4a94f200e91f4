#include "base/nft.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/kernel/netns.h"

#define FAMILY NFPROTO_IPV4
#define TABLE  "skiff-test"

static const struct nft_set addresses = { .name = "addresses", .key = { NFT_FIELD_IPV4 } };
static const struct nft_set services = {
        .name = "services",
        .key = { NFT_FIELD_IPV4, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT },
        .data = { NFT_FIELD_VERDICT },
};
static const struct nft_set endpoints = {
        .name = "endpoints",
        .key = { NFT_FIELD_IPV4, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT, NFT_FIELD_MARK },
        .data = { NFT_FIELD_IPV4, NFT_FIELD_PORT },
};
static const struct nft_set ranges = { .name = "ranges",
                                       .key = { NFT_FIELD_IPV4 },
                                       .flags = NFT_SET_INTERVAL };
static const struct nft_set allowed = { .name = "allowed",
                                        .key = { NFT_FIELD_IPV4, NFT_FIELD_IPV4 },
                                        .flags = NFT_SET_INTERVAL };
static const struct nft_set sticky = { .name = "sticky",
                                       .key = { NFT_FIELD_IPV4 },
                                       .data = { NFT_FIELD_IPV4, NFT_FIELD_PORT },
                                       .flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
                                       .size = 1000 };

static struct nft *open_fresh(void)
{
        struct nft *n = NULL;
        struct err err = { 0 };

        netns_enter_fresh();
        if (nft_open(&n, &err) < 0)
                check_skip_all("no nfnetlink: %s", err_text(&err));
        return n;
}

static struct nft_batch *new_batch(void)
{
        struct nft_batch *b = NULL;

        CHECK(nft_batch_new(FAMILY, TABLE, &b) == 0);
        return b;
}

static void commit(struct nft *n, struct nft_batch *b)
{
        struct err err = { 0 };

        if (nft_commit(n, b, NULL, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static int count_one(const struct nft_element *element, void *userdata)
{
        CHECK(element->key != NULL);
        ++*(size_t *)userdata;
        return 0;
}

static size_t count_elements(struct nft *n, const struct nft_set *set)
{
        size_t count = 0;

        CHECK(nft_list_elements(n, FAMILY, TABLE, set, count_one, &count, NULL) == 0);
        return count;
}

static int keep_set(const struct nft_found_set *found, void *userdata)
{
        const struct nft_set *all[] = { &addresses, &services, &endpoints,
                                        &ranges,    &allowed,  &sticky };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (nft_set_matches(all[i], found))
                        *(unsigned *)userdata |= 1u << i;
        return 0;
}

TEST(every_kind_of_set_comes_back_as_it_was_made)
{
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();
        unsigned seen = 0;

        nft_batch_add_table(b);
        nft_batch_add_set(b, &addresses);
        nft_batch_add_set(b, &services);
        nft_batch_add_set(b, &endpoints);
        nft_batch_add_set(b, &ranges);
        nft_batch_add_set(b, &allowed);
        nft_batch_add_set(b, &sticky);
        commit(n, b);
        CHECK(nft_list_sets(n, FAMILY, TABLE, keep_set, &seen, NULL) == 0);
        CHECK_INT(seen, 63);
}

static int keep_element(const struct nft_element *e, void *userdata)
{
        struct strbuf *text = userdata;

        strbuf_addf(text, "%d %s %s;", e->verdict.code, e->verdict.chain ? e->verdict.chain : "-",
                    e->comment ? e->comment : "-");
        return 0;
}

TEST(a_verdict_and_a_hostile_comment_survive_the_round_trip)
{
        static const char hostile[] = "x\"; } flush ruleset; { \n $(reboot) \\ '";
        static const uint8_t key[12] = { 10, 96, 0, 10, 6, 0, 0, 0, 0, 53, 0, 0 };
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();
        _cleanup_strbuf_ struct strbuf text = { 0 };
        _cleanup_free_ char *expected = text_printf("%d pick-3 %s;", NFT_GOTO, hostile);
        struct nft_element e = { .key = key,
                                 .verdict = { NFT_GOTO, "pick-3" },
                                 .comment = hostile };

        nft_batch_add_table(b);
        nft_batch_add_chain(b, &(struct nft_chain){ .name = "pick-3" });
        nft_batch_add_set(b, &services);
        nft_batch_add_element(b, &services, &e);
        commit(n, b);
        CHECK(nft_list_elements(n, FAMILY, TABLE, &services, keep_element, &text, NULL) == 0);
        CHECK_STR(text.data, expected);
}

TEST(a_comment_that_is_too_long_is_cut_instead_of_failing_everything)
{
        static const uint8_t key[4] = { 10, 0, 0, 1 };
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();
        _cleanup_strbuf_ struct strbuf text = { 0 };
        char comment[300];
        struct nft_element e = { .key = key, .comment = comment };

        memset(comment, 'n', sizeof comment - 1);
        comment[sizeof comment - 1] = 0;
        nft_batch_add_table(b);
        nft_batch_add_set(b, &addresses);
        nft_batch_add_element(b, &addresses, &e);
        commit(n, b);
        CHECK(nft_list_elements(n, FAMILY, TABLE, &addresses, keep_element, &text, NULL) == 0);
        comment[NFT_COMMENT_MAX - 1] = 0;
        CHECK_CONTAINS(text.data, comment);
}

TEST(thousands_of_elements_go_in_one_transaction_and_all_come_back)
{
        enum { N = 20000 };
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();

        nft_batch_add_table(b);
        nft_batch_add_set(b, &endpoints);
        for (uint32_t i = 0; i < N; i++) {
                uint8_t key[16] = { 10, 96, (uint8_t)(i >> 8), (uint8_t)i, IPPROTO_TCP };
                uint8_t data[8] = { 10, 244, (uint8_t)(i >> 8), (uint8_t)i, 0, 80 };

                nft_batch_add_element(b, &endpoints,
                                      &(struct nft_element){ .key = key, .data = data });
        }
        CHECK_INT(nft_batch_count(b), N + 2);
        commit(n, b);
        CHECK_INT(count_elements(n, &endpoints), N);
}

TEST(intervals_of_one_and_of_several_fields_are_kept)
{
        static const uint8_t from[4] = { 10, 244, 0, 0 }, behind[4] = { 10, 245, 0, 0 };
        static const uint8_t pair[8] = { 1, 2, 3, 4, 10, 0, 0, 0 },
                             pair_end[8] = { 1, 2, 3, 4, 10, 0, 0, 255 };
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();

        nft_batch_add_table(b);
        nft_batch_add_set(b, &ranges);
        nft_batch_add_set(b, &allowed);
        nft_batch_add_element(b, &ranges, &(struct nft_element){ .key = from });
        nft_batch_add_element(b, &ranges,
                              &(struct nft_element){ .key = behind, .interval_end = true });
        nft_batch_add_element(b, &allowed,
                              &(struct nft_element){ .key = pair, .key_end = pair_end });
        commit(n, b);
        CHECK(count_elements(n, &ranges) >= 2);
        CHECK_INT(count_elements(n, &allowed), 1);
}

static int keep_rule(const struct nft_found_rule *rule, void *userdata)
{
        strbuf_addf(userdata, "%s: %s;", rule->chain, rule->comment ? rule->comment : "-");
        return 0;
}

static int keep_chain(const struct nft_found_chain *chain, void *userdata)
{
        strbuf_addf(userdata, "%s %s %d %d;", chain->name, chain->type ? chain->type : "-",
                    chain->hook, chain->priority);
        return 0;
}

/* Every expression that the header offers. */
static struct nft_rule *long_rule(void)
{
        static const uint32_t mask = 0xffffffff, mark = 0x4000;
        struct nft_rule *r = nft_rule_new();

        nft_rule_ct(r, NFT_CT_STATE, 0);
        nft_rule_bitwise(r, 0, &mask, &mark, sizeof mark);
        nft_rule_compare_u32(r, NFT_CMP_NEQ, 0, 0);
        nft_rule_fib_type(r, NFTA_FIB_F_DADDR, 0);
        nft_rule_compare_u32(r, NFT_CMP_EQ, 0, 2);
        nft_rule_saddr(r, FAMILY, 0);
        nft_rule_lookup(r, addresses.name, 0, true);
        nft_rule_meta(r, NFT_META_MARK, 0);
        nft_rule_meta_set(r, NFT_META_MARK, 0);
        nft_rule_daddr(r, FAMILY, 0);
        nft_rule_l4proto(r, 1);
        nft_rule_dport(r, 2);
        nft_rule_random(r, 3, 0, 3);
        nft_rule_map(r, endpoints.name, 0, 4);
        nft_rule_saddr(r, FAMILY, 0);
        nft_rule_dynset(r, NFT_DYNSET_OP_UPDATE, sticky.name, 0, 4, 10000);
        nft_rule_counter(r);
        nft_rule_dnat(r, FAMILY, 4, 5);
        return r;
}

TEST(rules_and_chains_come_back_in_order_with_their_comments)
{
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();
        _cleanup_(nft_rule_freep)
        struct nft_rule *rule = long_rule(), *accept = nft_rule_new();
        _cleanup_strbuf_ struct strbuf text = { 0 }, chains = { 0 };

        nft_rule_verdict(accept, NF_ACCEPT, NULL);
        nft_batch_add_table(b);
        nft_batch_add_set(b, &addresses);
        nft_batch_add_set(b, &endpoints);
        nft_batch_add_set(b, &sticky);
        nft_batch_add_chain(b, &(struct nft_chain){ "in", "nat", NF_INET_PRE_ROUTING, -100 });
        nft_batch_add_chain(b, &(struct nft_chain){ .name = "plain" });
        nft_batch_add_rule(b, "in", rule, "first");
        nft_batch_add_rule(b, "in", accept, "second");
        nft_batch_add_rule(b, "in", accept, NULL);
        commit(n, b);
        CHECK(nft_list_rules(n, FAMILY, TABLE, keep_rule, &text, NULL) == 0);
        CHECK_STR(text.data, "in: first;in: second;in: -;");
        CHECK(nft_list_chains(n, FAMILY, TABLE, keep_chain, &chains, NULL) == 0);
        CHECK_STR(chains.data, "in nat 0 -100;plain - 0 0;");
        CHECK(nft_rule_hash(rule) != 0 && nft_rule_hash(rule) != nft_rule_hash(accept));
}

TEST(a_failing_operation_is_named_and_nothing_of_the_batch_stays)
{
        static const uint8_t key[4] = { 10, 0, 0, 1 };
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = new_batch();
        _cleanup_strbuf_ struct strbuf chains = { 0 };
        _cleanup_err_ struct err err = { 0 };

        nft_batch_add_table(b);
        nft_batch_add_chain(b, &(struct nft_chain){ .name = "plain" });
        nft_batch_add_set(b, &addresses);
        nft_batch_delete_element(b, &addresses, &(struct nft_element){ .key = key });
        CHECK_INT(nft_commit(n, b, NULL, &err), -ENOENT);
        CHECK_CONTAINS(err_text(&err), "table 'skiff-test': delete elements of 'addresses'");
        CHECK(nft_list_chains(n, FAMILY, TABLE, keep_chain, &chains, NULL) == 0);
        CHECK(chains.len == 0);
}

TEST(a_batch_for_an_older_generation_is_refused)
{
        _cleanup_(nft_freep)
        struct nft *n = open_fresh();
        _cleanup_(nft_batch_freep)
        struct nft_batch *a = new_batch(), *b = new_batch();
        uint32_t before, after;

        CHECK(nft_generation(n, &before, NULL) == 0);
        nft_batch_add_table(a);
        CHECK(nft_commit(n, a, &before, NULL) == 0);
        CHECK(nft_generation(n, &after, NULL) == 0);
        CHECK_INT(after, before + 1);
        nft_batch_add_table(b);
        CHECK_INT(nft_commit(n, b, &before, NULL), -ERESTART);
}

static void on_change(int family, void *userdata)
{
        CHECK_INT(family, FAMILY);
        ++*(int *)userdata;
}

TEST(a_flush_by_somebody_else_is_noticed_and_what_concerns_other_tables_is_not)
{
        _cleanup_(nft_freep)
        struct nft *n = open_fresh(), *other = NULL;
        _cleanup_(nft_batch_freep)
        struct nft_batch *a = new_batch(), *b = new_batch(), *c = NULL;
        _cleanup_(nft_watch_freep)
        struct nft_watch *w = NULL;
        sd_event *event = NULL;
        int changes = 0;

        CHECK(sd_event_new(&event) >= 0);
        CHECK(nft_open(&other, NULL) == 0);
        CHECK(nft_watch_new(event, TABLE, n, on_change, &changes, &w, NULL) == 0);
        nft_batch_add_table(a);
        commit(n, a); /* our own */
        CHECK(nft_batch_new(FAMILY, "other", &c) == 0);
        nft_batch_add_table(c);
        commit(other, c);
        while (sd_event_run(event, 0) > 0)
                ;
        CHECK_INT(changes, 0);
        nft_batch_delete_table(b);
        commit(other, b);
        while (sd_event_run(event, 0) > 0)
                ;
        CHECK(changes > 0);
        w = nft_watch_free(w);
        sd_event_unref(event);
}

TEST(a_paused_watch_tells_nothing_but_what_came_before)
{
        _cleanup_(nft_freep)
        struct nft *n = open_fresh(), *other = NULL;
        _cleanup_(nft_batch_freep)
        struct nft_batch *a = new_batch(), *b = new_batch();
        _cleanup_(nft_watch_freep)
        struct nft_watch *w = NULL;
        sd_event *event = NULL;
        int changes = 0;
        uint32_t generation;

        CHECK(sd_event_new(&event) >= 0);
        CHECK(nft_open(&other, NULL) == 0);
        CHECK(nft_watch_new(event, TABLE, n, on_change, &changes, &w, NULL) == 0);
        nft_batch_add_table(a);
        commit(other, a);
        CHECK(nft_generation(n, &generation, NULL) == 0);
        CHECK(nft_settle(n, generation, NULL) == 0);
        CHECK_INT(nft_settle(n, generation - 1, NULL), -ERESTART);
        CHECK(nft_watch_pause(w) == 0);
        CHECK_INT(changes, 1);
        nft_batch_delete_table(b);
        commit(other, b);
        CHECK(nft_watch_resume(w) == 0);
        while (sd_event_run(event, 0) > 0)
                ;
        CHECK_INT(changes, 1);
        w = nft_watch_free(w);
        sd_event_unref(event);
}
