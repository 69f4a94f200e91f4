#!/usr/bin/env python3
"""What the kubelet's port answers to administrators, asked through the API server as they do:
`kubectl get --raw /api/v1/nodes/NODE/proxy/…`; and what it takes to be allowed to."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import expect, expect_equal, expect_match, shell, script, test, wait_for


def proxy(node, path):
    return f"/api/v1/nodes/{node}/proxy/{path}"


def raw(t, path, node="node-1"):
    return t.cluster.kubectl("get", "--raw", proxy(node, path))


@test
def configz_is_the_configuration_of_the_node(t):
    config = json.loads(raw(t, "configz"))["kubeletconfig"]
    expect_equal((config["kind"], config["apiVersion"]), ("KubeletConfiguration", "kubelet.config.k8s.io/v1beta1"), "type")
    expect_equal((config["port"], config["syncFrequency"], config["clusterDomain"]), (10250, "1m0s", "cluster.local"), "fields")


@test
def pods_and_running_pods_are_listed(t):
    t.run("p", shell("c", "forever"), node="node-1")
    t.wait_ready("p")
    uid = t.pod("p")["metadata"]["uid"]
    pods = {p["metadata"]["uid"]: p for p in json.loads(raw(t, "pods"))["items"]}
    expect_equal(pods[uid]["status"]["phase"], "Running", "phase of the pod in /pods")
    running = {p["metadata"]["uid"]: p for p in json.loads(raw(t, "runningpods/"))["items"]}
    expect_equal([(c["name"], c["image"]) for c in running[uid]["spec"]["containers"]], [("c", "busybox:1.36")], "what runs")
    t.delete("Pod", "p", gracePeriodSeconds=1)
    wait_for("nothing of it in /runningpods", lambda: uid not in raw(t, "runningpods/"))


@test
def run_answers_with_what_a_command_printed(t):
    t.run("p", shell("c", "forever"), node="node-1")
    t.wait_ready("p")

    def run(command):
        status, answer = t.api.request("POST", proxy("node-1", f"run/{t.namespace}/p/c?cmd={command}")[1:])
        return status, answer.decode()
    expect_equal(run("echo%20a%20b"), (200, "a b\n"), "echo")
    expect_equal(run("false"), (500, "command 'false' exited with 1: "), "false")
    status, text = run("nosuchthing")
    expect(status == 500 and "nosuchthing" in text, status, text)
    expect_equal(t.api.request("POST", proxy("node-1", f"run/{t.namespace}/q/c?cmd=true")[1:]), (404, b"pod does not exist"), "no pod")


@test
def the_machines_logs_are_there_to_look_through(t):
    expect_match(raw(t, "logs/"), r'^<!doctype html>\n(?s:.*)<pre>\n(?s:.*)</pre>\n$', "the list of /var/log")
    status, answer = t.api.request("GET", proxy("node-1", "logs/../../etc/passwd")[1:])
    expect(status in (400, 403, 404) and b"root:" not in answer, status, answer)


@test
def what_a_skiff_node_does_not_do_is_refused_in_so_many_words(t):
    t.run("p", shell("c", "forever"), node="node-1")
    t.wait_ready("p")
    status, answer = t.api.request("POST", proxy("node-1", f"checkpoint/{t.namespace}/p/c")[1:])
    expect_equal(status, 500, "checkpoint")
    expect_match(answer.decode(), "does not support checkpoints", "why not")
    expect_equal(t.api.request("GET", proxy("node-1", "debug/pprof/")[1:]), (405, b"profiling endpoint is disabled.\n"), "pprof")


@test
def fine_grained_rights_open_one_view_each(t):
    """A service account that may get nodes/configz (nodes/pods, …) sees that alone, at the node itself."""
    t.create("ServiceAccount", {"metadata": {"name": "viewer"}})
    who = f"system:serviceaccount:{t.namespace}:viewer"
    role = {"metadata": {"name": t.namespace}, "rules": [{"apiGroups": [""], "resources": ["nodes/configz", "nodes/pods"], "verbs": ["get"]}]}
    binding = {"metadata": {"name": t.namespace}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": t.namespace},
               "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": who}]}
    rbac = "apis/rbac.authorization.k8s.io/v1/"
    for kind, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        t.api.call("POST", rbac + kind, {"apiVersion": "rbac.authorization.k8s.io/v1",
                                         "kind": "ClusterRole" if kind == "clusterroles" else "ClusterRoleBinding", **body})
        t.cleanups.append(lambda kind=kind: t.api.call("DELETE", f"{rbac}{kind}/{t.namespace}", absent_ok=True))
    token = t.kubectl("create", "token", "viewer").strip()

    def ask(path):
        url = f"https://{t.cluster.node_ip('node-1')}:10250{path}"
        done = t.cluster.on("hub", "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", url)
        return int(done)
    wait_for("the right to see /configz", lambda: ask("/configz") == 200, timeout=60, every=1)
    expect_equal({path: ask(path) for path in ("/pods", "/runningpods/", "/healthz", "/metrics", "/logs/", f"/containerLogs/{t.namespace}/p/c")},
                 {"/pods": 200, "/runningpods/": 200, "/healthz": 403, "/metrics": 403, "/logs/": 403, f"/containerLogs/{t.namespace}/p/c": 403},
                 "what it may see")


if __name__ == "__main__":
    script()
