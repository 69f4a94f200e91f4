#include "runtime/manifest.h"

#include <errno.h>
#include <stdio.h>

#include "base/text.h"
#include "tests/check.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D      "sha256:" HEX
#define OCI_M  "application/vnd.oci.image.manifest.v1+json"
#define OCI_I  "application/vnd.oci.image.index.v1+json"
#define DOCK_M "application/vnd.docker.distribution.manifest.v2+json"
#define DOCK_L "application/vnd.docker.distribution.manifest.list.v2+json"

#define OCI_CONFIG                                                                               \
        "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D \
        "\",\"size\":7}"
#define LAYER(type, size) "{\"mediaType\":\"" type "\",\"digest\":\"" D "\",\"size\":" size "}"
#define GZIP              "application/vnd.oci.image.layer.v1.tar+gzip"
#define IMAGE(extra)      "{\"schemaVersion\":2," extra OCI_CONFIG ",\"layers\":[" LAYER(GZIP, "5") "]}"
#define TYPED(type)       "\"mediaType\":\"" type "\","

static void refused(const char *text, const char *content_type, const char *expected,
                    const char *why)
{
        struct manifest m = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = manifest_parse(text, strlen(text), content_type, expected, &m, &err);

        if (r >= 0)
                fail_msg("accepted, wanted '%s'", why);
        CHECK(r == -EINVAL || r == -ERANGE || r == -E2BIG);
        CHECK_INT(err.kind, ERR_BAD_INPUT);
        CHECK_CONTAINS(err_text(&err), why);
        CHECK(!m.media_type && !m.layers && !m.entries);
}

static struct manifest accepted(const char *text, const char *content_type, const char *expected)
{
        struct manifest m = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (manifest_parse(text, strlen(text), content_type, expected, &m, &err) < 0)
                fail_msg("refused: %s", err_text(&err));
        return m;
}

TEST(an_image_manifest_is_read)
{
        _cleanup_manifest_ struct manifest m = accepted(IMAGE(TYPED(OCI_M)), OCI_M, OCI_M);

        CHECK_INT(m.kind, MANIFEST_IMAGE);
        CHECK_STR(m.media_type, OCI_M);
        CHECK_STR(m.config_digest, D);
        CHECK_INT(m.config_size, 7);
        CHECK_INT(m.n_layers, 1);
        CHECK_STR(m.layers[0].digest, D);
        CHECK_INT(m.layers[0].size, 5);
        CHECK_INT(m.layers[0].compression, COMPRESSION_GZIP);
}

TEST(docker_schema_2_is_read)
{
        _cleanup_manifest_ struct manifest m = accepted(
                "{\"schemaVersion\":2,\"mediaType\":\"" DOCK_M
                "\",\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\","
                "\"digest\":\"" D "\",\"size\":7},\"layers\":[" LAYER(
                        "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "1") "," LAYER("application/vnd.docker.image.rootfs.diff.tar",
                                       "2") "," LAYER("application/vnd.docker.image.rootfs.diff.tar.zstd",
                                                      "0") "]}",
                DOCK_M, NULL);

        CHECK_INT(m.n_layers, 3);
        CHECK_INT(m.layers[1].compression, COMPRESSION_NONE);
        CHECK_INT(m.layers[2].compression, COMPRESSION_ZSTD);
}

TEST(everybody_who_names_a_type_must_agree)
{
        static const char *const silent[] = { NULL, "", "application/json",
                                              "text/plain; charset=utf-8",
                                              "application/octet-stream" };
        struct manifest m;

        for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
                m = accepted(IMAGE(TYPED(OCI_M)), silent[i], NULL);
                manifest_done(&m);
                m = accepted(IMAGE(""), silent[i], OCI_M);
                manifest_done(&m);
                refused(IMAGE(""), silent[i], NULL, "neither document nor server");
        }
        m = accepted(IMAGE(""), OCI_M, NULL);
        manifest_done(&m);
        /* parameters and case of the header have one meaning: none */
        m = accepted(IMAGE(TYPED(OCI_M)), "Application/VND.oci.image.manifest.v1+JSON; q=1", NULL);
        manifest_done(&m);
        refused(IMAGE(TYPED(OCI_M)), OCI_I, NULL, "Content-Type says otherwise");
        refused(IMAGE(TYPED(OCI_M)), DOCK_M, NULL, "Content-Type says otherwise");
        refused(IMAGE(TYPED(OCI_M)), OCI_M, OCI_I, "descriptor says otherwise");
        refused(IMAGE(""), OCI_M, DOCK_M, "descriptor says otherwise");
        refused(IMAGE(TYPED("application/VND.oci.image.manifest.v1+json")), OCI_M, NULL,
                "says otherwise");
        refused(IMAGE(TYPED(OCI_M "; x=y")), NULL, NULL, "not a manifest");
        refused(IMAGE(TYPED("text/html")), NULL, NULL, "not a manifest");
        refused(IMAGE("\"mediaType\":5,"), NULL, OCI_M, "mediaType: expected a string");
}

TEST(a_document_of_two_kinds_is_refused)
{
        refused(IMAGE(TYPED(OCI_M) "\"manifests\":[],"), OCI_M, NULL, "manifests: has no place");
        refused("{\"schemaVersion\":2," TYPED(OCI_I) "\"manifests\":[],\"layers\":[]}", OCI_I, NULL,
                "layers: has no place");
        refused("{\"schemaVersion\":2," TYPED(OCI_I) "\"manifests\":[]," OCI_CONFIG "}", NULL, NULL,
                "config: has no place");
        refused(IMAGE(TYPED(OCI_M) "\"fsLayers\":[],"), OCI_M, NULL, "fsLayers: has no place");
        refused(IMAGE(TYPED(OCI_M) "\"Manifests\":[],"), OCI_M, NULL, "differs from a known one");
        refused(IMAGE(TYPED(OCI_M) "\"LAYERS\":[],"), OCI_M, NULL, "differs from a known one");
        refused(IMAGE(TYPED(OCI_M) TYPED(OCI_M)), OCI_M, NULL, "duplicate");
}

TEST(schema_1_is_refused)
{
        refused("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, NULL, "schema 1");
        refused("{\"schemaVersion\":2}",
                "application/vnd.docker.distribution.manifest.v1+prettyjws", NULL, "schema 1");
        refused("{}", OCI_M, NULL, "schemaVersion: expected 2");
        refused("{\"schemaVersion\":\"2\"}", OCI_M, NULL, "schemaVersion: expected 2");
}

TEST(text_that_is_not_one_json_object_is_refused)
{
        refused("", OCI_M, NULL, "JSON line");
        refused("[]", OCI_M, NULL, "expected a JSON object");
        refused("\xef\xbb\xbf{}", OCI_M, NULL, "JSON line");
        refused("{} {}", OCI_M, NULL, "JSON line");
        refused("null", OCI_M, NULL, "JSON line");
}

TEST(shape_is_bounded_before_parsing)
{
        _cleanup_strbuf_ struct strbuf deep = { 0 }, wide = { 0 };
        json_t *v = NULL;
        _cleanup_err_ struct err err = { 0 };
        char *big = calloc(1, MANIFEST_SIZE_MAX + 1);

        for (int i = 0; i < 65; i++)
                strbuf_add(&deep, "[");
        CHECK_INT(strict_json_parse(deep.data, deep.len, &v, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "deeper than 64");
        strbuf_add(&wide, "[");
        for (int i = 0; i < 200000; i++)
                strbuf_add(&wide, "1,");
        CHECK_INT(strict_json_parse(wide.data, wide.len, &v, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "100000 values");
        CHECK_INT(strict_json_parse(big, MANIFEST_SIZE_MAX + 1, &v, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "expected at most 4194304");
        free(big);
        /* brackets in strings do not count, also behind an escaped quote */
        CHECK_INT(strict_json_parse("[\"\\\"[[[[\"]", 10, &v, &err), 0);
        json_decref(v);
}

TEST(bad_descriptors_are_refused)
{
#define WITH_LAYER(layer) "{\"schemaVersion\":2," OCI_CONFIG ",\"layers\":[" layer "]}"
#define DIGEST_OF(d)      "{\"mediaType\":\"" GZIP "\",\"digest\":\"" d "\",\"size\":5}"
        refused(WITH_LAYER(DIGEST_OF("sha256:../../x")), OCI_M, NULL,
                "layers: [0]: digest: 'sha256:../../x'");
        refused(WITH_LAYER(DIGEST_OF("md5:0123")), OCI_M, NULL, "digest");
        refused(WITH_LAYER(DIGEST_OF("")), OCI_M, NULL, "digest");
        refused(WITH_LAYER(DIGEST_OF(D "0")), OCI_M, NULL, "digest");
        refused(WITH_LAYER(DIGEST_OF(D "\\u0000")), OCI_M, NULL, "digest");
        refused(WITH_LAYER(LAYER(GZIP, "-1")), OCI_M, NULL, "size: -1");
        refused(WITH_LAYER(LAYER(GZIP, "1.5")), OCI_M, NULL, "size: expected a whole number");
        refused(WITH_LAYER(LAYER(GZIP, "9223372036854775807")), OCI_M, NULL, "size");
        refused(WITH_LAYER(LAYER(GZIP, "null")), OCI_M, NULL, "size: required");
        refused(WITH_LAYER("null"), OCI_M, NULL, "[0]: expected an object");
        refused(WITH_LAYER("{\"mediaType\":\"" GZIP "\",\"digest\":\"" D
                           "\",\"size\":5,\"Digest\":\"" D "\"}"),
                OCI_M, NULL, "differs from a known one");
        refused(WITH_LAYER(
                        LAYER("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "5")),
                OCI_M, NULL, "foreign layers");
        refused(WITH_LAYER(LAYER("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "5")),
                OCI_M, NULL, "foreign layers");
        refused(WITH_LAYER(LAYER("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "5")),
                OCI_M, NULL, "encrypted layers");
        refused(WITH_LAYER(LAYER("application/vnd.example.squashfs", "5")), OCI_M, NULL,
                "not a layer");
        refused("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" D
                "\",\"size\":7},\"layers\":[]}",
                OCI_M, NULL, "not the config of a container image");
        refused("{\"schemaVersion\":2,\"layers\":[]}", OCI_M, NULL, "config: required");
        refused("{\"schemaVersion\":2," OCI_CONFIG "}", OCI_M, NULL, "layers: required");
}

TEST(layers_are_counted)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_add(&b, "{\"schemaVersion\":2," OCI_CONFIG ",\"layers\":[");
        for (int i = 0; i < 257; i++)
                strbuf_addf(&b, "%s%s", i ? "," : "", LAYER(GZIP, "5"));
        strbuf_add(&b, "]}");
        refused(b.data, OCI_M, NULL, "257 elements: expected at most 256");
}

#define ENTRY(type, size, platform) \
        "{\"mediaType\":\"" type "\",\"digest\":\"" D "\",\"size\":" size platform "}"
#define PLATFORM(os, arch, variant) \
        ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" variant "}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static uint64_t picked(const char *text, const char *arch, const char *variant)
{
        _cleanup_manifest_ struct manifest m = accepted(text, NULL, OCI_I);
        struct platform p = { "linux", arch, variant };
        const struct manifest_entry *e = manifest_pick(&m, &p, NULL);

        return e ? e->size : 0;
}

TEST(the_first_exact_platform_is_picked)
{
        const char
                *
                        index =
                                INDEX(
                                        ENTRY(OCI_M, "1", PLATFORM("windows", "amd64", "")) "," ENTRY(OCI_M, "2", PLATFORM("unknown", "unknown", "")) "," ENTRY("application/vnd.example.artifact", "3", PLATFORM("linux", "amd64", "")) "," ENTRY(OCI_M, "4", PLATFORM("linux", "amd64", ",\"variant\":\"v3\"")) "," ENTRY(
                                                OCI_M, "5",
                                                PLATFORM(
                                                        "linux", "amd64",
                                                        "")) "," ENTRY(OCI_M, "6",
                                                                       PLATFORM(
                                                                               "linux", "amd64",
                                                                               "")) "," ENTRY(DOCK_M,
                                                                                              "7",
                                                                                              PLATFORM(
                                                                                                      "linux",
                                                                                                      "arm64",
                                                                                                      ",\"variant\":\"v8\"")) "," ENTRY(OCI_M,
                                                                                                                                        "8",
                                                                                                                                        PLATFORM(
                                                                                                                                                "linux",
                                                                                                                                                "arm",
                                                                                                                                                ",\"variant\":\"v6\"")) "," ENTRY(OCI_M,
                                                                                                                                                                                  "9",
                                                                                                                                                                                  PLATFORM(
                                                                                                                                                                                          "linux",
                                                                                                                                                                                          "arm",
                                                                                                                                                                                          ",\"variant\":\"v5\"")));

        CHECK_INT(picked(index, "amd64", NULL), 5);
        CHECK_INT(picked(index, "arm64", NULL), 7);
        CHECK_INT(picked(index, "arm", "v7"), 8);
        CHECK_INT(picked(index, "arm", "v5"), 9);
        CHECK_INT(picked(index, "s390x", NULL), 0);
}

TEST(an_entry_without_platform_counts_when_it_is_alone)
{
        CHECK_INT(picked(INDEX(ENTRY(OCI_M, "1", "")), "amd64", NULL), 1);
        CHECK_INT(picked(INDEX(ENTRY(OCI_I, "1", "")), "amd64", NULL), 1);
        CHECK_INT(picked(INDEX(ENTRY(OCI_M, "1", "") "," ENTRY(OCI_M, "2", "")), "amd64", NULL), 0);
        CHECK_INT(picked(INDEX(""), "amd64", NULL), 0);
}

TEST(nothing_that_fits_is_said_with_the_platform)
{
        _cleanup_manifest_ struct manifest m =
                accepted(INDEX(ENTRY(OCI_M, "1", PLATFORM("linux", "arm64", ""))), NULL, DOCK_L);
        struct platform p = { "linux", "amd64", NULL };
        _cleanup_err_ struct err err = { 0 };

        CHECK(manifest_pick(&m, &p, &err) == NULL);
        CHECK_CONTAINS(err_text(&err), "no entry for platform linux/amd64 among 1");
}

static void config_refused(const char *text, const char *why)
{
        struct image_config c = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (image_config_parse(text, strlen(text), &c, &err) >= 0)
                fail_msg("accepted, wanted '%s'", why);
        CHECK_CONTAINS(err_text(&err), why);
}

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}"

TEST(a_config_is_read)
{
        _cleanup_image_config_ struct image_config c = { 0 };
        const char *text =
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":\"+10000-01-01\","
                "\"config\":{\"User\":\"1000:50\",\"Env\":[\"A=b\",\"broken\",\"=x\",\"A=c\"],\"Cmd\":[\"sh\"],"
                "\"Entrypoint\":null,\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGQUIT\",\"Volumes\":{\"/v\":{}},"
                "\"Labels\":{\"io.x\":\"binary:///bin/sh\"}}," ROOTFS "}";
        struct manifest m = { .n_layers = 1 };
        struct platform p = { "linux", "amd64", NULL }, other = { "linux", "arm64", NULL };
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(image_config_parse(text, strlen(text), &c, &err), 0);
        CHECK_STR(c.user, "1000:50");
        CHECK_INT(strv_len(c.env), 2);
        CHECK_STR(c.env[0], "A=b");
        CHECK_STR(c.env[1], "A=c");
        CHECK_STR(c.cmd[0], "sh");
        CHECK(c.entrypoint == NULL);
        CHECK_STR(c.volumes[0], "/v");
        CHECK_STR(c.diff_ids[0], D);
        CHECK_INT(image_config_check(&c, &m, &p, &err), 0);
        CHECK_INT(image_config_check(&c, &m, &other, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err),
                       "image is for platform linux/amd64, this node is linux/arm64");
        m.n_layers = 2;
        CHECK_INT(image_config_check(&c, &m, &p, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "1 of them for 2 layers");
}

TEST(bad_configs_are_refused)
{
        config_refused("[]", "expected an object");
        config_refused("{}", "rootfs: required");
        config_refused("{\"rootfs\":{\"type\":\"tars\",\"diff_ids\":[]}}", "expected 'layers'");
        config_refused("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", "at least one");
        config_refused("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
                       "diff_ids: [0]: 'x'");
        config_refused("{\"config\":{\"Env\":\"A=b\"}," ROOTFS "}",
                       "config: Env: expected an array");
        config_refused("{\"config\":{\"Env\":[5]}," ROOTFS "}",
                       "config: Env: [0]: expected a string");
        config_refused("{\"config\":{\"Cmd\":[\"a\\u0000b\"]}," ROOTFS "}", "without NUL");
        config_refused("{\"config\":{\"User\":\"a\\nb\"}," ROOTFS "}", "control characters");
        config_refused("{\"config\":{\"User\":\"a\\u0000b\"}," ROOTFS "}", "without NUL");
        config_refused(
                "{\"config\":{\"StopSignal\":\"SIGSIGSIGSIGSIGSIGSIGSIGSIGSIGSIGSIG\"}," ROOTFS "}",
                "expected at most 32");
        config_refused("{\"config\":{\"Volumes\":[]}," ROOTFS "}", "Volumes: expected an object");
        config_refused("{\"config\":[]," ROOTFS "}", "config: expected an object");
}

TEST(arguments_of_a_config_are_bounded)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_add(&b, "{\"config\":{\"Entrypoint\":[\"a\"");
        for (int i = 0; i < 10000; i++)
                strbuf_add(&b, ",\"a\"");
        strbuf_add(&b, "]}," ROOTFS "}");
        config_refused(b.data, "Entrypoint: 10001 elements");
        b.len = 0;
        strbuf_add(&b, "{\"config\":{\"Env\":[\"A=");
        for (int i = 0; i < 140000; i++)
                strbuf_add(&b, "a");
        strbuf_add(&b, "\"]}," ROOTFS "}");
        config_refused(b.data, "Env: 140003 bytes");
}
