#include "kubelet/status-patch.h"

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static void check_patch(const char *have_text, const char *want_text, const char *status)
{
        json_auto_t *have = json_of(have_text), *want = json_of(want_text), *patch = NULL;
        int r = status_patch_build(have, want, "u1", &patch);

        CHECK_INT(r, status ? 1 : 0);
        if (!status)
                return;
        CHECK_STR(json_string_value(json_path(patch, "metadata", "uid", NULL)), "u1");
        check_json(json_object_get(patch, "status"), status);
}

TEST(nothing_is_sent_when_nothing_differs)
{
        check_patch("{}", "{}", NULL);
        check_patch("{'phase':'Running','podIPs':[{'ip':'a'}]}",
                    "{'podIPs':[{'ip':'a'}],'phase':'Running'}", NULL);
        check_patch(
                "{'containerStatuses':[{'name':'c','state':{'terminated':{'startedAt':null}}}]}",
                "{'containerStatuses':[{'name':'c','state':{'terminated':{}}}]}", NULL);
        /* times alone are no news */
        check_patch("{'conditions':[{'type':'Ready','status':'True','lastTransitionTime':'1'}]}",
                    "{'conditions':[{'type':'Ready','status':'True','lastTransitionTime':'2',"
                    "'lastProbeTime':null}]}",
                    NULL);
}

TEST(only_what_changed_is_sent_and_what_is_gone_is_nulled)
{
        check_patch("{'phase':'Pending','reason':'r','hostIP':'h'}",
                    "{'phase':'Running','hostIP':'h'}", "{'phase':'Running','reason':null}");
        check_patch("{'resources':{'limits':{'cpu':'1','memory':'1Mi'}}}",
                    "{'resources':{'limits':{'cpu':'2'}}}",
                    "{'resources':{'limits':{'cpu':'2','memory':null}}}");
}

TEST(what_others_own_is_left_alone)
{
        check_patch("{'resourceClaimStatuses':[{'name':'x'}],'nominatedNodeName':'n','resize':'',"
                    "'conditions':[{'type':'x/gate','status':'True'}]}",
                    "{}", NULL);
}

TEST(container_statuses_are_replaced_as_a_whole)
{
        check_patch("{'containerStatuses':[{'name':'a','ready':false},{'name':'b'}]}",
                    "{'containerStatuses':[{'name':'a','ready':true},{'name':'b'}]}",
                    "{'containerStatuses':[{'name':'a','ready':true},{'name':'b'}]}");
}

TEST(conditions_merge_by_type)
{
        check_patch("{'conditions':[{'type':'x/gate','status':'True'},{'type':'Ready','status':"
                    "'False','reason':'ContainersNotReady','message':'m','lastTransitionTime':'1'},"
                    "{'type':'PodResizePending','status':'True'}]}",
                    "{'conditions':[{'type':'Ready','status':'True','lastTransitionTime':'2'},"
                    "{'type':'PodScheduled','status':'True'}]}",
                    "{'conditions':[{'$patch':'delete','type':'PodResizePending'},"
                    "{'type':'Ready','status':'True','reason':null,'message':null,"
                    "'lastTransitionTime':'2'},{'type':'PodScheduled','status':'True'}]}");
}

TEST(a_disruption_is_told_with_the_end_and_never_taken_back)
{
        static const char want[] =
                "{'phase':'%s','conditions':[{'type':'DisruptionTarget','status':"
                "'True'}]}";
        _cleanup_free_ char *running = text_printf(want, "Running");
        _cleanup_free_ char *failed = text_printf(want, "Failed");

        check_patch("{'phase':'Running'}", running, NULL);
        check_patch(
                "{'phase':'Running'}", failed,
                "{'phase':'Failed','conditions':[{'type':'DisruptionTarget','status':'True'}]}");
        check_patch(failed, "{'phase':'Failed'}", NULL);
}

TEST(addresses_merge_by_ip)
{
        check_patch("{'podIP':'a','podIPs':[{'ip':'a'}]}",
                    "{'podIP':'b','podIPs':[{'ip':'b'},{'ip':'c'}]}",
                    "{'podIP':'b','podIPs':[{'$patch':'delete','ip':'a'},{'ip':'b'},{'ip':'c'}],"
                    "'$setElementOrder/podIPs':[{'ip':'b'},{'ip':'c'}]}");
        check_patch("{'podIPs':[{'ip':'a'},{'ip':'b'}]}", "{'podIPs':[{'ip':'b'},{'ip':'a'}]}",
                    "{'$setElementOrder/podIPs':[{'ip':'b'},{'ip':'a'}]}");
}

TEST(a_pod_that_ended_on_the_server_stays_ended)
{
        check_patch("{'phase':'Failed','reason':'Evicted','message':'m'}",
                    "{'phase':'Running','hostIP':'h'}", "{'hostIP':'h'}");
        check_patch("{'phase':'Failed'}", "{'phase':'Failed','reason':'r'}", "{'reason':'r'}");
}

TEST(phase_and_readiness_are_pressing_and_nothing_else)
{
        static const struct {
                const char *have, *want;
                bool pressing;
        } cases[] = {
                { "{'phase':'Pending'}", "{'phase':'Pending','podIP':'10.0.0.1'}", false },
                { "{'phase':'Pending'}", "{'phase':'Running'}", true },
                { "{'phase':'Pending'}",
                  "{'phase':'Pending','conditions':[{'type':'Ready','status':'False'}]}", false },
                { "{'phase':'Running','conditions':[{'type':'Ready','status':'False'}]}",
                  "{'phase':'Running','conditions':[{'type':'Ready','status':'True'}]}", true },
                { "{'phase':'Running','conditions':[{'type':'Ready','status':'True'}]}",
                  "{'phase':'Running'}", true },
                { "{}", "{'phase':'Pending'}", true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_auto_t *have = json_of(cases[i].have), *want = json_of(cases[i].want);

                CHECK_INT(status_is_pressing(have, want, false), cases[i].pressing);
        }
}

TEST(the_readiness_of_a_pod_that_is_being_deleted_is_not_pressing)
{
        json_auto_t *have = json_of("{'phase':'Running','conditions':[{'type':'Ready',"
                                    "'status':'True'}]}"),
                    *unready = json_of("{'phase':'Running'}"),
                    *ended = json_of("{'phase':'Failed'}");

        CHECK(!status_is_pressing(have, unready, true));
        CHECK(status_is_pressing(have, ended, true));
}
