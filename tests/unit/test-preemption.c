#include "kubelet/preemption.h"

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

enum { PODS_MAX = 8 };

static struct pod *asking(const char *cpu, bool is_guaranteed, int priority)
{
        _cleanup_free_ char *limits = text_printf(",'limits':{'cpu':'%s','memory':'1Mi'}", cpu);
        _cleanup_free_ char *spec =
                text_printf("{'priority':%d,'containers':[{'name':'c','image':'i','resources':"
                            "{'requests':{'cpu':'%s','memory':'1Mi'}%s}}]}",
                            priority, cpu, is_guaranteed ? limits : "");

        return pod_of(spec, NULL);
}

static struct pod *best_effort(void)
{
        return pod_of("{'priority':0,'containers':[{'name':'c','image':'i'}]}", NULL);
}

/* Who goes, as "010…"; or why nobody does. Frees the pods. */
static const char *chosen(struct pod *const *pods, size_t n, const char *resource, int64_t amount)
{
        static char text[300];
        const struct preemption_need need = { resource, amount };
        struct pod *critical =
                pod_of("{'priority':2000000000,'containers':[{'name':'c','image':'i'}]}", NULL);
        _cleanup_free_ char *why_not = NULL;
        bool goes[PODS_MAX];
        int r = preemption_choose(critical, (const struct pod *const *)pods, n, &need, 1, goes,
                                  &why_not);

        CHECK(r >= 0);
        CHECK_INT(r == 0, why_not != NULL);
        for (size_t i = 0; i < n; i++)
                text[i] = goes[i] ? '1' : '0';
        text[n] = '\0';
        if (why_not)
                snprintf(text, sizeof text, "%s", why_not);
        for (size_t i = 0; i < n; i++)
                pod_unref(pods[i]);
        pod_unref(critical);
        return text;
}
#define CHOSEN(resource, amount, ...)           \
        chosen((struct pod *[]){ __VA_ARGS__ }, \
               sizeof((struct pod *[]){ __VA_ARGS__ }) / sizeof(struct pod *), resource, amount)

TEST(the_one_pod_that_gives_enough_goes_and_the_smallest_of_such)
{
        CHECK_STR(CHOSEN("cpu", 300, asking("100m", false, 0), asking("1", false, 0),
                         asking("400m", false, 0), asking("200m", false, 0)),
                  "0010");
        CHECK_STR(CHOSEN("cpu", 1200, asking("100m", false, 0), asking("1", false, 0),
                         asking("400m", false, 0)),
                  "011");
}

TEST(guaranteed_pods_give_only_what_the_others_together_cannot)
{
        CHECK_STR(CHOSEN("cpu", 300, asking("1", true, 0), asking("100m", false, 0),
                         asking("200m", false, 0)),
                  "011");
        CHECK_STR(CHOSEN("cpu", 500, asking("1", true, 0), asking("100m", false, 0),
                         asking("200m", false, 0), asking("300m", true, 0)),
                  "0011"); /* and of the burstable only what is then missing */
}

TEST(a_place_for_a_pod_is_given_by_a_best_effort_one)
{
        CHECK_STR(CHOSEN("pods", 1, asking("1", true, 0), asking("1m", false, 0), best_effort()),
                  "001");
}

TEST(critical_pods_are_spared_and_too_little_is_said)
{
        CHECK_STR(
                CHOSEN("cpu", 300, asking("1", false, 2000000000), asking("200m", false, 0)),
                "preemption: error finding a set of pods to preempt: no set of running pods found "
                "to reclaim resources: [(res: cpu, q: 100), ]");
}
