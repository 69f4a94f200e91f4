#!/usr/bin/env python3
"""What happens to pods that take more of a node's disk than they may."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import brief, condition, expect, expect_equal, expect_match, shell, test, wait_for, web

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


@contextlib.contextmanager
def reconfigured(t, node, settings, root_size=None):
    """A node whose skiffd runs with these lines of configuration, and with a small disk for its root directory."""
    folder = t.cluster.node_folder(node)
    with open(folder + "/config.yaml", encoding="utf-8") as f:
        before = f.read()
    lines = [line for line in before.splitlines() if line.split(":")[0] not in settings]
    t.cluster.kill(node + "/skiffd")
    try:
        if root_size:
            t.cluster.inside(node, "mount", "-t", "tmpfs", "-o", f"size={root_size},mode=750", "small", folder + "/root")
        with open(folder + "/config.yaml", "w", encoding="utf-8") as f:
            f.write("\n".join(lines + [f"{key}: {value}" for key, value in settings.items()]) + "\n")
        t.cluster.start(node + "/skiffd")
        yield
        for pod in t.list("Pod"):
            t.delete("Pod", pod["metadata"]["name"], gracePeriodSeconds=0)
            t.wait_gone("Pod", pod["metadata"]["name"])
    finally:
        if t.cluster.runs(node + "/skiffd"):
            t.cluster.kill(node + "/skiffd")
        if root_size:
            t.cluster.inside(node, "umount", "-l", folder + "/root", check=False)
        with open(folder + "/config.yaml", "w", encoding="utf-8") as f:
            f.write(before)
        t.cluster.start(node + "/skiffd")
        wait_for("the node is well", lambda: condition(t.cluster.node(node), "DiskPressure").get("status") == "False", timeout=WITHIN)


def wait_node_condition(t, node, kind, status):
    wait_for(f"{kind} {status}", lambda: condition(t.cluster.node(node), kind).get("status") == status, timeout=WITHIN)


def node_events(t, node, reason):
    events = t.cluster.api.get("api/v1/namespaces/default/events")["items"]
    return [e for e in events if e["involvedObject"]["kind"] == "Node" and e["involvedObject"]["name"] == node and e["reason"] == reason]


@test(alone=True, skiff_only=True, timeout=300)
def a_node_short_of_disk_evicts_the_pod_that_fills_it_and_refuses_others(t):
    node = t.cluster.node_names[0]
    volume = {"volumes": [{"name": "v", "emptyDir": {}}], "node": node}
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    with reconfigured(t, node, {"evictionHard": "{nodefs.available: 128Mi}", "evictionPressureTransitionPeriod": "12s"}, "256m"):
        t.run("small", shell("c", fill("/v/file", 2), **mount), **volume)
        t.run("within", shell("c", fill("/v/file", 3), resources={"requests": {"ephemeral-storage": "10Mi"}}, **mount), **volume)
        t.wait_ready("small")
        t.wait_ready("within")
        t.run("hog", shell("c", fill("/v/file", 150), **mount), **volume)
        seen = t.wait_phase("hog", "Failed", timeout=WITHIN)
        expect_equal(seen["status"].get("reason"), "Evicted", "reason")
        expect_match(seen["status"]["message"], r"^The node was low on resource: ephemeral-storage\. Threshold quantity: 128Mi, "
                     r"available: \d+Ki\. (Container c was using \w+, request is 0, has larger consumption of ephemeral-storage\. )?$", "message")
        target = condition(seen, "DisruptionTarget")
        expect_equal((target.get("status"), target.get("reason"), target.get("message")),
                     ("True", "TerminationByKubelet", seen["status"]["message"]), "DisruptionTarget")
        event = t.wait_event("hog", "Evicted")
        expect_equal(event["metadata"]["annotations"]["starved_resource"], "ephemeral-storage", "annotation")
        expect(any(e["message"] == "Attempting to reclaim ephemeral-storage" for e in
                   wait_for("event", lambda: node_events(t, node, "EvictionThresholdMet"))), "EvictionThresholdMet")
        wait_node_condition(t, node, "DiskPressure", "True")
        t.run("late", shell("c", "forever"), node=node)
        refused = t.wait_phase("late", "Failed")
        expect_equal((refused["status"]["reason"], refused["status"]["message"]),
                     ("Evicted", "Pod was rejected: The node had condition: [DiskPressure]. "), "refusal")
        wait_node_condition(t, node, "DiskPressure", "False")
        for name in ("small", "within"):
            expect_equal(t.pod(name)["status"]["phase"], "Running", brief(t.pod(name)))
        t.run("later", shell("c", "forever"), node=node)
        t.wait_ready("later")


@test(alone=True, skiff_only=True, timeout=300)
def a_node_short_of_memory_evicts_pods_but_for_critical_ones_and_takes_no_best_effort_pod(t):
    node = t.cluster.node_names[0]
    asks = {"resources": {"requests": {"memory": "1Mi"}}}
    settings = {"evictionSoft": "{memory.available: 500Ti}", "evictionSoftGracePeriod": "{memory.available: 1s}",
                "evictionMaxPodGracePeriod": 2, "evictionPressureTransitionPeriod": "1s"}
    t.run("running", shell("c", "forever", **asks), node=node)
    t.run("critical", shell("c", "forever", **asks), node=node, priorityClassName="system-cluster-critical")
    t.wait_ready("running")
    t.wait_ready("critical")
    with reconfigured(t, node, settings):
        wait_node_condition(t, node, "MemoryPressure", "True")
        t.run("careless", shell("c", "forever"), node=node)
        refused = t.wait_phase("careless", "Failed")
        expect_equal(refused["status"]["message"], "Pod was rejected: The node had condition: [MemoryPressure]. ", "refusal")
        seen = t.wait_phase("running", "Failed", timeout=WITHIN)
        expect_match(seen["status"]["message"], r"^The node was low on resource: memory\. Threshold quantity: 500Ti, available: \d+Ki\. ", "message")
        expect_equal(condition(seen, "DisruptionTarget").get("status"), "True", "DisruptionTarget")
        expect_equal(t.pod("critical")["status"]["phase"], "Running", brief(t.pod("critical")))
        expect_equal(t.status("critical")["restartCount"], 0, "restarts")
    wait_node_condition(t, node, "MemoryPressure", "False")


def image_names(t, node):
    return [name for image in t.cluster.node(node)["status"]["images"] for name in image["names"]]


@test(alone=True, skiff_only=True, timeout=300)
def a_full_disk_costs_the_images_that_nobody_uses(t):
    node = t.cluster.node_names[0]
    t.run("uses", shell("c", "forever"), node=node)
    t.run("used", web(), node=node)
    t.wait_ready("uses")
    t.wait_ready("used")
    wait_for("both images are known", lambda: any("skiff-test/web:1" in name for name in image_names(t, node)))
    t.delete("Pod", "used")
    t.wait_gone("Pod", "used")
    settings = {"imageGCHighThresholdPercent": 1, "imageGCLowThresholdPercent": 0, "imageMinimumGCAge": "1s"}
    with reconfigured(t, node, settings):
        wait_for("the unused image goes", lambda: not any("skiff-test/web:1" in name for name in image_names(t, node)), timeout=WITHIN)
        expect(any("busybox:1.36" in name for name in image_names(t, node)), image_names(t, node))
        expect_match(wait_for("event", lambda: node_events(t, node, "FreeDiskSpaceFailed"))[-1]["message"],
                     r"^Insufficient free disk space on the node's image filesystem \(\d+% of [0-9.]+ [KMGT]iB used\)\. Failed to free "
                     r"sufficient space by deleting unused images \(freed \d+ bytes\)", "event")
        expect_equal(t.status("uses")["restartCount"], 0, "restarts")
        t.run("again", web(), node=node)
        t.wait_ready("again")


@test(alone=True, skiff_only=True)
def a_critical_pod_finds_room_where_others_have_to_go_for_it(t):
    node = t.cluster.node_names[0]
    cores = int(t.cluster.node(node)["status"]["allocatable"]["cpu"].removesuffix("m")) * (
        1 if t.cluster.node(node)["status"]["allocatable"]["cpu"].endswith("m") else 1000)

    def asks(milli):
        return {"resources": {"requests": {"cpu": f"{milli}m"}}}
    t.run("large", shell("c", "forever", **asks(cores * 6 // 10)), node=node)
    t.run("small", shell("c", "forever", **asks(cores * 3 // 10)), node=node)
    t.wait_ready("large")
    t.wait_ready("small")
    t.run("ordinary", shell("c", "forever", **asks(cores // 2)), node=node)
    expect_equal(t.wait_phase("ordinary", "Failed")["status"]["reason"], "OutOfcpu", "reason")
    t.run("critical", shell("c", "forever", **asks(cores // 2)), node=node, priorityClassName="system-cluster-critical")
    t.wait_ready("critical")
    seen = t.wait_phase("large", "Failed")
    expect_equal((seen["status"]["reason"], seen["status"]["message"]),
                 ("Preempting", "Preempted in order to admit critical pod"), "status")
    expect_equal(condition(seen, "DisruptionTarget").get("message"),
                 "Pod was preempted by Kubelet to accommodate a critical pod.", "DisruptionTarget")
    t.wait_event("large", "Preempting", "^Preempted in order to admit critical pod$")
    expect_equal(t.pod("small")["status"]["phase"], "Running", brief(t.pod("small")))
    t.run("too-much", shell("c", "forever", **asks(cores)), node=node, priorityClassName="system-cluster-critical")
    expect_match(t.wait_phase("too-much", "Failed")["status"]["message"], r"no set of running pods found to reclaim resources: "
                 r"\[\(res: cpu, q: \d+\), \]$", "message")
    expect_equal(t.pod("small")["status"]["phase"], "Running", brief(t.pod("small")))
