#include "kubelet/log-target.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

/* The id chosen for container "c" with the members @members of its status, or the sentence why
 * none. */
static char *choose(const char *members, bool previous)
{
        _cleanup_free_ char *text =
                text_printf("{\"containerStatuses\":[{\"name\":\"other\"},{\"name\":\"c\",%s}]}",
                            members);
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *status = NULL;
        const char *id;

        CHECK_INT(json_parse(text, strlen(text), true, &status, NULL), 0);
        if (log_target_choose(status, "p", "c", previous, &id, &err) == 0)
                return strdup(id);
        return strdup(err_text(&err));
}

#define RUNNING "\"containerID\":\"skiff://now\",\"state\":{\"running\":{}}"
#define LAST    "\"lastState\":{\"terminated\":{\"containerID\":\"skiff://last\"}}"

TEST(the_instance_is_chosen_as_the_kubelet_does)
{
        static const struct {
                const char *members;
                bool previous;
                const char *expected;
        } cases[] = {
                { RUNNING, false, "now" },
                { RUNNING "," LAST, false, "now" },
                { RUNNING "," LAST, true, "last" },
                { RUNNING, true, "previous terminated container \"c\" in pod \"p\" not found" },
                { "\"state\":{\"terminated\":{\"containerID\":\"skiff://t\"}}", false, "t" },
                { "\"state\":{\"terminated\":{}}," LAST, false, "last" },
                { "\"state\":{\"terminated\":{}}", false,
                  "container \"c\" in pod \"p\" is terminated" },
                { "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}," LAST, false,
                  "last" },
                { "\"state\":{\"waiting\":{\"reason\":\"ContainerCreating\"}}", false,
                  "container \"c\" in pod \"p\" is waiting to start: ContainerCreating" },
                { "\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\"}}", false,
                  "container \"c\" in pod \"p\" is waiting to start: image can't be pulled" },
                { "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}", false,
                  "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull "
                  "image" },
                { "\"state\":{\"waiting\":{}},\"lastState\":{\"terminated\":{}}", false,
                  "container \"c\" in pod \"p\" is terminated" },
                { "\"state\":{}", false,
                  "container \"c\" in pod \"p\" is waiting to start - no logs yet" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *got = choose(cases[i].members, cases[i].previous);

                CHECK_STR(got, cases[i].expected);
        }
}

TEST(init_and_ephemeral_containers_are_found_and_unknown_ones_are_not)
{
        static const char text[] = "{\"initContainerStatuses\":[{\"name\":\"i\"," RUNNING "}],"
                                   "\"ephemeralContainerStatuses\":[{\"name\":\"e\"," RUNNING "}]}";
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *status = NULL;
        const char *id;

        CHECK_INT(json_parse(text, strlen(text), true, &status, NULL), 0);
        CHECK_INT(log_target_choose(status, "p", "i", false, &id, NULL), 0);
        CHECK_INT(log_target_choose(status, "p", "e", false, &id, NULL), 0);
        CHECK_INT(log_target_choose(status, "p", "x", false, &id, &err), -ENOENT);
        CHECK_STR(err_text(&err), "container \"x\" in pod \"p\" is not available");
        CHECK_INT(log_target_choose(NULL, "p", "x", false, &id, NULL), -ENOENT);
}
