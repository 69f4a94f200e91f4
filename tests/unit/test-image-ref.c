#include "runtime/image-ref.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check_normal(const char *text, const char *wanted)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *out = NULL;

        if (image_ref_parse(text, &ref, &err) < 0)
                fail_msg("'%s': %s", text, err_text(&err));
        out = image_ref_format(&ref);
        CHECK_STR(out, wanted);
}

static void check_refused(const char *text, const char *why)
{
        struct image_ref ref = { 0 };
        _cleanup_err_ struct err err = { 0 };

        if (image_ref_parse(text, &ref, &err) != -EINVAL)
                fail_msg("'%s' was accepted", text);
        CHECK(err.kind == ERR_INVALID_IMAGE_NAME);
        CHECK_CONTAINS(err_text(&err), why);
        CHECK(!ref.host && !ref.path);
}

TEST(short_names_live_on_docker_hub)
{
        check_normal("busybox", "docker.io/library/busybox:latest");
        check_normal("busybox:1.37", "docker.io/library/busybox:1.37");
        check_normal("team/app", "docker.io/team/app:latest");
        check_normal("docker.io/busybox", "docker.io/library/busybox:latest");
        check_normal("index.docker.io/busybox", "docker.io/library/busybox:latest");
        check_normal("index.docker.io/a/b:c", "docker.io/a/b:c");
}

TEST(a_first_component_that_looks_like_a_host_is_one)
{
        check_normal("localhost/app", "localhost/app:latest");
        check_normal("localhost:5000/app:v1", "localhost:5000/app:v1");
        check_normal("reg:5000/app", "reg:5000/app:latest");
        check_normal("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10");
        check_normal("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest");
        check_normal("[::1]:5000/app", "[::1]:5000/app:latest");
        check_normal("[fd00::1]/app", "[fd00::1]/app:latest");
        check_normal("UPPER/app", "UPPER/app:latest");
        check_normal("Reg.Example/app", "Reg.Example/app:latest");
}

TEST(a_digest_wins_over_a_tag)
{
        check_normal("busybox@sha256:" HEX64, "docker.io/library/busybox@sha256:" HEX64);
        check_normal("busybox:1.37@sha256:" HEX64, "docker.io/library/busybox@sha256:" HEX64);
        check_normal("a.b/c@sha512:" HEX64 HEX64, "a.b/c@sha512:" HEX64 HEX64);
}

TEST(separators_inside_names_follow_the_grammar)
{
        check_normal("a__b", "docker.io/library/a__b:latest");
        check_normal("a---b", "docker.io/library/a---b:latest");
        check_normal("a.b_c-d", "docker.io/library/a.b_c-d:latest");
        check_refused("a___b", "invalid reference format");
        check_refused("a..b", "invalid reference format");
        check_refused("a._b", "invalid reference format");
        check_refused("-a", "invalid reference format");
        check_refused("a-", "invalid reference format");
        check_refused("a//b", "invalid reference format");
        check_refused("a/", "invalid reference format");
        check_refused("/a", "invalid reference format");
        check_refused("reg.io/", "invalid reference format");
        check_refused("a b", "invalid reference format");
        check_refused("a\nb", "invalid reference format");
        check_refused("ä", "invalid reference format");
}

TEST(upper_case_is_named_in_the_refusal)
{
        check_refused("Busybox", "repository name (Busybox) must be lowercase");
        check_refused("reg.io/Team/app:V1", "repository name (Team/app) must be lowercase");
        check_normal("reg.io/app:V1", "reg.io/app:V1");
}

TEST(bad_tags_are_refused)
{
        char long_tag[200];

        check_refused("a:", "invalid reference format");
        check_refused("a:-x", "invalid reference format");
        check_refused("a:.x", "invalid reference format");
        check_refused("a:b:c", "invalid reference format");
        check_refused("a:b/c", "invalid reference format");
        memset(long_tag, 'x', sizeof long_tag);
        long_tag[0] = 'a';
        long_tag[1] = ':';
        long_tag[2 + 129] = '\0';
        check_refused(long_tag, "invalid reference format");
        long_tag[2 + 128] = '\0';
        {
                _cleanup_free_ char *wanted = text_printf("docker.io/library/%s", long_tag);

                check_normal(long_tag, wanted);
        }
}

TEST(bad_digests_are_refused)
{
        check_refused("a@", "invalid reference format");
        check_refused("a@sha256", "invalid reference format");
        check_refused("a@sha256:abc", "invalid checksum digest length");
        check_refused("a@sha256:" HEX64 "0", "invalid checksum digest length");
        check_refused("a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                      "invalid checksum digest format");
        check_refused("a@md5:0123456789abcdef0123456789abcdef", "unsupported digest algorithm");
        check_refused("a@sha256:" HEX64 "@sha256:" HEX64, "invalid checksum digest length");
        check_refused("a@sha256:../../../../etc/passwd", "invalid reference format");
}

TEST(bad_hosts_are_refused)
{
        check_refused("-a.b/c", "invalid reference format");
        check_refused("a-.b/c", "invalid reference format");
        check_refused("a..b/c", "invalid reference format");
        check_refused("a.b:/c", "invalid reference format");
        check_refused("a.b:x/c", "invalid reference format");
        check_refused(":5000/c", "invalid reference format");
        check_refused("[::1/c", "invalid reference format");
        check_refused("[fe80::1%eth0]/c", "invalid reference format");
        check_refused("foo_bar.baz/img", "invalid reference format");
}

TEST(lengths_are_bounded)
{
        char name[5000];

        check_refused("", "at least one component");
        check_refused(HEX64, "cannot specify 64-byte hexadecimal strings");
        memset(name, 'a', sizeof name);
        name[4999] = '\0';
        check_refused(name, "longer than 4096");
        name[300] = '\0';
        check_refused(name, "must not be more than 255");
        name[256 - 8] = '\0'; /* with "library/" 256 */
        check_refused(name, "must not be more than 255");
}

TEST(digests_have_one_spelling)
{
        CHECK(digest_is_valid("sha256:" HEX64));
        CHECK(digest_is_valid("sha512:" HEX64 HEX64));
        CHECK(!digest_is_valid(""));
        CHECK(!digest_is_valid("sha256:"));
        CHECK(!digest_is_valid("SHA256:" HEX64));
        CHECK(!digest_is_valid("sha256:" HEX64 "\n"));
        CHECK(!digest_is_valid("sha512:" HEX64));
        CHECK(!digest_is_valid("sha256:٠١٢٣456789abcdef0123456789abcdef0123456789abcdef01234567"));
        CHECK(!digest_is_valid_n("sha256:\0" HEX64, 71));
}

TEST(only_loopback_is_local)
{
        CHECK(registry_host_is_local("localhost"));
        CHECK(registry_host_is_local("localhost:5000"));
        CHECK(registry_host_is_local("127.0.0.1:5000"));
        CHECK(registry_host_is_local("127.1.2.3"));
        CHECK(registry_host_is_local("[::1]:5000"));
        CHECK(!registry_host_is_local("127.evil.example"));
        CHECK(!registry_host_is_local("localhost.example"));
        CHECK(!registry_host_is_local("[::2]"));
        CHECK(!registry_host_is_local("registry:5000"));
}
