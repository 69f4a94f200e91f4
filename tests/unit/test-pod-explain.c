#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "kubelet/pod-explain.h"
#include "tests/check.h"

#define NOW (1767323045 * USEC_PER_SEC)

static struct explain_container web = { .name = "web", .image = "app:1" };
static struct explain_pod pod;

static void reset(void)
{
        web = (struct explain_container){ .name = "web", .image = "app:1" };
        pod = (struct explain_pod){
                .namespace = "default",
                .name = "p",
                .state = EXPLAIN_SYNCING,
                .seen_at = NOW - 60 * USEC_PER_SEC,
                .sandbox_ready = true,
                .containers = &web,
                .n_containers = 1,
                .now = NOW,
        };
}

/* "about: what | tried | next | help" of each wait, a line each. */
static const char *explained(void)
{
        static char text[4096];
        static const char *const keys[] = { "tried", "next", "nextAt", "help" };
        json_auto_t *o = pod_explain(&pod);
        const json_t *wait;
        size_t i, n = 0;

        text[0] = '\0';
        json_array_foreach (json_object_get(o, "waits"), i, wait) {
                n += (size_t)snprintf(text + n, sizeof text - n, "%s%s: %s", i ? "\n" : "",
                                      json_text_at(wait, "about"), json_text_at(wait, "what"));
                for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                        if (json_text_at(wait, keys[k]))
                                n += (size_t)snprintf(text + n, sizeof text - n, " | %s",
                                                      json_text_at(wait, keys[k]));
        }
        return text;
}

static const char *summary(void)
{
        static char text[256];
        json_auto_t *o = pod_explain(&pod);

        snprintf(text, sizeof text, "%s", json_text_at(o, "summary"));
        return text;
}

TEST(a_pod_that_runs_waits_for_nothing)
{
        reset();
        web.is_running = web.is_ready = true;
        CHECK_STR(explained(), "");
        CHECK_STR(summary(), "It runs, and waits for nothing (1 of 1 containers ready).");
}

TEST(a_failed_pull_says_what_was_tried_and_what_would_help)
{
        reset();
        web.waiting_reason = "ImagePullBackOff";
        web.waiting_message = "Back-off pulling image \"app:1\": app:1: not found";
        web.failures = 3;
        web.retry_at = NOW + 20 * USEC_PER_SEC;
        CHECK_STR(
                explained(),
                "container 'web': ImagePullBackOff: its image 'app:1' could not be had | 3 times in "
                "a row; the last time: Back-off pulling image \"app:1\": app:1: not found | the image "
                "is asked for again | 2026-01-02T03:04:25Z | check the image's name and tag: the "
                "registry does not have it");
        web.waiting_message = "pull access denied: 401 Unauthorized";
        CHECK(strstr(explained(), "an imagePullSecret of the pod"));
        web.waiting_reason = "ErrImageNeverPull";
        web.waiting_message = "not present with pull policy of Never";
        CHECK(strstr(explained(), "skiff image import FILE"));
        CHECK_STR(summary(), "It waits for 1 thing (0 of 1 containers ready).");
}

TEST(a_pull_under_way_is_told_as_such)
{
        reset();
        web.step = EXPLAIN_IMAGE;
        CHECK_STR(explained(), "container 'web': looking for image 'app:1' | then it is created");
        web.is_pulling = true;
        web.is_init = true;
        CHECK_STR(explained(), "init container 'web': pulling image 'app:1' | then it is created");
}

TEST(a_missing_secret_names_it)
{
        reset();
        web.waiting_reason = "CreateContainerConfigError";
        web.waiting_message = "secret \"key\" not found";
        web.failures = 1;
        CHECK_STR(
                explained(),
                "container 'web': CreateContainerConfigError: it could not be started | 1 time in a "
                "row; the last time: secret \"key\" not found | it is tried again | create the "
                "Secret, or mark it optional: the pod goes on at once");
        web.waiting_reason = "StartError";
        web.waiting_message = "exec '/nothing': No such file or directory";
        CHECK(strstr(explained(), "the command does not exist in the image"));
}

TEST(a_crash_loop_says_when_it_is_tried_again)
{
        reset();
        web.has_exited = true;
        web.exit_code = 7;
        web.restarts = 2;
        web.backoff_until = NOW + 12 * USEC_PER_SEC;
        web.backoff_usec = 40 * USEC_PER_SEC;
        CHECK_STR(
                explained(),
                "container 'web': CrashLoopBackOff: it ends again and again | ended with exit code 7 "
                "after 2 restarts | it is started again after a pause of 40s | "
                "2026-01-02T03:04:17Z | see why it ended: skiff logs default/p/web --previous");
        web.oom_killed = true;
        CHECK(strstr(explained(), "raise resources.limits.memory"));
        web.oom_killed = false;
        web.exit_code = 127;
        CHECK(strstr(explained(), "its command was not found"));
}

TEST(probes_say_what_they_hold_up)
{
        reset();
        web.is_running = true;
        web.readiness = (struct explain_probe){ .exists = true };
        CHECK_STR(
                explained(),
                "container 'web': its readiness probe has not been made yet | the next attempt; no "
                "Service sends anything here before it succeeds");
        web.readiness.run = 4;
        web.readiness.is_decided = true;
        CHECK(strstr(explained(), "has failed | the last 4 attempts failed"));
        CHECK(strstr(explained(), "skiff events default/p"));
        web.startup = (struct explain_probe){ .exists = true, .run = 1, .threshold = 30 };
        CHECK(strstr(explained(), "its startup probe has not succeeded yet"));
        CHECK(strstr(explained(), "after 30 failures in a row it is killed"));
        CHECK(!strstr(explained(), "readiness"));
}

TEST(volumes_and_sandbox_come_before_containers)
{
        static const struct explain_volume volumes[] = { { "data", "configmap \"c\" not found" },
                                                         { "tmp", NULL } };

        reset();
        pod.volumes = volumes;
        pod.n_volumes = 2;
        pod.sandbox_ready = false;
        pod.sandbox_problem = "the node has no podCIDR";
        pod.sandbox_failures = 1;
        web.step = EXPLAIN_TURN;
        CHECK(startswith(explained(), "volume 'data': it could not be set up | the last time: "
                                      "configmap \"c\" not found"));
        CHECK(strstr(explained(), "\nvolume 'tmp': it is being set up\n"));
        CHECK(strstr(explained(), "pod: its sandbox (namespaces and network) could not be made"));
        CHECK(strstr(explained(), "--allocate-node-cidrs"));
        CHECK(!strstr(explained(), "container 'web'"));
}

TEST(what_was_refused_is_not_tried_again)
{
        reset();
        pod.refusal_reason = "OutOfcpu";
        pod.refusal_message = "Node didn't have enough resource: cpu";
        CHECK_STR(summary(), "It was refused at admission.");
        CHECK(startswith(explained(), "pod: refused on this node: OutOfcpu | Node didn't have"));
        CHECK(strstr(explained(), "make room on this node"));
        pod.refusal_reason = "UnexpectedAdmissionError";
        pod.refusal_message = "preemption: no set of running pods found to reclaim resources";
        CHECK(strstr(explained(), "make room on this node"));
}

TEST(an_end_that_takes_long_says_why)
{
        reset();
        pod.state = EXPLAIN_TERMINATING;
        pod.state_why = "it was deleted from the API";
        web.is_running = true;
        web.stop = EXPLAIN_SIGNALED;
        web.stop_deadline = NOW + 5 * USEC_PER_SEC;
        CHECK(startswith(explained(), "pod: it is being stopped: it was deleted from the API\n"
                                      "container 'web': it was sent its stop signal and has not "
                                      "ended yet | SIGKILL | 2026-01-02T03:04:10Z"));
        CHECK_STR(summary(), "It is being stopped: it was deleted from the API.");
        web.stop = EXPLAIN_KILLED;
        CHECK(strstr(explained(), "uninterruptible sleep"));
        pod.state = EXPLAIN_TERMINATED;
        pod.cleanup_problem = "unmount: Device or resource busy";
        web.stop = EXPLAIN_NO_STOP;
        CHECK(strstr(explained(), "volumes and cgroup are taken down | the last time: unmount"));
        pod.state = EXPLAIN_FINISHED;
        CHECK_STR(explained(), "");
}
