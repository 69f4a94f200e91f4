/*
 * Localhost profiles: JSON files of the administrator below the node's seccomp directory, in the
 * runtime-spec's form or in Docker's, which adds archMap and rules that hold only with some
 * capability, architecture or kernel. A profile that cannot be read whole fails the container.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/oci-spec-names.h"
#include "runtime/runtime-internal.h"
#include "runtime/seccomp-profile.h"

enum { PROFILE_MAX = 1 << 20 };

#if defined(__x86_64__)
static const char native_arch[] = "SCMP_ARCH_X86_64", native_name[] = "amd64";
#elif defined(__aarch64__)
static const char native_arch[] = "SCMP_ARCH_AARCH64", native_name[] = "arm64";
#endif

/* "includes" and "excludes" of a rule in Docker's form. */
struct condition {
        char **caps, **arches;
        char *min_kernel;
};

static const struct json_field condition_fields[] = { /* clang-format off */
        { "caps",      decode_strv,   offsetof(struct condition, caps) },
        { "arches",    decode_strv,   offsetof(struct condition, arches) },
        { "minKernel", decode_string, offsetof(struct condition, min_kernel) },
        {}
}; /* clang-format on */

static void condition_done(struct condition *c)
{
        strv_free(c->caps);
        strv_free(c->arches);
        free(c->min_kernel);
}

/* "6.1" of "6.1.0-38-amd64" and of "6.1" alike. */
static int kernel_number(const char *s, uint64_t *ret)
{
        _cleanup_strv_ char **parts = NULL;
        uint64_t major, minor;

        if (strv_split(s, ".-+", &parts) < 0 || strv_len(parts) < 2 ||
            text_to_u64(parts[0], &major) < 0 || text_to_u64(parts[1], &minor) < 0 ||
            minor > 0xffff)
                return -EINVAL;
        *ret = major << 16 | minor;
        return 0;
}

static int is_kernel_at_least(const char *min, bool *ret, struct err *err)
{
        struct utsname u;
        uint64_t ours, wanted;

        if (uname(&u) < 0 || kernel_number(u.release, &ours) < 0 || kernel_number(min, &wanted) < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "minKernel: '%s': expected a version such as 4.8", min);
        *ret = ours >= wanted;
        return 0;
}

/* All capabilities of an "includes" must be there; one of an "excludes" is enough. */
static int count_caps(char *const *names, uint64_t capabilities, size_t *ret, struct err *err)
{
        *ret = 0;
        STRV_FOREACH (name, names) {
                int cap = oci_cap_from_name(*name);

                if (cap < 0)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "caps: '%s': expected a capability", *name);
                *ret += capabilities >> cap & 1;
        }
        return 0;
}

static int is_included(const json_t *rule, uint64_t capabilities, bool *ret, struct err *err)
{
        const json_t *object = json_object_get(rule, "includes");
        _cleanup_(condition_done)
        struct condition c = { 0 };
        size_t n;
        int r;

        *ret = true;
        if (!object || json_is_null(object))
                return 0;
        r = json_decode(object, condition_fields, &c, err);
        if (r == 0)
                r = count_caps(c.caps, capabilities, &n, err);
        if (r == 0 && c.min_kernel)
                r = is_kernel_at_least(c.min_kernel, ret, err);
        if (r < 0)
                return err_wrap(err, r, "includes");
        *ret &= n == strv_len(c.caps) && (!c.arches || strv_contains(c.arches, native_name));
        return 0;
}

static int is_excluded(const json_t *rule, uint64_t capabilities, bool *ret, struct err *err)
{
        const json_t *object = json_object_get(rule, "excludes");
        _cleanup_(condition_done)
        struct condition c = { 0 };
        bool is_new = false;
        size_t n;
        int r;

        *ret = false;
        if (!object || json_is_null(object))
                return 0;
        r = json_decode(object, condition_fields, &c, err);
        if (r == 0)
                r = count_caps(c.caps, capabilities, &n, err);
        if (r == 0 && c.min_kernel)
                r = is_kernel_at_least(c.min_kernel, &is_new, err);
        if (r < 0)
                return err_wrap(err, r, "excludes");
        *ret = n > 0 || is_new || strv_contains(c.arches, native_name);
        return 0;
}

/* Docker's form rewritten into the runtime-spec's, which has one reader. */
static int flatten_rule(json_t *rule, uint64_t capabilities, bool *ret_applies, struct err *err)
{
        static const char *const docker_only[] = { "includes", "excludes", "comment", "name",
                                                   "errno" };
        json_t *name = json_object_get(rule, "name");
        bool included, excluded;
        int r = is_included(rule, capabilities, &included, err);

        if (r == 0)
                r = is_excluded(rule, capabilities, &excluded, err);
        if (r < 0)
                return r;
        *ret_applies = included && !excluded;
        if (json_is_string(name) && !json_object_get(rule, "names"))
                r = json_set(rule, "names", json_pack("[O]", name));
        for (size_t i = 0; i < ARRAY_SIZE(docker_only); i++)
                json_object_del(rule, docker_only[i]);
        return r < 0 ? err_sys(err, r, "read rule") : 0;
}

static int flatten_rules(json_t *profile, uint64_t capabilities, struct err *err)
{
        json_t *rules = json_object_get(profile, "syscalls");

        for (size_t i = 0; i < json_array_size(rules);) {
                bool applies = false;
                int r = json_is_object(json_array_get(rules, i))
                                ? flatten_rule(json_array_get(rules, i), capabilities, &applies,
                                               err)
                                : err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object");

                if (r < 0)
                        return err_wrap(err, r, "syscalls: [%zu]", i);
                if (applies)
                        i++;
                else
                        json_array_remove(rules, i);
        }
        return 0;
}

static int flatten_architectures(json_t *profile, struct err *err)
{
        const json_t *map = json_object_get(profile, "archMap"), *e;
        size_t i;
        int r = 0;

        json_array_foreach ((json_t *)map, i, e) {
                json_t *all, *sub = json_object_get(e, "subArchitectures");

                if (!streq_null(json_text_at(e, "architecture"), native_arch))
                        continue;
                all = json_pack("[s]", native_arch);
                if (json_is_array(sub))
                        json_array_extend(all, sub);
                r = json_set(profile, "architectures", all);
        }
        json_object_del(profile, "archMap");
        return r < 0 ? err_sys(err, r, "read archMap") : 0;
}

int seccomp_localhost_parse(json_t *profile, uint64_t capabilities, struct oci_seccomp **ret,
                            struct err *err)
{
        int r = json_is_object(profile)
                        ? 0
                        : err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an object");

        if (r == 0)
                r = flatten_architectures(profile, err);
        if (r == 0)
                r = flatten_rules(profile, capabilities, err);
        if (r == 0)
                r = oci_seccomp_parse(profile, ret, err);
        return r;
}

static int read_profile(const struct runtime *rt, const char *name, char **ret, size_t *ret_n,
                        struct err *err)
{
        _cleanup_close_ int dir = -1, fd = -1;
        struct stat st;
        int r;

        if (!rt->options.seccomp_dir)
                return err_set(err, -ENOENT, "this node has no directory of seccomp profiles");
        dir = open(rt->options.seccomp_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(err, -errno, "open '%s'", rt->options.seccomp_dir);
        fd = fs_open_in_root(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0)
                return err_sys(err, fd, "open it in '%s'", rt->options.seccomp_dir);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return err_set(err, -EINVAL, "expected a regular file");
        r = fs_read_fd(fd, PROFILE_MAX, ret, ret_n);
        return r < 0 ? err_sys(err, r, "read") : 0;
}

static bool is_relative_name(const char *name)
{
        if (!name || !*name)
                return false;
        for (const char *p = name;; p++) {
                size_t n = strcspn(p, "/");

                if (n == 0 || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n;
                if (!*p)
                        return true;
        }
}

int seccomp_localhost(const struct runtime *rt, const char *profile, uint64_t capabilities,
                      struct oci_seccomp **ret, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *root = NULL;
        struct oci_seccomp *s = NULL;
        size_t n;
        int r;

        if (!is_relative_name(profile)) /* "" is not "unconfined" */
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "seccomp profile '%s': expected a relative path without '..'",
                                    profile ? profile : "");
        r = read_profile(rt, profile, &text, &n, err);
        if (r == 0)
                r = json_parse(text, n, true, &root, err);
        if (r == 0)
                r = seccomp_localhost_parse(root, capabilities, &s, err);
        if (r < 0) {
                oci_seccomp_free(s);
                err_wrap(err, r, "seccomp profile '%s'", profile);
                if (err)
                        err->kind = ERR_CONTAINER_CONFIG;
                return r;
        }
        *ret = s;
        return 0;
}
