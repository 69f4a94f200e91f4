#!/usr/bin/env python3
"""Jobs, CronJobs, DaemonSets, StatefulSets and bare pods come to the phases and counts they should."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, brief, condition, container, expect, expect_equal, expect_match, pod, script, shell, test, wait_for


def template(*containers, labels=None, **spec):
    made = pod("", *containers, labels=labels, **spec)
    del made["metadata"]["name"]
    return made


def job_done(t, name, kind="Complete"):
    seen = t.get("Job", name)
    return seen if condition(seen, kind).get("status") == "True" else None


@test
def a_job_counts_its_completions(t):
    t.create("Job", {"metadata": {"name": "job"}, "spec": {"completions": 4, "parallelism": 2, "template": template(
        container("c", "sh", "-c", "echo done"), restartPolicy="Never")}})
    done = wait_for("job complete", lambda: job_done(t, "job"), timeout=60)
    expect_equal(done["status"]["succeeded"], 4, "succeeded")
    for seen in t.list("Pod", **{"job-name": "job"}):
        expect_equal(seen["status"]["phase"], "Succeeded", seen["metadata"]["name"])
        state = seen["status"]["containerStatuses"][0]["state"]["terminated"]
        expect_equal((state["exitCode"], state["reason"]), (0, "Completed"), "state")
        expect_equal(condition(seen, "Ready")["reason"], "PodCompleted", "reason of Ready")
    expect_match(t.kubectl("get", "job", "job"), r"job +Complete +4/4", "get job")


@test
def a_job_that_fails_ends_as_failed(t):
    t.create("Job", {"metadata": {"name": "job"}, "spec": {"backoffLimit": 0, "template": template(
        container("c", "sh", "-c", "exit 7"), restartPolicy="Never")}})
    done = wait_for("job failed", lambda: job_done(t, "job", "Failed"), timeout=60)
    expect_equal(done["status"]["failed"], 1, "failed")


@test
def a_job_is_restarted_in_place_on_failure(t):
    work = "[ -e /data/seen ] || { touch /data/seen; exit 1; }"
    t.create("Job", {"metadata": {"name": "job"}, "spec": {"template": template(
        container("c", "sh", "-c", work, volumeMounts=[{"name": "work", "mountPath": "/data"}]),
        restartPolicy="OnFailure", volumes=[{"name": "work", "emptyDir": {}}])}})
    wait_for("job complete", lambda: job_done(t, "job"), timeout=60)
    seen = t.list("Pod", **{"job-name": "job"})[0]["status"]["containerStatuses"][0]
    expect_equal(seen["restartCount"], 1, "restarts")
    expect_equal(seen["lastState"]["terminated"]["exitCode"], 1, "exit code of the first run")


@test
def a_cron_job_makes_a_job_every_minute(t):
    t.create("CronJob", {"metadata": {"name": "cron"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template(
        container("c", "date"), restartPolicy="Never")}}}})
    wait_for("a job of the cron job", lambda: any((j["status"].get("succeeded") or 0) == 1 for j in t.list("Job")), timeout=90, every=1)


@test
def a_job_made_by_hand_from_a_cron_job_runs(t):
    t.create("CronJob", {"metadata": {"name": "cron"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template(
        container("c", "echo", "by hand"), restartPolicy="Never")}}}})
    t.kubectl("create", "job", "--from=cronjob/cron", "now")
    wait_for("job complete", lambda: job_done(t, "now"), timeout=60)
    expect_equal(t.kubectl("logs", "job/now").strip(), "by hand", "log of the job")


@test
def a_daemon_set_has_one_pod_on_every_node(t):
    t.create("DaemonSet", {"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template(
        shell("c", "forever"), labels={"app": "agent"})}})
    pods = t.wait_pods(len(t.nodes), app="agent")
    expect_equal(sorted(p["spec"]["nodeName"] for p in pods), t.nodes, "nodes of the daemon set")
    wait_for("numberReady", lambda: t.get("DaemonSet", "agent")["status"].get("numberReady") == len(t.nodes))


@test
def a_stateful_set_starts_in_order_under_stable_names(t):
    t.create("StatefulSet", {"metadata": {"name": "db"}, "spec": {
        "serviceName": "db", "replicas": 3, "selector": {"matchLabels": {"app": "db"}}, "template": template(
            shell("c", "hostname; forever"), labels={"app": "db"})}})
    pods = sorted(t.wait_pods(3, app="db"), key=lambda p: p["metadata"]["name"])
    expect_equal([p["metadata"]["name"] for p in pods], ["db-0", "db-1", "db-2"], "names")
    for earlier, later in zip(pods, pods[1:]):
        expect(condition(earlier, "Ready")["lastTransitionTime"] <= later["metadata"]["creationTimestamp"],
               f"{later['metadata']['name']} was made before {earlier['metadata']['name']} was ready")
    expect_equal(t.logs("db-1").strip(), "db-1", "host name")
    t.kubectl("delete", "pod", "db-1")

    def back():
        seen = t.pod("db-1")
        if seen and seen["metadata"]["uid"] != pods[1]["metadata"]["uid"] and condition(seen, "Ready").get("status") == "True":
            return seen
        raise Failure(brief(seen))
    wait_for("db-1 is back under its name", back, timeout=40)
    t.kubectl("scale", "statefulset/db", "--replicas=1")
    wait_for("db-2 and db-1 are gone", lambda: [p["metadata"]["name"] for p in t.list("Pod", app="db")] == ["db-0"], timeout=40)


@test
def a_bare_pod_that_always_restarts_runs_again_after_success(t):
    t.run("p", container("c", "sh", "-c", "sleep 1"))

    def restarted():
        status = t.status("p")
        return status if status.get("restartCount", 0) >= 2 else None
    status = wait_for("two restarts", restarted, timeout=40)
    expect_equal(status["lastState"]["terminated"]["reason"], "Completed", "reason of the last end")
    expect_equal(t.pod("p")["status"]["phase"], "Running", "phase")


@test
def on_failure_restarts_until_it_succeeds(t):
    count = "echo run >> /data/runs; [ $(wc -l < /data/runs) -ge 3 ]"
    t.run("p", container("c", "sh", "-c", count, volumeMounts=[{"name": "work", "mountPath": "/data"}]),
          restartPolicy="OnFailure", volumes=[{"name": "work", "emptyDir": {}}])
    status = t.wait_phase("p", "Succeeded", 40)["status"]["containerStatuses"][0]
    expect_equal(status["restartCount"], 2, "restarts")
    expect_equal(status["state"]["terminated"]["reason"], "Completed", "reason")


@test
def never_leaves_success_and_failure_as_they_ended(t):
    t.run("good", container("c", "true"), restartPolicy="Never")
    t.run("bad", container("c", "sh", "-c", "exit 3"), container("d", "true"), restartPolicy="Never")
    good = t.wait_phase("good", "Succeeded")["status"]["containerStatuses"][0]["state"]["terminated"]
    bad = t.wait_phase("bad", "Failed")["status"]
    expect_equal((good["exitCode"], good["reason"]), (0, "Completed"), "success")
    states = {c["name"]: c["state"]["terminated"] for c in bad["containerStatuses"]}
    expect_equal((states["c"]["exitCode"], states["c"]["reason"]), (3, "Error"), "failure")
    expect_equal(states["d"]["exitCode"], 0, "its companion")
    expect(states["c"]["startedAt"] and states["c"]["finishedAt"] >= states["c"]["startedAt"], states["c"])
    expect(bad["containerStatuses"][0]["restartCount"] == 0, bad)


@test
def a_pod_that_fits_nowhere_stays_pending(t):
    t.run("p", container("c", "true", resources={"requests": {"cpu": "5000"}}))
    wait_for("unschedulable", lambda: condition(t.pod("p"), "PodScheduled").get("reason") == "Unschedulable")
    expect_equal(t.pod("p")["status"]["phase"], "Pending", "phase")


@test
def a_pod_past_its_active_deadline_fails(t):
    t.run("p", shell("c", "forever"), activeDeadlineSeconds=2, restartPolicy="Never")
    seen = t.wait_phase("p", "Failed", 30)
    expect_equal(seen["status"]["reason"], "DeadlineExceeded", "reason")


@test
def a_pod_that_this_node_cannot_take_is_refused_with_a_reason(t):
    # bound by hand, so that the node and not the scheduler has to say no
    t.run("p", container("c", "true", resources={"requests": {"cpu": "5000"}}), node="node-1", restartPolicy="Never")
    seen = t.wait_phase("p", "Failed", 30)
    expect_equal(seen["status"]["reason"], "OutOfcpu", "reason")
    t.run("q", container("c", "true"), node="node-1", restartPolicy="Never", nodeSelector={"no": "such-label"})
    seen = t.wait_phase("q", "Failed", 30)
    expect_equal(seen["status"]["reason"], "NodeAffinity", "reason")


if __name__ == "__main__":
    script()
