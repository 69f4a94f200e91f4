/* What is said to a CSI driver, and what it may answer; and what the API is told of it. */
#include "kubelet/csi-message.h"

#include <errno.h>
#include <string.h>

#include "kubelet/csi-driver-object.h"
#include "kubelet/csi-node-object.h"
#include "kubelet/plugin-message.h"
#include "tests/check.h"

static void check_json(const json_t *have, const char *wanted)
{
        _cleanup_free_ char *text = json_dumps(have, JSON_COMPACT | JSON_SORT_KEYS);

        CHECK_STR(text, wanted);
}

static json_t *parse(const char *text)
{
        json_t *v = NULL;

        CHECK_INT(json_parse(text, strlen(text), true, &v, NULL), 0);
        return v;
}

static struct string_map map_of(const char *text)
{
        json_auto_t *v = parse(text);
        struct string_map m = { 0 };

        CHECK_INT(decode_string_map(v, &m, NULL, NULL), 0);
        return m;
}

/* ---- registration ---- */

TEST(a_plugin_says_who_it_is)
{
        static const char message[] = "\x0a\x09"
                                      "CSIPlugin"
                                      "\x12\x05"
                                      "a.b.c"
                                      "\x1a\x02"
                                      "/s"
                                      "\x22\x05"
                                      "1.0.0"
                                      "\x22\x05"
                                      "1.2.0";
        struct plugin_info i;

        CHECK_INT(plugin_read_info(message, sizeof message - 1, &i, NULL), 0);
        CHECK_STR(i.type, "CSIPlugin");
        CHECK_STR(i.name, "a.b.c");
        CHECK_STR(i.endpoint, "/s");
        CHECK(plugin_version_highest(i.versions) == plugin_version_parse("v1.2"));
        plugin_info_done(&i);
}

TEST(a_plugin_that_lists_versions_without_end_is_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct plugin_info i;

        for (int k = 0; k < 65; k++)
                protobuf_add_item(&b, 4, "1.0.0");
        CHECK_INT(plugin_read_info(b.data, b.len, &i, &err), -EBADMSG);
        CHECK_STR(err_text(&err), "PluginInfo: supported_versions: expected at most 64");
        plugin_info_done(&i);
}

TEST(versions_are_numbers_with_dots_and_only_those_of_1_count)
{
        static const char *const none[] = { "",          "1",       "1.",   ".1",  "1.x",
                                            "1.0.0.0.0", "1.70000", "-1.0", "1.0 " };
        char *old[] = { "0.3.0", "2.0.0", NULL }, *some[] = { "0.3", "1.10.0", "1.9.9", NULL };

        for (size_t i = 0; i < ARRAY_SIZE(none); i++)
                CHECK(plugin_version_parse(none[i]) == 0);
        CHECK(plugin_version_highest(old) == 0);
        CHECK(plugin_version_highest(some) == plugin_version_parse("1.10.0"));
}

TEST(a_refused_plugin_is_told_why)
{
        _cleanup_strbuf_ struct strbuf no = { 0 }, yes = { 0 };

        plugin_write_status(&no, "x");
        plugin_write_status(&yes, NULL);
        CHECK_INT(no.len, 3);
        CHECK(memcmp(no.data, "\x12\x01x", 3) == 0);
        CHECK_INT(yes.len, 2);
        CHECK(memcmp(yes.data, "\x08\x01", 2) == 0);
}

/* ---- messages ---- */

TEST(capabilities_become_bits_and_unknown_ones_are_passed_over)
{
        static const char message[] = "\x0a\x04\x0a\x02\x08\x01"
                                      "\x0a\x04\x0a\x02\x08\x06"
                                      "\x0a\x04\x0a\x02\x08\x7f"
                                      "\x0a\x02\x12\x00";
        uint32_t bits = 0;

        CHECK_INT(csi_read_capabilities(message, sizeof message - 1, &bits, NULL), 0);
        CHECK_INT(bits, CSI_STAGE_UNSTAGE_VOLUME | CSI_VOLUME_MOUNT_GROUP);
}

TEST(a_driver_says_its_node_id_topology_and_limit)
{
        static const char message[] = "\x0a\x02"
                                      "n1"
                                      "\x10\x0a"
                                      "\x1a\x08\x0a\x06\x0a\x01z\x12\x01"
                                      "a";
        struct csi_node_info i;

        CHECK_INT(csi_read_node_info(message, sizeof message - 1, &i, NULL), 0);
        CHECK_STR(i.node_id, "n1");
        CHECK_INT(i.max_volumes, 10);
        CHECK_STR(string_map_get(&i.topology, "z"), "a");
        csi_node_info_done(&i);
}

TEST(a_driver_without_node_id_or_with_a_negative_limit_is_refused)
{
        static const char negative[] = "\x0a\x01n\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        _cleanup_err_ struct err err = { 0 };
        struct csi_node_info i;

        CHECK_INT(csi_read_node_info("", 0, &i, &err), -EBADMSG);
        CHECK_STR(err_text(&err), "NodeGetInfoResponse: node_id: expected a text, it is empty");
        csi_node_info_done(&i);
        CHECK_INT(csi_read_node_info(negative, sizeof negative - 1, &i, &err), -EBADMSG);
        CHECK_STR(err_text(&err),
                  "NodeGetInfoResponse: max_volumes_per_node: expected 0 or more, not -1");
        csi_node_info_done(&i);
}

TEST(usage_is_read_by_its_unit)
{
        static const char message[] = "\x0a\x08\x08\x06\x10\x0a\x18\x04\x20\x01"
                                      "\x0a\x06\x08\x01\x10\x02\x20\x02";
        struct csi_usage u;

        CHECK_INT(csi_read_usage(message, sizeof message - 1, &u, NULL), 0);
        CHECK(u.has_bytes && u.has_inodes);
        CHECK_INT(u.bytes.total, 10);
        CHECK_INT(u.inodes.available, 1);
}

TEST(a_volume_is_published_as_the_specification_has_it)
{
        static const char wanted[] = "\x0a\x01v"
                                     "\x1a\x02/s"
                                     "\x22\x02/t"
                                     "\x2a\x0b"
                                     "\x12\x05\x0a\x03"
                                     "fs1"
                                     "\x1a\x02\x08\x01"
                                     "\x30\x01"
                                     "\x42\x06\x0a\x01k\x12\x01w";
        struct string_map context = map_of("{\"k\": \"w\"}");
        const struct csi_mount m = { .volume_id = "v",
                                     .staging_path = "/s",
                                     .target_path = "/t",
                                     .volume_context = &context,
                                     .access_mode = "ReadWriteOnce",
                                     .read_only = true,
                                     .fs_type = "fs1" };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        csi_write_publish(&b, &m);
        CHECK_INT(b.len, sizeof wanted - 1);
        CHECK(memcmp(b.data, wanted, b.len) == 0);
        string_map_done(&context);
}

static int mode_of(const char *access_mode, uint32_t capabilities)
{
        const struct csi_mount m = { .volume_id = "",
                                     .access_mode = access_mode,
                                     .is_block = true,
                                     .capabilities = capabilities };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        csi_write_stage(&b, &m); /* capability { block {} access_mode { mode } } */
        CHECK_INT(b.len, 8);
        CHECK(memcmp(b.data, "\x22\x06\x0a\x00\x1a\x02\x08", 7) == 0);
        return b.data[7];
}

TEST(access_modes_are_the_drivers_own_where_it_knows_them)
{
        CHECK_INT(mode_of("ReadWriteOnce", 0), 1);
        CHECK_INT(mode_of("ReadWriteOncePod", 0), 1);
        CHECK_INT(mode_of("ReadOnlyMany", 0), 3);
        CHECK_INT(mode_of("ReadWriteMany", 0), 5);
        CHECK_INT(mode_of("ReadWriteOnce", CSI_SINGLE_NODE_MULTI_WRITER), 7);
        CHECK_INT(mode_of("ReadWriteOncePod", CSI_SINGLE_NODE_MULTI_WRITER), 6);
}

TEST(a_drivers_name_can_be_a_folders)
{
        CHECK_INT(csi_check_driver_name("hostpath.csi.k8s.io", NULL), 0);
        CHECK_INT(csi_check_driver_name("", NULL), -EINVAL);
        CHECK_INT(csi_check_driver_name("..", NULL), -EINVAL);
        CHECK_INT(csi_check_driver_name("a/b", NULL), -EINVAL);
        CHECK_INT(csi_check_driver_name("-a", NULL), -EINVAL);
        CHECK_INT(csi_check_driver_name(
                          "a123456789012345678901234567890123456789012345678901234567890123", NULL),
                  -EINVAL);
}

/* ---- the API's objects ---- */

static struct csi_node_info info_of(const char *id, const char *topology, int64_t max)
{
        return (struct csi_node_info){ strdup(id), max, map_of(topology) };
}

TEST(a_driver_comes_into_the_csinode_changes_there_and_goes)
{
        struct csi_node_info one = info_of("n1", "{\"z\": \"a\"}", 0), two = info_of("n1", "{}", 3);
        json_auto_t *o = csi_node_object("node-1", "uid-1");

        CHECK(csi_node_object_is_owned(o, "node-1", "uid-1"));
        CHECK(!csi_node_object_is_owned(o, "node-1", "uid-2"));
        CHECK_INT(csi_node_object_set(o, "d1", &one), 1);
        CHECK_INT(csi_node_object_set(o, "d1", &one), 0);
        CHECK_INT(csi_node_object_set(o, "d2", &two), 1);
        check_json(json_object_get(o, "spec"),
                   "{\"drivers\":[{\"name\":\"d1\",\"nodeID\":\"n1\",\"topologyKeys\":[\"z\"]},"
                   "{\"allocatable\":{\"count\":3},\"name\":\"d2\",\"nodeID\":\"n1\","
                   "\"topologyKeys\":[]}]}");
        CHECK_INT(csi_node_object_set(o, "d1", &two), 1);
        CHECK_INT(csi_node_object_set(o, "d2", NULL), 1);
        CHECK_INT(csi_node_object_set(o, "d2", NULL), 0);
        CHECK_INT(csi_node_object_set(o, "d1", NULL), 1);
        check_json(json_object_get(o, "spec"), "{\"drivers\":[]}");
        csi_node_info_done(&one);
        csi_node_info_done(&two);
}

TEST(the_node_gets_the_drivers_id_and_its_topology)
{
        struct csi_node_info info = info_of("n1", "{\"z\": \"a\"}", 0);
        json_auto_t *node = parse(
                "{\"metadata\": {\"annotations\": "
                "{\"csi.volume.kubernetes.io/nodeid\": \"{\\\"other\\\":\\\"x\\\"}\"}}}");
        json_auto_t *patch = NULL, *same = NULL, *gone = NULL;
        json_auto_t *patched = parse(
                "{\"metadata\": {\"labels\": {\"z\": \"a\"}, \"annotations\": "
                "{\"csi.volume.kubernetes.io/nodeid\": \"{\\\"d1\\\":\\\"n1\\\"}\"}}}");

        CHECK_INT(csi_node_patch(node, "d1", &info, &patch, NULL), 0);
        check_json(patch, "{\"metadata\":{\"annotations\":{\"csi.volume.kubernetes.io/nodeid\":"
                          "\"{\\\"d1\\\":\\\"n1\\\",\\\"other\\\":\\\"x\\\"}\"},"
                          "\"labels\":{\"z\":\"a\"}}}");
        CHECK_INT(csi_node_patch(patched, "d1", &info, &same, NULL), 0);
        CHECK(!same);
        CHECK_INT(csi_node_patch(patched, "d1", NULL, &gone, NULL), 0);
        check_json(gone,
                   "{\"metadata\":{\"annotations\":{\"csi.volume.kubernetes.io/nodeid\":null}}}");
        csi_node_info_done(&info);
}

TEST(topology_that_contradicts_a_label_is_refused)
{
        struct csi_node_info info = info_of("n1", "{\"z\": \"a\"}", 0);
        json_auto_t *node = parse("{\"metadata\": {\"labels\": {\"z\": \"b\"}}}"), *patch = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(csi_node_patch(node, "d1", &info, &patch, &err), -EINVAL);
        CHECK_STR(err_text(&err), "detected topology value collision: driver reported \"z\":\"a\" "
                                  "but existing label is \"z\":\"b\"");
        csi_node_info_done(&info);
}

static struct csi_driver_object *object_of(const char *spec)
{
        _cleanup_free_ char *text = text_printf("{\"spec\": %s}", spec);
        json_auto_t *v = parse(text);
        struct csi_driver_object *o = NULL;

        CHECK_INT(csi_driver_object_decode(v, &o, NULL), 0);
        return o;
}

TEST(a_csi_driver_object_has_the_servers_defaults)
{
        _cleanup_(csi_driver_object_freep)
        struct csi_driver_object *o = object_of("{}");

        CHECK(o->attach_required && !o->pod_info_on_mount && !o->requires_republish);
        CHECK_INT(csi_check_mode(o, "d", true, NULL), 0);
        CHECK_INT(csi_check_mode(o, "d", false, NULL), -EINVAL);
}

TEST(an_inline_volume_wants_a_driver_that_lists_ephemeral)
{
        _cleanup_(csi_driver_object_freep)
        struct csi_driver_object *o = object_of(
                "{\"volumeLifecycleModes\": [\"Ephemeral\"], \"tokenRequests\": "
                "[{\"audience\": \"a\", \"expirationSeconds\": 600}]}");
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(o->n_tokens, 1);
        CHECK_INT(csi_check_mode(o, "d", false, NULL), 0);
        CHECK_INT(csi_check_mode(o, "d", true, &err), -EINVAL);
        CHECK_STR(err_text(&err), "volume mode \"Persistent\" not supported by driver d (only "
                                  "supports [\"Ephemeral\"])");
        CHECK_INT(csi_check_mode(NULL, "d", false, &err), -EINVAL);
        CHECK_INT(csi_check_mode(NULL, "d", true, &err), 0);
}

TEST(fs_group_follows_the_drivers_policy)
{
        _cleanup_(csi_driver_object_freep)
        struct csi_driver_object *file = object_of("{\"fsGroupPolicy\": \"File\"}");
        _cleanup_(csi_driver_object_freep)
        struct csi_driver_object *none = object_of("{\"fsGroupPolicy\": \"None\"}");
        char *once[] = { "ReadOnlyMany", "ReadWriteOncePod", NULL },
             *many[] = { "ReadWriteMany", NULL };

        CHECK(csi_group_applies(file, NULL, true, many));
        CHECK(!csi_group_applies(none, "ext4", true, once));
        CHECK(csi_group_applies(NULL, "ext4", true, once));
        CHECK(!csi_group_applies(NULL, "ext4", true, many));
        CHECK(!csi_group_applies(NULL, "", true, once));
        CHECK(csi_group_applies(NULL, "ext4", false, NULL));
}
