#include "kubelet/pod-actions.h"

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define NOW (1000 * USEC_PER_SEC)
#define UP  "'sandbox':{'ip':'10.1.0.2'}"

/* "pod:kill,sandbox(1) c:start(2) s:kill(liveness,restart)": what is not kept as it is. */
static char *describe(const struct pod *pod, const struct pod_actions *a)
{
        static const char *const reasons[] = { "none",     "default", "changed",
                                               "liveness", "startup", "unknown",
                                               "hook",     "all",     "resize" };
        _cleanup_strv_ char **parts = NULL;

        if (a->kill_pod)
                CHECK_INT(strv_append(&parts, "pod:kill"), 0);
        if (a->create_sandbox)
                strv_consume(&parts, text_printf("sandbox(%u%s)", a->attempt,
                                                 a->sandbox_changed ? ",changed" : ""));
        for (size_t i = 0; i < a->n_containers; i++) {
                const struct container_action *c = &a->containers[i];
                const char *name = pod_container_at(pod, i)->name;

                if (c->what == CONTAINER_START)
                        strv_consume(&parts, text_printf("%s:start(%u)", name, c->restart_count));
                if (c->what == CONTAINER_KILL)
                        strv_consume(&parts, text_printf("%s:kill(%s%s)", name, reasons[c->why],
                                                         c->will_restart ? ",restart" : ""));
                if (c->what == CONTAINER_BACK_OFF)
                        strv_consume(&parts, text_printf("%s:wait", name));
                if (c->what == CONTAINER_KEEP && c->resize)
                        strv_consume(&parts, text_printf("%s:resize", name));
                if (c->what == CONTAINER_REMOVE)
                        strv_consume(&parts, text_printf("%s:remove", name));
        }
        return strv_join(parts, " ");
}

struct action_case {
        const char *spec, *seen, *actions;
};

static void check_cases(const struct action_case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                _cleanup_(pod_unrefp)
                struct pod *pod = pod_of(cases[i].spec, NULL);
                _cleanup_(observed_freep)
                struct observed_fixture *f = observed_of(pod, cases[i].seen);
                _cleanup_free_ struct crash_backoff *b = calloc(pod_n_containers(pod), sizeof *b);
                struct pod_actions a;
                _cleanup_free_ char *text = NULL;

                CHECK_INT(pod_actions_compute(pod, observed_seen(f), b, NOW, &a), 0);
                text = describe(pod, &a);
                if (!streq(text, cases[i].actions))
                        fail_msg("case %zu, spec %s, seen %s: expected '%s', got '%s'", i,
                                 cases[i].spec, cases[i].seen, cases[i].actions, text);
                pod_actions_done(&a);
        }
}

#define C         "{'name':'c','image':'i'}"
#define PLAIN     "{'containers':[" C "]}"
#define NEVER     "{'restartPolicy':'Never','containers':[" C "]}"
#define ONFAILURE "{'restartPolicy':'OnFailure','containers':[" C "]}"
#define TWO       "{'containers':[" C ",{'name':'d','image':'i'}]}"

TEST(a_pod_gets_a_sandbox_first_and_a_new_one_when_its_own_is_of_no_use)
{
        static const struct action_case cases[] = {
                { TWO, "{}", "sandbox(0) c:start(0) d:start(0)" },
                { PLAIN, "{" UP "}", "c:start(0)" },
                { PLAIN, "{'sandbox':{'ip':'10.1.0.2'},'c':[{'state':'running'}]}", "" },
                /* its shim died while a container is still said to run */
                { PLAIN, "{'sandbox':{'ready':false},'c':[{'state':'running'}]}",
                  "pod:kill sandbox(1,changed) c:start(1)" },
                { PLAIN, "{'sandbox':{'ready':false},'c':[{'state':'exited','code':137}]}",
                  "sandbox(1,changed) c:start(1)" },
                { PLAIN, "{'sandbox':{'ip':''}}", "pod:kill sandbox(1,changed) c:start(0)" },
                { PLAIN, "{'sandbox':{'host':true,'attempt':3,'ip':'1.1.1.1'}}",
                  "pod:kill sandbox(4,changed) c:start(0)" },
                { "{'hostNetwork':true,'containers':[" C "]}", "{'sandbox':{'host':true}}",
                  "c:start(0)" },
                { PLAIN, "{'sandbox':{'ip':'1.1.1.1','readySandboxes':2}}",
                  "pod:kill sandbox(1,changed) c:start(0)" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

TEST(a_pod_that_is_done_gets_no_new_sandbox)
{
        static const struct action_case cases[] = {
                { NEVER, "{'sandbox':{'ready':false},'c':[{'state':'exited','code':1}]}",
                  "pod:kill" },
                /* nothing ever ran: the sandbox failed, so try again */
                { NEVER, "{'sandbox':{'ready':false}}", "sandbox(1,changed) c:start(0)" },
                { ONFAILURE, "{'sandbox':{'ready':false},'c':[{'state':'exited'}]}", "pod:kill" },
                { ONFAILURE, "{'sandbox':{'ready':false},'c':[{'state':'exited','code':1}]}",
                  "sandbox(1,changed) c:start(1)" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

TEST(an_exited_container_restarts_by_policy)
{
        static const struct action_case cases[] = {
                { PLAIN, "{" UP ",'c':[{'state':'exited','count':2}]}", "c:start(3)" },
                { ONFAILURE, "{" UP ",'c':[{'state':'exited','code':1}]}", "c:start(1)" },
                { ONFAILURE, "{" UP ",'c':[{'state':'exited'}]}", "pod:kill" },
                { NEVER, "{" UP ",'c':[{'state':'exited','code':1}]}", "pod:kill" },
                { NEVER, "{" UP ",'c':[{'state':'created'}]}", "c:start(1)" },
                { NEVER, "{" UP ",'c':[{'state':'unknown'}]}", "c:kill(unknown,restart)" },
                /* one goes on, so the pod does */
                { "{'restartPolicy':'Never','containers':[" C ",{'name':'d','image':'i'}]}",
                  "{" UP ",'c':[{'state':'exited','code':1}],'d':[{'state':'running'}]}", "" },
                { "{'restartPolicy':'Never','containers':[{'name':'c','image':'i',"
                  "'restartPolicy':'OnFailure'}]}",
                  "{" UP ",'c':[{'state':'exited','code':1}]}", "c:start(1)" },
                { "{'restartPolicy':'Never','containers':[{'name':'c','image':'i','restartPolicy':"
                  "'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{'operator':'In',"
                  "'values':[42]}}]}]}",
                  "{" UP ",'c':[{'state':'exited','code':42}]}", "c:start(1)" },
                { "{'restartPolicy':'Never','containers':[{'name':'c','image':'i','restartPolicy':"
                  "'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{'operator':"
                  "'NotIn','values':[42]}}]}]}",
                  "{" UP ",'c':[{'state':'exited','code':42}]}", "pod:kill" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

#define PROBED(policy)                                                         \
        "{'restartPolicy':'" policy "','containers':[{'name':'c','image':'i'," \
        "'livenessProbe':{'exec':{}},'startupProbe':{'exec':{}}}]}"

TEST(a_running_container_is_killed_when_it_changed_or_a_probe_says_so)
{
        static const struct action_case cases[] = {
                { NEVER, "{" UP ",'c':[{'state':'running','changed':true}]}",
                  "c:kill(changed,restart)" },
                { PROBED("Always"),
                  "{" UP ",'c':{'instances':[{'state':'running'}],'liveness':'failure'}}",
                  "c:kill(liveness,restart)" },
                { PROBED("Always"),
                  "{" UP ",'c':{'instances':[{'state':'running'}],'startup':'failure'}}",
                  "c:kill(startup,restart)" },
                { PROBED("Never"),
                  "{" UP ",'c':{'instances':[{'state':'running'}],'liveness':'failure'}}",
                  "pod:kill c:kill(liveness)" },
                { PROBED("Always"),
                  "{" UP ",'c':{'instances':[{'state':'running'}],'liveness':'success'}}", "" },
                /* what was killed to be restarted starts whatever its exit code */
                { ONFAILURE, "{" UP ",'c':{'instances':[{'state':'exited'}],'mustRestart':true}}",
                  "c:start(1)" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

#define INITS            "'initContainers':[{'name':'a','image':'i'},{'name':'b','image':'i'}]"
#define WITH_INITS       "{" INITS ",'containers':[" C "]}"
#define WITH_INITS_NEVER "{'restartPolicy':'Never'," INITS ",'containers':[" C "]}"

#define SIZED "'resources':{'requests':{'cpu':'100m','memory':'1Mi'},'limits':{'cpu':'200m'}}"
#define ASKS  ",'resizePolicy':[{'resourceName':'memory','restartPolicy':'RestartContainer'}]"

TEST(a_container_that_runs_with_other_resources_is_resized_or_restarted)
{
        static const char plain[] = "{'containers':[{'name':'c','image':'i'," SIZED "}]}";
        static const char asks[] = "{'containers':[{'name':'c','image':'i'," SIZED ASKS "}]}";
        static const char sidecar[] = "{'initContainers':[{'name':'s','image':'i','restartPolicy':"
                                      "'Always'," SIZED ASKS "}],'containers':[" C "]}";
        static const char init[] = "{'initContainers':[{'name':'s','image':'i'," SIZED
                                   "}],'containers':[" C "]}";
        static const struct action_case cases[] = {
                { plain, "{" UP ",'c':[{'state':'running','amounts':'100 200 1048576 0'}]}", "" },
                { plain, "{" UP ",'c':[{'state':'running'}]}", "" }, /* nobody knows */
                { plain, "{" UP ",'c':[{'state':'running','amounts':'100 300 1048576 0'}]}",
                  "c:resize" },
                { plain, "{" UP ",'c':[{'state':'exited','amounts':'100 300 1048576 0'}]}",
                  "c:start(1)" },
                { asks, "{" UP ",'c':[{'state':'running','amounts':'50 200 1048576 0'}]}",
                  "c:resize" },
                { asks, "{" UP ",'c':[{'state':'running','amounts':'50 200 1048577 0'}]}",
                  "c:kill(resize,restart)" },
                { asks,
                  "{" UP ",'c':{'instances':[{'state':'running','amounts':'50 200 1 0'}],"
                  "'liveness':'failure'}}",
                  "c:kill(resize,restart)" },
                { sidecar,
                  "{" UP ",'s':[{'state':'running','amounts':'100 200 2 0'}],'c':[{'state':"
                  "'running'}]}",
                  "s:kill(resize,restart)" },
                { sidecar,
                  "{" UP ",'s':[{'state':'running','amounts':'1 200 1048576 0'}],'c':[{'state':"
                  "'running'}]}",
                  "s:resize" },
                { init, "{" UP ",'s':[{'state':'running','amounts':'1 200 1048576 0'}]}",
                  "s:resize" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

TEST(init_containers_run_one_after_another)
{
        static const struct action_case cases[] = {
                { WITH_INITS, "{}", "sandbox(0) a:start(0)" },
                { WITH_INITS, "{" UP "}", "a:start(0)" },
                { WITH_INITS, "{" UP ",'a':[{'state':'running'}]}", "" },
                { WITH_INITS, "{" UP ",'a':[{'state':'exited'}]}", "b:start(0)" },
                { WITH_INITS, "{" UP ",'a':[{'state':'exited','code':1}]}", "a:start(1)" },
                { WITH_INITS, "{" UP ",'a':[{'state':'created'}]}", "a:start(1)" },
                { WITH_INITS, "{" UP ",'a':[{'state':'exited'}],'b':[{'state':'exited'}]}",
                  "c:start(0)" },
                /* the first one was garbage collected */
                { WITH_INITS, "{" UP ",'b':[{'state':'exited'}]}", "c:start(0)" },
                { WITH_INITS, "{" UP ",'b':[{'state':'exited'}],'c':[{'state':'running'}]}", "" },
                { WITH_INITS, "{" UP ",'c':[{'state':'running'}]}", "" },
                { WITH_INITS_NEVER, "{" UP ",'a':[{'state':'exited','code':1}]}", "pod:kill" },
                { WITH_INITS_NEVER, "{" UP ",'a':[{'state':'exited','oom':true}]}", "pod:kill" },
                /* an instance of the sandbox before proves nothing */
                { WITH_INITS,
                  "{" UP ",'a':[{'state':'exited','old':true}],'b':[{'state':'exited',"
                  "'old':true}],'c':[{'state':'exited','old':true}]}",
                  "a:start(1)" },
                { WITH_INITS,
                  "{'sandbox':{'ready':false},'a':[{'state':'exited'}],'b':[{'state':"
                  "'exited'}],'c':[{'state':'exited'}]}",
                  "sandbox(1,changed) a:start(1)" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

#define SIDECARS                                                                               \
        "{'restartPolicy':'Never','initContainers':[{'name':'s','image':'i','restartPolicy':"  \
        "'Always','startupProbe':{'exec':{}},'livenessProbe':{'exec':{}}},{'name':'a','image'" \
        ":'i'}],'containers':[" C "]}"

TEST(sidecars_gate_the_next_container_and_are_kept_alive)
{
        static const struct action_case cases[] = {
                { SIDECARS, "{" UP "}", "s:start(0)" },
                { SIDECARS, "{" UP ",'s':[{'state':'running'}]}", "" },
                { SIDECARS, "{" UP ",'s':{'instances':[{'state':'running'}],'startup':'success'}}",
                  "a:start(0)" },
                { SIDECARS, "{" UP ",'s':{'instances':[{'state':'running'}],'startedBefore':true}}",
                  "a:start(0)" },
                { SIDECARS, "{" UP ",'s':{'instances':[{'state':'running'}],'startup':'failure'}}",
                  "s:kill(startup,restart)" },
                { SIDECARS,
                  "{" UP ",'s':{'instances':[{'state':'running'}],'startup':'success'},"
                  "'a':[{'state':'exited'}]}",
                  "c:start(0)" },
                /* while the main container runs: restarted whatever the pod's policy and its code
                 */
                { SIDECARS,
                  "{" UP ",'s':[{'state':'exited'}],'a':[{'state':'exited'}],"
                  "'c':[{'state':'running'}]}",
                  "s:start(1)" },
                { SIDECARS, "{" UP ",'a':[{'state':'exited'}],'c':[{'state':'running'}]}",
                  "s:start(0)" },
                { SIDECARS,
                  "{" UP ",'s':{'instances':[{'state':'running'}],'startup':'success',"
                  "'liveness':'failure'},'c':[{'state':'running'}]}",
                  "s:kill(liveness,restart)" },
                { SIDECARS,
                  "{" UP ",'s':{'instances':[{'state':'running','changed':true}],"
                  "'startup':'success'},'c':[{'state':'running'}]}",
                  "s:kill(changed,restart)" },
                /* the main container is done: sidecars do not keep the pod */
                { SIDECARS,
                  "{" UP ",'s':[{'state':'exited'}],'a':[{'state':'exited'}],"
                  "'c':[{'state':'exited'}]}",
                  "pod:kill" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

#define EPHEMERAL \
        "{" INITS ",'containers':[" C "],'ephemeralContainers':[{'name':'e','image':'i'}]}"

TEST(ephemeral_containers_start_once_and_need_no_initialization)
{
        static const struct action_case cases[] = {
                { EPHEMERAL, "{}", "sandbox(0) a:start(0)" },
                { EPHEMERAL, "{" UP ",'a':[{'state':'running'}]}", "e:start(0)" },
                { EPHEMERAL, "{" UP ",'a':[{'state':'running'}],'e':[{'state':'exited','code':1}]}",
                  "" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

#define RESTART_ALL                                                                             \
        "{'initContainers':[{'name':'a','image':'i'}],'containers':[" C ",{'name':'t','image':" \
        "'i','restartPolicy':'Never','restartPolicyRules':[{'action':'RestartAllContainers',"   \
        "'exitCodes':{'operator':'In','values':[88]}}]}]}"

TEST(restart_all_removes_the_others_first_and_its_trigger_last)
{
        static const struct action_case cases[] = {
                { RESTART_ALL,
                  "{" UP ",'a':[{'state':'exited'}],'c':[{'state':'running'}],'t':[{'state':"
                  "'exited','code':88}]}",
                  "a:remove c:kill(all)" },
                { RESTART_ALL,
                  "{" UP ",'c':[{'state':'exited','code':137}],'t':[{'state':'exited','code':88}]}",
                  "c:remove" },
                { RESTART_ALL, "{" UP ",'t':[{'state':'exited','code':88}]}", "t:remove" },
                { RESTART_ALL, "{" UP "}", "a:start(0)" },
                { RESTART_ALL,
                  "{" UP ",'c':[{'state':'running'}],'t':[{'state':'exited','code':1}]}", "" },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

TEST(a_container_in_back_off_waits_and_says_until_when)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(TWO, NULL);
        _cleanup_(observed_freep)
        struct observed_fixture *f =
                observed_of(pod,
                            "{" UP ",'c':[{'state':'exited','code':1,'finished':995}],"
                            "'d':{'instances':[{'state':'exited','finished':999},{'state':'exited',"
                            "'finished':100}],'mustRestart':true}}");
        struct crash_backoff b[2] = { { .limits = crash_backoff_limits_from(300 * USEC_PER_SEC) },
                                      { .limits = crash_backoff_limits_from(300 * USEC_PER_SEC) } };
        struct pod_actions a;

        crash_backoff_started(&b[0], crash_backoff_key(&pod->containers[0]), 0, 990 * USEC_PER_SEC);
        crash_backoff_started(&b[1], crash_backoff_key(&pod->containers[1]), 0, 990 * USEC_PER_SEC);
        CHECK_INT(pod_actions_compute(pod, observed_seen(f), b, NOW, &a), 0);
        CHECK_INT(a.containers[0].what, CONTAINER_BACK_OFF);
        CHECK_INT(a.containers[0].delay_usec, 10 * USEC_PER_SEC);
        CHECK_INT(a.containers[0].wake_at, 1005 * USEC_PER_SEC);
        CHECK_INT(a.wake_at, 1005 * USEC_PER_SEC);
        CHECK(!a.kill_pod);
        /* killed by us just now: what counts is when it last ended by itself */
        CHECK_INT(a.containers[1].what, CONTAINER_START);
        CHECK_INT(a.containers[1].exited_at, 100 * USEC_PER_SEC);
        pod_actions_done(&a);
}

TEST(kills_are_announced_in_the_kubelets_words)
{
        const struct pod_container regular = { .name = (char *)"c", .kind = POD_CONTAINER_REGULAR };
        const struct pod_container sidecar = { .name = (char *)"s", .kind = POD_CONTAINER_SIDECAR };
        const struct {
                const struct pod_container *c;
                enum kill_reason why;
                bool restart;
                const char *text;
        } cases[] = {
                { &regular, KILL_DEFAULT, false, "Stopping container c" },
                { &regular, KILL_DEFINITION_CHANGED, true,
                  "Container c definition changed, will be restarted" },
                { &regular, KILL_LIVENESS, true,
                  "Container c failed liveness probe, will be restarted" },
                { &regular, KILL_LIVENESS, false, "Container c failed liveness probe" },
                { &regular, KILL_STARTUP, true,
                  "Container c failed startup probe, will be restarted" },
                { &regular, KILL_UNKNOWN_STATE, true,
                  "Container is in \"unknown\" state, try killing it before restart" },
                { &regular, KILL_POST_START, true, "FailedPostStartHook" },
                { &regular, KILL_RESIZE, true,
                  "Container c resize requires restart, will be restarted" },
                { &sidecar, KILL_STARTUP, true, "Init container s failed startup probe" },
                { &sidecar, KILL_LIVENESS, true, "Init container s failed liveness probe" },
                { &sidecar, KILL_DEFINITION_CHANGED, true, "Init container s definition changed" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = kill_message(cases[i].c, cases[i].why,
                                                         cases[i].restart);

                CHECK_STR(text, cases[i].text);
        }
}
