/* Profiles compiled and then evaluated with an interpreter of the kernel's classic BPF. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/text.h"
#include "runtime/runtime.h"
#include "runtime/seccomp-compile.h"
#include "runtime/seccomp-profile.h"
#include "tests/check.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif
#define ERRNO(n)  (SECCOMP_RET_ERRNO | (n))
#define CAP(name) (UINT64_C(1) << CAP_##name)
#define DEFAULT_CAPS                                                                     \
        (CAP(AUDIT_WRITE) | CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | \
         CAP(KILL) | CAP(MKNOD) | CAP(NET_BIND_SERVICE) | CAP(NET_RAW) | CAP(SETFCAP) |  \
         CAP(SETGID) | CAP(SETPCAP) | CAP(SETUID) | CAP(SYS_CHROOT))

static struct sock_filter *program;
static size_t n_program;

static void compile(const struct oci_seccomp *s)
{
        _cleanup_err_ struct err err = { 0 };

        free(program);
        program = NULL;
        CHECK(seccomp_compile(s, &program, &n_program, &err) == 0);
        CHECK(n_program > 0 && n_program <= BPF_MAXINSNS);
}

static void compile_default(uint64_t capabilities)
{
        struct oci_seccomp *s;

        CHECK(seccomp_runtime_default(capabilities, &s, NULL) == 0);
        compile(s);
        oci_seccomp_free(s);
}

static bool jumps(const struct sock_filter *f, uint32_t a)
{
        switch (BPF_OP(f->code)) {
        case BPF_JEQ:
                return a == f->k;
        case BPF_JGT:
                return a > f->k;
        case BPF_JGE:
                return a >= f->k;
        case BPF_JSET:
                return a & f->k;
        }
        fail_msg("jump %#x", f->code);
        return false;
}

static uint32_t answer(uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a1)
{
        struct seccomp_data data = { .nr = (int)nr, .arch = arch, .args = { a0, a1 } };
        uint32_t a = 0;

        for (size_t at = 0; at < n_program; at++) {
                const struct sock_filter *f = &program[at];

                switch (f->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        CHECK(f->k + sizeof a <= sizeof data);
                        memcpy(&a, (char *)&data + f->k, sizeof a);
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= f->k;
                        break;
                case BPF_JMP | BPF_JA:
                        at += f->k;
                        break;
                case BPF_RET | BPF_K:
                        return f->k;
                default:
                        CHECK(BPF_CLASS(f->code) == BPF_JMP);
                        at += jumps(f, a) ? f->jt : f->jf;
                }
        }
        fail_msg("the program ran off its end");
        return 0;
}

static uint32_t native(uint32_t nr, uint64_t a0)
{
        return answer(NATIVE_ARCH, nr, a0, 0);
}

TEST(the_default_profile_refuses_what_changes_the_host)
{
        static const uint32_t refused[] = {
                SYS_mount,       SYS_umount2,      SYS_unshare,
                SYS_setns,       SYS_bpf,          SYS_keyctl,
                SYS_add_key,     SYS_reboot,       SYS_pivot_root,
                SYS_kexec_load,  SYS_swapon,       SYS_init_module,
                SYS_userfaultfd, SYS_acct,         SYS_perf_event_open,
                SYS_syslog,      SYS_fsopen,       SYS_open_tree,
                SYS_move_mount,  SYS_kcmp,         SYS_io_uring_setup,
                SYS_quotactl,    SYS_settimeofday, SYS_open_by_handle_at,
                SYS_mbind,       SYS_vhangup
        };
        static const uint32_t allowed[] = { SYS_read,          SYS_write,   SYS_openat,
                                            SYS_execve,        SYS_chroot,  SYS_ptrace,
                                            SYS_clock_gettime, SYS_futex,   SYS_statx,
                                            SYS_rseq,          SYS_openat2, SYS_process_vm_readv,
                                            SYS_getrandom,     SYS_prctl };

        compile_default(DEFAULT_CAPS);
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                CHECK_INT(native(refused[i], 0), ERRNO(EPERM));
        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
                CHECK_INT(native(allowed[i], 0), SECCOMP_RET_ALLOW);
}

TEST(clone_may_start_threads_but_no_namespaces)
{
        static const uint64_t namespaces[] = { CLONE_NEWNS,    CLONE_NEWUTS, CLONE_NEWIPC,
                                               CLONE_NEWUSER,  CLONE_NEWPID, CLONE_NEWNET,
                                               CLONE_NEWCGROUP };

        compile_default(DEFAULT_CAPS);
        CHECK_INT(native(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND), SECCOMP_RET_ALLOW);
        for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
                CHECK_INT(native(SYS_clone, namespaces[i]), ERRNO(EPERM));
        CHECK_INT(native(SYS_clone3, 0), ERRNO(ENOSYS));
}

TEST(every_socket_family_but_alg_and_vsock_is_allowed)
{
        compile_default(DEFAULT_CAPS);
        for (uint64_t family = 0; family <= 50; family++)
                CHECK_INT(native(SYS_socket, family), family == AF_ALG || family == AF_VSOCK
                                                              ? ERRNO(EPERM)
                                                              : SECCOMP_RET_ALLOW);
}

TEST(only_harmless_personalities_are_allowed)
{
        compile_default(DEFAULT_CAPS);
        CHECK_INT(native(SYS_personality, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_personality, 8), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_personality, 0x20000), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_personality, 0x20008), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_personality, 0xffffffff), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_personality, 0x0040000), ERRNO(EPERM)); /* ADDR_NO_RANDOMIZE */
}

TEST(numbers_nobody_knows_get_enosys)
{
        static const uint32_t unknown[] = { 400, 10000, 0x3fffffff, 0x7fffffff, 0xffffffff };

        compile_default(DEFAULT_CAPS);
        for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
                CHECK_INT(native(unknown[i], 0), ERRNO(ENOSYS));
        for (uint32_t nr = 470; nr < 1100; nr++)
                CHECK_INT(native(nr, 0), ERRNO(ENOSYS));
}

TEST(calls_newer_than_libseccomp_have_their_own_answer)
{
        compile_default(DEFAULT_CAPS);
        CHECK_INT(native(451, 0), SECCOMP_RET_ALLOW); /* cachestat */
        CHECK_INT(native(452, 0), SECCOMP_RET_ALLOW); /* fchmodat2 */
        CHECK_INT(native(462, 0), SECCOMP_RET_ALLOW); /* mseal */
        CHECK_INT(native(467, 0), ERRNO(EPERM));      /* open_tree_attr */
        CHECK_INT(native(457, 0), ERRNO(EPERM));      /* statmount */
        compile_default(DEFAULT_CAPS | CAP(SYS_ADMIN));
        CHECK_INT(native(467, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(457, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(10000, 0), ERRNO(ENOSYS));
}

#if defined(__x86_64__)
TEST(the_other_abis_of_the_machine_are_covered)
{
        compile_default(DEFAULT_CAPS);
        CHECK_INT(answer(AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_ALLOW);   /* read */
        CHECK_INT(answer(AUDIT_ARCH_I386, 21, 0, 0), ERRNO(EPERM));       /* mount */
        CHECK_INT(answer(AUDIT_ARCH_I386, 310, 0, 0), ERRNO(EPERM));      /* unshare */
        CHECK_INT(answer(AUDIT_ARCH_I386, 435, 0, 0), ERRNO(ENOSYS));     /* clone3 */
        CHECK_INT(answer(AUDIT_ARCH_I386, 452, 0, 0), SECCOMP_RET_ALLOW); /* fchmodat2 */
        CHECK_INT(answer(AUDIT_ARCH_I386, 10000, 0, 0), ERRNO(ENOSYS));
        CHECK_INT(answer(AUDIT_ARCH_I386, 359, AF_ALG, 0), ERRNO(EPERM)); /* socket */
        CHECK_INT(native(0x40000000, 0), SECCOMP_RET_ALLOW);              /* x32 read */
        CHECK_INT(native(0x40000000 | 165, 0), ERRNO(EPERM));             /* x32 mount */
        CHECK_INT(native(0x40000000 | 462, 0), SECCOMP_RET_ALLOW);        /* x32 mseal */
        CHECK_INT(native(0x40000000 | 10000, 0), ERRNO(ENOSYS));
        CHECK_INT(native(335, 0), SECCOMP_RET_ALLOW); /* uretprobe, the kernel's own trampoline */
        CHECK_INT(answer(AUDIT_ARCH_AARCH64, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}
#endif

TEST(a_capability_brings_its_calls)
{
        static const struct {
                uint64_t capability;
                uint32_t nr;
        } cases[] = {
                { CAP(SYS_ADMIN), SYS_mount },
                { CAP(SYS_ADMIN), SYS_unshare },
                { CAP(SYS_ADMIN), SYS_clone3 },
                { CAP(BPF), SYS_bpf },
                { CAP(PERFMON), SYS_perf_event_open },
                { CAP(SYSLOG), SYS_syslog },
                { CAP(SYS_BOOT), SYS_reboot },
                { CAP(SYS_MODULE), SYS_init_module },
                { CAP(SYS_PACCT), SYS_acct },
                { CAP(SYS_PTRACE), SYS_kcmp },
                { CAP(SYS_TIME), SYS_settimeofday },
                { CAP(SYS_TTY_CONFIG), SYS_vhangup },
                { CAP(SYS_NICE), SYS_mbind },
                { CAP(DAC_READ_SEARCH), SYS_open_by_handle_at },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                compile_default(DEFAULT_CAPS | cases[i].capability);
                CHECK_INT(native(cases[i].nr, 0), SECCOMP_RET_ALLOW);
                CHECK_INT(native(SYS_keyctl, 0), ERRNO(EPERM));
                CHECK_INT(native(SYS_pivot_root, 0), ERRNO(EPERM));
        }
        compile_default(DEFAULT_CAPS & ~CAP(SYS_CHROOT));
        CHECK_INT(native(SYS_chroot, 0), ERRNO(EPERM));
}

/* A profile in JSON, for DEFAULT_CAPS. */
static int parse(const char *text, struct oci_seccomp **ret, struct err *err)
{
        json_auto_t *root = NULL;
        int r = json_parse(text, strlen(text), true, &root, err);

        return r < 0 ? r : seccomp_localhost_parse(root, DEFAULT_CAPS, ret, err);
}

static void compile_text(const char *text)
{
        struct oci_seccomp *s = NULL;

        CHECK(parse(text, &s, NULL) == 0);
        compile(s);
        oci_seccomp_free(s);
}

TEST(a_profile_that_lets_through_gets_no_enosys_for_new_calls)
{
        compile_text("{\"defaultAction\":\"SCMP_ACT_LOG\"}");
        CHECK_INT(native(10000, 0), SECCOMP_RET_LOG);
        CHECK_INT(native(SYS_mount, 0), SECCOMP_RET_LOG);
        compile_text("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mseal\","
                     "\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13}]}");
        CHECK_INT(native(462, 0), ERRNO(13));
        CHECK_INT(native(SYS_mkdirat, 0), ERRNO(13));
        CHECK_INT(native(10000, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(452, 0), SECCOMP_RET_ALLOW);
}

TEST(a_killing_profile_kills_what_is_known_and_not_named)
{
        compile_text("{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"syscalls\":[{\"names\":"
                     "[\"read\",\"no_such_call_ever\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");
        CHECK_INT(native(SYS_read, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_write, 0), SECCOMP_RET_KILL_PROCESS);
        CHECK_INT(native(10000, 0), ERRNO(ENOSYS));
}

TEST(rules_in_dockers_form_hold_only_under_their_conditions)
{
        compile_text(
                "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"archMap\":["
                "{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]},"
                "{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]}],"
                "\"syscalls\":["
                "{\"name\":\"read\",\"action\":\"SCMP_ACT_ALLOW\",\"args\":[],\"comment\":\"x\","
                " \"includes\":{},\"excludes\":{}},"
                "{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
                "{\"names\":[\"chroot\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"includes\":{\"caps\":[\"CAP_SYS_CHROOT\"]}},"
                "{\"names\":[\"unshare\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"excludes\":{\"caps\":[\"CAP_SYS_CHROOT\"]}},"
                "{\"names\":[\"ptrace\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"includes\":{\"minKernel\":\"4.8\"}},"
                "{\"names\":[\"bpf\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"includes\":{\"minKernel\":\"99.0\"}},"
                "{\"names\":[\"kcmp\"],\"action\":\"SCMP_ACT_ALLOW\","
                " \"includes\":{\"arches\":[\"s390x\"]}}]}");
        CHECK_INT(native(SYS_read, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_mount, 0), ERRNO(EPERM));
        CHECK_INT(native(SYS_chroot, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_unshare, 0), ERRNO(EPERM));
        CHECK_INT(native(SYS_ptrace, 0), SECCOMP_RET_ALLOW);
        CHECK_INT(native(SYS_bpf, 0), ERRNO(EPERM));
        CHECK_INT(native(SYS_kcmp, 0), ERRNO(EPERM));
}

TEST(a_profile_that_cannot_be_read_whole_is_refused)
{
        static const struct {
                const char *text, *said;
        } cases[] = {
                { "[]", "expected an object" },
                { "{", "JSON line" },
                { "{}", "defaultAction: required" },
                { "{\"defaultAction\":\"SCMP_ACT_MAYBE\"}", "defaultAction: 'SCMP_ACT_MAYBE'" },
                { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\"}",
                  "listenerPath" },
                { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                  "\"action\":\"SCMP_ACT_NOTIFY\"}]}",
                  "syscalls: [0]: action: 'SCMP_ACT_NOTIFY'" },
                { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[5]}", "syscalls: [0]" },
                { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                  "\"action\":\"SCMP_ACT_ERRNO\",\"includes\":{\"caps\":[\"CAP_FLY\"]}}]}",
                  "syscalls: [0]: includes: caps: 'CAP_FLY'" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                struct oci_seccomp *s = NULL;

                CHECK(parse(cases[i].text, &s, &err) < 0);
                CHECK_CONTAINS(err.message, cases[i].said);
                oci_seccomp_free(s);
        }
}

static void check_not_compiled(const char *text, const char *said)
{
        _cleanup_err_ struct err err = { 0 };
        struct oci_seccomp *s = NULL;
        struct sock_filter *f;
        size_t n;

        CHECK(parse(text, &s, NULL) == 0);
        CHECK(seccomp_compile(s, &f, &n, &err) < 0);
        CHECK_CONTAINS(err.message, said);
        CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
        oci_seccomp_free(s);
}

TEST(a_rule_that_would_mean_something_else_is_not_compiled)
{
        check_not_compiled(
                "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\"],"
                "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":38,\"op\":"
                "\"SCMP_CMP_NE\"},{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_NE\"}]}]}",
                "'socket': expected one condition per argument");
        check_not_compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"MOON\"]}",
                           "architecture 'MOON'");
        check_not_compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"flags\":[\"X\"]}",
                           "flag 'X': not supported");
}

TEST(localhost_profiles_are_named_relatively)
{
        static const char *const bad[] = { "", "/etc/passwd", "../x", "a/../../x", "a//b", "a/" };
        struct oci_seccomp *s = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(seccomp_localhost(NULL, bad[i], 0, &s, &err), -EINVAL);
                CHECK_CONTAINS(err.message, "expected a relative path");
                CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
        }
}

TEST(the_default_profile_leaves_room_in_the_program)
{
        compile_default(UINT64_MAX);
        CHECK(n_program < BPF_MAXINSNS / 2);
        free(program);
        program = NULL;
}
