#include "kubelet/reason.h"

#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

TEST(what_failed_gets_the_kubelets_reason)
{
        CHECK_STR(reason_of_start(ERR_CONTAINER_CONFIG), "CreateContainerConfigError");
        CHECK_STR(reason_of_start(ERR_CONTAINER_CREATE), "CreateContainerError");
        CHECK_STR(reason_of_start(ERR_OTHER), "CreateContainerError");
        CHECK_STR(reason_of_start(ERR_COMMAND_NOT_FOUND), "RunContainerError");
        CHECK_STR(reason_of_start(ERR_IMAGE_PULL), "ErrImagePull");
        CHECK_STR(reason_of_start(ERR_INVALID_IMAGE_NAME), "InvalidImageName");
}

TEST(every_end_of_a_container_has_its_reason)
{
        static const struct {
                struct instance i;
                const char *reason;
        } cases[] = {
                { { .exit_code = 0 }, "Completed" },
                { { .exit_code = 1 }, "Error" },
                { { .exit_code = 137 }, "Error" },
                { { .exit_code = 137, .oom_killed = true }, "OOMKilled" },
                { { .exit_code = 0, .oom_killed = true }, "OOMKilled" },
                { { .exit_code = 128, .start_failed = true }, "StartError" },
                { { .exit_code = 137, .lost = true, .oom_killed = true },
                  "ContainerStatusUnknown" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CHECK_STR(reason_of_exit(&cases[i].i), cases[i].reason);
}

TEST(a_crash_loop_says_how_long_it_waits_and_for_whom)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c'}]}", NULL);
        _cleanup_free_ char *text = reason_crash_loop_text(p, &p->containers[0], 80 * USEC_PER_SEC);

        CHECK_STR(text, "back-off 1m20s restarting failed container=c pod=web_ns(u1)");
}
