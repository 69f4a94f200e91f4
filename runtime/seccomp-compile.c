/*
 * Theory of operation. libseccomp answers a call it has never heard of with the profile's default
 * action. A C library that tries a new call wants ENOSYS then, so that it falls back, and gets
 * EPERM instead. So the program begins with a prologue that sorts the number into ranges, per ABI:
 *
 *      known to libseccomp              go on with its program
 *      in seccomp_newer_calls[]         the action of the rule that names it, or the default one
 *      anything else                    ENOSYS, unless the default is to let calls through
 *
 * Ranges are tested in ascending order, so a usual call passes with two instructions. The kernel
 * keeps a bitmap of calls whose answer depends on nothing but their number, so most never run any
 * of it; the prologue uses only what that analysis understands (loads of number and architecture,
 * comparisons with constants).
 */
#include "runtime/seccomp-compile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/seccomp-profile.h"

enum { NUMBERS = 1024, RANGES_MAX = 256, ARCHES_MAX = 8 };
#define X32_BIT     0x40000000U
#define ARM_PRIVATE 0x0f0000U /* the last numbers an ABI has: ARM's own, a handful */
#define ARM_NUMBERS 16

struct builder {
        const struct oci_seccomp *profile; /* borrowed */
        scmp_filter_ctx ctx;               /* owned */
        uint32_t arches[ARCHES_MAX];       /* libseccomp's tokens */
        size_t n_arches;
        uint32_t default_action; /* with its errno */
        uint32_t newer[64];      /* action per entry of seccomp_newer_calls[] */
};

static uint32_t action_of(uint32_t action, int32_t errno_ret)
{
        if (action == SCMP_ACT_ERRNO(0))
                return SCMP_ACT_ERRNO(errno_ret < 0 ? EPERM : errno_ret);
        return action;
}

static bool lets_through(uint32_t action)
{
        return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG;
}

static int refuse(struct err *err, int r, const char *name, const char *what)
{
        return err_set_kind(err, r, ERR_CONTAINER_CONFIG, "seccomp rule for '%s': %s", name, what);
}

/* ---- libseccomp's half ---- */

static int add_arches(struct builder *b, struct err *err)
{
        b->arches[b->n_arches++] = seccomp_arch_native();
        STRV_FOREACH (name, b->profile->architectures) {
                const char *rest = startswith(*name, "SCMP_ARCH_");
                char lower[32] = "";
                uint32_t token;
                int r;

                for (size_t i = 0; rest && rest[i] && i + 1 < sizeof lower; i++)
                        lower[i] = (char)(rest[i] >= 'A' && rest[i] <= 'Z' ? rest[i] + 32
                                                                           : rest[i]);
                token = *lower ? seccomp_arch_resolve_name(lower) : 0;
                if (token == 0)
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "seccomp architecture '%s': expected a name such as "
                                            "SCMP_ARCH_X86_64",
                                            *name);
                r = seccomp_arch_add(b->ctx, token);
                if (r == -EEXIST || r == -EDOM)
                        continue; /* the native one; one of the other byte order */
                if (r < 0)
                        return err_sys(err, r, "seccomp architecture '%s'", *name);
                if (b->n_arches == ARCHES_MAX)
                        return err_set_kind(err, -E2BIG, ERR_CONTAINER_CONFIG,
                                            "seccomp: more than %d architectures", ARCHES_MAX);
                b->arches[b->n_arches++] = token;
        }
        return 0;
}

static int check_flags(const struct builder *b, struct err *err)
{
        static const char *const harmless[] = { "SECCOMP_FILTER_FLAG_LOG",
                                                "SECCOMP_FILTER_FLAG_TSYNC",
                                                "SECCOMP_FILTER_FLAG_SPEC_ALLOW", NULL };

        STRV_FOREACH (flag, b->profile->flags)
                if (!strv_contains((char *const *)harmless, *flag))
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "seccomp flag '%s': not supported", *flag);
        return 0;
}

/* libseccomp splits two conditions on one argument into alternatives: a rule would allow what each
 * of them allows. */
static int check_args(const struct oci_seccomp_rule *rule, struct err *err)
{
        unsigned seen = 0;

        for (size_t i = 0; i < rule->n_args; i++) {
                if (seen >> rule->args[i].index & 1)
                        return refuse(err, -EINVAL, rule->names ? rule->names[0] : "",
                                      "expected one condition per argument");
                seen |= 1U << rule->args[i].index;
        }
        return 0;
}

static int note_newer(struct builder *b, const struct oci_seccomp_rule *rule, const char *name,
                      struct err *err)
{
        for (size_t i = 0; seccomp_newer_calls[i].name; i++) {
                if (!streq(seccomp_newer_calls[i].name, name))
                        continue;
                if (rule->n_args)
                        return refuse(err, -EINVAL, name,
                                      "expected no conditions on a call newer than libseccomp");
                b->newer[i] = action_of(rule->action, rule->errno_ret);
        }
        return 0; /* a name of the future, or of another architecture: nobody can call it */
}

static int add_name(struct builder *b, const struct oci_seccomp_rule *rule, const char *name,
                    struct err *err)
{
        uint32_t action = action_of(rule->action, rule->errno_ret);
        struct scmp_arg_cmp args[6];
        int nr = seccomp_syscall_resolve_name(name), r;

        if (nr == __NR_SCMP_ERROR)
                return note_newer(b, rule, name, err);
        if (action == b->default_action)
                return 0;
        for (size_t i = 0; i < rule->n_args; i++)
                args[i] = (struct scmp_arg_cmp){
                        .arg = rule->args[i].index,
                        .op = (enum scmp_compare)rule->args[i].op,
                        .datum_a = rule->args[i].value,
                        .datum_b = rule->args[i].value_two,
                };
        r = seccomp_rule_add_array(b->ctx, action, nr, (unsigned)rule->n_args, args);
        if (r == -EEXIST)
                return 0; /* an earlier rule says so already */
        return r < 0 ? refuse(err, r, name, strerror(-r)) : 0;
}

static int add_rules(struct builder *b, struct err *err)
{
        for (size_t i = 0; i < b->profile->n_rules; i++) {
                const struct oci_seccomp_rule *rule = &b->profile->rules[i];
                int r = check_args(rule, err);

                for (char *const *name = rule->names; r == 0 && name && *name; name++)
                        r = add_name(b, rule, *name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int export_program(struct builder *b, struct sock_filter **ret, size_t *ret_n,
                          struct err *err)
{
        _cleanup_close_ int fd = memfd_create("seccomp-export", MFD_CLOEXEC);
        size_t n;
        char *data;
        int r;

        if (fd < 0)
                return err_sys(err, -errno, "make a memfd");
        r = seccomp_export_bpf(b->ctx, fd);
        if (r < 0)
                return err_sys(err, r, "compile the seccomp profile");
        if (lseek(fd, 0, SEEK_SET) < 0)
                return err_sys(err, -errno, "read the seccomp program");
        r = fs_read_fd(fd, BPF_MAXINSNS * sizeof **ret, &data, &n);
        if (r < 0)
                return err_sys(err, r, "read the seccomp program");
        *ret = (struct sock_filter *)data;
        *ret_n = n / sizeof **ret;
        return 0;
}

/* ---- the prologue ---- */

/* Numbers up to @last (from the range before on) get @action; go_on: libseccomp decides. */
struct range {
        uint32_t last, action;
        bool go_on;
};
struct ranges {
        struct range all[RANGES_MAX];
        size_t n;
};

static void append(struct ranges *rs, uint32_t last, bool go_on, uint32_t action)
{
        struct range *before = rs->n ? &rs->all[rs->n - 1] : NULL;

        if (before && before->go_on == go_on && (go_on || before->action == action))
                before->last = last;
        else if (rs->n < RANGES_MAX)
                rs->all[rs->n++] = (struct range){ last, action, go_on };
        else /* never with a real table; towards refusing then */
                rs->all[RANGES_MAX - 1] = (struct range){ last, SECCOMP_RET_ERRNO | EPERM, false };
}

static bool is_known(uint32_t arch, uint32_t nr)
{
        char *name = seccomp_syscall_resolve_num_arch(arch, (int)nr);

        free(name);
        return name != NULL;
}

static void append_number(const struct builder *b, struct ranges *rs, uint32_t arch, uint32_t nr)
{
        uint32_t plain = arch == SCMP_ARCH_X32 ? nr & ~X32_BIT : nr;

        if (is_known(arch, nr)) {
                append(rs, nr, true, 0);
                return;
        }
        for (size_t i = 0; seccomp_newer_calls[i].name; i++) {
                if (seccomp_newer_calls[i].nr != plain ||
                    (seccomp_newer_calls[i].x86_64_only && arch != SCMP_ARCH_X86_64))
                        continue;
                append(rs, nr, false, b->newer[i]);
                return;
        }
        append(rs, nr, lets_through(b->default_action), SECCOMP_RET_ERRNO | ENOSYS);
}

static bool has_arch(const struct builder *b, uint32_t arch)
{
        for (size_t i = 0; i < b->n_arches; i++)
                if (b->arches[i] == arch)
                        return true;
        return false;
}

/* All numbers of an ABI, ascending. x32 shares its audit architecture with x86-64. */
static void sort_numbers(const struct builder *b, uint32_t arch, struct ranges *rs)
{
        bool through = lets_through(b->default_action);

        for (uint32_t nr = 0; nr < NUMBERS; nr++)
                append_number(b, rs, arch, nr);
        if (arch == SCMP_ARCH_ARM) {
                append(rs, ARM_PRIVATE, through, SECCOMP_RET_ERRNO | ENOSYS);
                for (uint32_t i = 1; i < ARM_NUMBERS; i++)
                        append_number(b, rs, arch, ARM_PRIVATE + i);
        }
        if (arch == SCMP_ARCH_X86_64) {
                append(rs, X32_BIT - 1, through, SECCOMP_RET_ERRNO | ENOSYS);
                if (!has_arch(b, SCMP_ARCH_X32)) { /* an ABI the profile does not name */
                        append(rs, UINT32_MAX, true, 0);
                        return;
                }
                for (uint32_t nr = 0; nr < NUMBERS; nr++)
                        append_number(b, rs, SCMP_ARCH_X32, X32_BIT | nr);
        }
        append(rs, UINT32_MAX, through, SECCOMP_RET_ERRNO | ENOSYS);
}

struct code {
        struct sock_filter *insns; /* owned */
        size_t n;
};

static void emit(struct code *c, struct sock_filter insn)
{
        if (c->n < BPF_MAXINSNS)
                c->insns[c->n] = insn;
        c->n++;
}

static bool is_trivial(const struct ranges *rs)
{
        return rs->n == 1 && rs->all[0].go_on;
}

/* One ABI: numbers above a range go on with the next; "go on" jumps behind the whole prologue,
 * which
 * @end finds out afterwards. */
static void emit_arch(struct code *c, uint32_t arch, const struct ranges *rs)
{
        size_t length = 1 + 2 * rs->n;

        emit(c, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, arch)));
        emit(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0));
        emit(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, (uint32_t)length, 0, 0));
        emit(c, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, nr)));
        for (size_t i = 0; i < rs->n; i++) {
                const struct range *range = &rs->all[i];

                emit(c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, range->last, 1, 0));
                if (range->go_on) /* to the next ABI's test, which this one fails, and so to the end
                                   */
                        emit(c,
                             (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA,
                                                          (uint32_t)(2 * (rs->n - i - 1)), 0, 0));
                else
                        emit(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, range->action));
        }
}

static uint32_t audit_arch_of(uint32_t arch)
{
        return arch == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64
                                     : arch; /* libseccomp's tokens are theirs */
}

static int add_prologue(const struct builder *b, struct sock_filter **program, size_t *n,
                        struct err *err)
{
        struct code c = { .insns = calloc(BPF_MAXINSNS, sizeof *c.insns) };

        if (!c.insns)
                return err_sys(err, -ENOMEM, "compile the seccomp profile");
        for (size_t i = 0; i < b->n_arches; i++) {
                struct ranges rs = { .n = 0 };

                if (b->arches[i] == SCMP_ARCH_X32)
                        continue; /* with x86-64 */
                sort_numbers(b, b->arches[i], &rs);
                if (!is_trivial(&rs))
                        emit_arch(&c, audit_arch_of(b->arches[i]), &rs);
        }
        for (size_t i = 0; i < *n; i++)
                emit(&c, (*program)[i]);
        if (c.n > BPF_MAXINSNS) {
                free(c.insns);
                return err_set_kind(err, -E2BIG, ERR_CONTAINER_CONFIG,
                                    "the seccomp profile needs %zu instructions, %d is the limit",
                                    c.n, BPF_MAXINSNS);
        }
        free(*program);
        *program = c.insns;
        *n = c.n;
        return 0;
}

static int build(struct builder *b, struct sock_filter **ret, size_t *ret_n, struct err *err)
{
        int r = check_flags(b, err);

        if (r == 0)
                r = add_arches(b, err);
        if (r < 0)
                return r;
        /* exported, not loaded: whoever loads it sets no_new_privs or has the right */
        seccomp_attr_set(b->ctx, SCMP_FLTATR_CTL_NNP, 0);
        seccomp_attr_set(b->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        r = add_rules(b, err);
        if (r == 0)
                r = export_program(b, ret, ret_n, err);
        return r == 0 ? add_prologue(b, ret, ret_n, err) : r;
}

int seccomp_compile(const struct oci_seccomp *profile, struct sock_filter **ret, size_t *ret_n,
                    struct err *err)
{
        struct builder b = { .profile = profile };
        struct sock_filter *program = NULL;
        size_t n = 0;
        int r;

        b.default_action = action_of(profile->default_action, profile->default_errno_ret);
        for (size_t i = 0; seccomp_newer_calls[i].name; i++)
                b.newer[i] = b.default_action;
        b.ctx = seccomp_init(b.default_action);
        if (!b.ctx)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "seccomp default action: libseccomp refuses it");
        r = build(&b, &program, &n, err);
        seccomp_release(b.ctx);
        if (r < 0) {
                free(program);
                return r;
        }
        *ret = program;
        *ret_n = n;
        return 0;
}
