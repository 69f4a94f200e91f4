#include "base/yaml.h"

#include <errno.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

static json_t *parse(const char *text)
{
        _cleanup_err_ struct err err = { 0 };
        json_t *v = NULL;

        if (yaml_parse(text, strlen(text), &v, &err) < 0)
                fail_msg("'%s': %s", text, err_text(&err));
        return v;
}

static void check_json(const char *yaml, const char *json)
{
        json_auto_t *v = parse(yaml);
        _cleanup_free_ char *got = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

        CHECK_STR(got, json);
}

TEST(plain_scalars_are_typed_as_go_yaml_types_them)
{
        static const char *const cases[][2] = {
                { "", "null" },
                { "# only a comment\n", "null" },
                { "~", "null" },
                { "null", "null" },
                { "true", "true" },
                { "yes", "true" },
                { "Off", "false" },
                { "n", "false" },
                { "nope", "\"nope\"" },
                { "12", "12" },
                { "-12", "-12" },
                { "+12", "12" },
                { "0644", "420" },
                { "0o644", "420" },
                { "0x1F", "31" },
                { "0b101", "5" },
                { "-0b101", "-5" },
                { "1_000", "1000" },
                { "08", "8" },
                { "0x", "\"0x\"" },
                { "0xg", "\"0xg\"" },
                { "9223372036854775807", "9223372036854775807" },
                { "-9223372036854775808", "-9223372036854775808" },
                { "1.5", "1.5" },
                { ".5", "0.5" },
                { "-.5", "-0.5" },
                { "5.", "5" },
                { "1e3", "1000" },
                { "1.5e-3", "0.0015" },
                { "1e999", "\"1e999\"" },
                { "1.2.3", "\"1.2.3\"" },
                { "500m", "\"500m\"" },
                { "1e", "\"1e\"" },
                { "-", "[null]" },
                { "+", "\"+\"" },
                { ".", "\".\"" },
                { "2026-01-02", "\"2026-01-02\"" },
                { "12:30:45", "\"12:30:45\"" },
                { "'12'", "\"12\"" },
                { "\"true\"", "\"true\"" },
                { "|\n  12\n", "\"12\\n\"" },
                { "!!str 12", "\"12\"" },
                { "! 12", "\"12\"" },
                { "!!int 12", "12" },
                { "!!float 12", "12" },
                { "!!map {}", "{}" },
                { "\"a\\0b\"", "\"a\\u0000b\"" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check_json(cases[i][0], cases[i][1]);
}

TEST(collections_keep_their_order_and_keys_become_strings)
{
        check_json("b: 1\na: [x, {q: z}]\n", "{\"b\":1,\"a\":[\"x\",{\"q\":\"z\"}]}");
        check_json("1: a\nyes: b\n1.5: c\n0x10: d\n",
                   "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"16\":\"d\"}");
        check_json("{\"a\": {\"b\": [1, 2.5, null]}}", "{\"a\":{\"b\":[1,2.5,null]}}");
        check_json("a: 1\n---\nb: 2\n", "{\"a\":1}");
        check_json("\"<<\": 1\n", "{\"<<\":1}");
}

TEST(what_is_refused_says_where_and_why)
{
        static const char *const cases[][2] = {
                { "a: &x 1\n", "line 1 column 4: anchors are not allowed" },
                { "a: &x {}\n", "anchors are not allowed" },
                { "a: &x []\n", "anchors are not allowed" },
                { "a: *x\n", "aliases are not allowed" },
                { "&x a: 1\n", "anchors are not allowed" },
                { "a: {<<: {b: 1}}\n", "merge keys are not allowed" },
                { "a: 1\nb: 2\na: 3\n", "line 3 column 1: key 'a' is there twice" },
                { "1: a\n\"1\": b\n", "key '1' is there twice" },
                { "[1]: a\n", "a key must be a scalar" },
                { "~: a\n", "a key must not be null" },
                { "\"a\\0b\": c\n", "a key must not hold a NUL byte" },
                { "a: .inf\n", "'.inf': infinities and NaN are not allowed" },
                { "a: !!binary aGk=\n", "is not allowed" },
                { "a: !!int x\n", "is not allowed for 'x'" },
                { "a: !mine {}\n", "tag '!mine' is not allowed here" },
                { "a: [1\n", "YAML line 2 column 1" },
                { "a: b: c\n", "YAML line 1 column 5" },
                { "\ta: 1\n", "YAML line 1" },
                { "a: \x01\n", "YAML line 1" },
                { "a: \xff\n", "YAML line 1" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                json_t *v = NULL;

                CHECK_INT(yaml_parse(cases[i][0], strlen(cases[i][0]), &v, &err), -EINVAL);
                CHECK(v == NULL);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
                CHECK_CONTAINS(err_text(&err), cases[i][1]);
        }
}

TEST(nesting_ends_where_that_of_json_does)
{
        char text[4096] = "";
        _cleanup_err_ struct err err = { 0 };
        json_t *v = NULL;

        memset(text, '[', 64);
        memset(text + 64, ']', 64);
        CHECK_INT(yaml_parse(text, 128, &v, &err), 0);
        json_decref(v);
        memset(text, '[', 65);
        memset(text + 65, ']', 65);
        CHECK_INT(yaml_parse(text, 130, &v, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "nested deeper than 64");
        memset(text, '[', sizeof text);
        CHECK_INT(yaml_parse(text, sizeof text, &v, &err), -EINVAL);
}

TEST(print_looks_as_kubectl_prints)
{
        static const char yaml[] = "metadata:\n"
                                   "  name: web\n"
                                   "  labels: {}\n"
                                   "  annotations:\n"
                                   "    version: \"1\"\n"
                                   "    \"yes\": \"no\"\n"
                                   "    script: |\n"
                                   "      #!/bin/sh\n"
                                   "\n"
                                   "      exit 0\n"
                                   "spec:\n"
                                   "  containers:\n"
                                   "  - name: a\n"
                                   "    args:\n"
                                   "    - -c\n"
                                   "    - \"- x\"\n"
                                   "    ports: []\n"
                                   "  - - 1\n"
                                   "    - 2.5\n"
                                   "  - null\n"
                                   "  empty: \"\"\n";
        json_auto_t *v = parse(yaml);
        _cleanup_free_ char *out = yaml_print(v);

        CHECK_STR(out, yaml);
}

/* Whatever a reader or a writer of YAML may take for something else. */
static const char *const strings[] = {
        /* clang-format off */
        "", " ", "a b", " a", "a ", "a: b", "a:", ":a", "a #b", "a#b", "#a", "- a", "-", "--",
        "---", "--- a", "-a", "...", "... x", "?", "? a", "?a", "!x", "&x", "*x", "%x", "@x",
        "`x", "'x", "\"x", "x\"", "[x", "{x", "x]", "x, y", ",x", "|", ">", "<<", "=", "~",
        "null", "Null", "true", "y", "ON", "1", "0x1", "0o7", "1_0", "1e3", ".5", ".inf",
        "-.INF", ".nan", "1:30", "-1:30", "12e", "a\nb", "a\nb\n", "a\nb\n\n", "\n", "\na",
        " a\nb", "a\n b", "a\n\n b", "a \nb ", "a\tb", "\ta\nb", "a\n\tb", "a\rb", "a\r\nb",
        "\x7f", "\x1b[0m", "é", "漢\n字", "\xc2\x85", "\u2028", "\ufeffa", "\uffff", "\xc2\xa0",
        "\U0001f600", "a\\b", "a\\n", "# a\nb", "- a\nb", "--- \nb", "...\nb", "a\n...\n",
        "a\n---", "1\n2", "2026-01-02", "2026-01-02T03:04:05Z", "C:\\x", "http://a:1/b", "a:b",
        "key: |",
}; /* clang-format on */

TEST(whatever_is_printed_reads_back_the_same)
{
        for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
                json_auto_t *tree = json_pack("{s:s, s:[s, [s], {s:s}], s:{s:s}}", "v", strings[i],
                                              "list", strings[i], strings[i], "k", strings[i], "m",
                                              strings[i], strings[i]);
                _cleanup_free_ char *text = yaml_print(tree);
                json_auto_t *back = parse(text), *alone = json_string(strings[i]);
                _cleanup_free_ char *alone_text = yaml_print(alone);
                json_auto_t *alone_back = parse(alone_text);

                if (!json_equal(tree, back))
                        fail_msg("'%s' came back otherwise from:\n%s", strings[i], text);
                if (!json_equal(alone, alone_back))
                        fail_msg("'%s' came back otherwise from: %s", strings[i], alone_text);
        }
}

TEST(long_keys_numbers_and_nul_bytes_read_back_too)
{
        char key[5000];
        json_auto_t *tree = json_pack("{s:f, s:f, s:f, s:I}", "a", 0.1, "b", 1e300, "c", -2.5e-7,
                                      "d", (json_int_t)INT64_MIN);

        memset(key, 'k', sizeof key - 1);
        key[sizeof key - 1] = '\0';
        CHECK_INT(json_object_set_new(tree, key, json_pack("{s:[i]}", "x", 1)), 0);
        CHECK_INT(json_object_set_new(tree, "nul", json_stringn("a\0b", 3)), 0);
        {
                _cleanup_free_ char *text = yaml_print(tree);
                json_auto_t *back = parse(text);

                CHECK(json_equal(tree, back));
                CHECK_CONTAINS(text, "a: 0.1\n");
        }
}

TEST(a_file_that_cannot_be_read_is_named)
{
        _cleanup_err_ struct err err = { 0 };
        json_t *v = NULL;

        CHECK_INT(yaml_parse_file("/nonexistent/x.yaml", &v, &err), -ENOENT);
        CHECK_CONTAINS(err_text(&err), "'/nonexistent/x.yaml'");
}

TEST(a_file_of_several_documents_gives_each_that_is_not_empty)
{
        static const char text[] = "---\na: 1\n---\n# nothing\n---\nb: [2]\n...\n---\n";
        static const char bad[] = "a: 1\n---\nb: {\n";
        json_auto_t *all = NULL, *none = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(yaml_parse_all(text, strlen(text), &all, &err), 0);
        CHECK_INT(json_array_size(all), 2);
        CHECK(json_object_get(json_array_get(all, 0), "a"));
        CHECK(json_object_get(json_array_get(all, 1), "b"));
        CHECK_INT(yaml_parse_all("", 0, &none, &err), 0);
        CHECK_INT(json_array_size(none), 0);
        CHECK_INT(yaml_parse_all(bad, strlen(bad), &none, &err), -EINVAL);
}
