#!/usr/bin/env python3
"""What goes wrong gets the kubelet's reason where people look for it, and gets well when its cause goes."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import container, expect, expect_equal, expect_match, script, shell, test, wait_for, web


@test
def a_command_that_fails_is_restarted_with_a_back_off(t):
    t.run("p", container("c", "false"))
    status = t.waiting("p", "CrashLoopBackOff")
    expect_match(status["state"]["waiting"]["message"],
                 rf"^back-off \S+ restarting failed container=c pod=p_{t.namespace}\([0-9a-f-]{{36}}\)$", "message")
    last = status["lastState"]["terminated"]
    expect_equal((last["exitCode"], last["reason"]), (1, "Error"), "last end")
    wait_for("more restarts", lambda: t.status("p").get("restartCount", 0) >= 3, timeout=40)
    event = t.wait_event("p", "BackOff", r"^Back-off restarting failed container c in pod p_")
    expect_equal(event["type"], "Warning", "type of the event")
    expect_equal(t.pod("p")["status"]["phase"], "Running", "phase")
    expect_match(t.kubectl("get", "pod", "p"), r"p +0/1 +(CrashLoopBackOff|Error) +\d", "get pod")


@test
def an_image_that_is_not_there_is_tried_again_ever_more_slowly(t):
    t.run("p", container("c", image="skiff-test/web:no-such-tag"))
    status = t.waiting("p", "ErrImagePull")
    expect_match(status["state"]["waiting"]["message"], "not found|NotFound", "message")
    status = t.waiting("p", "ImagePullBackOff")
    expect_match(status["state"]["waiting"]["message"], r'Back-off pulling image "skiff-test/web:no-such-tag"', "message")
    t.wait_event("p", "Failed", r'^Failed to pull image "skiff-test/web:no-such-tag": ')
    t.wait_event("p", "Failed", r"^Error: ErrImagePull$")
    t.wait_event("p", "BackOff", r'^Back-off pulling image "skiff-test/web:no-such-tag"')
    expect_equal(t.pod("p")["status"]["phase"], "Pending", "phase")
    t.patch("Pod", "p", {"spec": {"containers": [{"name": "c", "image": "skiff-test/web:1"}]}})
    t.wait_ready("p")


@test
def an_image_name_that_cannot_be_parsed_is_refused(t):
    t.run("p", container("c", image="Not A/Valid:name"))
    status = t.waiting("p", "InvalidImageName")
    expect_match(status["state"]["waiting"]["message"], r'Failed to apply default image tag "Not A/Valid:name": ', "message")
    t.wait_event("p", "InspectFailed", r'Failed to apply default image tag "Not A/Valid:name"')


@test
def an_image_that_may_not_be_pulled_and_is_not_there_says_so(t):
    t.run("p", container("c", image="skiff-test/never:1", imagePullPolicy="Never"))
    status = t.waiting("p", "ErrImageNeverPull")
    expect_match(status["state"]["waiting"]["message"],
                 r'Container image "skiff-test/never:1" is not present with pull policy of Never', "message")


@test
def a_missing_config_map_is_named_and_waited_for(t):
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "a"}}}]
    t.run("p", container("c", "sh", "-c", "echo $A; sleep 1000", env=env))
    status = t.waiting("p", "CreateContainerConfigError")
    expect_equal(status["state"]["waiting"]["message"], 'configmap "cfg" not found', "message")
    t.wait_event("p", "Failed", r'^Error: configmap "cfg" not found$')
    t.create("ConfigMap", {"metadata": {"name": "cfg"}, "data": {"b": "1"}})
    wait_for("the key is missing", lambda: "couldn't find key a in ConfigMap" in
             t.status("p").get("state", {}).get("waiting", {}).get("message", ""), timeout=90)
    t.patch("ConfigMap", "cfg", {"data": {"a": "here"}})
    t.wait_ready("p", 90)
    expect_equal(t.logs("p").strip(), "here", "value")


@test
def a_missing_secret_of_a_volume_keeps_the_pod_from_starting(t):
    t.run("p", container("c", "cat", "/secret/key", volumeMounts=[{"name": "s", "mountPath": "/secret"}]),
          restartPolicy="Never", volumes=[{"name": "s", "secret": {"secretName": "nope"}}])
    t.wait_event("p", "FailedMount", r'secret "nope" not found')
    waiting = t.waiting("p", "ContainerCreating")
    expect(not waiting["started"], waiting)
    t.create("Secret", {"metadata": {"name": "nope"}, "stringData": {"key": "value"}})
    t.wait_phase("p", "Succeeded", 90)
    expect_equal(t.logs("p"), "value", "the secret's value")


@test
def a_command_that_is_not_in_the_image_fails_to_start(t):
    t.run("p", container("c", "/no/such/program"), restartPolicy="Never")
    state = t.wait_phase("p", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    expect_equal((state["exitCode"], state["reason"]), (128, "StartError"), "state")
    expect_match(state["message"], r"(?i)/no/such/program.*no such file or directory", "message")
    t.wait_event("p", "Failed", r"^(Error|spec\.containers)?.*/no/such/program")


@test
def a_command_that_does_not_start_is_tried_again(t):
    t.run("p", container("c", "/no/such/program"))
    status = t.waiting("p", "CrashLoopBackOff", timeout=60)
    last = status["lastState"]["terminated"]
    expect_equal((last["exitCode"], last["reason"]), (128, "StartError"), "last end")


@test
def a_file_that_is_not_executable_says_permission_denied(t):
    t.run("p", container("c", "/etc/passwd"), restartPolicy="Never")
    state = t.wait_phase("p", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    expect_equal((state["exitCode"], state["reason"]), (128, "StartError"), "state")
    expect_match(state["message"], "(?i)permission denied", "message")


@test
def an_image_without_a_command_says_so(t):
    t.run("p", container("c", image="skiff-test/empty:1"))
    status = t.waiting("p", "CreateContainerError")
    expect_match(status["state"]["waiting"]["message"], "no command specified", "message")


@test
def root_is_refused_where_the_pod_must_not_be_root(t):
    t.run("p", container("c", "id"), securityContext={"runAsNonRoot": True})
    status = t.waiting("p", "CreateContainerConfigError")
    expect_match(status["state"]["waiting"]["message"], r"container has runAsNonRoot and image will run as root", "message")


@test
def one_bad_container_does_not_hold_up_its_companions(t):
    t.run("p", web(), container("bad", image="skiff-test/none:1"))
    t.waiting("p", "ImagePullBackOff", container_name="bad", timeout=60)
    expect("running" in t.status("p", "web")["state"], t.status("p", "web"))
    expect_equal(t.pod("p")["status"]["phase"], "Pending", "phase")


@test
def the_last_words_of_a_container_are_kept(t):
    t.run("file", container("c", "sh", "-c", "echo -n from file > /dev/termination-log; exit 2"), restartPolicy="Never")
    t.run("logs", container("c", "sh", "-c", "echo from log; exit 2", terminationMessagePolicy="FallbackToLogsOnError"), restartPolicy="Never")
    for name, words in (("file", "from file"), ("logs", "from log\n")):
        state = t.wait_phase(name, "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
        expect_equal((state["exitCode"], state["message"]), (2, words), f"last words by {name}")


@test
def the_neighbours_of_a_failing_pod_stay_untouched(t):
    t.run("good", shell("c", "forever"), node="node-1")
    before = t.wait_ready("good")["status"]["containerStatuses"][0]
    for name in ("b1", "b2", "b3"):
        t.run(name, container("c", "false"), container("d", image="skiff-test/none:1"), node="node-1")
    for name in ("b1", "b2", "b3"):
        t.waiting(name, "CrashLoopBackOff", container_name="c", timeout=60)
    expect_equal(t.status("good"), before, "status of the neighbour")


if __name__ == "__main__":
    script()
