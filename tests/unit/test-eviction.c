#include "kubelet/eviction.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define MI ((uint64_t)1 << 20)
#define S  USEC_PER_SEC

/* ---- thresholds ---- */
struct fields {
        const char *hard, *soft, *grace, *reclaim; /* "memory.available=1Gi pid.available=5%" */
        bool enforces_pods;
};

static struct string_map map_of(const char *text)
{
        _cleanup_strv_ char **words = NULL;
        json_auto_t *object = json_object();
        struct string_map m = { 0 };

        CHECK_INT(strv_split(text ? text : "", " ", &words), 0);
        STRV_FOREACH (w, words) {
                char *value = strchr(*w, '=');

                *value++ = '\0';
                CHECK_INT(json_set_text(object, *w, value), 0);
        }
        CHECK_INT(decode_string_map(object, &m, NULL, NULL), 0);
        return m;
}

static int parse(struct fields f, struct eviction_thresholds *ret, struct err *err)
{
        struct string_map hard = map_of(f.hard), soft = map_of(f.soft), grace = map_of(f.grace),
                          reclaim = map_of(f.reclaim);
        const struct eviction_config config = { &hard, &soft, &grace, &reclaim, f.enforces_pods };
        int r = eviction_thresholds_parse(&config, ret, err);

        string_map_done(&hard);
        string_map_done(&soft);
        string_map_done(&grace);
        string_map_done(&reclaim);
        return r;
}

static struct eviction_thresholds thresholds_of(struct fields f)
{
        _cleanup_err_ struct err err = { 0 };
        struct eviction_thresholds t;

        if (parse(f, &t, &err) < 0)
                fail_msg("%s", err_text(&err));
        return t;
}

TEST(thresholds_are_quantities_or_parts_of_what_there_is)
{
        struct eviction_thresholds t = thresholds_of((struct fields){
                .hard = "nodefs.available=10% memory.available=100Mi imagefs.inodesFree=2.5% "
                        "pid.available=0% containerfs.available=5%" });

        CHECK_INT(t.n, 3);
        CHECK_INT(t.list[0].signal, EVICTION_MEMORY);
        CHECK_INT(t.list[1].signal, EVICTION_NODEFS);
        CHECK_INT(t.list[2].signal, EVICTION_IMAGEFS_INODES);
        CHECK_INT(eviction_hard_amount(&t, EVICTION_MEMORY, 1), 100 * MI);
        CHECK_INT(eviction_hard_amount(&t, EVICTION_NODEFS, 1000), 100);
        CHECK_INT(eviction_hard_amount(&t, EVICTION_IMAGEFS_INODES, 1000), 25);
        CHECK_INT(eviction_hard_amount(&t, EVICTION_IMAGEFS, 1000), 0);
}

TEST(a_hard_threshold_of_memory_holds_for_the_pods_share_too_where_that_is_enforced)
{
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "memory.available=1Gi", .enforces_pods = true });

        CHECK_INT(t.n, 2);
        CHECK_INT(t.list[1].signal, EVICTION_ALLOCATABLE_MEMORY);
        CHECK_INT(eviction_hard_amount(&t, EVICTION_ALLOCATABLE_MEMORY, 1), 1024 * MI);
}

TEST(a_bad_threshold_names_its_field_its_value_and_the_rule)
{
        static const struct {
                struct fields fields;
                const char *sentence;
        } cases[] = {
                { { .hard = "memory.free=1Gi" }, "evictionHard: 'memory.free': unknown signal" },
                { { .hard = "memory.available=some" },
                  "evictionHard: memory.available: 'some': expected a quantity or a percentage" },
                { { .hard = "memory.available=0" },
                  "evictionHard: memory.available: '0': expected a positive quantity" },
                { { .hard = "memory.available=-1Gi" }, "expected a positive quantity" },
                { { .soft = "nodefs.available=101%", .grace = "nodefs.available=1m" },
                  "evictionSoft: nodefs.available: '101%': expected a percentage from 0% to 100%" },
                { { .hard = "nodefs.available=%" }, "expected a percentage" },
                { { .hard = "nodefs.available=-5%" }, "expected a percentage" },
                { { .soft = "nodefs.available=5%" },
                  "evictionSoft: 'nodefs.available': needs a grace period in "
                  "evictionSoftGracePeriod" },
                { { .grace = "nodefs.available=soon" },
                  "evictionSoftGracePeriod: nodefs.available: 'soon': expected a duration" },
                { { .reclaim = "nodefs.available=x" }, "evictionMinimumReclaim: nodefs.available" },
                { { .reclaim = "disk=1" }, "evictionMinimumReclaim: 'disk': unknown signal" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_err_ struct err err = { 0 };
                struct eviction_thresholds t;

                CHECK_INT(parse(cases[i].fields, &t, &err), -EINVAL);
                CHECK_CONTAINS(err_text(&err), cases[i].sentence);
        }
}

/* ---- which are met ---- */
struct node {
        struct eviction_observation seen[_EVICTION_SIGNAL_MAX];
        struct eviction_state state;
};

static void see(struct node *n, enum eviction_signal s, uint64_t available, uint64_t capacity)
{
        n->seen[s] = (struct eviction_observation){ true, available, capacity };
}

static const struct eviction_threshold *fold(struct node *n, const struct eviction_thresholds *t,
                                             usec_t now)
{
        eviction_fold(t, n->seen, now, &n->state);
        return eviction_choose(t, &n->state);
}

TEST(a_hard_threshold_is_acted_upon_at_once_and_its_condition_stays_for_a_while)
{
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "nodefs.available=10%" });
        struct node n = { 0 };

        CHECK(!fold(&n, &t, 100 * S)); /* nothing is known */
        see(&n, EVICTION_NODEFS, 100, 1000);
        CHECK(!fold(&n, &t, 110 * S));
        CHECK(!eviction_condition_holds(&n.state, EVICTION_DISK_PRESSURE, 300 * S, 110 * S));
        see(&n, EVICTION_NODEFS, 99, 1000);
        CHECK(fold(&n, &t, 120 * S) == &t.list[0]);
        CHECK(eviction_condition_holds(&n.state, EVICTION_DISK_PRESSURE, 300 * S, 120 * S));
        CHECK(!eviction_condition_holds(&n.state, EVICTION_MEMORY_PRESSURE, 300 * S, 120 * S));
        see(&n, EVICTION_NODEFS, 100, 1000);
        CHECK(!fold(&n, &t, 130 * S));
        CHECK(eviction_condition_holds(&n.state, EVICTION_DISK_PRESSURE, 300 * S, 420 * S));
        CHECK(!eviction_condition_holds(&n.state, EVICTION_DISK_PRESSURE, 300 * S, 421 * S));
}

TEST(a_soft_threshold_waits_for_its_grace_period_but_its_condition_does_not)
{
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .soft = "memory.available=1Gi", .grace = "memory.available=90s" });
        struct node n = { 0 };

        see(&n, EVICTION_MEMORY, MI, 2048 * MI);
        CHECK(!fold(&n, &t, 100 * S));
        CHECK(eviction_condition_holds(&n.state, EVICTION_MEMORY_PRESSURE, 0, 100 * S));
        CHECK(!fold(&n, &t, 189 * S));
        CHECK(fold(&n, &t, 190 * S) == &t.list[0]);
        see(&n, EVICTION_MEMORY, 1024 * MI, 2048 * MI);
        CHECK(!fold(&n, &t, 195 * S));
        see(&n, EVICTION_MEMORY, MI, 2048 * MI);
        CHECK(!fold(&n, &t, 200 * S)); /* it begins anew */
}

TEST(once_met_a_threshold_stays_until_the_least_to_reclaim_is_there)
{
        struct eviction_thresholds t = thresholds_of((struct fields){
                .hard = "nodefs.available=100", .reclaim = "nodefs.available=50" });
        struct node n = { 0 };

        see(&n, EVICTION_NODEFS, 120, 1000);
        CHECK(!fold(&n, &t, 1 * S));
        CHECK(!eviction_is_relieved(&t, n.seen));
        see(&n, EVICTION_NODEFS, 99, 1000);
        CHECK(fold(&n, &t, 2 * S));
        see(&n, EVICTION_NODEFS, 149, 1000);
        CHECK(fold(&n, &t, 3 * S));
        see(&n, EVICTION_NODEFS, 150, 1000);
        CHECK(!fold(&n, &t, 4 * S));
        CHECK(eviction_is_relieved(&t, n.seen));
        see(&n, EVICTION_NODEFS, 149, 1000);
        CHECK(!fold(&n, &t, 5 * S));
}

TEST(memory_comes_before_all_else)
{
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "nodefs.available=10% pid.available=10%",
                                 .soft = "memory.available=10%",
                                 .grace = "memory.available=1s" });
        struct node n = { 0 };

        see(&n, EVICTION_NODEFS, 1, 1000);
        see(&n, EVICTION_PIDS, 1, 1000);
        see(&n, EVICTION_MEMORY, 1, 1000);
        CHECK_INT(fold(&n, &t, 1 * S)->signal, EVICTION_NODEFS);
        CHECK_INT(fold(&n, &t, 2 * S)->signal, EVICTION_MEMORY);
}

/* ---- who goes ---- */
static struct pod *asking(const char *name, int priority, const char *resource, const char *request)
{
        _cleanup_free_ char *spec = text_printf(
                "{'priority':%d,'terminationGracePeriodSeconds':20,'containers':[{'name':'c','image':'i',"
                "'resources':{'requests':{'%s':'%s'}}},{'name':'d','image':'i'}]}",
                priority, resource, request);
        struct pod *pod = pod_of(spec, NULL);

        free(pod->name);
        pod->name = strdup(name);
        return pod;
}

/* Their names in the order in which they go; frees the pods. */
static const char *ranked(struct eviction_pod *pods, size_t n, enum eviction_signal signal)
{
        static char text[100];

        text[0] = '\0';
        CHECK_INT(eviction_rank(pods, n, signal), 0);
        for (size_t i = 0; i < n; i++) {
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "",
                         pods[i].pod->name);
                pod_unref((struct pod *)pods[i].pod);
        }
        return text;
}

#define USES_MEMORY(pod, mi)                                   \
        {                                                      \
                pod, .is_known = true, .memory_bytes = (mi)*MI \
        }

TEST(who_uses_more_memory_than_it_asked_for_goes_first_then_low_priority_then_how_much_more)
{
        struct eviction_pod pods[] = {
                USES_MEMORY(asking("within", -5, "memory", "100Mi"), 90),
                USES_MEMORY(asking("important", 10, "memory", "100Mi"), 900),
                USES_MEMORY(asking("little", 0, "memory", "100Mi"), 110),
                USES_MEMORY(asking("much", 0, "memory", "10Mi"), 100),
                USES_MEMORY(asking("least", 0, "memory", "1Gi"), 100),
                { .pod = asking("unknown", 1000, "memory", "1Gi") },
        };

        CHECK_STR(ranked(pods, 6, EVICTION_MEMORY), "unknown much little important within least");
}

static struct eviction_pod uses_disk(struct pod *pod, uint64_t bytes, uint64_t inodes)
{
        return (struct eviction_pod){ .pod = pod,
                                      .is_known = true,
                                      .disk = { .bytes = bytes, .inodes = inodes } };
}

TEST(disk_is_ranked_by_bytes_or_by_inodes)
{
        struct eviction_pod by_bytes[] = {
                uses_disk(asking("within", 0, "ephemeral-storage", "100Mi"), 90 * MI, 1),
                uses_disk(asking("over", 0, "ephemeral-storage", "10Mi"), 20 * MI, 1),
                uses_disk(asking("well-over", 0, "ephemeral-storage", "10Mi"), 30 * MI, 1),
        };
        struct eviction_pod by_inodes[] = {
                uses_disk(asking("none", -1, "cpu", "1"), 90 * MI, 0),
                uses_disk(asking("few", 0, "cpu", "1"), 90 * MI, 10),
                uses_disk(asking("many", 0, "cpu", "1"), 1, 1000),
        };

        CHECK_STR(ranked(by_bytes, 3, EVICTION_NODEFS), "well-over over within");
        CHECK_STR(ranked(by_inodes, 3, EVICTION_IMAGEFS_INODES), "many few none");
}

TEST(process_ids_are_ranked_by_priority_then_by_how_many)
{
        struct eviction_pod pods[] = {
                { asking("many", 1, "cpu", "1"), .is_known = true, .processes = 1000 },
                { asking("two", 0, "cpu", "1"), .is_known = true, .processes = 2 },
                { asking("three", 0, "cpu", "1"), .is_known = true, .processes = 3 },
        };

        CHECK_STR(ranked(pods, 3, EVICTION_PIDS), "three two many");
}

TEST(a_file_system_of_the_images_own_holds_the_writable_layers)
{
        struct pod_disk d = { 0 };

        pod_disk_add(&d, POD_DISK_LAYER, "c")->usage = (struct disk_usage){ 1, 10, 0, true, false };
        pod_disk_add(&d, POD_DISK_LOGS, "c")->usage = (struct disk_usage){ 2, 20, 0, true, false };
        pod_disk_add(&d, POD_DISK_VOLUME, "v")->usage = (struct disk_usage){ 4, 40, 0, true,
                                                                             false };
        CHECK_INT(eviction_disk_use(&d, EVICTION_NODEFS, false).bytes, 7);
        CHECK_INT(eviction_disk_use(&d, EVICTION_IMAGEFS, false).bytes, 7);
        CHECK_INT(eviction_disk_use(&d, EVICTION_NODEFS_INODES, true).inodes, 60);
        CHECK_INT(eviction_disk_use(&d, EVICTION_IMAGEFS, true).bytes, 1);
        pod_disk_done(&d);
}

TEST(a_hard_eviction_gives_a_second_a_soft_one_what_the_node_or_the_pod_allows)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = asking("p", 0, "memory", "1Mi");
        struct eviction_threshold hard = { 0 }, soft = { .grace_usec = 1 };

        CHECK_INT(eviction_grace_sec(&hard, 60, pod), 1);
        CHECK_INT(eviction_grace_sec(&soft, 60, pod), 20);
        CHECK_INT(eviction_grace_sec(&soft, 5, pod), 5);
}

TEST(the_message_names_the_resource_and_the_containers_that_use_more_than_they_asked_for)
{
        struct eviction_container containers[] = { { "c", 40 * MI, EVICTION_UNKNOWN },
                                                   { "d", 3000, EVICTION_UNKNOWN } };
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "memory.available=100Mi" });
        const struct eviction_observation seen = { true, 90 * MI, 1000 * MI };
        _cleanup_free_ char *message = NULL;
        json_auto_t *annotations = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = asking("p", 0, "memory", "50Mi");
        struct eviction_pod p = {
                .pod = pod, .is_known = true, .containers = containers, .n_containers = 2
        };

        CHECK_INT(eviction_message(&p, &t.list[0], &seen, &message, &annotations), 0);
        CHECK_STR(
                message,
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
                "Container d was using 3000, request is 0, has larger consumption of memory. ");
        check_json(annotations, "{'offending_containers':'d','offending_containers_usage':'3000',"
                                "'starved_resource':'memory'}");
}

TEST(the_message_of_disk_pressure_counts_layers_and_logs_and_of_inodes_nothing)
{
        struct eviction_container containers[] = { { "c", EVICTION_UNKNOWN, 60 * MI },
                                                   { "d", EVICTION_UNKNOWN, 2 * MI } };
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "nodefs.available=10% nodefs.inodesFree=5%" });
        const struct eviction_observation bytes = { true, 1000, 1000 * MI },
                                          inodes = { true, 2000, 100000 };
        _cleanup_free_ char *first = NULL, *second = NULL;
        json_auto_t *a = NULL, *b = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = asking("p", 0, "ephemeral-storage", "50Mi");
        struct eviction_pod p = {
                .pod = pod, .is_known = true, .containers = containers, .n_containers = 2
        };

        CHECK_INT(eviction_message(&p, &t.list[0], &bytes, &first, &a), 0);
        CHECK_STR(first, "The node was low on resource: ephemeral-storage. Threshold quantity: "
                         "104857601, available: 1000. "
                         "Container c was using 60Mi, request is 50Mi, has larger consumption of "
                         "ephemeral-storage. "
                         "Container d was using 2Mi, request is 0, has larger consumption of "
                         "ephemeral-storage. ");
        CHECK_STR(json_text_at(a, "offending_containers"), "c,d");
        CHECK_STR(json_text_at(a, "offending_containers_usage"), "60Mi,2Mi");
        CHECK_INT(eviction_message(&p, &t.list[1], &inodes, &second, &b), 0);
        CHECK_STR(second, "The node was low on resource: inodes. Threshold quantity: 5000, "
                          "available: 2k. ");
        CHECK_STR(json_text_at(b, "starved_resource"), "inodes");
}

TEST(a_pod_that_asked_for_memory_as_a_whole_is_named_itself)
{
        struct eviction_thresholds t = thresholds_of(
                (struct fields){ .hard = "memory.available=1G" });
        const struct eviction_observation seen = { true, 1 * MI, 1000 * MI };
        _cleanup_free_ char *message = NULL;
        json_auto_t *annotations = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of("{'resources':{'requests':{'memory':'10Mi'}},"
                                 "'containers':[{'name':'c','image':'i'}]}",
                                 NULL);
        struct eviction_pod p = { .pod = pod, .is_known = true, .memory_bytes = 20 * MI };

        CHECK_INT(eviction_message(&p, &t.list[0], &seen, &message, &annotations), 0);
        CHECK_STR(message, "The node was low on resource: memory. Threshold quantity: 1G, "
                           "available: 1Mi. Pod web was using 20Mi, request is 10Mi, has larger "
                           "consumption of memory. ");
        CHECK_STR(json_text_at(annotations, "offending_pod"), "web");
        CHECK_STR(json_text_at(annotations, "offending_pod_usage"), "20Mi");
        CHECK_STR(json_text_at(annotations, "offending_containers"), "");
}
