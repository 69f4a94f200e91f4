#include "kubelet/termination-counts.h"

#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static void note(struct termination_counts *t, const char *before, const char *now)
{
        json_auto_t *old = before ? json_of(before) : NULL, *new = json_of(now);

        termination_counts_note(t, old, new);
}

static char *format(const struct termination_counts *t)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        termination_counts_format(t, &b);
        return strbuf_take(&b);
}

#define ENDED(name, code, reason) \
        "{'name':'" name "','state':{'terminated':{'exitCode':" code ",'reason':'" reason "'}}}"
#define RUNS "{'name':'c','state':{'running':{}}}"

TEST(a_container_counts_once_when_it_ends)
{
        static const char ended[] = "{'containerStatuses':[" ENDED("c", "139", "Error") "]}";
        static const char runs[] = "{'containerStatuses':[" RUNS "]}";
        _cleanup_(termination_counts_freep)
        struct termination_counts *t = termination_counts_new();
        _cleanup_free_ char *text = NULL;

        note(t, NULL, runs);
        note(t, runs, ended);
        note(t, ended, ended);
        note(t, runs, ended);
        text = format(t);
        CHECK_STR(text, "# HELP kubelet_terminated_containers_total [ALPHA] Cumulative number of "
                        "container terminations.\n"
                        "# TYPE kubelet_terminated_containers_total counter\n"
                        "kubelet_terminated_containers_total{container_type=\"container\","
                        "exit_code=\"139\",reason=\"Error\"} 2\n");
}

TEST(kinds_of_containers_count_by_themselves)
{
        _cleanup_(termination_counts_freep)
        struct termination_counts *t = termination_counts_new();
        _cleanup_free_ char *text = NULL;

        note(t, NULL,
             "{'initContainerStatuses':[" ENDED(
                     "a", "0",
                     "Completed") "],"
                                  "'containerStatuses':[" ENDED(
                                          "a", "0",
                                          "Completed") "," RUNS "],"
                                                       "'ephemeralContainerStatuses':[" ENDED(
                                                               "e", "137", "OOMKilled") "]}");
        text = format(t);
        CHECK_CONTAINS(
                text,
                "{container_type=\"init_container\",exit_code=\"0\",reason=\"Completed\"} 1\n");
        CHECK_CONTAINS(text,
                       "{container_type=\"container\",exit_code=\"0\",reason=\"Completed\"} 1\n");
        CHECK_CONTAINS(
                text,
                "{container_type=\"ephemeral_container\",exit_code=\"137\",reason=\"OOMKilled\"} 1\n");
}

TEST(where_nothing_has_ended_there_is_no_family)
{
        _cleanup_(termination_counts_freep)
        struct termination_counts *t = termination_counts_new();
        _cleanup_free_ char *text = format(t);

        CHECK(!text || !*text);
}
