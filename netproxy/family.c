#include "netproxy/family.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

enum {
        ATTEMPTS = 5,        /* while others change the ruleset under our hands */
        LARGE_COMMIT = 1000, /* operations from which on nobody, we least of all, should be told */
};

struct family_links {
        sd_event *event;  /* borrowed */
        char *table_name; /* owned */
        void (*on_meddled)(void *userdata);
        void *userdata;
        struct nft *nft;            /* owned; NULL: not open yet */
        struct nft_watch *watch;    /* owned; NULL: not open yet */
        struct family *families[2]; /* borrowed */
        bool is_syncing;
};

struct family {
        struct family_links *links; /* borrowed */
        int family;
        const char *table_name;       /* borrowed from links */
        struct ruleset_table *wanted; /* owned; knows what is installed, too */
        bool is_known;                /* what is installed */
        bool is_meddled;              /* somebody else changed it since it was read */
};

int family_links_new(sd_event *event, const char *table, void (*on_meddled)(void *userdata),
                     void *userdata, struct family_links **ret)
{
        struct family_links *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        l->event = event;
        l->on_meddled = on_meddled;
        l->userdata = userdata;
        l->table_name = strdup(table);
        if (!l->table_name) {
                family_links_free(l);
                return -ENOMEM;
        }
        *ret = l;
        return 0;
}

struct family_links *family_links_free(struct family_links *l)
{
        if (!l)
                return NULL;
        nft_watch_free(l->watch);
        nft_free(l->nft);
        free(l->table_name);
        free(l);
        return NULL;
}

int family_new(struct family_links *links, int family, struct family **ret)
{
        _cleanup_(family_freep)
        struct family *f = calloc(1, sizeof *f);
        int r;

        if (!f)
                return -ENOMEM;
        f->family = family;
        f->table_name = links->table_name;
        r = ruleset_table_new(family, &f->wanted);
        if (r < 0)
                return r;
        f->links = links;
        links->families[family == AF_INET6] = f;
        *ret = TAKE_PTR(f);
        return 0;
}

struct family *family_free(struct family *f)
{
        if (!f)
                return NULL;
        if (f->links)
                f->links->families[f->family == AF_INET6] = NULL;
        ruleset_table_free(f->wanted);
        free(f);
        return NULL;
}

int family_number(const struct family *f)
{
        return f->family;
}

struct ruleset_table *family_wanted(struct family *f)
{
        return f->wanted;
}

/* What is installed in @family (NFPROTO_UNSPEC: in both) is not what we think. */
static void on_change(int family, void *userdata)
{
        struct family_links *l = userdata;
        bool news = false;

        for (size_t i = 0; i < ARRAY_SIZE(l->families); i++) {
                struct family *f = l->families[i];

                if (!f || !f->is_known || (family != NFPROTO_UNSPEC && family != f->family))
                        continue;
                f->is_known = false;
                f->is_meddled = true;
                news = true;
        }
        if (news && !l->is_syncing)
                l->on_meddled(l->userdata);
}

static int open_links(struct family_links *l, struct err *err)
{
        int r = l->nft ? 0 : nft_open(&l->nft, err);

        if (r < 0 || l->watch)
                return r;
        return nft_watch_new(l->event, l->table_name, l->nft, on_change, l, &l->watch, err);
}

/* ---- reading back ---- */
static int on_set(const struct nft_found_set *set, void *userdata)
{
        return ruleset_table_have_set(userdata, set);
}

static int on_chain(const struct nft_found_chain *chain, void *userdata)
{
        return ruleset_table_have_chain(userdata, chain);
}

static int on_rule(const struct nft_found_rule *rule, void *userdata)
{
        return ruleset_table_have_rule(userdata, rule);
}

struct element_reader {
        struct ruleset_table *table;
        enum ruleset_set set;
};

static int on_element(const struct nft_element *element, void *userdata)
{
        struct element_reader *reader = userdata;

        return ruleset_table_have_element(reader->table, reader->set, element);
}

static int read_elements(struct family *f, struct err *err)
{
        for (int set = 0; set < _SET_RANGES_MAX; set++) {
                struct element_reader reader = { f->wanted, (enum ruleset_set)set };
                int r = nft_list_elements(f->links->nft, f->family, f->table_name,
                                          ruleset_set(f->family, (enum ruleset_set)set), on_element,
                                          &reader, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_installed(struct family *f, struct err *err)
{
        int r;

        ruleset_table_forget(f->wanted);
        r = nft_list_sets(f->links->nft, f->family, f->table_name, on_set, f->wanted, err);
        if (r == 0)
                r = nft_list_chains(f->links->nft, f->family, f->table_name, on_chain, f->wanted,
                                    err);
        if (r == 0 && ruleset_table_layout_fits(f->wanted))
                r = nft_list_rules(f->links->nft, f->family, f->table_name, on_rule, f->wanted,
                                   err);
        if (r == 0 && ruleset_table_layout_fits(f->wanted))
                r = read_elements(f, err);
        ruleset_table_have_all(f->wanted);
        return r;
}

/* ---- one attempt ---- */
/* Our own large commit: nobody is to be told of each element. Whatever came before must be known.
 */
static int pause_watch(struct family *f, uint32_t generation, struct err *err)
{
        int r = nft_settle(f->links->nft, generation, err);

        if (r < 0)
                return r;
        r = nft_watch_pause(f->links->watch);
        if (r < 0)
                return err_sys(err, r, "pause nftables notifications");
        return f->is_known ? 0 : err_set(err, -ERESTART, "the table was changed meanwhile");
}

/* Did anybody come between our commit and the return of the watch? */
static void resume_watch(struct family *f, uint32_t expected)
{
        uint32_t generation;
        bool is_sure = nft_watch_resume(f->links->watch) >= 0;

        if (!is_sure)
                f->links->watch = nft_watch_free(f->links->watch); /* made anew by the next sync */
        if (!is_sure || nft_generation(f->links->nft, &generation, NULL) < 0 ||
            generation != expected)
                on_change(NFPROTO_UNSPEC, f->links);
}

static int commit(struct family *f, struct nft_batch *b, uint32_t generation, struct err *err)
{
        bool is_large = nft_batch_count(b) > LARGE_COMMIT;
        int r;

        if (is_large) {
                r = pause_watch(f, generation, err);
                if (r < 0) {
                        (void)nft_watch_resume(f->links->watch);
                        return r;
                }
        }
        r = nft_commit(f->links->nft, b, &generation, err);
        if (r == 0)
                ruleset_table_committed(f->wanted);
        if (is_large)
                resume_watch(f, generation + 1);
        return r;
}

static int attempt(struct family *f, size_t *ret_operations, struct err *err)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        uint32_t generation;
        int r = nft_generation(f->links->nft, &generation, err);

        if (r < 0)
                return r;
        if (!f->is_known) {
                f->is_meddled = false;
                f->is_known = true; /* unless somebody changes something from now on */
                r = read_installed(f, err);
                if (r < 0)
                        return r;
        }
        r = nft_batch_new(f->family, f->table_name, &b);
        if (r == 0)
                r = ruleset_table_diff(f->wanted, b);
        if (r < 0)
                return err_sys(err, r, "table '%s'", f->table_name);
        *ret_operations = nft_batch_count(b);
        return *ret_operations > 0 ? commit(f, b, generation, err) : 0;
}

/*
 * Tries everything that we use in one transaction that leaves nothing. What fails there, fails
 * because the kernel does not have it.
 */
static int probe(const struct family *f, struct err *err)
{
        static const struct ruleset_target target = { TARGET_NODE_PORT, TARGET_EXTERNAL_LOCAL, 1,
                                                      1 };
        struct ruleset_context ctx = { .family = f->family, .mark = 1, .zone = "" };
        _cleanup_(ruleset_table_freep)
        struct ruleset_table *t = NULL;
        _cleanup_(ruleset_chain_done)
        struct ruleset_chain pick = { 0 };
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r = nft_batch_new(f->family, "skiff-probe", &b);

        if (r == 0)
                r = ruleset_table_new(f->family, &t);
        if (r == 0)
                r = ruleset_table_set_context(t, &ctx);
        if (r == 0)
                r = ruleset_table_diff(t, b);
        if (r == 0)
                r = ruleset_target_build(&ctx, &target, &pick);
        if (r < 0)
                return err_sys(err, r, "probe nftables");
        nft_batch_add_chain(b, &pick.spec);
        for (size_t i = 0; i < pick.n_rules; i++)
                nft_batch_add_rule(b, pick.spec.name, pick.rules[i].rule, NULL);
        nft_batch_delete_table(b);
        return nft_commit(f->links->nft, b, NULL, err);
}

static bool means_missing(int r)
{
        return r == -EOPNOTSUPP || r == -EPROTONOSUPPORT || r == -EAFNOSUPPORT || r == -ENOENT ||
               r == -EINVAL;
}

/* @err holds why the sync failed, and stays when the kernel is not to blame. */
static int judge_failure(const struct family *f, int r, struct err *err)
{
        _cleanup_err_ struct err why = { 0 };

        if (!means_missing(r))
                return r;
        if (f->links->nft && probe(f, &why) == 0)
                return r;
        if (why.message)
                err_move(err, &why);
        (void)err_wrap(err, 0, "this kernel lacks nf_tables for %s",
                       f->family == AF_INET6 ? "IPv6" : "IPv4");
        return FAMILY_UNSUPPORTED;
}

int family_sync(struct family *f, size_t *ret_operations, struct err *err)
{
        int r = -ERESTART;

        *ret_operations = 0;
        f->links->is_syncing = true;
        for (int i = 0; i < ATTEMPTS && (r == -ERESTART || r == -EINTR); i++) {
                if (err)
                        err_done(err);
                r = open_links(f->links, err);
                if (r == 0)
                        r = attempt(f, ret_operations, err);
                if (r < 0)
                        f->is_known = false;
        }
        f->links->is_syncing = false;
        if (r < 0)
                return judge_failure(f, r, err);
        for (size_t i = 0; i < ARRAY_SIZE(f->links->families); i++) {
                const struct family *any = f->links->families[i];

                /* it was meddled with while we were at it */
                if (any && any->is_meddled) {
                        f->links->on_meddled(f->links->userdata);
                        break;
                }
        }
        return 0;
}

bool family_is_known(const struct family *f)
{
        return f->is_known;
}

struct value_reader {
        int family;
        enum ruleset_set set;
        void *value; /* borrowed; NULL: not wanted */
        bool found;
};

static int on_value(const struct nft_element *element, void *userdata)
{
        struct value_reader *r = userdata;
        struct ruleset_target target = { 0 };
        size_t n = ruleset_value_len(r->family, r->set);

        r->found = true;
        if (!r->value || n == 0)
                return 0;
        if (ruleset_set(r->family, r->set)->data[0] == NFT_FIELD_VERDICT) {
                /* a verdict that we never give leads nowhere */
                if (!ruleset_target_of_verdict(&element->verdict, &target))
                        target = (struct ruleset_target){ 0 };
                memcpy(r->value, &target, sizeof target);
        } else {
                memcpy(r->value, element->data, n);
        }
        return 0;
}

int family_read_element(struct family *f, enum ruleset_set set, const void *key, void *ret_value,
                        struct err *err)
{
        struct value_reader reader = { .family = f->family, .set = set, .value = ret_value };
        int r;

        if (!f->links->nft)
                return err_set(err, -ENOTCONN, "nothing was written into nftables yet");
        r = nft_get_element(f->links->nft, f->family, f->table_name, ruleset_set(f->family, set),
                            key, on_value, &reader, err);
        return r == -ENOENT ? 0 : r < 0 ? r : reader.found;
}

bool family_has_stale(const struct family *f)
{
        return f->is_known && ruleset_table_has_stale(f->wanted);
}

int family_collect(struct family *f, struct err *err)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r;

        if (!family_has_stale(f))
                return 0;
        r = nft_batch_new(f->family, f->table_name, &b);
        if (r == 0)
                r = ruleset_table_diff_stale(f->wanted, b);
        if (r < 0)
                return err_sys(err, r, "table '%s'", f->table_name);
        r = nft_commit(f->links->nft, b, NULL, err);
        if (r == 0)
                ruleset_table_committed_stale(f->wanted);
        return r;
}

int family_remove(int family, const char *table, struct err *err)
{
        _cleanup_(nft_freep)
        struct nft *nft = NULL;
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        int r = nft_open(&nft, err);

        if (r == 0)
                r = nft_batch_new(family, table, &b);
        if (r < 0)
                return r;
        nft_batch_add_table(b); /* so that there is one to delete */
        nft_batch_delete_table(b);
        return nft_commit(nft, b, NULL, err);
}
