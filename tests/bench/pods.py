#!/usr/bin/env python3
"""tests/bench/pods.py DIR [DIR...]: how quick pods start and go on the first node of the cluster in each DIR,
and what that node's programs cost. What is compared is done in turn, in one run, and beside it for a null
node, which only patches statuses: what the first cluster's API server costs. One line per figure; times in ms.

    create -> Running   pods created one at a time with nodeName set and the image present, until a watch sees them Ready
    delete -> gone      of such a pod, which ends at SIGTERM, until the watch sees its object deleted
    burst               100 pods at once: first create to last Ready; then all deleted
    idle                CPU of the node's programs over a minute with 100 pods
    memory              Private_Dirty and PSS of the node's programs, without pods and for each of 100

Environment: BENCH_ROUNDS (40), BENCH_BURST (100), BENCH_BURSTS (3), BENCH_IDLE_SECONDS (60)."""
import contextlib
import http.client
import json
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster", "lib"))
from skifftest import Case, Cluster, Failure, brief, condition, pod, shell, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
BURST = int(os.environ.get("BENCH_BURST", "100"))
BURSTS = int(os.environ.get("BENCH_BURSTS", "3"))
IDLE_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "60"))


def version_of(cluster, path):
    """Where a watch is to begin that misses nothing from now on."""
    return cluster.api.get(path)["metadata"]["resourceVersion"]


def watch(cluster, path, version):
    """Yields (time of arrival, type, object) of what comes after a version, for ever: the API server ends a
    watch that is read too slowly."""
    join = "&" if "?" in path else "?"
    while True:
        connection = http.client.HTTPSConnection(cluster.api.address, context=cluster.api.context)
        connection.request("GET", f"/{path}{join}watch=1&resourceVersion={version}")
        response = connection.getresponse()
        while line := response.readline():
            now = time.perf_counter()
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise Failure(f"watch of {path}: {event['object']}")
            version = event["object"]["metadata"]["resourceVersion"]
            yield now, event["type"], event["object"]
        connection.close()


class Seen:
    """What a watch of a namespace's pods saw first, and when."""

    def __init__(self, case):
        self.case, self.times, self.news = case, {}, queue.Queue()
        threading.Thread(target=self.follow, args=(version_of(case.cluster, case.path("Pod")),), daemon=True).start()

    def follow(self, version):
        for now, kind, made in watch(self.case.cluster, self.case.path("Pod"), version):
            name = made["metadata"]["name"]
            if kind == "DELETED":
                self.note(name, "gone", now)
            elif condition(made, "Ready").get("status") == "True":
                self.note(name, "Running", now)

    def note(self, name, what, now):
        if (name, what) not in self.times:
            self.times[name, what] = now
            self.news.put((name, what))

    def wait(self, name, what, timeout=60):
        deadline = time.monotonic() + timeout
        while (name, what) not in self.times:
            try:
                self.news.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Failure(f"{name} is not {what} after {timeout} s: {brief(self.case.pod(name))}") from None
        return self.times[name, what]


class NullNode:
    """A Node without a machine: every pod bound to it is Running as soon as it is seen, and gone when it should go."""

    def __init__(self, cluster, name):
        self.api = cluster.api
        self.api.call("POST", "api/v1/nodes", {"metadata": {"name": name}})
        self.jobs = queue.Queue()
        for _ in range(4):  # a burst is not to wait for one patch after the other
            threading.Thread(target=self.work, daemon=True).start()
        path = "api/v1/pods?fieldSelector=spec.nodeName%3D" + name
        threading.Thread(target=self.follow, args=(cluster, path, version_of(cluster, path)), daemon=True).start()

    def follow(self, cluster, path, version):
        for _, kind, made in watch(cluster, path, version):
            if kind == "ADDED" or (kind == "MODIFIED" and "deletionTimestamp" in made["metadata"]):
                self.jobs.put(made)

    def work(self):
        while True:
            made = self.jobs.get()
            path = f"api/v1/namespaces/{made['metadata']['namespace']}/pods/{made['metadata']['name']}"
            if "deletionTimestamp" in made["metadata"]:
                self.api.call("DELETE", path, {"gracePeriodSeconds": 0}, absent_ok=True)
                continue
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            conditions = [{"type": kind, "status": "True", "lastTransitionTime": now}
                          for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")]
            self.api.call("PATCH", path + "/status", {"status": {
                "phase": "Running", "conditions": conditions, "podIP": "192.0.2.1", "startTime": now,
                "containerStatuses": [{"name": "c", "ready": True, "started": True, "restartCount": 0, "image": "busybox:1.36",
                                       "imageID": "", "state": {"running": {"startedAt": now}}}]}},
                content_type="application/strategic-merge-patch+json")


def made_pod(name, node):
    return pod(name, shell("c", "forever"), node=node, terminationGracePeriodSeconds=30,
               tolerations=[{"operator": "Exists"}])


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def show(what, values, peers=()):
    """One figure; @peers are (label, values) of the same measured in turn with it."""
    ratios = "".join(f"  {percentile(values, 0.5) / percentile(other, 0.5):.2f} of {label}" for label, other in peers)
    print(f"{what:38} p50 {percentile(values, 0.5):8.1f}  p99 {percentile(values, 0.99):8.1f}  "
          f"quartiles {percentile(values, 0.25):.1f} to {percentile(values, 0.75):.1f}  n {len(values)}{ratios}", flush=True)


def show_all(what, sides, key):
    """The first side with its ratios to the others, then the others."""
    print(f"load {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
    for n, side in enumerate(sides):
        show(f"{side.label}: {what}", side.figures[key], [(other.label, other.figures[key]) for other in sides[n + 1:]])


class Side:
    """A node that is measured, in a case of its own."""

    def __init__(self, label, case, node):
        self.label, self.case, self.node, self.seen = label, case, node, Seen(case)
        self.figures = {"running": [], "gone": [], "burst": [], "burst gone": []}

    def create(self, name):
        self.case.create("Pod", made_pod(name, self.node))

    def one(self, name):
        """Milliseconds to Running, and to gone."""
        began = time.perf_counter()
        self.create(name)
        up = self.seen.wait(name, "Running")
        time.sleep(0.2)
        deleted = time.perf_counter()
        self.case.delete("Pod", name)
        return (up - began) * 1000, (self.seen.wait(name, "gone") - deleted) * 1000

    def burst(self, round_number):
        """All names; they run when this returns."""
        names = [f"burst-{round_number}-{n}" for n in range(BURST)]
        work = queue.Queue()
        for name in names:
            work.put(name)

        def create():
            while True:
                try:
                    self.create(work.get_nowait())
                except queue.Empty:
                    return

        began = time.perf_counter()
        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        last = max(self.seen.wait(name, "Running", 180) for name in names)
        self.figures["burst"].append((last - began) * 1000)
        for thread in threads:
            thread.join()
        return names

    def burst_ends(self, names):
        began = time.perf_counter()
        for name in names:
            self.case.delete("Pod", name)
        last = max(self.seen.wait(name, "gone", 180) for name in names)
        self.figures["burst gone"].append((last - began) * 1000)


def one_at_a_time(sides):
    for n in range(ROUNDS + 2):
        for side in sides:
            running, gone = side.one(f"one-{n}")
            if n >= 2:  # the first ones fill caches
                side.figures["running"].append(running)
                side.figures["gone"].append(gone)
            time.sleep(0.1)
    show_all("create -> Running", sides, "running")
    show_all("delete -> gone", sides, "gone")


def bursts(sides):
    for n in range(BURSTS):
        for side in sides:
            names = side.burst(n)
            if n == 0 and side.programs:
                side.programs.look_at(side.label)
            side.burst_ends(names)
            time.sleep(2)
    show_all(f"burst of {BURST}, to the last Running", sides, "burst")
    show_all("the same deleted, to the last gone", sides, "burst gone")


class Programs:
    """The node's own programs: what runs in its PID namespace and is no container. Made before there are pods."""

    OURS = ("skiffd", "skiff-netproxy", "skiff-shim", "skiff-image")
    UPSTREAM = ("kubelet", "kube-proxy", "peers", "containerd", "containerd-shim", "pause")

    def __init__(self, cluster, node):
        self.names = self.OURS if cluster.is_skiff else self.UPSTREAM
        pid = cluster._service("pid", node + "/skiffd").strip()
        self.namespace = os.readlink(f"/proc/{pid}/ns/pid")
        self.empty = self.memory()

    def look_at(self, label):
        """What they need with BURST pods that idle."""
        time.sleep(5)
        dirty, pss = (full - empty for full, empty in zip(self.memory(), self.empty))
        print(f"{label}: memory without pods: Private_Dirty {self.empty[0]} kB, PSS {self.empty[1]} kB; "
              f"for each of {BURST}: {dirty / BURST:.0f} kB, {pss / BURST:.0f} kB", flush=True)
        before = self.cpu()
        time.sleep(IDLE_SECONDS)
        used = self.cpu() - before
        print(f"{label}: {BURST} idle pods use {used:.2f} CPU s in {IDLE_SECONDS} s, {100 * used / IDLE_SECONDS:.2f} % of a core", flush=True)

    def pids(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                    name = f.read().strip()
                if name.startswith(self.names) and os.readlink(f"/proc/{pid}/ns/pid") == self.namespace:
                    yield pid
            except OSError:
                continue

    def memory(self):
        """(Private_Dirty, PSS) in kB."""
        dirty = pss = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    fields = {line.split()[0]: int(line.split()[1]) for line in f if line.endswith("kB\n")}
            except OSError:
                continue
            dirty, pss = dirty + fields["Private_Dirty:"], pss + fields["Pss:"]
        return dirty, pss

    def cpu(self):
        """Seconds used so far."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                    fields = f.read().rpartition(") ")[2].split()
            except OSError:
                continue
            total += sum(map(int, fields[11:15]))
        return total / os.sysconf("SC_CLK_TCK")


def settled(case, node):
    """One pod has come and gone, so that nothing is measured that only happens once."""
    case.run("warm-up", shell("c", "true"), node=node, restartPolicy="Never")
    case.wait_phase("warm-up", "Succeeded", 60)
    case.delete("Pod", "warm-up")
    wait_for("no pods", lambda: not case.list("Pod"))
    return Programs(case.cluster, node)


def main(folders):
    clusters = [Cluster(folder) for folder in folders]
    NullNode(clusters[0], "null")
    try:
        with contextlib.ExitStack() as stack:
            sides = []
            for cluster in clusters:
                side = Side("skiff" if cluster.is_skiff else "upstream", stack.enter_context(Case(cluster, "bench")), "node-1")
                side.programs = settled(side.case, side.node)
                sides.append(side)
            null = Side("null node", stack.enter_context(Case(clusters[0], "null")), "null")
            null.programs = None
            sides.append(null)
            one_at_a_time(sides)
            bursts(sides)
    finally:
        clusters[0].api.call("DELETE", "api/v1/nodes/null", absent_ok=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
