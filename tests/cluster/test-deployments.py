#!/usr/bin/env python3
"""A Deployment of an HTTP server: started, scaled, rolled out, rolled back."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import expect, expect_equal, expect_match, script, test, wait_for, web


@test
def three_replicas_run_each_with_an_address_of_its_own(t):
    t.kubectl("create", "deployment", "web", "--image=skiff-test/web:1", "--replicas=3", "--port=8080")
    t.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    pods = t.wait_pods(3, app="web")
    expect_equal(len({p["status"]["podIP"] for p in pods}), 3, "different pod addresses")
    for line in t.kubectl("get", "pods").splitlines()[1:]:
        expect_match(line, r"^web-\S+ +1/1 +Running +0 ", "get pods")
    for seen in pods:
        for node in t.nodes:
            expect_equal(t.cluster.curl(node, f"http://{seen['status']['podIP']}:8080/"),
                         f"{seen['metadata']['name']} 1", f"answer of a pod asked from {node}")


@test
def it_scales_to_ten_and_to_none(t):
    t.deployment("web", 2, web())
    t.wait_pods(2, app="web")
    t.kubectl("scale", "deployment/web", "--replicas=10")
    pods = t.wait_pods(10, app="web")
    expect_equal(len({p["status"]["podIP"] for p in pods}), 10, "different pod addresses")
    t.kubectl("scale", "deployment/web", "--replicas=0")
    t.wait_pods(0, app="web", timeout=40)


@test
def a_rollout_replaces_the_image_and_undo_brings_it_back(t):
    t.deployment("web", 3, web())
    t.wait_pods(3, app="web")

    def versions():
        return {t.cluster.curl("node-1", f"http://{p['status']['podIP']}:8080/").split()[1] for p in t.wait_pods(3, app="web")}

    for command, version in ((("set", "image", "deployment/web", "web=skiff-test/web:2"), "2"),
                             (("rollout", "undo", "deployment/web"), "1")):
        t.kubectl(*command)
        t.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        expect_equal(versions(), {version}, f"versions after {command[0]}")
        wait_for("old pods are gone", lambda: len(t.list("Pod", app="web")) == 3)


@test
def the_status_names_the_image_and_its_digest(t):
    t.deployment("web", 1, web())
    status = t.wait_pods(1, app="web")[0]["status"]["containerStatuses"][0]
    expect_equal(status["image"], "docker.io/skiff-test/web:1", "image")
    expect_match(status["imageID"], r"^(docker\.io/skiff-test/web@)?sha256:[0-9a-f]{64}$", "imageID")
    expect_match(status["containerID"], r"^(skiff|containerd)://[0-9a-f]{64}$", "containerID")
    expect(status["started"] and status["ready"], status)


if __name__ == "__main__":
    script()
