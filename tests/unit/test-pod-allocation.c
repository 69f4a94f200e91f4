#include "kubelet/pod-allocation.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define SIZE(cpu, memory) \
        "'resources':{'requests':{'cpu':'" cpu "','memory':'" memory "'},'limits':{'cpu':'1'}}"
#define POD(a, b)                                                                      \
        "{'initContainers':[{'name':'s','image':'i','restartPolicy':'Always'," a "}]," \
        "'containers':[{'name':'c','image':'i'," b "},{'name':'d','image':'i'}]}"

TEST(a_containers_amounts_are_its_own_and_limits_else_the_pods)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'resources':{'limits':{'cpu':'2','memory':'4Mi'}},'containers':[{"
                               "'name':'c','image':'i','resources':{'requests':{'cpu':'100m'},"
                               "'limits':{'memory':'1Mi'}}}]}",
                               NULL);
        struct container_amounts a = container_amounts_of(p, &p->containers[0]), b;
        char text[CONTAINER_AMOUNTS_TEXT_MAX];

        CHECK_INT(a.cpu_request, 100);
        CHECK_INT(a.cpu_limit, 2000);
        CHECK_INT(a.memory_request, 1 << 20); /* as its limit, where it has none */
        CHECK_INT(a.memory_limit, 1 << 20);
        CHECK_STR(container_amounts_format(&a, text), "100 2000 1048576 1048576");
        CHECK_INT(container_amounts_parse(text, &b), 0);
        CHECK(container_amounts_are_equal(&a, &b));
        b.memory_request = 1;
        CHECK(!container_amounts_are_equal(&a, &b));
}

TEST(amounts_that_are_no_four_numbers_are_refused)
{
        static const char *const texts[] = { "",          "1 2 3",   "1 2 3 x",
                                             "1 2 3 4 5", "1 2 3 -", "1 2 3 9223372036854775808" };
        struct container_amounts a;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                CHECK_INT(container_amounts_parse(texts[i], &a), -EINVAL);
}

TEST(only_cpu_and_memory_that_mean_something_else_are_a_difference)
{
        static const struct {
                const char *a, *b;
                bool differ, grows;
        } cases[] = {
                { POD(SIZE("1", "1Mi"), SIZE("1", "1Mi")),
                  POD(SIZE("1000m", "1048576"), SIZE("1", "1Mi")), false, false },
                { POD(SIZE("1", "1Mi"), SIZE("1", "1Mi")), POD(SIZE("1", "1Mi"), SIZE("1", "2Mi")),
                  true, true },
                { POD(SIZE("1", "1Mi"), SIZE("1", "1Mi")),
                  POD(SIZE("500m", "1Mi"), SIZE("1", "1Mi")), true, false },
                { POD("'workingDir':'/'", "'stdin':false"), POD("'workingDir':'/'", SIZE("1", "0")),
                  true, true },
                { "{'containers':[{'name':'c','image':'i'}]}",
                  "{'resources':{'requests':{'cpu':'1'}},'containers':[{'name':'c','image':'i'}]}",
                  true, true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *a = pod_of(cases[i].a, NULL), *b = pod_of(cases[i].b, NULL);

                CHECK_INT(pod_resources_differ(a, b), cases[i].differ);
                CHECK_INT(pod_resources_differ(b, a), cases[i].differ);
                CHECK_INT(pod_requests_grow(a, b), cases[i].grows);
                pod_unref(a);
                a = NULL;
        }
}

TEST(a_pod_goes_on_with_what_it_was_granted)
{
        _cleanup_(pod_unrefp)
        struct pod *granted = pod_of(POD(SIZE("1", "1Mi"), SIZE("2", "2Mi")), NULL);
        struct pod *desired = pod_of(POD(SIZE("1", "1Mi"), SIZE("3", "2Mi")), "'status':{'phase':"
                                                                              "'Running'}");
        json_auto_t *allocation = pod_allocation_json(granted);
        struct pod *p = NULL, *same = NULL;

        check_json(
                allocation,
                "{'containers':{'s':{'requests':{'cpu':'1','memory':'1Mi'},'limits':{'cpu':'1'}},"
                "'c':{'requests':{'cpu':'2','memory':'2Mi'},'limits':{'cpu':'1'}},'d':{}}}");
        CHECK_INT(pod_with_allocation(desired, allocation, &p, NULL), 0);
        CHECK(p != desired);
        CHECK_INT(pod_resource_milli(&pod_find_container(p, "c")->resources.requests, "cpu"), 2000);
        CHECK(!pod_resources_differ(p, granted));
        CHECK_INT(p->phase, POD_RUNNING);
        CHECK_STR(p->uid, desired->uid);
        CHECK_INT(pod_with_allocation(granted, allocation, &same, NULL), 0);
        CHECK(same == granted);
        pod_unref(same);
        pod_unref(p);
        pod_unref(desired);
}

TEST(a_damaged_allocation_is_refused_by_name)
{
        _cleanup_(pod_unrefp)
        struct pod *desired = pod_of(POD(SIZE("1", "1Mi"), SIZE("3", "2Mi")), NULL);
        json_auto_t *bad = json_of("{'containers':{'c':{'requests':{'cpu':'many'}}}}"),
                    *none = json_of("{}");
        _cleanup_err_ struct err err = { 0 };
        struct pod *p = NULL;

        CHECK(pod_with_allocation(desired, bad, &p, &err) < 0);
        CHECK_CONTAINS(err_text(&err), "many");
        CHECK(!p);
        CHECK_INT(pod_with_allocation(desired, none, &p, NULL), 0);
        CHECK(p == desired); /* nothing is known of its containers */
        pod_unref(p);
}

TEST(a_pod_that_asks_for_nothing_has_no_allocation)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c','image':'i'}]}", NULL);

        CHECK(!pod_allocation_json(p));
}

TEST(events_of_a_resize_name_what_is_asked_for)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(POD("'resources':{}", SIZE("1", "1Mi")), NULL);
        _cleanup_free_ char *started = pod_resize_message("started", p, 3, NULL),
                            *error = pod_resize_message("Deferred", p, 4, "no \"room\"");

        CHECK_STR(started,
                  "Pod resize started: {\"initContainers\":[{\"name\":\"s\",\"resources\":{}}],"
                  "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1\","
                  "\"memory\":\"1Mi\"},\"limits\":{\"cpu\":\"1\"}}},{\"name\":\"d\",\"resources\":{"
                  "}}],\"generation\":3}");
        CHECK_CONTAINS(error, "Pod resize Deferred: {");
        CHECK_CONTAINS(error, "\"generation\":4,\"error\":\"no \\\"room\\\"\"}");
}
