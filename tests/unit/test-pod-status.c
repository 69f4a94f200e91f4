#include "kubelet/pod-status.h"

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define NOW      (1767323045 * USEC_PER_SEC)
#define NOW_TEXT "2026-01-02T03:04:05Z"

struct build { /* what differs from a plain round */
        const char *previous, *shown;
        const struct pod_actions *actions;
        const struct resize_conditions *resize;
        bool is_terminal, is_terminated, new_sandbox_needed, disruption;
        const char *forced_reason, *forced_message;
};

static json_t *build(const struct pod *pod, const char *seen, const struct build *more)
{
        static const struct build nothing = { 0 };
        _cleanup_(observed_freep)
        struct observed_fixture *f = observed_of(pod, seen);
        const struct build *m = more ? more : &nothing;
        json_auto_t *previous = m->previous ? json_of(m->previous) : NULL;
        json_auto_t *shown = m->shown ? json_of(m->shown) : NULL;
        const struct pod_status_input in = {
                .pod = pod,
                .seen = observed_seen(f),
                .actions = m->actions,
                .resize = m->resize,
                .previous = previous,
                .shown = shown,
                .now = NOW,
                .is_terminal = m->is_terminal,
                .is_terminated = m->is_terminated,
                .new_sandbox_needed = m->new_sandbox_needed,
                .disruption_target = m->disruption,
                .forced_reason = m->forced_reason,
                .forced_message = m->forced_message,
        };

        return pod_status_build(&in);
}

static const json_t *of(const json_t *status, const char *list, const char *name)
{
        size_t i;
        json_t *s;

        json_array_foreach (json_object_get(status, list), i, s)
                if (streq_null(json_text_at(s, "name"), name) ||
                    streq_null(json_text_at(s, "type"), name))
                        return s;
        return NULL;
}

/* The state of regular container @name, without what the table does not care for. */
static void check_state(const json_t *status, const char *name, const char *state, const char *last)
{
        const json_t *s = of(status, "containerStatuses", name);

        if (!s)
                s = of(status, "initContainerStatuses", name);
        check_json(json_object_get(s, "state"), state);
        if (last)
                check_json(json_object_get(s, "lastState"), last);
}

#define UP    "'sandbox':{'ip':'10.1.0.2'}"
#define C     "{'name':'c','image':'i'}"
#define PLAIN "{'containers':[" C "]}"

TEST(a_running_pod_is_shown_whole)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(
                "{'containers':[{'name':'c','image':'busybox','resources':{'limits':{'memory':"
                "'1Mi'},'requests':{'cpu':'10m'}},'volumeMounts':[{'name':'v','mountPath':'/v'},"
                "{'name':'r','mountPath':'/r','readOnly':true}]}],'volumes':[{'name':'v'},{'name':"
                "'r'}]}",
                NULL);
        json_auto_t *s = build(
                pod,
                "{" UP ",'c':[{'state':'running','started':1767323000,'id':'aa','image':"
                "'docker.io/library/busybox:latest','imageID':'busybox@sha256:11','uid':5,'gid':6,"
                "'count':1},{'state':'exited','code':3,'id':'bb','started':1767322000,'finished':"
                "1767322001,'message':'oh no'}]}",
                NULL);

        check_json(
                s,
                "{'phase':'Running','startTime':'" NOW_TEXT "','qosClass':'Burstable',"
                "'hostIP':'192.0.2.1','hostIPs':[{'ip':'192.0.2.1'}],'podIP':'10.1.0.2',"
                "'podIPs':[{'ip':'10.1.0.2'}],'conditions':["
                "{'type':'PodReadyToStartContainers','status':'True','lastProbeTime':null,"
                "'lastTransitionTime':'" NOW_TEXT "'},"
                "{'type':'Initialized','status':'True','lastProbeTime':null,'lastTransitionTime':"
                "'" NOW_TEXT "'},"
                "{'type':'Ready','status':'True','lastProbeTime':null,'lastTransitionTime':'" NOW_TEXT
                "'},"
                "{'type':'ContainersReady','status':'True','lastProbeTime':null,"
                "'lastTransitionTime':'" NOW_TEXT "'},"
                "{'type':'PodScheduled','status':'True','lastProbeTime':null,"
                "'lastTransitionTime':'" NOW_TEXT "'}],"
                "'containerStatuses':[{'name':'c','state':{'running':{'startedAt':"
                "'2026-01-02T03:03:20Z'}},'lastState':{'terminated':{'exitCode':3,'reason':'Error',"
                "'message':'oh no','startedAt':'2026-01-02T02:46:40Z','finishedAt':"
                "'2026-01-02T02:46:41Z','containerID':'skiff://bb'}},'ready':true,'started':true,"
                "'restartCount':1,'image':'docker.io/library/busybox:latest','imageID':"
                "'busybox@sha256:11','containerID':'skiff://aa','resources':{'limits':{'memory':"
                "'1Mi'},'requests':{'cpu':'10m','memory':'1Mi'}},'allocatedResources':{'cpu':"
                "'10m','memory':'1Mi'},'user':{'linux':{'uid':5,'gid':6,'supplementalGroups':[]}},"
                "'volumeMounts':[{'name':'v','mountPath':'/v'},{'name':'r','mountPath':'/r',"
                "'readOnly':true,'recursiveReadOnly':'Disabled'}]}],'allocatedResources':{'cpu':"
                "'10m','memory':'1Mi'},'resources':{'limits':{'memory':'1Mi'},'requests':{'cpu':"
                "'10m','memory':'1Mi'}}}");
}

TEST(a_running_container_shows_what_it_was_configured_with)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of("{'containers':[{'name':'c','image':'i','resources':{'limits':{"
                                 "'cpu':'0.5','memory':'64Mi'},'requests':{'cpu':'0.1'}}}]}",
                                 NULL);
        static const struct {
                const char *seen, *resources;
        } cases[] = {
                { "'state':'running','amounts':'100 500 67108864 67108864'",
                  "{'limits':{'cpu':'0.5','memory':'64Mi'},'requests':{'cpu':'0.1','memory':"
                  "'64Mi'}}" },
                { "'state':'running','amounts':'1500 500 67108864 33554432'",
                  "{'limits':{'cpu':'0.5','memory':'32Mi'},'requests':{'cpu':'1500m','memory':"
                  "'64Mi'}}" },
                { "'state':'exited','amounts':'1500 500 67108864 33554432'",
                  "{'limits':{'cpu':'0.5','memory':'64Mi'},'requests':{'cpu':'0.1','memory':"
                  "'64Mi'}}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *seen = text_printf("{" UP ",'c':[{%s}]}", cases[i].seen);
                json_auto_t *s = build(pod, seen, NULL);
                const json_t *c = of(s, "containerStatuses", "c");

                check_json(json_object_get(c, "resources"), cases[i].resources);
                check_json(json_object_get(c, "allocatedResources"),
                           "{'cpu':'0.1','memory':'64Mi'}");
        }
}

TEST(a_pods_own_resources_are_shown_as_its_cgroup_has_them)
{
        static const struct {
                const char *spec, *resources, *allocated;
        } cases[] = {
                { "{'containers':[" C "]}", "null", "null" },
                { "{'resources':{'requests':{'cpu':'1.5','memory':'1Gi'},'limits':{'cpu':'2'}},"
                  "'containers':[" C "]}",
                  "{'requests':{'cpu':'1.5','memory':'1Gi'},'limits':{'cpu':'2'}}",
                  "{'cpu':'1.5','memory':'1Gi'}" },
                /* not everybody has a memory limit, so the pod has none */
                { "{'containers':[{'name':'c','image':'i','resources':{'limits':{'cpu':'1','memory':"
                  "'1Mi'}}},{'name':'d','image':'i','resources':{'limits':{'cpu':'500m'}}}]}",
                  "{'requests':{'cpu':'1500m','memory':'1Mi'},'limits':{'cpu':'1500m'}}",
                  "{'cpu':'1500m','memory':'1Mi'}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *pod = pod_of(cases[i].spec, NULL);
                json_auto_t *s =
                        build(pod, "{" UP ",'c':[{'state':'running'}],'d':[{'state':'running'}]}",
                              NULL);
                const json_t *resources = json_object_get(s, "resources"),
                             *allocated = json_object_get(s, "allocatedResources");
                json_auto_t *null = json_null();

                check_json(resources ? resources : null, cases[i].resources);
                check_json(allocated ? allocated : null, cases[i].allocated);
        }
}

TEST(a_resize_shows_in_conditions_of_its_own_generation)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        const struct resize_conditions resize = {
                .pending = { true, (char *)"Deferred", (char *)"no room", 7 },
                .in_progress = { true, NULL, NULL, 6 },
        };
        json_auto_t *s = build(pod, "{" UP ",'c':[{'state':'running'}]}",
                               &(struct build){ .resize = &resize }),
                    *over = build(pod, "{" UP ",'c':[{'state':'running'}]}", NULL);

        check_json(of(s, "conditions", "PodResizePending"),
                   "{'type':'PodResizePending','status':'True','reason':'Deferred','message':"
                   "'no room','observedGeneration':7,'lastProbeTime':null,'lastTransitionTime':"
                   "'" NOW_TEXT "'}");
        check_json(of(s, "conditions", "PodResizeInProgress"),
                   "{'type':'PodResizeInProgress','status':'True','observedGeneration':6,"
                   "'lastProbeTime':null,'lastTransitionTime':'" NOW_TEXT "'}");
        CHECK(!of(over, "conditions", "PodResizePending"));
}

/* ---- phase ---- */
#define SPEC(policy, more) "{'restartPolicy':'" policy "','containers':[" C more "]}"
#define D                  ",{'name':'d','image':'i'}"
#define INIT(policy)                \
        "{'restartPolicy':'" policy \
        "','initContainers':[{'name':'a','image':'i'}],'containers':[" C "]}"
#define SIDECAR(policy)                                                            \
        "{'restartPolicy':'" policy "','initContainers':[{'name':'s','image':'i'," \
        "'restartPolicy':'Always','startupProbe':{'exec':{}}}],'containers':[" C "]}"
#define RUNNING "[{'state':'running'}]"
#define EXIT(n) "[{'state':'exited','code':" #n "}]"

TEST(the_phase_follows_from_the_containers)
{
        static const struct {
                const char *spec, *seen;
                bool terminal;
                enum pod_phase phase;
        } cases[] = {
                { SPEC("Always", ""), "{}", false, POD_PENDING },
                { SPEC("Always", ""), "{" UP ",'c':" RUNNING "}", false, POD_RUNNING },
                { SPEC("Always", ""), "{" UP ",'c':" EXIT(0) "}", false, POD_RUNNING },
                { SPEC("Always", ""), "{" UP ",'c':" EXIT(1) "}", false, POD_RUNNING },
                { SPEC("OnFailure", ""), "{" UP ",'c':" EXIT(0) "}", false, POD_SUCCEEDED },
                { SPEC("OnFailure", ""), "{" UP ",'c':" EXIT(1) "}", false, POD_RUNNING },
                { SPEC("Never", ""), "{" UP ",'c':" EXIT(0) "}", false, POD_SUCCEEDED },
                { SPEC("Never", ""), "{" UP ",'c':" EXIT(1) "}", false, POD_FAILED },
                { SPEC("Never", D), "{" UP ",'c':" EXIT(1) ",'d':" EXIT(0) "}", false, POD_FAILED },
                { SPEC("Never", D), "{" UP ",'c':" EXIT(1) ",'d':" RUNNING "}", false,
                  POD_RUNNING },
                /* one never started keeps the pod Pending although the other runs */
                { SPEC("Always", D), "{" UP ",'c':" RUNNING "}", false, POD_PENDING },
                { SPEC("Always", D), "{" UP ",'c':" RUNNING ",'d':" EXIT(1) "}", false,
                  POD_RUNNING },
                /* deleted: what its containers said last, whatever the policy */
                { SPEC("Always", ""), "{" UP ",'c':" EXIT(0) "}", true, POD_SUCCEEDED },
                { SPEC("Always", ""), "{" UP ",'c':" EXIT(137) "}", true, POD_FAILED },
                { SPEC("Always", D), "{" UP ",'c':" EXIT(0) ",'d':" EXIT(143) "}", true,
                  POD_FAILED },
                { INIT("Always"), "{" UP "}", false, POD_PENDING },
                { INIT("Always"), "{" UP ",'a':" RUNNING "}", false, POD_PENDING },
                { INIT("Always"), "{" UP ",'a':" EXIT(1) "}", false, POD_PENDING },
                { INIT("Never"), "{" UP ",'a':" EXIT(1) "}", false, POD_FAILED },
                { INIT("Always"), "{" UP ",'a':" EXIT(0) "}", false, POD_PENDING },
                { INIT("Always"), "{" UP ",'a':" EXIT(0) ",'c':" RUNNING "}", false, POD_RUNNING },
                { INIT("Always"), "{" UP ",'c':" RUNNING "}", false, POD_RUNNING },
                { SIDECAR("Never"), "{" UP ",'s':" RUNNING "}", false, POD_PENDING },
                { SIDECAR("Never"), "{" UP ",'s':" RUNNING ",'c':" EXIT(0) "}", false,
                  POD_RUNNING },
                { SIDECAR("Never"), "{" UP ",'s':" EXIT(137) ",'c':" EXIT(0) "}", false,
                  POD_SUCCEEDED },
                { SIDECAR("Never"), "{" UP ",'s':" EXIT(0) ",'c':" EXIT(1) "}", false, POD_FAILED },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *pod = pod_of(cases[i].spec, NULL);
                _cleanup_(observed_freep)
                struct observed_fixture *f = observed_of(pod, cases[i].seen);
                const struct pod_status_input in = { .pod = pod,
                                                     .seen = observed_seen(f),
                                                     .now = NOW,
                                                     .is_terminal = cases[i].terminal };

                if (pod_status_phase(&in) != cases[i].phase)
                        fail_msg("case %zu, %s, %s: expected %s, got %s", i, cases[i].spec,
                                 cases[i].seen, pod_phase_name(cases[i].phase),
                                 pod_phase_name(pod_status_phase(&in)));
        }
}

TEST(there_is_no_way_back_from_the_end)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        json_auto_t *s = build(pod, "{" UP ",'c':" RUNNING "}",
                               &(struct build){ .previous = "{'phase':'Failed','reason':'Evicted',"
                                                            "'message':'m'}" });

        CHECK_STR(json_text_at(s, "phase"), "Failed");
        CHECK_STR(json_text_at(s, "reason"), "Evicted");
        CHECK_STR(json_text_at(s, "message"), "m");
}

TEST(the_end_is_held_back_while_something_may_run)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC("Never", ""), NULL);
        json_auto_t *held = build(pod, "{" UP ",'c':" EXIT(0) "}",
                                  &(struct build){ .previous = "{'phase':'Running'}" });
        json_auto_t *told =
                build(pod, "{" UP ",'c':" EXIT(0) "}",
                      &(struct build){ .previous = "{'phase':'Running'}", .is_terminal = true });

        CHECK_STR(json_text_at(held, "phase"), "Running");
        CHECK_STR(json_text_at(told, "phase"), "Succeeded");
        CHECK_STR(json_text_at(of(told, "conditions", "Ready"), "status"), "False");
        CHECK_STR(json_text_at(of(told, "conditions", "Ready"), "reason"), "PodCompleted");
        CHECK_STR(json_text_at(of(told, "conditions", "Initialized"), "reason"), "PodCompleted");
}

TEST(an_evicted_pod_says_why_and_is_a_disruption)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        struct build b = { .previous = "{'phase':'Running'}",
                           .forced_reason = "Evicted",
                           .forced_message = "low on memory. ",
                           .disruption = true,
                           .is_terminal = true };
        json_auto_t *s = build(pod, "{" UP ",'c':" EXIT(137) "}", &b);

        CHECK_STR(json_text_at(s, "phase"), "Failed");
        CHECK_STR(json_text_at(s, "reason"), "Evicted");
        CHECK_STR(json_text_at(s, "message"), "low on memory. ");
        CHECK_STR(json_text_at(of(s, "conditions", "DisruptionTarget"), "reason"),
                  "TerminationByKubelet");
        CHECK_STR(json_text_at(of(s, "conditions", "ContainersReady"), "reason"), "PodFailed");
}

/* ---- container statuses ---- */
TEST(a_container_that_is_not_there_yet_waits)
{
        _cleanup_(pod_unrefp)
        struct pod *plain = pod_of(PLAIN, NULL);
        _cleanup_(pod_unrefp)
        struct pod *with_init = pod_of(INIT("Always"), NULL);
        json_auto_t *a = build(plain, "{}", NULL), *b = build(with_init, "{}", NULL);
        json_auto_t *c = build(plain, "{" UP ",'c':{'waiting':['ErrImagePull','no such image']}}",
                               NULL);
        json_auto_t *d = build(plain, "{" UP ",'c':[{'state':'created'}]}", NULL);

        check_state(a, "c", "{'waiting':{'reason':'ContainerCreating'}}", "{}");
        check_state(b, "c", "{'waiting':{'reason':'PodInitializing'}}", "{}");
        check_state(b, "a", "{'waiting':{'reason':'PodInitializing'}}", "{}");
        check_state(c, "c", "{'waiting':{'reason':'ErrImagePull','message':'no such image'}}",
                    "{}");
        check_state(d, "c", "{'waiting':{}}", "{}");
        CHECK_STR(json_text_at(of(a, "containerStatuses", "c"), "imageID"), "");
        CHECK(json_text_at(of(a, "containerStatuses", "c"), "containerID") == NULL);
}

#define EPOCH "'startedAt':'1970-01-01T00:00:00Z'"
#define RAN   "'startedAt':'1970-01-01T00:00:03Z'"

TEST(every_end_has_its_reason_and_code)
{
        static const struct {
                const char *instance, *state;
        } cases[] = {
                { "'started':3,'code':0", "'exitCode':0,'reason':'Completed'," RAN },
                { "'started':3,'code':7,'message':'m'",
                  "'exitCode':7,'reason':'Error','message':'m'," RAN },
                { "'started':3,'code':137,'oom':true", "'exitCode':137,'reason':'OOMKilled'," RAN },
                { "'code':137", "'exitCode':137,'reason':'Error',"
                                "'startedAt':'1970-01-01T00:00:05Z'" }, /* killed before it ran */
                { "'code':128,'startFailed':true,'message':'exec: no such file'",
                  "'exitCode':128,'reason':'StartError','message':'exec: no such file'," EPOCH },
                { "'started':3,'code':137,'lost':true",
                  "'exitCode':137,'reason':'ContainerStatusUnknown','message':'The container could "
                  "not be located when the pod was terminated'," RAN },
        };
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC("Never", ""), NULL);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *seen =
                        text_printf("{" UP ",'c':[{'state':'exited','id':'aa','finished':5,%s}]}",
                                    cases[i].instance);
                _cleanup_free_ char *wanted = text_printf(
                        "{'terminated':{%s,'finishedAt':'1970-01-01T00:00:05Z','containerID':"
                        "'skiff://aa'}}",
                        cases[i].state);
                json_auto_t *s = build(pod, seen, NULL);

                check_state(s, "c", wanted, "{}");
        }
}

TEST(a_crash_loop_shows_the_wait_and_the_last_end)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        struct container_action wait = { .what = CONTAINER_BACK_OFF,
                                         .delay_usec = 40 * USEC_PER_SEC };
        const struct pod_actions actions = { .containers = &wait, .n_containers = 1 };
        json_auto_t *s =
                build(pod,
                      "{" UP ",'c':{'instances':[{'state':'exited','code':1,'count':3,"
                      "'id':'aa','started':3,'finished':9}],'waiting':['RunContainerError','x']}}",
                      &(struct build){ .actions = &actions });

        check_state(s, "c",
                    "{'waiting':{'reason':'CrashLoopBackOff','message':'back-off 40s restarting "
                    "failed container=c pod=web_ns(u1)'}}",
                    "{'terminated':{'exitCode':1,'reason':'Error'," RAN
                    ",'finishedAt':'1970-01-01T00:00:09Z','containerID':'skiff://aa'}}");
        CHECK_INT(json_integer_value(
                          json_object_get(of(s, "containerStatuses", "c"), "restartCount")),
                  3);
        CHECK_STR(json_text_at(s, "phase"), "Running");
}

#define OLD_RUNNING                                                                      \
        "{'phase':'Running','containerStatuses':[{'name':'c','restartCount':2,'state':{" \
        "'running':{'startedAt':'2026-01-01T00:00:00Z'}},'lastState':{},'containerID':"  \
        "'skiff://old'}]}"
#define OLD_ENDED                                                                        \
        "{'phase':'Running','containerStatuses':[{'name':'c','restartCount':2,'state':{" \
        "'terminated':{'exitCode':4,'reason':'Error'}},'lastState':{},'containerID':"    \
        "'skiff://old','image':'x','imageID':'y','ready':false,'started':false}]}"

TEST(what_the_runtime_forgot_is_carried_over)
{
        _cleanup_(pod_unrefp)
        struct pod *never = pod_of(SPEC("Never", ""), NULL);
        json_auto_t *gone = build(never, "{" UP "}", &(struct build){ .previous = OLD_RUNNING });
        json_auto_t *ended = build(never, "{" UP "}", &(struct build){ .previous = OLD_ENDED });
        json_auto_t *unknown = build(never, "{" UP ",'c':[{'state':'unknown'}]}",
                                     &(struct build){ .previous = OLD_RUNNING });
        const json_t *c = of(gone, "containerStatuses", "c");

        check_state(gone, "c", "{'waiting':{'reason':'ContainerCreating'}}",
                    "{'terminated':{'exitCode':137,'reason':'ContainerStatusUnknown','message':"
                    "'The container could not be located when the pod was deleted.  The container "
                    "used to be Running','startedAt':null,'finishedAt':null}}");
        CHECK_INT(json_integer_value(json_object_get(c, "restartCount")), 3);
        check_state(ended, "c", "{'terminated':{'exitCode':4,'reason':'Error'}}", "{}");
        check_state(unknown, "c",
                    "{'terminated':{'exitCode':137,'reason':'ContainerStatusUnknown','message':"
                    "'The container could not be located when the pod was terminated',"
                    "'startedAt':null,'finishedAt':null}}",
                    NULL);
}

TEST(an_instance_that_was_removed_stays_the_last_state_and_counts)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        json_auto_t *s = build(pod, "{" UP ",'c':[{'state':'running','id':'new','count':1}]}",
                               &(struct build){ .previous = OLD_ENDED });

        check_state(s, "c", "{'running':{'startedAt':'1970-01-01T00:00:00Z'}}",
                    "{'terminated':{'exitCode':4,'reason':'Error'}}");
        CHECK_INT(json_integer_value(
                          json_object_get(of(s, "containerStatuses", "c"), "restartCount")),
                  3);
}

TEST(a_forgotten_init_container_of_an_initialized_pod_is_completed)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(INIT("Always"), NULL);
        json_auto_t *s = build(pod, "{" UP ",'c':" RUNNING "}", NULL);

        check_state(
                s, "a",
                "{'terminated':{'exitCode':0,'reason':'Completed','message':'Unable to get init "
                "container status from container runtime and pod has been initialized, treat it "
                "as exited normally','startedAt':null,'finishedAt':null}}",
                "{}");
        CHECK(json_is_true(json_object_get(of(s, "initContainerStatuses", "a"), "ready")));
}

TEST(probes_decide_started_and_ready)
{
        static const char spec[] =
                "{'containers':[{'name':'c','image':'i','startupProbe':{'exec':{}},"
                "'readinessProbe':{'exec':{}}}]}";
        static const struct {
                const char *probes;
                bool started, ready;
        } cases[] = {
                { "'x':0", false, false },
                { "'startup':'failure','readiness':'success'", false, false },
                { "'startup':'success'", true, false },
                { "'startup':'success','readiness':'success'", true, true },
                { "'startup':'success','readiness':'failure'", true, false },
                { "'startedBefore':true,'readyBefore':true", true, true },
                { "'startedBefore':true,'readyBefore':true,'readiness':'failure'", true, false },
        };
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *seen =
                        text_printf("{" UP ",'c':{'instances':[{'state':'running'}],%s}}",
                                    cases[i].probes);
                json_auto_t *s = build(pod, seen, NULL);
                const json_t *c = of(s, "containerStatuses", "c");

                CHECK(json_is_true(json_object_get(c, "started")) == cases[i].started);
                CHECK(json_is_true(json_object_get(c, "ready")) == cases[i].ready);
        }
}

TEST(lists_are_sorted_by_name_but_for_init_containers)
{
        _cleanup_(pod_unrefp)
        struct pod *pod =
                pod_of("{'containers':[{'name':'z'},{'name':'b'}],'initContainers':[{'name':'y'},"
                       "{'name':'a'}]}",
                       NULL);
        json_auto_t *s = build(pod, "{}", NULL);
        const json_t *regular = json_object_get(s, "containerStatuses");
        const json_t *init = json_object_get(s, "initContainerStatuses");

        CHECK_STR(json_text_at(json_array_get(regular, 0), "name"), "b");
        CHECK_STR(json_text_at(json_array_get(init, 0), "name"), "y");
        CHECK(json_object_get(s, "ephemeralContainerStatuses") == NULL);
}

TEST(messages_are_cut_and_repaired)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC("Never", D), NULL);
        struct instance ended = { .id = "aa", .state = INSTANCE_EXITED, .exit_code = 1 };
        const struct container_observed containers[] = { { .instances = &ended, .n_instances = 1 },
                                                         { 0 } };
        const struct pod_observed seen = {
                .containers = containers, .ip4 = "", .ip6 = "", .host_ip4 = "", .host_ip6 = ""
        };
        const struct pod_status_input in = { .pod = pod, .seen = &seen, .now = NOW };
        char *big = malloc(20001);
        json_auto_t *a = NULL, *b = NULL;

        ended.message = "bad \xff\xc3 byte, \xc3\xa4 good, \xed\xa0\x80 not";
        a = pod_status_build(&in);
        CHECK_STR(json_text_at(json_path(of(a, "containerStatuses", "c"), "state", "terminated",
                                         NULL),
                               "message"),
                  "bad \xef\xbf\xbd\xef\xbf\xbd byte, \xc3\xa4 good, "
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd not");
        memset(big, 'x', 20000);
        big[20000] = '\0';
        big[6143] = (char)0xc3; /* a character across the limit goes as a whole */
        big[6144] = (char)0xa4;
        ended.message = big;
        b = pod_status_build(&in);
        CHECK_INT(strlen(json_text_at(json_path(of(b, "containerStatuses", "c"), "state",
                                                "terminated", NULL),
                                      "message")),
                  6143);
        free(big);
}

/* ---- conditions ---- */
TEST(conditions_say_what_is_missing)
{
        _cleanup_(pod_unrefp)
        struct pod *pod =
                pod_of("{'initContainers':[{'name':'a'},{'name':'s','restartPolicy':'Always'}],"
                       "'containers':[" C ",{'name':'b'}]}",
                       NULL);
        json_auto_t *s = build(pod, "{" UP ",'a':" EXIT(0) "}",
                               &(struct build){ .new_sandbox_needed = true });
        const json_t *ready = of(s, "conditions", "Ready");
        const json_t *initialized = of(s, "conditions", "Initialized");

        CHECK_STR(json_text_at(ready, "reason"), "ContainersNotReady");
        CHECK_STR(json_text_at(ready, "message"), "containers with unready status: [s c b]");
        CHECK_STR(json_text_at(initialized, "reason"), "ContainersNotInitialized");
        CHECK_STR(json_text_at(initialized, "message"), "containers with incomplete status: [s]");
        CHECK_STR(json_text_at(of(s, "conditions", "PodReadyToStartContainers"), "status"),
                  "False");
        CHECK_STR(json_text_at(of(s, "conditions", "PodScheduled"), "status"), "True");
}

TEST(readiness_gates_are_asked_and_foreign_conditions_kept)
{
        static const char spec[] = "{'readinessGates':[{'conditionType':'x/a'},{'conditionType':"
                                   "'x/b'}],'containers':[" C "]}";
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);
        struct build b = { .previous =
                                   "{'conditions':[{'type':'x/b','status':'False','other':1}]}" };
        json_auto_t *s = build(pod, "{" UP ",'c':" RUNNING "}", &b);
        const json_t *ready = of(s, "conditions", "Ready");

        CHECK_STR(json_text_at(ready, "reason"), "ReadinessGatesNotReady");
        CHECK_STR(
                json_text_at(ready, "message"),
                "corresponding condition of pod readiness gate \"x/a\" does not exist., the status "
                "of pod readiness gate \"x/b\" is not \"True\", but False");
        CHECK_STR(json_text_at(of(s, "conditions", "ContainersReady"), "status"), "True");
        check_json(of(s, "conditions", "x/b"), "{'type':'x/b','status':'False','other':1}");
}

TEST(a_readiness_gate_that_somebody_opened_in_the_api_is_open)
{
        static const char spec[] = "{'readinessGates':[{'conditionType':'x/a'}],"
                                   "'containers':[" C "]}";
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(spec, NULL);
        struct build b = {
                .previous = "{'conditions':[{'type':'x/a','status':'False'},{'type':'x/b',"
                            "'status':'True'},{'type':'Ready','status':'False',"
                            "'lastTransitionTime':'2025-01-01T00:00:00Z'}]}",
                .shown = "{'conditions':[{'type':'x/a','status':'True'},{'type':'Ready',"
                         "'status':'False','lastTransitionTime':'2024-01-01T00:00:00Z'}]}",
        };
        json_auto_t *s = build(pod, "{" UP ",'c':" RUNNING "}", &b);
        const json_t *ready = of(s, "conditions", "Ready");

        CHECK_STR(json_text_at(ready, "status"), "True");
        CHECK_STR(json_text_at(ready, "lastTransitionTime"), NOW_TEXT);
        check_json(of(s, "conditions", "x/a"), "{'type':'x/a','status':'True'}");
        CHECK(!of(s, "conditions", "x/b"));
}

TEST(a_transition_time_moves_only_with_the_status)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        struct build b = { .previous = "{'startTime':'2025-01-01T00:00:00Z','conditions':[{'type':"
                                       "'Ready','status':'False','lastTransitionTime':"
                                       "'2025-01-01T00:00:00Z'},{'type':'PodScheduled','status':"
                                       "'True','lastTransitionTime':'2025-01-01T00:00:00Z'}]}" };
        json_auto_t *s = build(pod, "{" UP ",'c':" RUNNING "}", &b);

        CHECK_STR(json_text_at(of(s, "conditions", "Ready"), "lastTransitionTime"), NOW_TEXT);
        CHECK_STR(json_text_at(of(s, "conditions", "PodScheduled"), "lastTransitionTime"),
                  "2025-01-01T00:00:00Z");
        CHECK_STR(json_text_at(s, "startTime"), "2025-01-01T00:00:00Z");
}

TEST(a_pod_of_which_no_status_is_left_is_as_old_as_its_sandbox)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        json_auto_t *s = build(pod,
                               "{'sandbox':{'ip':'10.1.0.2','ready':true,'created':1767322000},"
                               "'c':" RUNNING "}",
                               NULL);

        CHECK_STR(json_text_at(s, "startTime"), "2026-01-02T02:46:40Z");
}

TEST(a_pod_that_was_initialized_once_stays_so)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SIDECAR("Always"), NULL);
        json_auto_t *ran = build(pod, "{" UP ",'s':" EXIT(1) ",'c':" RUNNING "}", NULL);
        json_auto_t *before =
                build(pod, "{" UP "}",
                      &(struct build){ .previous = "{'conditions':[{'type':'Initialized','status':"
                                                   "'True'}]}" });

        CHECK_STR(json_text_at(of(ran, "conditions", "Initialized"), "status"), "True");
        CHECK_STR(json_text_at(of(before, "conditions", "Initialized"), "status"), "True");
}

/* ---- the end ---- */
TEST(what_nobody_saw_ending_ended_badly)
{
        _cleanup_(pod_unrefp)
        struct pod *plain = pod_of(PLAIN, NULL);
        _cleanup_(pod_unrefp)
        struct pod *with_init = pod_of(INIT("Always"), NULL);
        struct build end = { .is_terminal = true, .is_terminated = true };
        json_auto_t *a = build(plain, "{}", &end), *b = build(with_init, "{}", &end);
        static const char lost[] =
                "{'terminated':{'exitCode':137,'reason':'ContainerStatusUnknown','message':'The "
                "container could not be located when the pod was terminated','startedAt':null,"
                "'finishedAt':null}}";

        check_state(a, "c", lost, "{}");
        CHECK_STR(json_text_at(a, "phase"), "Failed");
        check_state(b, "a", lost, "{}");
        check_state(b, "c", "{'waiting':{'reason':'PodInitializing'}}", "{}");
        CHECK_STR(json_text_at(b, "phase"), "Failed");
}

TEST(a_refused_pod_says_only_why)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(PLAIN, NULL);
        json_auto_t *s = pod_status_rejected(pod, "OutOfcpu", "Node didn't have enough resource",
                                             NOW);

        CHECK_STR(json_text_at(s, "message"), "Pod was rejected: Node didn't have enough resource");
        json_object_del(s, "message");
        check_json(s, "{'phase':'Failed','reason':'OutOfcpu','qosClass':'BestEffort',"
                      "'startTime':'" NOW_TEXT "'}");
}

/* ---- addresses ---- */
TEST(addresses_stay_when_the_pod_has_ended_and_are_the_nodes_on_its_network)
{
        _cleanup_(pod_unrefp)
        struct pod *plain = pod_of(PLAIN, NULL);
        _cleanup_(pod_unrefp)
        struct pod *host = pod_of("{'hostNetwork':true,'containers':[" C "]}", NULL);
        struct build had = { .previous = "{'podIP':'10.1.0.9','podIPs':[{'ip':'10.1.0.9'}]}" };
        json_auto_t *ended = build(plain, "{'sandbox':{'ready':false},'c':" EXIT(0) "}", &had);
        json_auto_t *fresh = build(plain, "{" UP "}", &had);
        json_auto_t *on_host = build(host, "{'sandbox':{'host':true}}", NULL);

        CHECK_STR(json_text_at(ended, "podIP"), "10.1.0.9");
        CHECK_STR(json_text_at(fresh, "podIP"), "10.1.0.2");
        CHECK_STR(json_text_at(on_host, "podIP"), "192.0.2.1");
        check_json(json_object_get(on_host, "podIPs"), "[{'ip':'192.0.2.1'}]");
}

/* ---- RestartAllContainers ---- */
#define TRIGGER                                                                                \
        "{'name':'t','image':'i','restartPolicy':'Never',"                                     \
        "'restartPolicyRules':[{'action':'RestartAllContainers','exitCodes':{'operator':'In'," \
        "'values':[88]}}]}"
#define RESTART_ALL       "{'containers':[" C "," TRIGGER "]}"
#define RESTART_ALL_NEVER "{'restartPolicy':'Never','containers':[" C "," TRIGGER "]}"
#define RESTART_ALL_INIT                                             \
        "{'restartPolicy':'Never','containers':[" C "," TRIGGER "]," \
        "'initContainers':[{'name':'n','image':'i'}]}"

TEST(containers_removed_for_a_restart_of_all_say_so)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(RESTART_ALL, NULL);
        json_auto_t *s = build(pod, "{" UP ",'t':" EXIT(88) "}",
                               &(struct build){ .previous = OLD_RUNNING });

        check_state(
                s, "c",
                "{'waiting':{'reason':'RestartingAllContainers','message':'The container is "
                "removed because RestartAllContainers in place'}}",
                "{'terminated':{'exitCode':137,'reason':'RestartingAllContainers','message':'The "
                "container is removed because RestartAllContainers in place','startedAt':null,"
                "'finishedAt':null}}");
        CHECK_STR(json_text_at(of(s, "conditions", "AllContainersRestarting"), "status"), "True");
        CHECK_STR(json_text_at(of(s, "conditions", "AllContainersRestarting"), "reason"),
                  "RestartAllContainersStarted");
}

TEST(a_pod_whose_containers_all_restart_is_not_done_when_all_have_ended)
{
        static const char seen[] = "{" UP ",'c':" EXIT(137) ",'t':" EXIT(88) "}";
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(RESTART_ALL_NEVER, NULL);
        _cleanup_(pod_unrefp)
        struct pod *deleted = pod_of(RESTART_ALL_NEVER, NULL);
        json_auto_t *s = build(pod, seen, NULL), *gone = NULL;

        CHECK_STR(json_text_at(s, "phase"), "Running");
        deleted->deleted_at = NOW;
        gone = build(deleted, seen, &(struct build){ .is_terminal = true });
        CHECK_STR(json_text_at(gone, "phase"), "Failed");
}

static const json_t *status_of_state(const json_t *status, const char *init, const char *state)
{
        return json_object_get(json_object_get(of(status, "initContainerStatuses", init), "state"),
                               state);
}

TEST(an_init_container_removed_for_a_restart_of_all_counts_once)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(RESTART_ALL_INIT, NULL);
        static const char seen[] = "{" UP ",'c':" RUNNING ",'t':" EXIT(88) "}";
        json_auto_t *first =
                build(pod, seen,
                      &(struct build){ .previous = "{'initContainerStatuses':[{'name':"
                                                   "'n','restartCount':0,'state':{"
                                                   "'terminated':{'exitCode':0}}}]}" });
        _cleanup_free_ char *previous = json_dumps(first, JSON_COMPACT);
        json_auto_t *second = build(pod, seen, &(struct build){ .previous = previous });

        CHECK_INT(json_integer_value(
                          json_object_get(of(first, "initContainerStatuses", "n"), "restartCount")),
                  1);
        CHECK_INT(json_integer_value(json_object_get(of(second, "initContainerStatuses", "n"),
                                                     "restartCount")),
                  1);
        CHECK(status_of_state(second, "n", "waiting") &&
              !status_of_state(second, "n", "terminated"));
}
