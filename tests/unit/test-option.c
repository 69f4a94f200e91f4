#include "base/option.h"

#include <errno.h>
#include <getopt.h>
#include <syslog.h>

#include "tests/check.h"

TEST(one_place_has_one_name)
{
        static const char *const cases[][2] = {
                { "/run/skiff", "/run/skiff" },
                { "/run/skiff/", "/run/skiff" },
                { "/run/skiff///", "/run/skiff" },
                { "//run//skiff", "/run/skiff" },
                { "/", "/" },
                { "///", "/" },
                { "/a b/\xc3\xa4/", "/a b/\xc3\xa4" },
        };
        _cleanup_free_ char *path = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CHECK_INT(option_set_path(&path, "run-dir", cases[i][0], NULL), 0);
                CHECK_STR(path, cases[i][1]);
        }
}

TEST(what_is_no_path_is_named_and_changes_nothing)
{
        _cleanup_free_ char *path = strdup("/before");
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(option_set_path(&path, "run-dir", "run/skiff", &err), -EINVAL);
        CHECK_STR(err_text(&err), "--run-dir: 'run/skiff': expected an absolute path");
        CHECK_INT(option_set_path(&path, "run-dir", "", &err), -EINVAL);
        CHECK_STR(path, "/before");
}

TEST(a_level_that_does_not_exist_leaves_the_one_there_was)
{
        _cleanup_err_ struct err err = { 0 };
        int level = LOG_INFO;

        CHECK_INT(option_set_log_level(&level, "log-level", "loud", &err), -EINVAL);
        CHECK_STR(err_text(&err), "--log-level: 'loud': expected debug, info, warning or error");
        CHECK_INT(level, LOG_INFO);
        CHECK_INT(option_set_log_level(&level, "log-level", "debug", NULL), 0);
        CHECK_INT(level, LOG_DEBUG);
}

TEST(an_instance_is_known_by_its_run_directory)
{
        char a[RUN_DIR_ID_MAX], b[RUN_DIR_ID_MAX];

        CHECK_STR(run_dir_id(RUN_DIR_DEFAULT, a), "");
        CHECK_INT(strlen(run_dir_id("/run/other", a)), 7);
        CHECK(a[0] == 's');
        CHECK(strcmp(a, run_dir_id("/run/another", b)) != 0);
        CHECK_STR(run_dir_id("/run/other", b), a);
}

enum { OPT_NAME = OPTION_FIRST, OPT_FLAG };
static const struct option table[] = { { "name", required_argument, NULL, OPT_NAME },
                                       { "flag", no_argument, NULL, OPT_FLAG },
                                       {} };

static int take(int id, const char *name, const char *value, void *userdata, struct err *err)
{
        char **seen = userdata;

        if (id == OPT_FLAG)
                return value ? -EBADMSG : option_set_text(seen, name, "flag", err);
        return option_set_text(seen, name, value, err);
}

static int parse(const char *a, const char *b, char **seen, struct err *err)
{
        char *argv[] = { "program", (char *)a, (char *)b, NULL };

        return option_parse(b ? 3 : a ? 2 : 1, argv, table, take, seen, err);
}

TEST(a_command_line_is_read_as_often_as_one_likes)
{
        _cleanup_free_ char *seen = NULL;

        CHECK_INT(parse(NULL, NULL, &seen, NULL), 0);
        CHECK(seen == NULL);
        CHECK_INT(parse("--name", "x", &seen, NULL), 0);
        CHECK_STR(seen, "x");
        CHECK_INT(parse("--name=y", NULL, &seen, NULL), 0);
        CHECK_STR(seen, "y");
        CHECK_INT(parse("--flag", NULL, &seen, NULL), 0);
        CHECK_STR(seen, "flag");
}

TEST(a_word_that_cannot_be_placed_is_named)
{
        static const char *const cases[][3] = {
                { "--nonsense", NULL, "'--nonsense': expected one of the options of --help" },
                { "--flag=x", NULL, "'--flag=x': expected one of the options of --help" },
                { "--name", NULL, "'--name': expected one of the options of --help" },
                { "-x", NULL, "'-x': expected one of the options of --help" },
                { "--flag", "word", "'word': expected no further words" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *seen = NULL;
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(parse(cases[i][0], cases[i][1], &seen, &err), -EINVAL);
                CHECK_CONTAINS(err_text(&err), cases[i][2]);
        }
}
