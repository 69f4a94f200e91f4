#!/usr/bin/env python3
"""A manifest in the node's folder runs without the API server's word; its mirror pod follows it."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, brief, condition, container, expect, expect_equal, expect_match, pod, script, shell, test, wait_for


class Manifest:
    """A file in node-1's manifest folder, removed at the end."""

    def __init__(self, t, name):
        self.t, self.name = t, name
        self.path = os.path.join(t.cluster.node_folder("node-1"), "manifests", f"{t.namespace}-{name}.json")
        t.cleanups.append(self.remove)

    def write(self, *containers, text=None, **spec):
        made = pod(self.name, *containers, **spec)
        made.update(apiVersion="v1", kind="Pod")
        made["metadata"]["namespace"] = self.t.namespace
        # a file that is renamed into place is never seen half-written
        part = os.path.join(os.path.dirname(self.path), "." + os.path.basename(self.path))
        with open(part, "w", encoding="utf-8") as f:
            f.write(text if text is not None else json.dumps(made))
        os.rename(part, self.path)

    def remove(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


def mirror(t, name):
    return t.pod(f"{name}-node-1")


@test
def a_manifest_becomes_a_pod_with_a_mirror(t):
    Manifest(t, "s").write(shell("c", "echo from a file; forever"))
    seen = t.wait_ready("s-node-1", 40)
    notes = seen["metadata"]["annotations"]
    expect_equal(notes.get("kubernetes.io/config.source"), "file", "config.source")
    expect_match(notes.get("kubernetes.io/config.hash"), r"^[0-9a-f]{32}$", "config.hash")
    expect_equal(notes.get("kubernetes.io/config.mirror"), notes["kubernetes.io/config.hash"], "config.mirror")
    expect_equal([(o["kind"], o["name"]) for o in seen["metadata"]["ownerReferences"]], [("Node", "node-1")], "owner")
    expect_equal(seen["spec"]["nodeName"], "node-1", "node")
    expect_equal(t.logs("s-node-1").strip(), "from a file", "log by way of the mirror")


@test
def a_changed_manifest_replaces_the_pod(t):
    manifest = Manifest(t, "s")
    manifest.write(shell("c", "echo first; forever"))
    first = t.wait_ready("s-node-1", 40)
    manifest.write(shell("c", "echo second; forever"))

    def replaced():
        seen = mirror(t, "s")
        if seen and seen["metadata"]["uid"] != first["metadata"]["uid"] and condition(seen, "Ready").get("status") == "True":
            return seen
        raise Failure(brief(seen))
    wait_for("a new mirror", replaced, timeout=60)
    expect_equal(t.logs("s-node-1").strip(), "second", "log of the new pod")


@test
def a_removed_manifest_takes_the_pod_along(t):
    manifest = Manifest(t, "s")
    manifest.write(shell("c", "forever"))
    t.wait_ready("s-node-1", 40)
    manifest.remove()
    t.wait_gone("Pod", "s-node-1", 60)


@test
def deleting_the_mirror_leaves_the_pod_running(t):
    Manifest(t, "s").write(shell("c", "forever"))
    before = t.wait_ready("s-node-1", 40)
    t.kubectl("delete", "pod", "s-node-1", "--grace-period=0", "--force")

    def back():
        seen = mirror(t, "s")
        if seen and seen["metadata"]["uid"] != before["metadata"]["uid"] and seen["status"].get("containerStatuses"):
            return seen
        raise Failure(brief(seen))
    after = wait_for("the mirror comes back", back, timeout=150)
    expect_equal(after["status"]["containerStatuses"][0]["containerID"], before["status"]["containerStatuses"][0]["containerID"], "container")
    expect_equal(after["status"]["containerStatuses"][0]["restartCount"], 0, "restarts")


@test
def a_bad_manifest_hurts_nobody(t):
    Manifest(t, "good").write(shell("c", "forever"))
    before = t.wait_ready("good-node-1", 40)["status"]["containerStatuses"]
    Manifest(t, "bad-syntax").write(text="{ this is not: [a pod")
    Manifest(t, "bad-field").write(text=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": t.namespace},
                                                    "spec": {"containers": [{"name": "c", "image": "busybox", "ports": [{"containerPort": 99999999}]}]}}))
    Manifest(t, "late").write(container("c", "sleep", "1000"))
    t.wait_ready("late-node-1", 40)
    expect_equal(t.pod("good-node-1")["status"]["containerStatuses"], before, "the good pod")
    expect(not mirror(t, "x"), "the bad manifest became a pod")


if __name__ == "__main__":
    script()
