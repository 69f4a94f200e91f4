#include "tests/unit/pod-fixture.h"

#include "base/text.h"
#include "tests/check.h"

json_t *json_of(const char *text)
{
        _cleanup_free_ char *copy = strdup(text);
        json_error_t e;
        json_t *root;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        root = json_loads(copy, JSON_DECODE_ANY, &e);
        if (!root)
                fail_msg("%s in: %s", e.text, text);
        return root;
}

struct pod *pod_of(const char *spec, const char *rest)
{
        _cleanup_free_ char *text =
                text_printf("{'metadata':{'name':'web','namespace':'ns','uid':'u1'},'spec':%s%s%s}",
                            spec, rest ? "," : "", rest ? rest : "");
        json_auto_t *object = json_of(text);
        _cleanup_err_ struct err err = { 0 };
        struct pod *p = NULL;

        if (pod_decode(object, POD_SOURCE_API, &p, &err) < 0)
                fail_msg("%s in: %s", err_text(&err), text);
        return p;
}

void check_json(const json_t *actual, const char *expected)
{
        json_auto_t *wanted = json_of(expected);
        _cleanup_free_ char *a = NULL, *b = NULL;

        if (json_equal(actual, wanted))
                return;
        a = json_dumps(actual, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        b = json_dumps(wanted, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        assert_string_equal(a ? a : "(null)", b);
}
