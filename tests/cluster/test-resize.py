"""In-place resize of pods that run, as the API's subresource `resize` asks for it. Whether the limits take hold is
a matter of the boot tier: this machine's cgroup v2 hierarchy has no cpu and memory controllers."""
from skifftest import Failure, brief, condition, expect, expect_equal, expect_match, shell, test, wait_for


def amounts(cpu_request, cpu_limit, memory_request, memory_limit):
    made = {"requests": {"cpu": cpu_request, "memory": memory_request}, "limits": {"cpu": cpu_limit, "memory": memory_limit}}
    return {k: {name: v for name, v in values.items() if v} for k, values in made.items() if any(values.values())}


def sleeper(name, resources, **more):
    return shell(name, "forever", resources=resources, **more)


def resize(t, name, **containers):
    return t.patch("Pod", name, {"spec": {"containers": [{"name": c, "resources": r} for c, r in containers.items()]}}, sub="resize")


def resized(t, name, timeout=30):
    """Until the node has seen the spec and nothing of a resize is left to be done; the pod."""
    def look():
        pod = t.pod(name)
        left = [c for c in pod["status"]["conditions"] if c["type"].startswith("PodResize")]
        if pod["status"].get("observedGeneration", 0) < pod["metadata"]["generation"] or left:
            raise Failure(f"{left}: {brief(pod)}")
        return pod
    return wait_for(f"pod {name} resized", look, timeout)


def expect_resources(pod, restarts=0, **containers):
    for status in pod["status"]["containerStatuses"]:
        wanted = containers.get(status["name"])
        if wanted:
            expect_equal(status["resources"], wanted, f"resources of {status['name']}")
            expect_equal(status["allocatedResources"], wanted["requests"], f"allocatedResources of {status['name']}")
            expect_equal(status["restartCount"], restarts, f"restarts of {status['name']}")


@test
def containers_grow_and_shrink_while_they_run(t):
    first = amounts("10m", "10m", "20Mi", "20Mi")
    t.run("p", *(sleeper(c, first) for c in ("a", "b", "c")))
    before = t.wait_ready("p")
    expect_equal(before["status"]["qosClass"], "Guaranteed", "class")
    more, less = amounts("20m", "20m", "30Mi", "30Mi"), amounts("5m", "5m", "10Mi", "10Mi")
    resize(t, "p", a=more, b=more, c=less)
    after = resized(t, "p")
    expect_resources(after, a=more, b=more, c=less)
    expect_equal([s["containerID"] for s in after["status"]["containerStatuses"]],
                 [s["containerID"] for s in before["status"]["containerStatuses"]], "containers")
    expect_equal(after["status"]["resources"]["limits"], {"cpu": "45m", "memory": "70Mi"}, "limits of the pod")
    generation = after["metadata"]["generation"]
    t.wait_event("p", "ResizeStarted", rf'^Pod resize started: {{"containers":\[.*\],"generation":{generation}}}$')
    t.wait_event("p", "ResizeCompleted", rf'^Pod resize completed: {{"containers":\[.*\],"generation":{generation}}}$')


@test
def limits_and_requests_may_be_added(t):
    t.run("p", sleeper("a", amounts("10m", None, "20Mi", None)), sleeper("b", amounts("10m", "20m", "20Mi", None)), sleeper("c", {}))
    t.wait_ready("p")
    a, b, c = amounts("10m", "30m", "20Mi", "30Mi"), amounts("10m", "20m", "20Mi", "40Mi"), amounts("1m", "2m", "5Mi", "10Mi")
    resize(t, "p", a=a, b=b, c=c)
    expect_resources(resized(t, "p"), a=a, b=b, c=c)
    equal = amounts("2m", "10m", "5Mi", "10Mi")
    resize(t, "p", c=equal)  # the kernel's weights know no difference
    expect_resources(resized(t, "p"), c=equal)


@test
def a_resize_policy_restarts_the_container_that_asks_for_it(t):
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}, {"resourceName": "cpu", "restartPolicy": "NotRequired"}]
    first = amounts("10m", "20m", "20Mi", "30Mi")
    t.run("p", sleeper("a", first, resizePolicy=policy), sleeper("b", first))
    t.wait_ready("p")
    cpu = amounts("15m", "25m", "20Mi", "30Mi")
    resize(t, "p", a=cpu)
    expect_resources(resized(t, "p"), a=cpu, b=first)
    memory = amounts("15m", "25m", "25Mi", "40Mi")
    resize(t, "p", a=memory, b=memory)
    wait_for("restart", lambda: t.status("p", "a").get("restartCount") == 1)
    t.wait_ready("p")
    after = resized(t, "p")
    expect_resources(after, b=memory)
    expect_resources(after, restarts=1, a=memory)
    t.wait_event("p", "Killing", r"^Container a resize requires restart, will be restarted$")


@test(alone=True, skiff_only=True)
def a_resize_that_the_node_has_no_room_for_is_deferred_until_it_has(t):
    node = t.cluster.node("node-2")
    cpus = int(node["status"]["allocatable"]["cpu"])
    small, large = amounts("10m", None, "10Mi", None), amounts(f"{cpus * 1000 - 200}m", None, "10Mi", None)
    t.run("holder", sleeper("c", amounts("400m", None, "10Mi", None)), node="node-2")
    t.run("p", sleeper("c", small), node="node-2")
    t.wait_ready("holder")
    t.wait_ready("p")
    resize(t, "p", c=large)

    def pending():
        c = condition(t.pod("p"), "PodResizePending")
        return c if c.get("status") == "True" else None
    seen = wait_for("PodResizePending", pending)
    expect_equal(seen["reason"], "Deferred", "reason")
    expect_match(seen["message"], rf"^Node didn't have enough resource: cpu, requested: {cpus * 1000 - 200}, used: \d+, capacity: {cpus * 1000}$", "message")
    expect_equal(seen["observedGeneration"], t.pod("p")["metadata"]["generation"], "observedGeneration")
    expect_equal(t.status("p")["resources"], small, "resources")
    expect_equal(t.status("p")["allocatedResources"], small["requests"], "allocatedResources")
    t.wait_event("p", "ResizeDeferred", r'^Pod resize Deferred: \{.*"error":"Node didn')
    t.cluster.kill("node-2/skiffd")
    t.cluster.start("node-2/skiffd")
    wait_for("the node is back", lambda: condition(t.cluster.node("node-2"), "Ready").get("status") == "True")
    expect(pending(), "the resize was forgotten with a restart")
    expect_equal(t.status("p")["allocatedResources"], small["requests"], "allocatedResources after a restart")
    t.delete("Pod", "holder", gracePeriodSeconds=1)
    expect_resources(resized(t, "p", 60), c=large)


@test(alone=True)
def a_resize_that_is_taken_back_is_not_waited_for(t):
    cpus = int(t.cluster.node("node-1")["status"]["allocatable"]["cpu"])
    small = amounts("10m", None, "10Mi", None)
    t.run("holder", sleeper("c", amounts("500m", None, "10Mi", None)), node="node-1")
    t.run("p", sleeper("c", small), node="node-1")
    t.wait_ready("p")
    resize(t, "p", c=amounts(f"{cpus * 1000 - 100}m", None, "10Mi", None))
    wait_for("PodResizePending", lambda: condition(t.pod("p"), "PodResizePending").get("reason") == "Deferred")
    resize(t, "p", c=small)
    expect_resources(resized(t, "p"), c=small)


@test
def the_pods_own_resources_can_be_resized(t):
    t.run("p", sleeper("a", {}), sleeper("b", amounts("10m", None, "10Mi", None)), resources=amounts("50m", "100m", "50Mi", "100Mi"))
    before = t.wait_ready("p")
    expect_equal(before["status"]["qosClass"], "Burstable", "class")
    expect_equal(before["status"]["resources"], amounts("50m", "100m", "50Mi", "100Mi"), "resources of the pod")
    expect_equal(before["status"]["allocatedResources"], {"cpu": "50m", "memory": "50Mi"}, "allocatedResources of the pod")
    more = amounts("60m", "120m", "60Mi", "120Mi")
    t.patch("Pod", "p", {"spec": {"resources": more}}, sub="resize")
    after = resized(t, "p")
    expect_equal(after["status"]["resources"], more, "resources of the pod")
    expect_equal(after["status"]["allocatedResources"], more["requests"], "allocatedResources of the pod")
    expect_equal([s["restartCount"] for s in after["status"]["containerStatuses"]], [0, 0], "restarts")


@test
def a_sidecar_is_resized_as_it_runs(t):
    first, more = amounts("10m", "20m", "10Mi", "20Mi"), amounts("20m", "30m", "20Mi", "30Mi")
    t.run("p", sleeper("c", first), initContainers=[sleeper("side", first, restartPolicy="Always")])
    t.wait_ready("p")
    t.patch("Pod", "p", {"spec": {"initContainers": [{"name": "side", "resources": more}]}}, sub="resize")
    after = resized(t, "p")
    side = after["status"]["initContainerStatuses"][0]
    expect_equal((side["resources"], side["restartCount"]), (more, 0), "the sidecar")
    expect_resources(after, c=first)
