#include "runtime/cgroup-values.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

enum { SHARES_MIN = 2, SHARES_MAX = 262144, WEIGHT_MAX = 10000, PERIOD_DEFAULT_USEC = 100000 };

uint64_t cgroup_weight(int64_t shares, enum cgroup_level level)
{
        double l;

        if (shares <= SHARES_MIN)
                return 1;
        if (shares >= SHARES_MAX)
                return WEIGHT_MAX;
        if (level == CGROUP_LEVEL_GROUP)
                return 1 + (uint64_t)(shares - SHARES_MIN) * (WEIGHT_MAX - 1) /
                                   (SHARES_MAX - SHARES_MIN);
        l = log2((double)shares);
        return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

int64_t cgroup_shares(uint64_t weight)
{
        if (weight <= 1)
                return SHARES_MIN;
        if (weight >= WEIGHT_MAX)
                return SHARES_MAX;
        return (int64_t)((weight - 1) * (SHARES_MAX - SHARES_MIN) / (WEIGHT_MAX - 1)) + SHARES_MIN;
}

struct out {
        struct cgroup_value *values;
        int n;
        bool full;
};

static struct cgroup_value *add(struct out *o, const char *controller, const char *file)
{
        struct cgroup_value *v = &o->values[o->n];

        if (o->n == CGROUP_VALUES_MAX || strlen(file) >= sizeof v->file) {
                o->full = true;
                return NULL;
        }
        *v = (struct cgroup_value){ .controller = controller };
        memcpy(v->file, file, strlen(file) + 1);
        o->n++;
        return v;
}

/* Negative is "no limit". */
static struct cgroup_value *add_number(struct out *o, const char *controller, const char *file,
                                       int64_t value)
{
        struct cgroup_value *v = value == OCI_UNSET ? NULL : add(o, controller, file);

        if (v && value < 0)
                memcpy(v->text, "max", sizeof "max");
        else if (v)
                snprintf(v->text, sizeof v->text, "%" PRId64, value);
        return v;
}

static void add_text(struct out *o, const char *controller, const char *file, const char *text)
{
        struct cgroup_value *v = text && *text ? add(o, controller, file) : NULL;

        if (v)
                v->long_text = text;
}

static int add_cpu(struct out *o, const struct oci_resources *r, enum cgroup_level level,
                   struct err *err)
{
        int64_t period = r->cpu_period == OCI_UNSET || r->cpu_period == 0 ? PERIOD_DEFAULT_USEC
                                                                          : r->cpu_period;
        struct cgroup_value *v;

        if (r->cpu_shares != OCI_UNSET && r->cpu_shares != 0) {
                if (r->cpu_shares < 0)
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "cpu.shares: %" PRId64 ": expected 2 to 262144",
                                            r->cpu_shares);
                add_number(o, "cpu", "cpu.weight", (int64_t)cgroup_weight(r->cpu_shares, level));
        }
        if (period < 0)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "cpu.period: %" PRId64 ": expected microseconds", period);
        if (r->cpu_quota == OCI_UNSET && r->cpu_period == OCI_UNSET)
                return 0;
        v = add(o, "cpu", "cpu.max");
        if (v && (r->cpu_quota == OCI_UNSET || r->cpu_quota <= 0))
                snprintf(v->text, sizeof v->text, "max %" PRId64, period);
        else if (v)
                snprintf(v->text, sizeof v->text, "%" PRId64 " %" PRId64, r->cpu_quota, period);
        return 0;
}

/* The runtime-spec's swap is memory and swap together; cgroup v2 counts swap alone. */
static int add_memory(struct out *o, const struct oci_resources *r, struct err *err)
{
        int64_t limit = r->memory_limit, swap = r->memory_swap;
        struct cgroup_value *v;

        if (limit == 0)
                limit = OCI_UNSET;
        if (swap != OCI_UNSET && swap > 0) {
                if (limit == OCI_UNSET || limit < 0 || swap < limit)
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "memory.swap: %" PRId64
                                            ": expected at least memory.limit, which must be set",
                                            swap);
                swap -= limit;
        } else if (swap == 0) {
                swap = OCI_UNSET;
        }
        add_number(o, "memory", "memory.max", limit);
        v = add_number(o, "memory", "memory.swap.max", swap);
        if (v)
                v->optional = true; /* a kernel without swap, or booted with swapaccount=0 */
        if (r->memory_reservation != OCI_UNSET && r->memory_reservation != 0)
                add_number(o, "memory", "memory.low", r->memory_reservation);
        return 0;
}

static void add_hugepages(struct out *o, const struct oci_resources *r)
{
        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                const struct oci_hugepage_limit *h = &r->hugepage_limits[i];
                char file[2 * CGROUP_TEXT_MAX];
                struct cgroup_value *v;

                snprintf(file, sizeof file, "hugetlb.%s.max", h->page_size);
                add_number(o, "hugetlb", file, h->limit);
                snprintf(file, sizeof file, "hugetlb.%s.rsvd.max", h->page_size);
                v = add_number(o, "hugetlb", file, h->limit);
                if (v)
                        v->optional = true; /* Linux 5.7 */
        }
}

static const char *controller_of(const char *file)
{
        static const char *const names[] = { "cpu", "cpuset",  "memory", "pids",
                                             "io",  "hugetlb", "misc",   "rdma" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const char *rest = startswith(file, names[i]);

                if (rest && *rest == '.')
                        return names[i];
        }
        return NULL;
}

int cgroup_values(const struct oci_resources *r, enum cgroup_level level, struct cgroup_value *ret,
                  struct err *err)
{
        struct out o = { .values = ret };
        int k = add_cpu(&o, r, level, err);

        if (k == 0)
                k = add_memory(&o, r, err);
        if (k < 0)
                return k;
        add_text(&o, "cpuset", "cpuset.cpus", r->cpuset_cpus);
        add_text(&o, "cpuset", "cpuset.mems", r->cpuset_mems);
        if (r->pids_limit != 0)
                add_number(&o, "pids", "pids.max", r->pids_limit);
        add_hugepages(&o, r);
        for (size_t i = 0; i < r->unified.n; i++) {
                const char *file = r->unified.entries[i].key;

                if (!controller_of(file) || strchr(file, '/'))
                        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                            "unified: '%s': expected a controller's file such as "
                                            "memory.high",
                                            file);
                add_text(&o, controller_of(file), file, r->unified.entries[i].value);
        }
        if (o.full)
                return err_set_kind(err, -E2BIG, ERR_CONTAINER_CONFIG,
                                    "resources: more than %d values", CGROUP_VALUES_MAX);
        return o.n;
}
