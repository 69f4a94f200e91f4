/* Evaluates compiled device filters with an interpreter of the few instructions they use. */
#include "runtime/cgroup-devices.h"

#include <errno.h>

#include "base/cleanup.h"
#include "tests/check.h"

enum { R = BPF_DEVCG_ACC_READ, W = BPF_DEVCG_ACC_WRITE, M = BPF_DEVCG_ACC_MKNOD };

static struct bpf_insn insns[DEVICE_INSNS_MAX];
static int n_insns;

static void compile(const struct oci_device_rule *rules, size_t n)
{
        n_insns = cgroup_devices_compile(rules, n, insns, ARRAY_SIZE(insns));
        CHECK(n_insns > 0);
}

static bool jumps(const struct bpf_insn *i, uint64_t value)
{
        switch (BPF_OP(i->code)) {
        case BPF_JA:
                return true;
        case BPF_JNE:
                return value != (uint64_t)(int64_t)i->imm;
        case BPF_JSET:
                return value & (uint64_t)(int64_t)i->imm;
        }
        fail_msg("jump %#x", i->code);
        return false;
}

static uint64_t computed(const struct bpf_insn *i, const uint64_t *reg)
{
        uint64_t from = BPF_SRC(i->code) == BPF_X ? reg[i->src_reg] : (uint64_t)(int64_t)i->imm;

        switch (BPF_OP(i->code)) {
        case BPF_MOV:
                return (uint32_t)from;
        case BPF_AND:
                return (uint32_t)(reg[i->dst_reg] & from);
        case BPF_RSH:
                return (uint32_t)(reg[i->dst_reg]) >> from;
        }
        fail_msg("operation %#x", i->code);
        return 0;
}

static bool is_allowed(char type, uint32_t major, uint32_t minor, uint32_t access)
{
        struct bpf_cgroup_dev_ctx context = {
                .access_type = access << 16 |
                               (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
                .major = major,
                .minor = minor,
        };
        uint64_t reg[11] = { 0 };

        for (int at = 0; at < n_insns; at++) {
                const struct bpf_insn *i = &insns[at];

                switch (BPF_CLASS(i->code)) {
                case BPF_LDX: {
                        uint32_t value;

                        memcpy(&value, (char *)&context + i->off, sizeof value);
                        reg[i->dst_reg] = value;
                        break;
                }
                case BPF_ALU:
                case BPF_ALU64:
                        reg[i->dst_reg] = computed(i, reg);
                        break;
                case BPF_JMP:
                        if (BPF_OP(i->code) == BPF_EXIT)
                                return reg[0];
                        CHECK(i->off >= 0);
                        if (jumps(i, reg[i->dst_reg]))
                                at += i->off;
                        break;
                default:
                        fail_msg("class %#x", i->code);
                }
        }
        fail_msg("the program ran off its end");
        return false;
}

TEST(without_rules_the_nine_devices_and_mknod_are_allowed)
{
        static const uint32_t allowed[][2] = { { 1, 3 }, { 1, 5 }, { 1, 7 },   { 1, 8 },   { 1, 9 },
                                               { 5, 0 }, { 5, 2 }, { 136, 0 }, { 136, 77 } };
        int opened = 0;

        compile(NULL, 0);
        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
                CHECK(is_allowed('c', allowed[i][0], allowed[i][1], R | W));
        for (uint32_t major = 0; major <= 260; major++) {
                for (uint32_t minor = 0; minor < 12; minor++) {
                        CHECK(!is_allowed('b', major, minor, R));
                        CHECK(is_allowed('b', major, minor, M));
                        CHECK(is_allowed('c', major, minor, M));
                        opened += is_allowed('c', major, minor, R);
                }
        }
        CHECK_INT(opened, 7 + 12);
        CHECK(!is_allowed('c', 1, 11, R));   /* kmsg */
        CHECK(!is_allowed('c', 10, 232, R)); /* kvm */
}

TEST(the_last_rule_that_names_an_access_decides_it)
{
        static const struct oci_device_rule rules[] = {
                { true, 'a', -1, -1, (char *)"rwm" },
                { false, 'c', 10, -1, (char *)"w" },
                { true, 'c', 10, 229, (char *)"w" },
        };

        compile(rules, ARRAY_SIZE(rules));
        CHECK(is_allowed('b', 8, 0, R | W));
        CHECK(is_allowed('c', 10, 200, R));
        CHECK(!is_allowed('c', 10, 200, W));
        CHECK(!is_allowed('c', 10, 200, R | W));
        CHECK(is_allowed('c', 10, 229, R | W));
}

TEST(read_and_write_may_be_allowed_by_different_rules)
{
        static const struct oci_device_rule rules[] = {
                { false, 'a', -1, -1, NULL },
                { true, 'c', 10, 229, (char *)"r" },
                { true, 'c', 10, 229, (char *)"w" },
                { true, 'b', 7, -1, (char *)"r" },
        };

        compile(rules, ARRAY_SIZE(rules));
        CHECK(is_allowed('c', 10, 229, R | W));
        CHECK(is_allowed('b', 7, 3, R));
        CHECK(!is_allowed('b', 7, 3, R | W));
        CHECK(!is_allowed('c', 7, 3, R));
}

TEST(a_rule_cannot_take_away_what_every_container_has)
{
        static const struct oci_device_rule rules[] = { { false, 'a', -1, -1, (char *)"rwm" } };

        compile(rules, ARRAY_SIZE(rules));
        CHECK(is_allowed('c', 1, 3, R | W));
        CHECK(!is_allowed('c', 1, 1, R));
}

TEST(too_many_rules_are_refused)
{
        static struct oci_device_rule rules[DEVICE_RULES_MAX * 3];

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                rules[i] = (struct oci_device_rule){ true, 'c', 1, 1, (char *)"r" };
        compile(rules, DEVICE_RULES_MAX);
        CHECK_INT(cgroup_devices_compile(rules, ARRAY_SIZE(rules), insns, ARRAY_SIZE(insns)),
                  -E2BIG);
}
