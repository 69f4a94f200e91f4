#include "kubelet/volume-payload.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

static const struct payload_file *find(const struct payload *p, const char *path)
{
        for (size_t i = 0; i < p->n_files; i++)
                if (streq(p->files[i].path, path))
                        return &p->files[i];
        return NULL;
}

static bool is_text(const struct payload *p, const char *path, const char *text, mode_t mode)
{
        const struct payload_file *f = find(p, path);

        return f && f->n == strlen(text) && memcmp(f->data, text, f->n) == 0 && f->mode == mode;
}

TEST(every_key_of_a_config_map_is_a_file)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };
        const struct pod_volume_source s = { .kind = POD_VOLUME_CONFIG_MAP, .name = "c" };
        json_auto_t *o = json_pack("{s:{s:s}, s:{s:s}}", "data", "a", "text", "binaryData", "b",
                                   "AP8=");

        CHECK_INT(payload_add_config_map(&p, &s, o, 0644, NULL), 0);
        CHECK(is_text(&p, "a", "text", 0644));
        CHECK_INT(find(&p, "b")->n, 2);
        CHECK(memcmp(find(&p, "b")->data, "\0\xff", 2) == 0);
}

TEST(items_choose_keys_paths_and_modes)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };
        struct pod_volume_item items[] = { { .key = "a", .path = "dir/x", .mode = 0400 },
                                           { .key = "b", .path = "y", .mode = POD_UNSET } };
        const struct pod_volume_source s = {
                .kind = POD_VOLUME_SECRET, .name = "s", .items = items, .n_items = 2
        };
        json_auto_t *o = json_pack("{s:{s:s, s:s, s:s}}", "data", "a", "MQ==", "b", "Mg==", "c",
                                   "Mw==");

        CHECK_INT(payload_add_secret(&p, &s, o, 0440, NULL), 0);
        CHECK_INT(p.n_files, 2);
        CHECK(is_text(&p, "dir/x", "1", 0400));
        CHECK(is_text(&p, "y", "2", 0440));
}

TEST(what_is_missing_is_told_unless_it_is_optional)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };
        struct pod_volume_item item = { .key = "k", .path = "k", .mode = POD_UNSET };
        struct pod_volume_source s = { .kind = POD_VOLUME_CONFIG_MAP, .name = "c" };
        json_auto_t *empty = json_object();
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(payload_add_config_map(&p, &s, NULL, 0644, &err), -ENOENT);
        CHECK_STR(err_text(&err), "configmap \"c\" not found");
        CHECK_INT(payload_add_secret(&p, &s, NULL, 0644, &err), -ENOENT);
        CHECK_STR(err_text(&err), "secret \"c\" not found");
        s.items = &item;
        s.n_items = 1;
        CHECK_INT(payload_add_config_map(&p, &s, empty, 0644, &err), -ENOENT);
        CHECK_STR(err_text(&err), "configmap references non-existent config key: k");
        CHECK_INT(payload_add_secret(&p, &s, empty, 0644, &err), -ENOENT);
        CHECK_STR(err_text(&err), "references non-existent secret key: k");
        s.optional = true;
        CHECK_INT(payload_add_config_map(&p, &s, NULL, 0644, &err), 0);
        CHECK_INT(payload_add_config_map(&p, &s, empty, 0644, &err), 0);
        CHECK_INT(p.n_files, 0);
}

TEST(a_secret_that_is_no_base64_is_an_error_of_its_key)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };
        const struct pod_volume_source s = { .kind = POD_VOLUME_SECRET, .name = "s" };
        json_auto_t *o = json_pack("{s:{s:s}}", "data", "k", "???");
        _cleanup_err_ struct err err = { 0 };

        CHECK(payload_add_secret(&p, &s, o, 0644, &err) < 0);
        CHECK_STR(err_text(&err), "key 'k': expected base64");
}

TEST(fields_and_resources_of_the_pod_become_files)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };
        static const char text[] =
                "{\"metadata\":{\"name\":\"w\",\"namespace\":\"n\",\"uid\":\"u\",\"labels\":{\"a\":"
                "\"1\"}},\"spec\":{\"containers\":[{\"name\":\"c\"}],\"volumes\":[{\"name\":\"v\","
                "\"downwardAPI\":{\"defaultMode\":256,\"items\":[{\"path\":\"labels\",\"fieldRef\":{"
                "\"fieldPath\":\"metadata.labels\"}},{\"path\":\"d/cpu\",\"mode\":384,"
                "\"resourceFieldRef\":{\"containerName\":\"c\",\"resource\":\"limits.cpu\","
                "\"divisor\":\"1m\"}}]}}]}}";
        const struct node_allocatable node = { .cpu_milli = 1500 };
        json_auto_t *object = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = NULL;

        CHECK_INT(json_parse(text, strlen(text), true, &object, NULL), 0);
        CHECK_INT(pod_decode(object, POD_SOURCE_API, &pod, NULL), 0);
        CHECK_INT(payload_add_downward_api(&p, &pod->volumes[0].source, pod, &node,
                                           pod->volumes[0].default_mode, NULL),
                  0);
        CHECK(is_text(&p, "labels", "a=\"1\"", 0400));
        CHECK(is_text(&p, "d/cpu", "1500", 0600));
}
