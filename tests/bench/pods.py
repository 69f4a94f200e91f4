#!/usr/bin/env python3
"""tests/bench/pods.py DIR [NODE]: how quick pods start and go on a node of the cluster in DIR, and what the
node's programs cost. Prints one line per figure; times in ms.

    create -> Running   pods created one at a time with nodeName set and the image present, until a watch sees them Running
    delete -> gone      of such a pod, which ends at SIGTERM, until the watch sees its object deleted
    burst               100 pods at once: first create to last Running; then all deleted
    null node           the same for a node that only patches the status it is expected to: what the API server costs
    idle                CPU of the node's programs over a minute with 100 pods
    memory              Private_Dirty and PSS of the node's programs, without pods and for each of 100"""
import http.client
import json
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster", "lib"))
from skifftest import Case, Cluster, condition, pod, shell, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
BURST = int(os.environ.get("BENCH_BURST", "100"))
IDLE_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "60"))


def watch(cluster, path):
    """Yields (time of arrival, type, object) of a list and watch, for ever."""
    version = cluster.api.get(path)["metadata"]["resourceVersion"]
    connection = http.client.HTTPSConnection(cluster.api.address, context=cluster.api.context)
    join = "&" if "?" in path else "?"
    connection.request("GET", f"/{path}{join}watch=1&resourceVersion={version}")
    response = connection.getresponse()
    while line := response.readline():
        now = time.perf_counter()
        event = json.loads(line)
        yield now, event["type"], event["object"]


class Seen:
    """What a watch of a namespace's pods saw first, and when."""

    def __init__(self, case):
        self.times, self.news = {}, queue.Queue()
        threading.Thread(target=self.follow, args=(case,), daemon=True).start()
        time.sleep(0.5)

    def follow(self, case):
        for now, kind, made in watch(case.cluster, case.path("Pod")):
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
            self.news.get(timeout=max(0.01, deadline - time.monotonic()))
        return self.times[name, what]


class NullNode:
    """A Node without a machine: every pod bound to it is Running as soon as it is seen, and gone when it should go."""

    def __init__(self, cluster, name):
        self.api = cluster.api
        self.api.call("POST", "api/v1/nodes", {"metadata": {"name": name}})
        for thread in range(4):  # a burst is not to wait for one patch after the other
            threading.Thread(target=self.work, daemon=True).start()
        self.jobs = queue.Queue()
        threading.Thread(target=self.follow, args=(cluster, name), daemon=True).start()
        time.sleep(0.5)

    def follow(self, cluster, name):
        for _, kind, made in watch(cluster, "api/v1/pods?fieldSelector=spec.nodeName%3D" + name):
            if kind == "ADDED" or (kind == "MODIFIED" and "deletionTimestamp" in made["metadata"]):
                self.jobs.put(made)

    def work(self):
        while not hasattr(self, "jobs"):
            time.sleep(0.01)
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


def show(what, values):
    print(f"{what:44} p50 {percentile(values, 0.5):8.1f}  p99 {percentile(values, 0.99):8.1f}  "
          f"min {min(values):8.1f}  max {max(values):8.1f}  n {len(values)}", flush=True)


def one_at_a_time(case, node, label):
    seen, running, gone = Seen(case), [], []
    for n in range(ROUNDS + 2):
        name = f"one-{n}"
        began = time.perf_counter()
        case.create("Pod", made_pod(name, node))
        up = seen.wait(name, "Running")
        time.sleep(0.2)
        deleted = time.perf_counter()
        case.delete("Pod", name)
        down = seen.wait(name, "gone")
        if n >= 2:  # the first ones fill caches
            running.append((up - began) * 1000)
            gone.append((down - deleted) * 1000)
        time.sleep(0.1)
    show(f"{label}: create -> Running", running)
    show(f"{label}: delete -> gone", gone)


def burst(case, node, label, keep=None):
    seen, names = Seen(case), [f"burst-{n}" for n in range(BURST)]
    work = queue.Queue()
    for name in names:
        work.put(name)

    def create():
        while True:
            try:
                name = work.get_nowait()
            except queue.Empty:
                return
            case.create("Pod", made_pod(name, node))

    began = time.perf_counter()
    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    last = max(seen.wait(name, "Running", 120) for name in names)
    for thread in threads:
        thread.join()
    print(f"{label}: burst of {BURST}, first create to last Running  {(last - began) * 1000:10.1f}", flush=True)
    if keep:
        keep()
    began = time.perf_counter()
    for name in names:
        case.delete("Pod", name)
    last = max(seen.wait(name, "gone", 120) for name in names)
    print(f"{label}: the same deleted, to the last gone             {(last - began) * 1000:10.1f}", flush=True)


class Programs:
    """The node's own programs: what runs in its PID namespace and is no container."""

    OURS = ("skiffd", "skiff-netproxy", "skiff-shim", "skiff-image")
    UPSTREAM = ("kubelet", "kube-proxy", "peers", "containerd", "containerd-shim", "pause")

    def __init__(self, cluster, node):
        self.names = self.OURS if cluster.is_skiff else self.UPSTREAM
        pid = cluster._service("pid", node + "/skiffd").strip()
        self.namespace = os.readlink(f"/proc/{pid}/ns/pid")

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


def main(folder, node="node-1"):
    cluster = Cluster(folder)
    label = "skiff" if cluster.is_skiff else "upstream"
    programs = Programs(cluster, node)
    with Case(cluster, "bench") as case:
        case.run("warm-up", shell("c", "true"), node=node, restartPolicy="Never")
        case.wait_phase("warm-up", "Succeeded", 60)
        case.delete("Pod", "warm-up")
        wait_for("no pods", lambda: not case.list("Pod"))
        empty = programs.memory()
        print(f"{label}: memory without pods: Private_Dirty {empty[0]} kB, PSS {empty[1]} kB", flush=True)
        one_at_a_time(case, node, label)

        def look_at_idle():
            full = programs.memory()
            print(f"{label}: memory for each of {BURST} pods: Private_Dirty {(full[0] - empty[0]) / BURST:.0f} kB, PSS {(full[1] - empty[1]) / BURST:.0f} kB")
            time.sleep(5)
            before = programs.cpu()
            time.sleep(IDLE_SECONDS)
            used = programs.cpu() - before
            print(f"{label}: {BURST} idle pods use {used:.2f} CPU s in {IDLE_SECONDS} s, {100 * used / IDLE_SECONDS:.2f} % of a core", flush=True)
        burst(case, node, label, look_at_idle)
    NullNode(cluster, "null")
    try:
        with Case(cluster, "null") as case:
            one_at_a_time(case, "null", "null node")
            burst(case, "null", "null node")
    finally:
        cluster.api.call("DELETE", "api/v1/nodes/null", absent_ok=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
