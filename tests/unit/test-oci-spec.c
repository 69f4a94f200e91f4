#include "runtime/oci-spec.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"

static json_t *read_golden(void)
{
        _cleanup_free_ char *text = NULL;
        json_t *root = NULL;
        size_t n;

        CHECK(fs_read_at(AT_FDCWD, TEST_DATA_DIR "/config-container.json", 65536, &text, &n) == 0);
        CHECK(json_parse(text, n, true, &root, NULL) == 0);
        return root;
}

static json_t *parse_text(const char *text)
{
        json_t *root = NULL;

        CHECK(json_parse(text, strlen(text), true, &root, NULL) == 0);
        return root;
}

TEST(a_document_survives_reading_and_writing)
{
        json_auto_t *golden = read_golden(), *written = NULL;
        struct oci_spec spec;
        struct err err = { 0 };

        oci_spec_init(&spec);
        CHECK(oci_spec_parse(golden, &spec, &err) == 0);
        written = oci_spec_to_json(&spec);
        CHECK(written);
        CHECK(json_equal(golden, written));
        oci_spec_done(&spec);
}

TEST(every_field_lands_in_its_member)
{
        json_auto_t *golden = read_golden();
        struct oci_spec s;

        oci_spec_init(&s);
        CHECK(oci_spec_parse(golden, &s, NULL) == 0);
        CHECK_INT(s.process.uid, 1000);
        CHECK_INT(s.process.gid, 100);
        CHECK(s.process.has_umask && s.process.umask == 18);
        CHECK(s.process.n_additional_gids == 2 && s.process.additional_gids[1] == 4294967294);
        CHECK_STR(s.process.args[2], ":8080");
        CHECK(s.process.cap_bounding ==
              (1ULL << CAP_CHOWN | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_CHECKPOINT_RESTORE));
        CHECK(s.process.rlimits[1].hard == RLIM_INFINITY && s.process.rlimits[1].soft == 0);
        CHECK(s.process.no_new_privileges && s.process.has_oom_score_adj);
        CHECK_INT(s.process.oom_score_adj, -997);
        CHECK(s.root_readonly && s.n_mounts == 2);
        CHECK_STR(s.mounts[1].options[2], "ro");
        CHECK(s.namespaces[OCI_NS_NETWORK].present && !s.namespaces[OCI_NS_IPC].present);
        CHECK_STR(s.namespaces[OCI_NS_NETWORK].path, "/proc/42/ns/net");
        CHECK(s.resources.devices[2].major == 136 && s.resources.devices[2].minor == -1);
        CHECK(s.resources.memory_limit == 67108864 && s.resources.memory_reservation == OCI_UNSET);
        CHECK(s.resources.pids_limit == -1 && s.resources.hugepage_limits[0].limit == 0);
        CHECK_INT(s.seccomp->rules[1].errno_ret, 38);
        CHECK_INT(s.seccomp->rules[0].errno_ret, -1);
        CHECK(s.seccomp->rules[2].args[0].op == SCMP_CMP_MASKED_EQ);
        oci_spec_done(&s);
}

/* Replaces the value at a dotted path of the golden document and parses it. */
static void check_refused(const char *path, const char *value, const char *said)
{
        json_auto_t *golden = read_golden();
        _cleanup_strv_ char **keys = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct oci_spec spec;
        json_t *at = golden;
        size_t n;

        CHECK(strv_split(path, "/", &keys) == 0);
        n = strv_len(keys);
        for (size_t i = 0; i + 1 < n; i++) {
                uint64_t index;

                at = text_to_u64(keys[i], &index) == 0 ? json_array_get(at, index)
                                                       : json_object_get(at, keys[i]);
        }
        CHECK(at);
        if (value)
                CHECK(json_set(at, keys[n - 1],
                               json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)) == 0);
        else
                json_object_del(at, keys[n - 1]);
        oci_spec_init(&spec);
        CHECK(oci_spec_parse(golden, &spec, &err) < 0);
        CHECK_CONTAINS(err.message, said);
        CHECK_INT(err.kind, ERR_BAD_INPUT);
        oci_spec_done(&spec);
}

TEST(an_unknown_feature_is_refused_with_its_path)
{
        check_refused("hooks", "{\"prestart\": [{\"path\": \"/bin/sh\"}]}", "hooks: not supported");
        check_refused("linux/intelRdt", "{\"closID\": \"x\"}", "linux: intelRdt: not supported");
        check_refused("linux/personality", "{\"domain\": \"LINUX32\"}",
                      "linux: personality: not supported");
        check_refused("linux/mountLabel", "\"system_u\"", "linux: mountLabel: not supported");
        check_refused("linux/uidMappings", "[{\"size\": 1}]", "linux: uidMappings: not supported");
        check_refused("linux/resources/blockIO", "{\"weight\": 10}",
                      "linux: resources: blockIO: not supported");
        check_refused("linux/resources/cpu/burst", "5", "linux: resources: cpu: burst");
        check_refused("linux/seccomp/listenerPath", "\"/run/x\"", "seccomp: listenerPath");
        check_refused("mounts/1/uidMappings", "[1]", "mounts: [1]: uidMappings: not supported");
        check_refused("process/scheduler", "{\"policy\": \"SCHED_FIFO\"}", "process: scheduler");
}

TEST(what_asks_for_nothing_passes)
{
        json_auto_t *golden = read_golden();
        struct oci_spec spec;

        CHECK(json_set(golden, "hooks", json_object()) == 0);
        CHECK(json_set(golden, "domainname", json_string("")) == 0);
        CHECK(json_set(golden, "solaris", json_null()) == 0);
        oci_spec_init(&spec);
        CHECK(oci_spec_parse(golden, &spec, NULL) == 0);
        oci_spec_done(&spec);
}

TEST(a_wrong_value_is_refused_by_field_value_and_rule)
{
        check_refused("ociVersion", "\"2.0.0\"", "ociVersion: '2.0.0'");
        check_refused("process", NULL, "process: required");
        check_refused("process/args", "[]", "process: args: expected at least one");
        check_refused("process/cwd", "\"srv\"", "process: cwd: 'srv': expected an absolute path");
        check_refused("process/user/uid", "4294967295", "process: user: uid: 4294967295");
        check_refused("process/user/uid", "-1", "process: user: uid: -1");
        check_refused("process/capabilities/bounding", "[\"CAP_FLY\"]", "bounding: 'CAP_FLY'");
        check_refused("process/capabilities/bounding", "[\"CHOWN\"]", "bounding: 'CHOWN'");
        check_refused("process/oomScoreAdj", "1001", "process: oomScoreAdj: 1001");
        check_refused("process/rlimits/0/soft", "-2", "rlimits: [0]: soft: -2");
        check_refused("mounts/0/destination", "\"proc\"", "mounts: [0]: destination: 'proc'");
        check_refused("linux/namespaces", "[{\"type\": \"moon\"}]",
                      "namespaces: [0]: type: 'moon'");
        check_refused("linux/namespaces", "[{\"type\": \"pid\"}, {\"type\": \"pid\"}]",
                      "namespaces: [1]: 'pid': expected each type at most once");
        check_refused("linux/resources/unified", "{\"../x.y\": \"1\"}", "unified: '../x.y'");
        check_refused("linux/resources/unified", "{\"cgroup.procs\": \"1\"}", "'cgroup.procs'");
        check_refused("linux/resources/devices/1/access", "\"rx\"", "devices: [1]: access: 'rx'");
        check_refused("linux/seccomp/defaultAction", "\"SCMP_ACT_NOTIFY\"", "'SCMP_ACT_NOTIFY'");
        check_refused("linux/seccomp/syscalls/2/args/0/index", "6", "args: [0]: index: 6");
        check_refused("linux/devices/0/type", "\"x\"", "devices: [0]: type: 'x'");
        check_refused("linux/rootfsPropagation", "\"sideways\"", "rootfsPropagation: 'sideways'");
        check_refused("process/env", "[\"A\\u0000B\"]", "without NUL");
}

TEST(the_document_of_crun_spec_is_read)
{
        json_auto_t *doc = parse_text(
                "{\"ociVersion\":\"1.0.0\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,"
                "\"gid\":0},\"args\":[\"sh\"],\"env\":[\"TERM=xterm\"],\"cwd\":\"/\","
                "\"noNewPrivileges\":true},\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
                "\"hostname\":\"crun\",\"linux\":{\"resources\":{\"devices\":[{\"allow\":false,"
                "\"access\":\"rwm\"}]},\"namespaces\":[{\"type\":\"mount\"}]}}");
        struct oci_spec s;

        oci_spec_init(&s);
        CHECK(oci_spec_parse(doc, &s, NULL) == 0);
        CHECK(s.resources.n_devices == 1 && s.resources.devices[0].type == 'a');
        CHECK(s.resources.devices[0].major == -1 && !s.resources.devices[0].allow);
        oci_spec_done(&s);
}

TEST(capabilities_have_names_both_ways)
{
        for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
                CHECK_INT(oci_cap_from_name(oci_cap_name(cap)), cap);
        CHECK_INT(oci_cap_from_name("NET_RAW"), CAP_NET_RAW);
        CHECK(!oci_cap_name(CAP_LAST_CAP + 1));
        CHECK(!oci_cap_name(-1));
        CHECK_INT(oci_cap_from_name("net_raw"), -EINVAL);
        CHECK_INT(oci_cap_from_name(""), -EINVAL);
}

TEST(mounts_are_appended_with_their_options_split)
{
        struct oci_spec spec;

        oci_spec_init(&spec);
        CHECK(oci_spec_add_mount(&spec, "/tmp", "tmpfs", "tmpfs", "nosuid,size=64m") == 0);
        CHECK(oci_spec_add_mount(&spec, "/x", "bind", "/y", NULL) == 0);
        CHECK(spec.n_mounts == 2);
        CHECK_STR(spec.mounts[0].options[1], "size=64m");
        CHECK(!spec.mounts[1].options);
        oci_spec_done(&spec);
}
