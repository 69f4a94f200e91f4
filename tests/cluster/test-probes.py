#!/usr/bin/env python3
"""Probes of every kind, what follows from them, and how pods end."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, brief, condition, container, expect, expect_equal, script, shell, test, wait_for, web

FAST = {"periodSeconds": 1, "failureThreshold": 2}


def ask(t, name, path):
    seen = t.pod(name)
    return t.cluster.curl(seen["spec"]["nodeName"], f"http://{seen['status']['podIP']}:8080{path}")


def wait_ready_is(t, name, wanted):
    def look():
        seen = t.pod(name)
        if condition(seen, "Ready").get("status") == wanted:
            return seen
        raise Failure(brief(seen))
    return wait_for(f"Ready {wanted}", look)


@test
def readiness_by_http_follows_the_answer(t):
    t.run("p", web(readinessProbe={"httpGet": {"path": "/ready", "port": "http"}, **FAST}), labels={"app": "p"})
    t.service("p", 80)
    t.wait_ready("p")
    wait_for("the endpoint", lambda: len(t.endpoints("p")) == 1)
    ask(t, "p", "/set/ready/0")
    seen = wait_ready_is(t, "p", "False")
    expect_equal(condition(seen, "Ready")["reason"], "ContainersNotReady", "reason of Ready")
    expect_equal(condition(seen, "Ready")["message"], "containers with unready status: [web]", "message of Ready")
    wait_for("no endpoint", lambda: not t.endpoints("p"))
    t.wait_event("p", "Unhealthy", r"^Readiness probe failed: HTTP probe failed with statuscode: 503$")
    ask(t, "p", "/set/ready/1")
    wait_ready_is(t, "p", "True")
    wait_for("the endpoint is back", lambda: len(t.endpoints("p")) == 1)
    expect_equal(t.status("p")["restartCount"], 0, "restarts")


@test
def a_pod_with_readiness_gates_is_ready_when_others_have_opened_them(t):
    def set_gate(kind, status):
        t.patch("Pod", "p", {"status": {"conditions": [{"type": kind, "status": status}]}}, sub="status")
    t.run("p", web(), readinessGates=[{"conditionType": "example.com/a"}, {"conditionType": "example.com/b"}])
    t.wait_phase("p", "Running")
    wait_for("Ready waits for the gates", lambda: condition(t.pod("p"), "Ready").get("reason") == "ReadinessGatesNotReady")
    set_gate("example.com/a", "True")
    wait_for("the second gate is named", lambda: condition(t.pod("p"), "Ready").get("message") ==
             'corresponding condition of pod readiness gate "example.com/b" does not exist.')
    set_gate("example.com/b", "True")
    t.wait_ready("p")
    set_gate("example.com/a", "False")
    wait_ready_is(t, "p", "False")
    expect_equal(condition(t.pod("p"), "ContainersReady")["status"], "True", "ContainersReady")


@test
def readiness_by_exec_follows_the_exit_status(t):
    work = "sleep 3; touch /tmp/ready; sleep 4; rm /tmp/ready; forever"
    t.run("p", shell("c", work, readinessProbe={"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}))
    wait_for("running but not ready", lambda: "running" in t.status("p").get("state", {}) and not t.status("p")["ready"])
    wait_ready_is(t, "p", "True")
    wait_ready_is(t, "p", "False")
    t.wait_event("p", "Unhealthy", r"Readiness probe failed: cat: can't open '/tmp/ready': No such file or directory")


@test
def readiness_by_tcp_follows_the_port(t):
    t.run("p", shell("c", "sleep 3; exec /web 8080", image="skiff-test/web:1", readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    wait_for("running but not ready", lambda: "running" in t.status("p").get("state", {}) and not t.status("p")["ready"])
    wait_ready_is(t, "p", "True")
    t.wait_event("p", "Unhealthy", r"^Readiness probe failed: dial tcp [0-9.]+:8080: connect: connection refused$")


@test
def liveness_by_http_restarts_the_container(t):
    t.run("p", web(livenessProbe={"httpGet": {"path": "/alive", "port": 8080}, **FAST}))
    before = t.wait_ready("p")["status"]["containerStatuses"][0]
    ask(t, "p", "/set/alive/0")
    status = wait_for("a restart", lambda: (s := t.status("p"))["restartCount"] == 1 and s)
    expect(status["containerID"] != before["containerID"], status)
    t.wait_event("p", "Unhealthy", r"^Liveness probe failed: HTTP probe failed with statuscode: 503$")
    event = t.wait_event("p", "Killing", r"^Container web failed liveness probe, will be restarted$")
    expect_equal(event["type"], "Normal", "type of Killing")
    t.wait_ready("p")


@test
def liveness_by_exec_and_tcp_restart_the_container(t):
    t.run("exec", shell("c", "touch /tmp/ok; sleep 2; rm /tmp/ok; forever", livenessProbe={"exec": {"command": ["test", "-e", "/tmp/ok"]}, **FAST, "initialDelaySeconds": 1}))
    t.run("tcp", shell("c", "/web 8080 & sleep 3; kill %1; forever", image="skiff-test/web:1", livenessProbe={"tcpSocket": {"port": 8080}, **FAST, "initialDelaySeconds": 1}))
    for name in ("exec", "tcp"):
        wait_for(f"{name} restarts", lambda: t.status(name).get("restartCount", 0) >= 1, timeout=40)


@test
def an_exec_probe_that_hangs_is_stopped_at_its_time_out(t):
    probe = {"exec": {"command": ["sh", "-c", "echo trying; sleep 1000"]}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
    t.run("p", shell("c", "forever", readinessProbe=probe))
    t.wait_event("p", "Unhealthy", r"Readiness probe (failed|errored).*timed? ?out", timeout=20)
    expect_equal(t.status("p")["ready"], False, "ready")


@test
def a_startup_probe_holds_the_others_back(t):
    up = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    t.run("p", shell("c", "sleep 4; touch /tmp/up; sleep 4; rm /tmp/up; forever", startupProbe={**up, "failureThreshold": 30},
                     livenessProbe={**up, "failureThreshold": 1}))
    wait_for("running but not started", lambda: "running" in (s := t.status("p")).get("state", {}) and not s["started"])
    status = wait_for("started", lambda: (s := t.status("p")).get("started") and s)
    expect_equal(status["restartCount"], 0, "restarts while liveness would have failed")
    expect_equal([e["message"] for e in t.events("p", "Killing")], [], "events Killing")
    wait_for("a restart by the liveness probe", lambda: t.status("p")["restartCount"] >= 1)
    t.wait_event("p", "Killing", r"^Container c failed liveness probe, will be restarted$")
    t.run("never", shell("c", "forever", startupProbe={"exec": {"command": ["false"]}, **FAST}))
    wait_for("a restart by the startup probe", lambda: t.status("never").get("restartCount", 0) >= 1, timeout=40)
    t.wait_event("never", "Killing", r"^Container c failed startup probe, will be restarted$")


@test
def a_pod_that_ends_at_sigterm_is_gone_at_once(t):
    t.run("p", shell("c", "forever"), terminationGracePeriodSeconds=30)
    t.wait_ready("p")
    began = time.monotonic()
    t.kubectl("delete", "pod", "p")
    took = time.monotonic() - began
    expect(took < 5, f"took {took:.1f} s")
    t.wait_event("p", "Killing", r"^Stopping container c$")


@test
def a_pod_that_ignores_sigterm_is_killed_at_its_deadline(t):
    t.run("p", container("c", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=4)
    t.wait_ready("p")
    began = time.monotonic()
    t.kubectl("delete", "pod", "p", "--wait=false")
    wait_for("deletion is seen", lambda: t.pod("p")["metadata"].get("deletionTimestamp"))
    t.wait_gone("Pod", "p")
    took = time.monotonic() - began
    expect(3.5 <= took < 8, f"took {took:.1f} s with a grace period of 4 s")


@test
def a_grace_period_given_with_the_deletion_counts(t):
    t.run("p", container("c", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=60)
    t.wait_ready("p")
    began = time.monotonic()
    t.kubectl("delete", "pod", "p", "--grace-period=1")
    took = time.monotonic() - began
    expect(took < 6, f"took {took:.1f} s with a grace period of 1 s")


@test
def a_terminating_pod_leaves_its_service_at_once(t):
    t.run("p", shell("c", "trap '' TERM; /web 8080 & while :; do sleep 1; done", image="skiff-test/web:1"), labels={"app": "p"}, terminationGracePeriodSeconds=5)
    t.service("p", 80)
    t.wait_ready("p")
    wait_for("the endpoint", lambda: len(t.endpoints("p")) == 1)
    t.kubectl("delete", "pod", "p", "--wait=false")
    wait_for("no ready endpoint", lambda: not t.endpoints("p"), timeout=3)
    expect(t.pod("p"), "the pod is gone before its deadline")


@test
def delete_by_force_ends_the_processes_too(t):
    mark = "31%05d" % (os.getpid() % 100000)
    t.run("p", container("c", "sh", "-c", f"trap '' TERM; while :; do sleep {mark}; done"), node="node-1", terminationGracePeriodSeconds=60)
    t.wait_ready("p")

    def processes():
        done = t.cluster.inside("node-1", "ps", "-eo", "args")
        return [line for line in done.splitlines() if line == f"sleep {mark}"]

    expect_equal(len(processes()), 1, "processes of the pod")
    began = time.monotonic()
    t.kubectl("delete", "pod", "p", "--force", "--grace-period=0")
    expect(time.monotonic() - began < 5, "delete --force hangs")
    expect(t.get("Pod", "p") is None, "the object is still there")
    wait_for("the processes are gone", lambda: not processes(), timeout=40, every=0.5)


@test
def a_pre_stop_hook_runs_before_sigterm(t):
    t.run("p", shell("c", "trap 'cat /tmp/hook; exit 0' TERM; echo up; forever", lifecycle={
        "preStop": {"exec": {"command": ["sh", "-c", "echo hook ran > /tmp/hook"]}}}), terminationGracePeriodSeconds=10)
    t.wait_ready("p")
    # the last line has to be read before the pod is gone
    reader = subprocess.Popen([t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig", "-n", t.namespace,
                               "logs", "-f", "p"], stdout=subprocess.PIPE, text=True)
    t.cleanups.append(reader.kill)
    expect_equal(reader.stdout.readline(), "up\n", "first line")
    t.kubectl("delete", "pod", "p", "--wait=false")
    expect_equal(reader.communicate(timeout=30)[0], "hook ran\n", "last line")


if __name__ == "__main__":
    script()
