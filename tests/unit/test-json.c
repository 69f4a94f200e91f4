#include "base/json.h"

#include <errno.h>

#include "base/text.h"
#include "base/usec.h"
#include "tests/check.h"

struct port {
        char *name;
        uint16_t port;
};
struct container {
        char *name;
        struct port *ports;
        size_t n_ports;
        usec_t since;
        int policy;
        struct string_map labels;
        char **args;
};
struct pod {
        struct container *containers;
        size_t n_containers;
};

static const struct json_field port_fields[] = {
        { "name", decode_string, offsetof(struct port, name), JSON_OPTIONAL, NULL },
        { "containerPort", decode_port, offsetof(struct port, port), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array ports = {
        .fields = port_fields,
        .element_size = sizeof(struct port),
        .count_offset = JSON_ARRAY_COUNT(struct container, ports, n_ports),
        .max = 3,
};
static const char *const policies[] = { "Always", "Never", NULL };
static const struct json_field container_fields[] = {
        { "name", decode_string, offsetof(struct container, name), JSON_REQUIRED, NULL },
        { "ports", decode_array, offsetof(struct container, ports), JSON_OPTIONAL, &ports },
        { "since", decode_time, offsetof(struct container, since), JSON_OPTIONAL, NULL },
        { "policy", decode_enum, offsetof(struct container, policy), JSON_OPTIONAL, policies },
        { "labels", decode_string_map, offsetof(struct container, labels), JSON_OPTIONAL, NULL },
        { "args", decode_strv, offsetof(struct container, args), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_array containers = {
        .fields = container_fields,
        .element_size = sizeof(struct container),
        .count_offset = JSON_ARRAY_COUNT(struct pod, containers, n_containers),
};
static const struct json_field pod_fields[] = { { "containers", decode_array,
                                                  offsetof(struct pod, containers), JSON_REQUIRED,
                                                  &containers },
                                                {} };

static void pod_done(struct pod *p)
{
        for (size_t i = 0; i < p->n_containers; i++) {
                struct container *c = &p->containers[i];

                for (size_t k = 0; k < c->n_ports; k++)
                        free(c->ports[k].name);
                free(c->ports);
                free(c->name);
                string_map_done(&c->labels);
                strv_free(c->args);
        }
        free(p->containers);
}

static int decode(const char *text, struct pod *p, struct err *err)
{
        json_auto_t *root = NULL;
        int r = json_parse(text, strlen(text), true, &root, err);

        return r < 0 ? r : json_decode(root, pod_fields, p, err);
}

TEST(a_pod_is_decoded_and_unknown_fields_pass)
{
        _cleanup_(pod_done)
        struct pod p = { 0 };
        struct err err = { 0 };

        CHECK_INT(decode("{'x':1}", &p, NULL), -EINVAL); /* not JSON */
        CHECK_INT(
                decode("{\"containers\":[{\"name\":\"web\",\"new\":{},\"ports\":[{\"containerPort\":80}],"
                       "\"policy\":\"Never\",\"labels\":{\"b\":\"2\",\"a\":\"1\"},\"args\":[\"x\",\"y\"],"
                       "\"since\":\"2026-01-02T03:04:05Z\"}]}",
                       &p, &err),
                0);
        CHECK_STR(p.containers[0].name, "web");
        CHECK_INT(p.containers[0].ports[0].port, 80);
        CHECK_INT(p.containers[0].policy, 1);
        CHECK_STR(string_map_get(&p.containers[0].labels, "b"), "2");
        CHECK(string_map_get(&p.containers[0].labels, "c") == NULL);
        CHECK_STR(p.containers[0].args[1], "y");
}

TEST(an_error_names_the_path_the_value_and_the_rule)
{
        static const struct {
                const char *json, *error;
        } cases[] = {
                { "{}", "containers: required, but missing" },
                { "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\",\"ports\":[{\"containerPort\":0}]}]}",
                  "containers: [1]: ports: [0]: containerPort: 0: expected 1 to 65535" },
                { "{\"containers\":[{\"name\":7}]}",
                  "containers: [0]: name: expected a string, not a number" },
                { "{\"containers\":[{\"name\":\"a\",\"policy\":\"x\"}]}",
                  "containers: [0]: policy: 'x': expected one of Always, Never" },
                { "{\"containers\":[{\"name\":\"a\\u0000b\"}]}",
                  "containers: [0]: name: expected a string without NUL bytes" },
                { "{\"containers\":[{\"name\":\"a\",\"ports\":[{},{},{},{}]}]}",
                  "containers: [0]: ports: 4 elements: expected at most 3" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_done)
                struct pod p = { 0 };
                _cleanup_err_ struct err err = { 0 };

                CHECK(decode(cases[i].json, &p, &err) < 0);
                CHECK_STR(err_text(&err), cases[i].error);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
        }
}

TEST(duplicate_keys_are_refused_where_one_document_must_have_one_meaning)
{
        json_auto_t *root = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK(json_parse("{\"a\":1,\"a\":2}", 13, true, &root, &err) < 0);
        CHECK_CONTAINS(err_text(&err), "duplicate");
}

TEST(nesting_is_bounded_and_brackets_in_strings_are_none)
{
        char text[512];
        _cleanup_err_ struct err err = { 0 };
        json_t *root = NULL;

        memset(text, '[', 64);
        memset(text + 64, ']', 64);
        CHECK_INT(json_parse(text, 128, false, &root, &err), 0);
        json_decref(root);
        memset(text, '[', 65);
        memset(text + 65, ']', 65);
        CHECK_INT(json_parse(text, 130, false, &root, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "JSON is nested deeper than 64");

        text[0] = '[', text[1] = '"', text[2] = '\\', text[3] = '"';
        memset(text + 4, '{', 200);
        text[204] = '"', text[205] = ']';
        CHECK_INT(json_parse(text, 206, false, &root, &err), 0);
        json_decref(root);
}

TEST(a_path_of_lookups_stops_at_what_is_absent)
{
        json_auto_t *root = json_pack("{s:{s:s}}", "a", "b", "c");

        CHECK_STR(json_string_value(json_path(root, "a", "b", NULL)), "c");
        CHECK(json_path(root, "a", "x", "y", NULL) == NULL);
}
