#!/usr/bin/env python3
"""What happens to pods that take more of a node's disk than they may."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import brief, condition, expect, expect_equal, shell, test, wait_for

WITHIN = 60  # a round is 10 s; on a slow machine somewhat more


def limited(limit):
    return {"resources": {"limits": {"ephemeral-storage": limit}}}


def fill(path, megabytes):
    return f"dd if=/dev/zero of={path} bs=1M count={megabytes} 2>/dev/null; forever"


def wait_evicted(t, name, message):
    """Until the pod was evicted for its own fault, with the kubelet's words in status and event."""
    seen = t.wait_phase(name, "Failed", timeout=WITHIN)
    expect_equal(seen["status"].get("reason"), "Evicted", "reason")
    expect_equal(seen["status"].get("message"), message, "message")
    expect_equal(condition(seen, "DisruptionTarget"), {}, "condition DisruptionTarget")
    event = wait_for("the event", lambda: t.events(name, "Evicted"))[0]
    expect_equal((event["type"], event["message"]), ("Warning", message), "event")

    def all_ended():
        states = [s["state"] for s in t.pod(name)["status"]["containerStatuses"]]
        return states and all("terminated" in s for s in states)
    wait_for("its containers have ended", all_ended)


@test
def an_empty_dir_beyond_its_size_limit_ends_its_pod_alone(t):
    volume = [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}]
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    t.run("within", shell("c", fill("/v/file", 8), **mount), volumes=volume)
    t.run("over", shell("c", fill("/v/file", 12), **mount), volumes=volume, node=t.wait_ready("within")["spec"]["nodeName"])
    wait_evicted(t, "over", 'Usage of EmptyDir volume "v" exceeds the limit "10Mi". ')
    seen = t.pod("within")
    expect(condition(seen, "Ready").get("status") == "True" and t.status("within")["restartCount"] == 0, brief(seen))


@test
def a_container_beyond_its_ephemeral_storage_ends_its_pod(t):
    t.run("layer", shell("c", fill("/file", 12), **limited("10Mi")), shell("d", "forever", **limited("100Mi")))
    t.run("logs", shell("c", "yes 0123456789012345678901234567890123456789 | head -c 4000000; forever", **limited("4Mi")),
          shell("d", "forever", **limited("100Mi")))
    wait_evicted(t, "layer", 'Container c exceeded its local ephemeral storage limit "10Mi". ')
    wait_evicted(t, "logs", 'Container c exceeded its local ephemeral storage limit "4Mi". ')


@test
def all_that_a_pod_writes_counts_against_the_sum_of_its_limits(t):
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "m", "mountPath": "/m"}]}
    t.run("volume", shell("c", fill("/v/file", 12), **mounts, **limited("6Mi")),
          shell("d", "forever", **limited("5Mi")), volumes=volumes)
    t.run("message", shell("c", fill("/dev/termination-log", 12), **limited("10Mi")))
    t.run("memory", shell("c", fill("/m/file", 12), **mounts, **limited("10Mi")), volumes=volumes)
    wait_evicted(t, "volume", "Pod ephemeral local storage usage exceeds the total limit of containers 11Mi. ")
    wait_evicted(t, "message", "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ")
    seen = t.pod("memory")  # it is charged to the pod's memory
    expect_equal(seen["status"]["phase"], "Running", brief(seen))
