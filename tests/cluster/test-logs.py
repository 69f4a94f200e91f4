#!/usr/bin/env python3
"""kubectl logs, describe and get events show what happened, in the kubelet's words."""
import datetime
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import container, expect, expect_equal, expect_match, script, shell, test, wait_for, web


@test
def logs_give_both_streams_in_order(t):
    text = t.output("p", container("c", "sh", "-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; printf 'no newline'"))
    expect_equal(text, "one\ntwo\nthree\nno newline", "log")


@test
def logs_can_be_cut_by_lines_time_and_bytes(t):
    t.run("p", shell("c", "for i in 1 2 3; do echo $i; done; sleep 12; echo late; forever"))
    wait_for("the late line", lambda: "late" in t.logs("p"))
    expect_equal(t.logs("p", "--tail=2"), "3\nlate\n", "--tail=2")
    expect_equal(t.logs("p", "--tail=0"), "", "--tail=0")
    expect_equal(t.logs("p", "--limit-bytes=3"), "1\n2", "--limit-bytes=3")
    lines = t.logs("p", "--timestamps").splitlines()
    for line, word in zip(lines, ("1", "2", "3", "late")):
        expect_match(line, rf"^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) {word}$", "--timestamps")
    stamp = lines[3].split()[0]
    age = time.time() - datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp).replace("Z", "+00:00")).timestamp()
    expect_equal(t.logs("p", f"--since={int(age) + 5}s"), "late\n", "--since")
    expect_equal(t.logs("p", "--since-time=" + stamp), "late\n", "--since-time")


@test
def logs_can_be_followed_to_the_end(t):
    t.run("p", container("c", "sh", "-c", "for i in 1 2 3 4; do echo line $i; sleep 0.5; done"), restartPolicy="Never")
    wait_for("the first line", lambda: "line 1" in t.kubectl("logs", "p", check=False).stdout)
    began = time.monotonic()
    text = t.logs("p", "-f")
    expect_equal(text, "line 1\nline 2\nline 3\nline 4\n", "followed log")
    expect(time.monotonic() - began < 10, "following did not end with the container")


@test
def a_followed_log_comes_line_by_line(t):
    t.run("p", shell("c", "n=0; while :; do n=$((n + 1)); echo line $n; sleep 0.5; done"))
    t.wait_ready("p")
    process = subprocess.Popen([t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig",
                                "-n", t.namespace, "logs", "-f", "--tail=1", "p"], stdout=subprocess.PIPE, text=True)
    try:
        numbers = [int(process.stdout.readline().split()[1]) for _ in range(5)]
    finally:
        process.kill()
        process.wait()
    expect_equal(numbers, list(range(numbers[0], numbers[0] + 5)), "lines that were followed")


@test
def the_log_of_the_previous_run_is_kept(t):
    t.run("p", container("c", "sh", "-c", "echo run $(cut -d' ' -f1 /proc/uptime); exit 1"))
    wait_for("two restarts", lambda: t.status("p").get("restartCount", 0) >= 2, timeout=40)

    def both():
        previous, current = t.logs("p", "--previous"), t.logs("p")
        expect_match(previous, r"^run [\d.]+\n$", "previous log")
        expect_match(current, r"^run [\d.]+\n$", "current log")
        return float(previous.split()[1]) < float(current.split()[1])
    wait_for("both logs", both)
    t.run("q", shell("c", "forever"))
    t.wait_ready("q")
    done = t.kubectl("logs", "q", "--previous", check=False)
    expect(done.returncode != 0, "there is no previous run")
    expect_match(done.stderr, r'previous terminated container "c" in pod "q" not found', "error")


@test
def each_container_has_its_own_log(t):
    t.run("p", container("a", "echo", "of a"), container("b", "echo", "of b"), initContainers=[container("i", "echo", "of i")], restartPolicy="Never")
    t.wait_phase("p", "Succeeded")
    for name in "abi":
        expect_equal(t.logs("p", "-c", name), f"of {name}\n", f"-c {name}")
    text = t.logs("p", "--all-containers", "--prefix")
    for name in "abi":
        expect_match(text, rf"\[pod/p/{name}\] of {name}", "--all-containers")
    done = t.kubectl("logs", "p", "-c", "none", check=False)
    expect_match(done.stderr, "container none is not valid for pod p", "a container that is not there")


@test
def a_long_line_comes_whole(t):
    text = t.output("long", container("c", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"))
    lines = text.splitlines()
    expect_equal(([len(line) for line in lines], lines[-1]), ([100000, 3], "end"), "lengths of lines")


@test(skiff_only=True)  # containerd 1.6 drops what is still in the pipe when a container ends
def the_last_line_before_the_end_is_kept(t):
    text = t.output("many", container("c", "seq", "1", "50000"), timeout=60)
    expect(text == "".join(f"{n}\n" for n in range(1, 50001)), f"{len(text.splitlines())} lines instead of 50,000, the last {text[-20:]!r}")
    expect_equal(t.logs("many", "--tail=3"), "49998\n49999\n50000\n", "tail of many lines")


@test
def a_container_that_waits_has_no_log_and_says_why(t):
    t.run("p", container("c", image="skiff-test/none:1"))
    t.waiting("p", "ErrImagePull")
    done = t.kubectl("logs", "p", check=False)
    expect(done.returncode != 0, "a log without a container")
    expect_match(done.stderr, r'container "c" in pod "p" is waiting to start: (trying and failing to pull image|image can\'t be pulled)', "error")


@test
def events_tell_the_story_in_the_kubelets_words(t):
    t.run("p", web(imagePullPolicy="Always"))
    t.wait_ready("p")
    t.wait_event("p", "Started")
    t.wait_event("p", "Scheduled", rf"^Successfully assigned {t.namespace}/p to node-\d$")
    t.wait_event("p", "Pulling", r'^Pulling image "skiff-test/web:1"$')
    t.wait_event("p", "Pulled", r'^Successfully pulled image "skiff-test/web:1" in \S+ \(\S+ including waiting\)\. Image size: \d+ bytes\.$')
    created = t.wait_event("p", "Created", r"^Container created$")
    t.wait_event("p", "Started", r"^Container started$")
    expect_equal(created["involvedObject"]["fieldPath"], "spec.containers{web}", "fieldPath")
    expect_equal(created["source"], {"component": "kubelet", "host": t.pod("p")["spec"]["nodeName"]}, "source")
    expect_equal((created["count"], created["type"], created["reportingComponent"]), (1, "Normal", "kubelet"), "event")
    t.run("again", web(), node=t.pod("p")["spec"]["nodeName"])
    t.wait_event("again", "Pulled", r'^Container image "skiff-test/web:1" already present on machine and can be accessed by the pod$')
    text = t.kubectl("get", "events")
    for reason in ("Scheduled", "Pulling", "Pulled", "Created", "Started"):
        expect_match(text, rf"Normal +{reason} +pod/p ", "get events")


@test
def events_that_repeat_are_counted(t):
    t.run("p", container("c", "false"))
    wait_for("restarts", lambda: t.status("p").get("restartCount", 0) >= 4, timeout=60)
    wait_for("BackOff is counted", lambda: any(e["count"] >= 2 for e in t.events("p", "BackOff")), timeout=40)
    for reason in ("BackOff", "Created", "Started"):
        found = t.events("p", reason)
        expect_equal(len(found), 1, f"events {reason}: {[e['message'] for e in found]}")
        expect(found[0]["firstTimestamp"] < found[0]["lastTimestamp"], found[0])


@test
def describe_shows_states_probes_and_events(t):
    t.run("p", web(readinessProbe={"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}), container("bad", "false"))
    t.waiting("p", "CrashLoopBackOff", container_name="bad", timeout=40)
    t.wait_event("p", "BackOff")
    text = t.kubectl("describe", "pod", "p")
    for pattern in (r"State: +Running\n +Started:", r"State: +Waiting\n +Reason: +CrashLoopBackOff\n", r"Last State: +Terminated\n +Reason: +Error\n +Exit Code: +1\n",
                    r"Restart Count: +\d", r"Readiness: +http-get http://:http/ready", r"Container ID: +\w+://[0-9a-f]{64}", r"Image ID: +\S+sha256:[0-9a-f]{64}",
                    r"QoS Class: +BestEffort", r"IP: +10\.244\.", r"PodReadyToStartContainers +True", r"Warning +BackOff"):
        expect_match(text, pattern, "describe pod")


@test
def logs_of_a_deployment_come_by_label(t):
    t.deployment("web", 2, shell("c", "echo hello from $HOSTNAME; forever"))
    names = {p["metadata"]["name"] for p in t.wait_pods(2, app="web")}
    text = t.kubectl("logs", "-l", "app=web", "--prefix")
    expect_equal(set(re.findall(r"hello from (\S+)", text)), names, "pods in the log")


if __name__ == "__main__":
    script()
