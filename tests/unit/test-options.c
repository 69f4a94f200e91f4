#include "kubelet/options.h"

#include <errno.h>

#include "tests/check.h"

static int parse(struct options *o, struct err *err, const char *a, const char *b)
{
        char *argv[] = { "skiffd", (char *)a, (char *)b, NULL };

        return options_parse(b ? 3 : a ? 2 : 1, argv, o, err);
}

TEST(directories_have_the_kubelets_and_our_defaults)
{
        _cleanup_(options_done)
        struct options o = { 0 };

        CHECK_INT(parse(&o, NULL, NULL, NULL), 0);
        CHECK_STR(o.root_dir, "/var/lib/kubelet");
        CHECK_STR(o.run_dir, "/run/skiff");
        CHECK(o.kubeconfig == NULL);
}

TEST(a_directory_has_one_name_however_it_is_written)
{
        _cleanup_(options_done)
        struct options o = { 0 };

        CHECK_INT(parse(&o, NULL, "--run-dir", "/run//other/"), 0);
        CHECK_STR(o.run_dir, "/run/other");
}

TEST(labels_are_pairs)
{
        _cleanup_(options_done)
        struct options o = { 0 }, bad = { 0 };
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(parse(&o, NULL, "--node-labels", "b=2,a=1"), 0);
        CHECK_STR(string_map_get(&o.node_labels, "a"), "1");
        CHECK_INT(parse(&bad, &err, "--node-labels", "novalue"), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "'novalue': expected KEY=VALUE");
}

TEST(a_bad_option_is_named_with_its_value_and_rule)
{
        static const char *const cases[][3] = {
                { "--run-dir", "relative", "--run-dir: 'relative': expected an absolute path" },
                { "--log-level", "loud", "--log-level: 'loud': expected debug" },
                { "--no-such", "x", "'--no-such': expected one of the options" },
                { "word", NULL, "'word': expected no further words" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(options_done)
                struct options o = { 0 };
                _cleanup_err_ struct err err = { 0 };

                CHECK(parse(&o, &err, cases[i][0], cases[i][1]) < 0);
                CHECK_CONTAINS(err_text(&err), cases[i][2]);
        }
}
