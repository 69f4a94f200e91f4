#include "base/err.h"

#include <errno.h>

#include "tests/check.h"

TEST(each_caller_adds_for_whom_it_failed)
{
        _cleanup_err_ struct err err = { 0 };
        int r = err_sys(&err, -EPERM, "mount proc on '%s'", "/proc");

        r = err_wrap(&err, r, "container '%s'", "web");
        CHECK_INT(r, -EPERM);
        CHECK_STR(err_text(&err),
                  "container 'web': mount proc on '/proc': Operation not permitted");
}

TEST(the_kind_survives_wrapping)
{
        _cleanup_err_ struct err err = { 0 };

        err_set_kind(&err, -ENOENT, ERR_NOT_FOUND, "pods \"x\" not found");
        err_wrap(&err, -ENOENT, "status of pod");
        CHECK_INT(err.kind, ERR_NOT_FOUND);
}

TEST(a_kind_is_given_only_where_none_is)
{
        _cleanup_err_ struct err err = { 0 };

        err_set(&err, -EIO, "disk");
        err_kind(&err, -EIO, ERR_SANDBOX);
        err_kind(&err, -EIO, ERR_TIMEOUT);
        CHECK_INT(err.kind, ERR_SANDBOX);
}

TEST(nobody_has_to_ask_for_the_sentence)
{
        CHECK_INT(err_set(NULL, -EINVAL, "x"), -EINVAL);
        CHECK_INT(err_wrap(NULL, -EINVAL, "x"), -EINVAL);
        CHECK_STR(err_text(NULL), "unknown error");
}

TEST(a_sentence_that_quotes_hostile_input_is_cut)
{
        _cleanup_err_ struct err err = { 0 };
        static char big[100000];

        memset(big, 'x', sizeof big - 1);
        err_set(&err, -EINVAL, "%s", big);
        CHECK_INT(strlen(err.message), 4096);
}
