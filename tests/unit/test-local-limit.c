#include "kubelet/local-limit.h"

#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define MI ((uint64_t)1 << 20)

static void holds(struct pod_disk *d, enum pod_disk_kind kind, const char *name, uint64_t bytes)
{
        struct pod_disk_item *item = pod_disk_add(d, kind, name);

        CHECK(item != NULL);
        item->usage = (struct disk_usage){ .bytes = bytes, .inodes = 1, .is_known = true };
}

/* The message, or "" when no limit is exceeded; frees @d. */
static const char *check(const char *spec, struct pod_disk *d, bool with_layers)
{
        static char text[200];
        _cleanup_free_ char *message = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);
        int r = local_limit_check(pod, d, with_layers, &message);

        CHECK(r >= 0);
        CHECK_INT(r, message != NULL);
        snprintf(text, sizeof text, "%s", message ? message : "");
        pod_disk_done(d);
        return text;
}

static bool is_set(const char *spec)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);

        return local_limit_is_set(pod);
}

#define PLAIN  "'containers':[{'name':'c','image':'i'}]"
#define VOLUME "{" PLAIN ",'volumes':[{'name':'v','emptyDir':{'sizeLimit':'10Mi'}}]}"
#define LIMITED(limit)             \
        "{'name':'c','image':'i'," \
        "'resources':{'limits':{'ephemeral-storage':'" limit "'}}}"

TEST(limits_are_noticed_where_they_can_be_exceeded)
{
        CHECK(!is_set("{" PLAIN "}"));
        CHECK(is_set(VOLUME));
        CHECK(!is_set("{" PLAIN ",'volumes':[{'name':'v','emptyDir':{}}]}"));
        CHECK(!is_set(
                "{" PLAIN
                ",'volumes':[{'name':'v','emptyDir':{'medium':'Memory','sizeLimit':'1Mi'}}]}"));
        CHECK(is_set("{'containers':[" LIMITED("20Mi") "]}"));
        CHECK(is_set("{" PLAIN ",'initContainers':[{'name':'n','image':'i',"
                     "'resources':{'limits':{'ephemeral-storage':'1Mi'}}}]}"));
}

TEST(an_empty_dir_may_hold_its_size_limit_and_no_more)
{
        struct pod_disk d = { 0 };

        CHECK_STR(check(VOLUME, &d, true), "");
        holds(&d, POD_DISK_VOLUME, "v", 10 * MI);
        CHECK_STR(check(VOLUME, &d, true), "");
        holds(&d, POD_DISK_VOLUME, "v", 10 * MI + 1);
        CHECK_STR(check(VOLUME, &d, true),
                  "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". ");
        holds(&d, POD_DISK_LAYER, "v", 100 * MI);
        CHECK_STR(check(VOLUME, &d, true), "");
        holds(&d, POD_DISK_VOLUME, "v", 20 * MI);
        CHECK_STR(check("{" PLAIN ",'volumes':[{'name':'v','emptyDir':{'sizeLimit':'15M'}}]}", &d,
                        true),
                  "Usage of EmptyDir volume \"v\" exceeds the limit \"15M\". ");
}

TEST(a_container_is_held_to_its_logs_and_its_writable_layer)
{
        static const char spec[] = "{'containers':[" LIMITED("20Mi") ",{'name':'d','image':'i'}]}";
        struct pod_disk d = { 0 };

        holds(&d, POD_DISK_LAYER, "c", 12 * MI);
        holds(&d, POD_DISK_LOGS, "c", 8 * MI);
        CHECK_STR(check(spec, &d, true), "");
        holds(&d, POD_DISK_LAYER, "d", 12 * MI);
        holds(&d, POD_DISK_LOGS, "c", 8 * MI);
        CHECK_STR(check(spec, &d, true), "");
}

TEST(the_whole_pod_is_held_to_the_sum_of_its_containers_limits)
{
        static const char one[] = "{'containers':[" LIMITED("20Mi") "]}";
        static const char two[] = "{'containers':[" LIMITED(
                "1G") ",{'name':'d','image':'i',"
                      "'resources':{'limits':{'ephemeral-storage':'500M'}}}]}";
        struct pod_disk d = { 0 };

        holds(&d, POD_DISK_LAYER, "c", 12 * MI);
        holds(&d, POD_DISK_LOGS, "c", 6 * MI);
        holds(&d, POD_DISK_FILES, NULL, 3 * MI);
        CHECK_STR(check(one, &d, true),
                  "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ");
        holds(&d, POD_DISK_VOLUME, "v", 1600 * MI);
        CHECK_STR(
                check(two, &d, true),
                "Pod ephemeral local storage usage exceeds the total limit of containers 1500M. ");
}

TEST(one_container_may_exceed_its_limit_while_the_pod_is_within_the_sum)
{
        static const char spec[] = "{'containers':[" LIMITED(
                "20Mi") ",{'name':'d','image':'i',"
                        "'resources':{'limits':{'ephemeral-storage':'500Mi'}}}]}";
        struct pod_disk d = { 0 };

        holds(&d, POD_DISK_LAYER, "c", 21 * MI);
        CHECK_STR(check(spec, &d, true),
                  "Container c exceeded its local ephemeral storage limit \"20Mi\". ");
        holds(&d, POD_DISK_LAYER, "c", 21 * MI); /* on a file system of the images' own */
        CHECK_STR(check(spec, &d, false), "");
        holds(&d, POD_DISK_LOGS, "c", 21 * MI);
        CHECK_STR(check(spec, &d, false),
                  "Container c exceeded its local ephemeral storage limit \"20Mi\". ");
}

TEST(what_is_not_measured_yet_counts_nothing_and_a_part_as_far_as_it_is_known)
{
        struct pod_disk d = { 0 };

        pod_disk_add(&d, POD_DISK_VOLUME, "v");
        CHECK(pod_disk_find(&d, POD_DISK_VOLUME, "v") == NULL);
        CHECK(!pod_disk_total(&d).is_known);
        CHECK_STR(check(VOLUME, &d, true), "");
        holds(&d, POD_DISK_VOLUME, "v", 11 * MI);
        pod_disk_add(&d, POD_DISK_VOLUME, "v")->usage.is_partial = true;
        CHECK(pod_disk_total(&d).is_partial);
        CHECK_INT(d.n_items, 1);
        CHECK_STR(check(VOLUME, &d, true),
                  "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". ");
}
