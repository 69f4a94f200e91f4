#include "kubelet/event-correlator.h"

#include "base/cleanup.h"
#include "tests/check.h"

DEFINE_CLEANUP(struct event_correlator *, event_correlator_free)

static const struct event_object pod = {
        .kind = "Pod", .namespace = "ns", .name = "web", .uid = "1"
};

static struct event_decision decide(struct event_correlator *c, const struct event_object *o,
                                    const char *reason, const char *message, usec_t now)
{
        struct event_decision d;

        CHECK_INT(event_correlate(c, o, "Warning", reason, message, now, &d), 0);
        return d;
}

TEST(an_equal_event_is_counted_and_not_repeated)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        struct event_decision a = decide(c, &pod, "BackOff", "m", 1000), b;
        char name[128];

        CHECK_INT(a.verdict, EVENT_CREATE);
        snprintf(name, sizeof name, "%s", a.name);
        CHECK(strncmp(name, "web.", 4) == 0);
        b = decide(c, &pod, "BackOff", "m", 2000);
        CHECK_INT(b.verdict, EVENT_COUNT);
        CHECK_STR(b.name, name);
        CHECK_INT(b.count, 2);
        CHECK_INT(b.first_seen, 1000);
}

TEST(the_same_text_for_another_container_is_another_event)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        struct event_object container = pod;

        container.field_path = "spec.containers{a}";
        CHECK_INT(decide(c, &pod, "Killing", "m", 1).verdict, EVENT_CREATE);
        CHECK_INT(decide(c, &container, "Killing", "m", 1).verdict, EVENT_CREATE);
}

TEST(the_twenty_sixth_event_in_five_minutes_is_spam)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        struct event_object other = pod;

        other.name = "db";
        for (int i = 0; i < 25; i++)
                CHECK(decide(c, &pod, "Unhealthy", "m", 1).verdict != EVENT_DROP);
        CHECK_INT(decide(c, &pod, "Unhealthy", "m", 1).verdict, EVENT_DROP);
        CHECK(decide(c, &other, "Unhealthy", "m", 1).verdict != EVENT_DROP);
        CHECK(decide(c, &pod, "Unhealthy", "m", 301 * USEC_PER_SEC).verdict != EVENT_DROP);
        CHECK_INT(decide(c, &pod, "Unhealthy", "m", 301 * USEC_PER_SEC).verdict, EVENT_DROP);
}

TEST(ten_different_messages_become_one_event)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        struct event_decision d;
        char message[16];

        for (int i = 0; i < 9; i++) {
                snprintf(message, sizeof message, "m%d", i);
                CHECK_STR(decide(c, &pod, "Failed", message, 1).message, message);
        }
        d = decide(c, &pod, "Failed", "m9", 1);
        CHECK_STR(d.message, "(combined from similar events): m9");
        CHECK_INT(d.verdict, EVENT_CREATE);
        d = decide(c, &pod, "Failed", "m10", 1);
        CHECK_STR(d.message, "(combined from similar events): m10");
        CHECK_INT(d.verdict, EVENT_COUNT);
        CHECK_STR(decide(c, &pod, "Failed", "m11", 700 * USEC_PER_SEC).message, "m11");
}

TEST(an_event_that_the_api_lost_is_made_anew)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        char name[128];

        snprintf(name, sizeof name, "%s", decide(c, &pod, "A", "m", 1).name);
        event_correlator_forget(c, name);
        CHECK_INT(decide(c, &pod, "A", "m", 2).verdict, EVENT_CREATE);
}

TEST(what_is_known_of_an_object_that_is_gone_is_forgotten_and_nothing_else)
{
        _cleanup_(event_correlator_freep)
        struct event_correlator *c = event_correlator_new();
        struct event_object other = pod;

        other.uid = "2";
        decide(c, &pod, "BackOff", "m", 1);
        decide(c, &other, "BackOff", "m", 1);
        event_correlator_forget_object(c, &pod);
        CHECK_INT(decide(c, &pod, "BackOff", "m", 2).verdict, EVENT_CREATE);
        CHECK_INT(decide(c, &other, "BackOff", "m", 2).verdict, EVENT_COUNT);
}
