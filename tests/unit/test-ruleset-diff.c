#include "netproxy/ruleset-diff.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/proxy-fixture.h"

struct one { /* a Service with its slices, as sync keeps them */
        struct service *service;
        struct endpoint_slice *slice;
        struct ruleset_owner owner;
};

static struct ruleset_table *new_table(void)
{
        struct ruleset_context ctx = make_context(AF_INET);
        struct ruleset_table *t = NULL;

        CHECK(ruleset_table_new(AF_INET, &t) == 0);
        CHECK(ruleset_table_set_context(t, &ctx) == 0);
        return t;
}

static void apply(struct ruleset_table *t, struct one *o)
{
        struct ruleset_owner *displaced;
        const struct endpoint_slice *slices[] = { o->slice };

        CHECK(ruleset_table_apply(t, &o->owner, o->service, slices, o->slice ? 1 : 0) >= 0);
        while ((displaced = ruleset_table_next_displaced(t))) {
                struct one *d = CONTAINER_OF(displaced, struct one, owner);
                const struct endpoint_slice *its[] = { d->slice };

                CHECK(ruleset_table_apply(t, displaced, d->service, its, d->slice ? 1 : 0) >= 0);
        }
}

static struct one make(const char *name, const char *spec, const char *endpoints)
{
        return (struct one){ .service = make_service(name, spec),
                             .slice = make_slice(name, "", 8080, endpoints) };
}

static void done(struct ruleset_table *t, struct one *o)
{
        ruleset_table_drop(t, &o->owner);
        service_unref(o->service);
        endpoint_slice_free(o->slice);
}

/* How many operations it takes; the kernel agrees to all of them. */
static size_t sync_table(struct ruleset_table *t)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        size_t n;

        CHECK(nft_batch_new(AF_INET, "test", &b) == 0);
        CHECK(ruleset_table_diff(t, b) == 0);
        n = nft_batch_count(b);
        ruleset_table_committed(t);
        return n;
}

TEST(the_first_diff_makes_everything_and_the_second_nothing)
{
        struct ruleset_table *t = new_table();
        struct one web = make("web", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                              "10.0.0.1");

        apply(t, &web);
        CHECK(sync_table(t) > 30);
        CHECK_INT(sync_table(t), 0);
        apply(t, &web);
        CHECK_INT(sync_table(t), 0);
        done(t, &web);
        ruleset_table_free(t);
}

TEST(a_changed_endpoint_costs_itself_and_nothing_else)
{
        struct ruleset_table *t = new_table();
        struct one web = make("web", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                              "10.0.0.1 10.0.0.2 10.0.0.3"),
                   other = make("other", "\"clusterIP\":\"10.96.0.2\",\"ports\":[{\"port\":80}]",
                                "10.0.0.4 10.0.0.5 10.0.0.6");

        apply(t, &web);
        apply(t, &other);
        sync_table(t);
        endpoint_slice_free(web.slice);
        web.slice = make_slice("web", "", 8080, "10.0.0.1 10.0.0.2 10.0.0.9");
        apply(t, &web);
        CHECK_INT(sync_table(t), 2); /* delete and add one endpoint */
        endpoint_slice_free(web.slice);
        web.slice = make_slice("web", "", 8080, "10.0.0.1 10.0.0.2");
        apply(t, &web);
        /* one endpoint less; the dispatch to another pick chain (made: 1 + 2 rules) */
        CHECK_INT(sync_table(t), 1 + 2 + 3);
        CHECK(!ruleset_table_has_stale(t)); /* the other Service still has three */
        done(t, &web);
        CHECK_INT(sync_table(t), 2 + 1 + 1);
        CHECK(ruleset_table_has_stale(t));
        done(t, &other);
        ruleset_table_free(t);
}

TEST(chains_that_nothing_leads_to_go_in_a_transaction_of_their_own)
{
        struct ruleset_table *t = new_table();
        struct one web = make("web", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                              "10.0.0.1");
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;

        apply(t, &web);
        sync_table(t);
        done(t, &web);
        sync_table(t);
        CHECK(ruleset_table_has_stale(t));
        CHECK(nft_batch_new(AF_INET, "test", &b) == 0);
        CHECK(ruleset_table_diff_stale(t, b) == 0);
        CHECK_INT(nft_batch_count(b), 1);
        ruleset_table_committed_stale(t);
        CHECK(!ruleset_table_has_stale(t));
        CHECK_INT(ruleset_table_count(t), 0);
        ruleset_table_free(t);
}

TEST(of_two_claims_to_an_address_the_older_stands_and_the_other_follows)
{
        struct ruleset_table *t = new_table();
        struct one old = make("a",
                              "\"clusterIP\":\"10.96.0.1\",\"externalIPs\":[\"198.51.100.1\"],"
                              "\"ports\":[{\"port\":80}]",
                              "10.0.0.1"),
                   new = make("b",
                              "\"clusterIP\":\"10.96.0.2\",\"externalIPs\":[\"198.51.100.1\"],"
                              "\"ports\":[{\"port\":80}]",
                              "10.0.0.2");
        size_t both, alone;

        apply(t, &new);
        alone = ruleset_table_count(t);
        apply(t, &old); /* takes the external IP over */
        both = ruleset_table_count(t);
        CHECK_INT(both, 2 * alone - 2); /* its dispatch and its translation exist once */
        sync_table(t);
        ruleset_table_drop(t, &old.owner);
        CHECK_INT(ruleset_table_count(t), alone - 2);
        CHECK(ruleset_table_next_displaced(t) == &new.owner);
        apply(t, &new);
        CHECK_INT(ruleset_table_count(t), alone);
        CHECK(sync_table(t) > 0);
        CHECK_INT(sync_table(t), 0);
        done(t, &old);
        done(t, &new);
        ruleset_table_free(t);
}

TEST(nobody_takes_a_cluster_ip_away_by_claiming_it_as_external)
{
        struct ruleset_table *t = new_table();
        struct one dns = make("z-dns", "\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":53}]",
                              "10.0.0.1"),
                   thief = make("a-thief",
                                "\"clusterIP\":\"10.96.0.66\",\"externalIPs\":[\"10.96.0.10\"],"
                                "\"ports\":[{\"port\":53}]",
                                "10.0.0.66");
        size_t before;

        apply(t, &dns);
        sync_table(t);
        apply(t, &thief);
        sync_table(t);
        before = ruleset_table_count(t);
        apply(t, &dns); /* it owns its address still: nothing to take back */
        CHECK_INT(ruleset_table_count(t), before);
        CHECK_INT(sync_table(t), 0);
        /* the other way round: the thief was first */
        ruleset_table_drop(t, &dns.owner);
        while (ruleset_table_next_displaced(t))
                apply(t, &thief);
        sync_table(t);
        apply(t, &dns);
        CHECK(sync_table(t) > 0);
        CHECK_INT(ruleset_table_count(t), before);
        done(t, &dns);
        done(t, &thief);
        ruleset_table_free(t);
}

TEST(an_element_that_many_need_stays_until_the_last_lets_go)
{
        struct ruleset_table *t = new_table();
        struct one a = make("a", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                            "10.0.0.1L"),
                   b = make("b", "\"clusterIP\":\"10.96.0.2\",\"ports\":[{\"port\":80}]",
                            "10.0.0.1L");
        size_t one;

        apply(t, &a);
        one = ruleset_table_count(t);
        apply(t, &b);
        CHECK_INT(ruleset_table_count(t), 2 * one - 1); /* one hairpin element */
        apply(t, &b);
        apply(t, &a);
        done(t, &a);
        CHECK_INT(ruleset_table_count(t), one);
        done(t, &b);
        CHECK_INT(ruleset_table_count(t), 0);
        ruleset_table_free(t);
}

/* ---- what is found installed ---- */
static void tell_layout(struct ruleset_table *t)
{
        for (int i = 0; i < _SET_MAX; i++) {
                const struct nft_set *s = ruleset_set(AF_INET, (enum ruleset_set)i);
                struct nft_found_set found = {
                        .name = s->name,
                        .flags = s->flags | (s->data[0] ? NFT_SET_MAP : 0),
                        .key_len = (uint32_t)nft_fields_len(s->key),
                        .data_len = (uint32_t)nft_fields_len(s->data),
                        .is_verdict_map = s->data[0] == NFT_FIELD_VERDICT,
                        .size = s->size,
                };

                CHECK(ruleset_table_have_set(t, &found) == 0);
        }
}

static void tell_chain(struct ruleset_table *t, const struct ruleset_chain *c)
{
        struct nft_found_chain found = { .name = c->spec.name,
                                         .type = c->spec.type,
                                         .hook = c->spec.hook,
                                         .priority = c->spec.priority,
                                         .policy = NF_ACCEPT };

        CHECK(ruleset_table_have_chain(t, &found) == 0);
        for (size_t i = 0; i < c->n_rules; i++)
                CHECK(ruleset_table_have_rule(t, &(struct nft_found_rule){ c->spec.name,
                                                                           c->rules[i].comment,
                                                                           i }) == 0);
}

static void tell_chains(struct ruleset_table *t)
{
        struct ruleset_context ctx = make_context(AF_INET);
        _cleanup_(ruleset_done)
        struct ruleset statics = { 0 };
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain pick = { 0 };

        CHECK(ruleset_build(&ctx, &statics) == 0);
        for (size_t i = 0; i < statics.n_chains; i++)
                tell_chain(t, &statics.chains[i]);
        CHECK(ruleset_target_build(&ctx, &(struct ruleset_target){ TARGET_IP, TARGET_PLAIN, 1, 0 },
                                   &pick) == 0);
        tell_chain(t, &pick);
}

static const uint8_t cluster_ip[4] = { 10, 96, 0, 1 };
static const uint8_t service_key[12] = { 10, 96, 0, 1, 6, 0, 0, 0, 0, 80 };
static const uint8_t endpoint_key[16] = { 10, 96, 0, 1, 6, 0, 0, 0, 0, 80 };
static const uint8_t endpoint_data[8] = { 10, 0, 0, 1, 0x1f, 0x90 };

static void tell_elements(struct ruleset_table *t)
{
        struct nft_element dispatch = { .key = service_key,
                                        .verdict = { NFT_GOTO, "ip-1" },
                                        .comment = "ns/web" };

        CHECK(ruleset_table_have_element(t, SET_CLUSTER_IPS,
                                         &(struct nft_element){ .key = cluster_ip }) == 0);
        CHECK(ruleset_table_have_element(t, SET_SERVICE_IPS, &dispatch) == 0);
        CHECK(ruleset_table_have_element(t, SET_ENDPOINTS,
                                         &(struct nft_element){ .key = endpoint_key,
                                                                .data = endpoint_data }) == 0);
}

TEST(after_a_restart_what_is_installed_already_is_left_alone)
{
        struct ruleset_table *t = new_table();
        struct one web = make("web", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                              "10.0.0.1");

        ruleset_table_forget(t);
        tell_layout(t);
        tell_chains(t);
        tell_elements(t);
        ruleset_table_have_all(t);
        CHECK(ruleset_table_layout_fits(t));
        apply(t, &web);
        CHECK_INT(sync_table(t), 0);
        done(t, &web);
        ruleset_table_free(t);
}

TEST(what_others_changed_is_put_right)
{
        static const uint8_t stranger[4] = { 10, 96, 0, 99 };
        static const uint8_t wrong[8] = { 10, 0, 0, 66, 0x1f, 0x90 };
        struct ruleset_table *t = new_table();
        struct one web = make("web", "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]",
                              "10.0.0.1");

        apply(t, &web);
        sync_table(t);
        ruleset_table_forget(t);
        tell_layout(t);
        tell_chains(t);
        CHECK(ruleset_table_have_rule(t, &(struct nft_found_rule){ "services", "mine", 9 }) == 0);
        CHECK(ruleset_table_have_element(t, SET_CLUSTER_IPS,
                                         &(struct nft_element){ .key = stranger }) == 0);
        CHECK(ruleset_table_have_element(t, SET_SERVICE_IPS,
                                         &(struct nft_element){ .key = service_key,
                                                                .verdict = { NF_ACCEPT, NULL } }) ==
              0);
        CHECK(ruleset_table_have_element(t, SET_ENDPOINTS,
                                         &(struct nft_element){ .key = endpoint_key,
                                                                .data = wrong }) == 0);
        ruleset_table_have_all(t);
        /* flush and 3 rules; the stranger goes, the cluster IP comes; two are replaced */
        CHECK_INT(sync_table(t), 4 + 2 + 2 + 2);
        CHECK_INT(sync_table(t), 0);
        done(t, &web);
        ruleset_table_free(t);
}

TEST(a_table_of_another_version_is_made_anew)
{
        struct ruleset_table *t = new_table();
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;

        ruleset_table_forget(t);
        tell_layout(t);
        CHECK(ruleset_table_have_set(t, &(struct nft_found_set){ .name = "old-set" }) == 0);
        CHECK(!ruleset_table_layout_fits(t));
        CHECK(nft_batch_new(AF_INET, "test", &b) == 0);
        CHECK(ruleset_table_diff(t, b) == 0);
        /* delete and add the table, all sets, 10 chains and their 24 rules */
        CHECK_INT(nft_batch_count(b), 2 + _SET_MAX + 10 + 24);
        ruleset_table_free(t);
}

TEST(ranges_are_joined_and_replaced_whole_only_when_they_differ)
{
        struct ruleset_table *t = new_table();
        struct cidr c[3];
        struct ip_range ranges[3];

        CHECK(cidr_parse("10.244.0.0/24", &c[0]) == 0 && cidr_parse("10.244.1.0/24", &c[1]) == 0 &&
              cidr_parse("fd00::/64", &c[2]) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                ranges[i] = cidr_range(&c[i]);
        sync_table(t);
        CHECK(ruleset_table_set_ranges(t, SET_POD_IPS, ranges, 3) == 0);
        CHECK_INT(sync_table(t), 2); /* one range of this family: its start and its end */
        CHECK(ruleset_table_set_ranges(t, SET_POD_IPS, ranges, 3) == 0);
        CHECK_INT(sync_table(t), 0);
        CHECK(ruleset_table_set_ranges(t, SET_POD_IPS, ranges, 1) == 0);
        CHECK_INT(sync_table(t), 3);
        CHECK(ruleset_table_set_ranges(t, SET_NODE_PORT_IPS, ranges, 1) == 0);
        CHECK_INT(sync_table(t), 1); /* single addresses have no end */
        ruleset_table_free(t);
}
