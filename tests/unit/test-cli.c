#include <string.h>

#include "base/text.h"
#include "cli/verbs.h"
#include "tests/check.h"

#define NOW      (1767323045 * USEC_PER_SEC)
#define BEGIN    "{\"state\":{\""
#define RUNNING  BEGIN "running\":{}},\"ready\":true}"
#define ENDED(r) BEGIN "terminated\":{\"reason\":\"" r "\",\"exitCode\":1}}}"
#define WAITS(r) BEGIN "waiting\":{\"reason\":\"" r "\"}}}"
#define POD(n, statuses)                                \
        "{\"metadata\":{},\"spec\":{\"containers\":[" n \
        "]},\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" statuses "]}}"

static const char *status_of(const char *text)
{
        static char reason[64];
        json_auto_t *pod = json_loads(text, 0, NULL);
        char ready[16], restarts[64];

        CHECK(pod);
        pod_summary(pod, ready, reason, restarts, NOW);
        return reason;
}

TEST(a_pod_shows_the_first_container_that_is_not_well)
{
        CHECK_STR(status_of(POD("{},{}", RUNNING "," RUNNING)), "Running");
        CHECK_STR(status_of(POD("{},{}", RUNNING "," WAITS("ImagePullBackOff"))),
                  "ImagePullBackOff");
        CHECK_STR(status_of(POD("{},{}",
                                WAITS("CreateContainerConfigError") "," WAITS("CrashLoopBackOff"))),
                  "CreateContainerConfigError");
}

TEST(a_container_that_is_done_hides_none_that_runs)
{
        CHECK_STR(status_of(POD("{},{}", ENDED("Completed") "," RUNNING)), "Running");
        CHECK_STR(status_of(POD("{},{}", ENDED("Error") "," RUNNING)), "Error");
        CHECK_STR(status_of(POD("{}", ENDED("Completed"))), "Completed");
}

TEST(restarts_say_when_the_last_one_was)
{
        json_auto_t *pod = json_loads(
                "{\"spec\":{\"containers\":[{}]},\"status\":{\"containerStatuses\":[{\"restartCount\":"
                "3,\"lastState\":{\"terminated\":{\"finishedAt\":\"2026-01-02T03:03:05Z\"}}}]}}",
                0, NULL);
        char ready[16], reason[64], restarts[64];

        pod_summary(pod, ready, reason, restarts, NOW);
        CHECK_STR(ready, "0/1");
        CHECK_STR(reason, "Unknown");
        CHECK_STR(restarts, "3 (60s ago)");
}

TEST(ages_and_sizes_are_as_kubectl_and_crictl_show_them)
{
        char buf[32];

        CHECK_STR(age_format(119 * USEC_PER_SEC, buf), "119s");
        CHECK_STR(age_format(125 * USEC_PER_SEC, buf), "2m5s");
        CHECK_STR(age_format(3 * USEC_PER_MINUTE * 60, buf), "3h");
        CHECK_STR(size_format(999, buf), "999B");
        CHECK_STR(size_format(3973120, buf), "3.97MB");
}
