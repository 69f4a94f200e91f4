/*
 * The device filter: rules of an OCI spec compiled to a cgroup eBPF program.
 *
 * Theory of operation. The kernel asks with { access bits, type, major, minor } whenever a device
 * is opened or made. Each bit asked for is decided by the last rule that names it, so the program
 * walks the rules backwards with the undecided bits in a register: a rule that allows takes its
 * bits out (none left: allowed), one that denies and still finds one of its bits there ends with a
 * denial. Whatever is left at the end is denied. All jumps go forward, so the verifier sees a
 * straight line.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/text.h"
#include "runtime/cgroup-devices.h"

static const struct oci_device_rule always_allowed[] = {
        /* clang-format off */
        { true, 'c', -1, -1, (char *)"m" },  /* making a node opens nothing */
        { true, 'b', -1, -1, (char *)"m" },
        { true, 'c', 1, 3, (char *)"rwm" },  /* null */
        { true, 'c', 1, 5, (char *)"rwm" },  /* zero */
        { true, 'c', 1, 7, (char *)"rwm" },  /* full */
        { true, 'c', 1, 8, (char *)"rwm" },  /* random */
        { true, 'c', 1, 9, (char *)"rwm" },  /* urandom */
        { true, 'c', 5, 0, (char *)"rwm" },  /* tty */
        { true, 'c', 5, 2, (char *)"rwm" },  /* ptmx */
        { true, 'c', 136, -1, (char *)"rwm" }, /* pts */
}; /* clang-format on */

enum { /* registers */
       R_RESULT = BPF_REG_0,
       R_CONTEXT = BPF_REG_1,
       R_TYPE = BPF_REG_2,
       R_UNDECIDED = BPF_REG_3,
       R_MAJOR = BPF_REG_4,
       R_MINOR = BPF_REG_5,
};

struct program {
        struct bpf_insn *insns;
        size_t n, max;
};

static void emit(struct program *p, struct bpf_insn insn)
{
        if (p->n < p->max)
                p->insns[p->n] = insn;
        p->n++;
}

static struct bpf_insn load(int to, size_t offset)
{
        return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
                                  .dst_reg = (uint8_t)to,
                                  .src_reg = R_CONTEXT,
                                  .off = (int16_t)offset };
}

static struct bpf_insn alu(int op, int reg, int32_t value)
{
        return (struct bpf_insn){ .code = (uint8_t)(BPF_ALU | op | BPF_K),
                                  .dst_reg = (uint8_t)reg,
                                  .imm = value };
}

static struct bpf_insn jump(int op, int reg, int32_t value, int over)
{
        return (struct bpf_insn){ .code = (uint8_t)(BPF_JMP | op | BPF_K),
                                  .dst_reg = (uint8_t)reg,
                                  .off = (int16_t)over,
                                  .imm = value };
}

static void emit_return(struct program *p, int32_t value)
{
        emit(p, (struct bpf_insn){
                        .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = R_RESULT, .imm = value });
        emit(p, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

static int32_t access_bits(const char *access)
{
        int32_t bits = 0;

        for (const char *s = access ? access : "rwm"; *s; s++)
                bits |= *s == 'r'   ? BPF_DEVCG_ACC_READ
                        : *s == 'w' ? BPF_DEVCG_ACC_WRITE
                        : *s == 'm' ? BPF_DEVCG_ACC_MKNOD
                                    : 0;
        return bits;
}

/* A condition that fails jumps behind the rule's body, which is 4 instructions in both cases. */
static void emit_rule(struct program *p, const struct oci_device_rule *rule)
{
        int conditions = (rule->type != 'a') + (rule->major >= 0) + (rule->minor >= 0);
        int body = 4;
        int32_t bits = access_bits(rule->access);

        if (rule->type != 'a')
                emit(p, jump(BPF_JNE, R_TYPE,
                             rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR,
                             --conditions + body));
        if (rule->major >= 0)
                emit(p, jump(BPF_JNE, R_MAJOR, (int32_t)rule->major, --conditions + body));
        if (rule->minor >= 0)
                emit(p, jump(BPF_JNE, R_MINOR, (int32_t)rule->minor, --conditions + body));
        if (rule->allow) {
                emit(p, alu(BPF_AND, R_UNDECIDED, ~bits));
                emit(p, jump(BPF_JNE, R_UNDECIDED, 0, 2));
                emit_return(p, 1);
        } else {
                emit(p, jump(BPF_JSET, R_UNDECIDED, bits, 1));
                emit(p, jump(BPF_JA, 0, 0, 2));
                emit_return(p, 0);
        }
}

int cgroup_devices_compile(const struct oci_device_rule *rules, size_t n_rules,
                           struct bpf_insn *insns, size_t max)
{
        struct program p = { insns, 0, max };

        emit(&p, load(R_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
        emit(&p, (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_X,
                                    .dst_reg = R_UNDECIDED,
                                    .src_reg = R_TYPE });
        emit(&p, alu(BPF_AND, R_TYPE, 0xffff));
        emit(&p, alu(BPF_RSH, R_UNDECIDED, 16));
        emit(&p, load(R_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major)));
        emit(&p, load(R_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor)));
        for (size_t i = ARRAY_SIZE(always_allowed); i-- > 0;)
                emit_rule(&p, &always_allowed[i]);
        for (size_t i = n_rules; i-- > 0;)
                emit_rule(&p, &rules[i]);
        emit_return(&p, 0);
        return p.n <= max ? (int)p.n : -E2BIG;
}

static int bpf(int command, union bpf_attr *attr)
{
        int r = (int)syscall(SYS_bpf, command, attr, sizeof *attr);

        return r < 0 ? -errno : r;
}

static int load_program(const struct bpf_insn *insns, int n, struct err *err)
{
        union bpf_attr attr = {
                .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                .insns = (uintptr_t)insns,
                .insn_cnt = (uint32_t)n,
                .license = (uintptr_t) "Apache-2.0",
                .prog_name = "skiff_devices",
        };
        int fd = bpf(BPF_PROG_LOAD, &attr);

        return fd < 0 ? err_sys(err, fd, "load the device filter") : fd;
}

/* The program attached before, or 0: there is none (or it is gone already). */
static int attached_program(int cgroup_fd, uint32_t *ret_id)
{
        uint32_t ids[8] = { 0 };
        union bpf_attr attr = { .query = {
                                        .target_fd = (uint32_t)cgroup_fd,
                                        .attach_type = BPF_CGROUP_DEVICE,
                                        .prog_ids = (uintptr_t)ids,
                                        .prog_cnt = ARRAY_SIZE(ids),
                                } };
        int r = bpf(BPF_PROG_QUERY, &attr);

        if (r < 0)
                return r;
        *ret_id = attr.query.prog_cnt ? ids[0] : 0;
        return 0;
}

static int open_program(uint32_t id)
{
        union bpf_attr attr = { .prog_id = id };

        return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

struct device_filters {
        struct loaded {
                struct bpf_insn *insns; /* owned */
                int n, fd;
                uint64_t used; /* when last, by .clock */
        } all[16];
        uint64_t clock;
};

struct device_filters *device_filters_new(void)
{
        return calloc(1, sizeof(struct device_filters));
}

static void unload(struct loaded *l)
{
        if (l->n)
                safe_close(l->fd);
        free(l->insns);
        *l = (struct loaded){ 0 };
}

struct device_filters *device_filters_free(struct device_filters *f)
{
        for (size_t i = 0; f && i < ARRAY_SIZE(f->all); i++)
                unload(&f->all[i]);
        free(f);
        return NULL;
}

/* Loading has the kernel verify and translate the program (1 ms); most containers of a node have
 * the same one, so it is loaded once and attached often. Borrowed. */
static int find_or_load(struct device_filters *f, const struct bpf_insn *insns, int n,
                        struct err *err)
{
        struct loaded *oldest = &f->all[0];
        struct bpf_insn *copy;
        int fd;

        for (size_t i = 0; i < ARRAY_SIZE(f->all); i++) {
                struct loaded *l = &f->all[i];

                if (l->n == n && memcmp(l->insns, insns, (size_t)n * sizeof *insns) == 0) {
                        l->used = ++f->clock;
                        return l->fd;
                }
                if (l->used < oldest->used)
                        oldest = l;
        }
        copy = malloc((size_t)n * sizeof *insns);
        if (!copy)
                return err_sys(err, -ENOMEM, "load the device filter");
        memcpy(copy, insns, (size_t)n * sizeof *insns);
        fd = load_program(insns, n, err);
        if (fd < 0) {
                free(copy);
                return fd;
        }
        unload(oldest);
        *oldest = (struct loaded){ .insns = copy, .n = n, .fd = fd, .used = ++f->clock };
        return fd;
}

int device_filters_attach(struct device_filters *f, int cgroup_fd,
                          const struct oci_device_rule *rules, size_t n_rules, struct err *err)
{
        struct bpf_insn insns[DEVICE_INSNS_MAX];
        _cleanup_close_ int before = -1;
        union bpf_attr attr = { 0 };
        uint32_t before_id = 0;
        int n = cgroup_devices_compile(rules, n_rules, insns, ARRAY_SIZE(insns)), program, r;

        if (n < 0)
                return err_set_kind(err, n, ERR_CONTAINER_CONFIG, "more than %d device rules",
                                    DEVICE_RULES_MAX);
        program = find_or_load(f, insns, n, err);
        if (program < 0)
                return program;
        r = attached_program(cgroup_fd, &before_id);
        if (r < 0)
                return err_sys(err, r, "ask for the device filter in force");
        attr.target_fd = (uint32_t)cgroup_fd;
        attr.attach_bpf_fd = (uint32_t)program;
        attr.attach_type = BPF_CGROUP_DEVICE;
        attr.attach_flags = BPF_F_ALLOW_MULTI;
        if (before_id) { /* at no moment without a filter */
                before = open_program(before_id);
                if (before < 0)
                        return err_sys(err, before, "open the device filter in force");
                attr.attach_flags |= BPF_F_REPLACE;
                attr.replace_bpf_fd = (uint32_t)before;
        }
        r = bpf(BPF_PROG_ATTACH, &attr);
        return r < 0 ? err_sys(err, r, "attach the device filter") : 0;
}
