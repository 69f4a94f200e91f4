#!/usr/bin/env python3
"""tests/bench/services.py DIR [DIR...]: how quick the service proxy on the first node of the cluster in each DIR
is, with 1,000 Services of 3 endpoints, through a real API server. Compared in turn; times in ms.

    first sync          the proxy's process begins, with no rules here, until a Service answers
    endpoint changed    a slice with another endpoint is written, until a packet to the ClusterIP meets that one;
                        beside it until a watch shows the slice: what the API server costs

Environment: BENCH_SERVICES (1000), BENCH_ROUNDS (40), BENCH_STARTS (5)."""
import contextlib
import ctypes
import os
import queue
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pods import percentile, version_of, watch  # noqa: E402
from skifftest import Case, Cluster, Failure  # noqa: E402

SERVICES = int(os.environ.get("BENCH_SERVICES", "1000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
STARTS = int(os.environ.get("BENCH_STARTS", "5"))
PROBED = 20  # Services whose endpoint is a socket of ours
PORT = 7007
CLONE_NEWNET = 0x40000000


class Probe:
    """Sends a datagram a millisecond to a ClusterIP in a node's network namespace, each from a fresh port so that
    no connection tracked before decides where it goes, and notes where and when it arrives first."""

    def __init__(self, namespace, addresses):
        self.namespace, self.addresses = namespace, addresses
        self.target, self.token, self.arrived = None, 0, queue.Queue()
        self.lock = threading.Lock()
        for work in (self.send, self.receive):
            threading.Thread(target=work, daemon=True).start()

    def enter(self):
        with open(self.namespace, "rb") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")

    def send(self):
        self.enter()
        while True:
            with self.lock:
                target, token = self.target, self.token
            if target:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(OSError):
                    s.sendto(str(token).encode(), (target, PORT))
            time.sleep(0.001)

    def receive(self):
        self.enter()
        sockets = {}
        for address in self.addresses:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((address, PORT))
            sockets[s] = address
        while True:
            for s in select.select(list(sockets), [], [])[0]:
                token = int(s.recv(64))
                self.arrived.put((token, sockets[s], time.perf_counter()))

    def aim(self, target):
        with self.lock:
            self.target, self.token = target, self.token + 1
        return self.token

    def wait(self, token, address, timeout=60):
        """When a datagram of this aim came to the address first."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                seen = self.arrived.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Failure(f"no packet came to {address} within {timeout} s") from None
            if seen[:2] == (token, address):
                return seen[2]


class Side:
    """The cluster, its Services, and what was measured."""

    def __init__(self, case, label):
        self.case, self.label, self.cluster = case, label, case.cluster
        self.part = "node-1/skiff-netproxy"
        here, there = self.cluster.node_ip("node-1"), self.cluster.settings["SUBNET"] + ".200"
        self.cluster.on("node-1", "ip", "address", "replace", there + "/32", "dev", "lo")
        self.addresses = [here, there]
        self.probe = Probe(self.cluster.netns("node-1"), self.addresses)
        self.figures = {"first": [], "changed": [], "seen": []}
        self.ips, self.at = {}, [0] * PROBED
        self.news = queue.Queue()
        self.make()
        version = version_of(self.cluster, self.case.path("EndpointSlice"))
        threading.Thread(target=self.follow, args=(version,), daemon=True).start()
        self.wait_answer(0)

    def slice(self, n):
        first = self.addresses[self.at[n]] if n < PROBED else f"10.201.{n >> 8}.{n & 255}"
        # of a probed Service one endpoint is ready, so that it is known where a packet goes
        ready = [{"ready": True}] + [{"ready": n >= PROBED, "serving": n >= PROBED}] * 2
        addresses = [first, f"10.202.{n >> 8}.{n & 255}", f"10.203.{n >> 8}.{n & 255}"]
        return {"metadata": {"name": f"s{n}", "labels": {"kubernetes.io/service-name": f"s{n}"}}, "addressType": "IPv4",
                "ports": [{"name": "", "port": PORT, "protocol": "UDP"}],
                "endpoints": [{"addresses": [a], "conditions": c} for a, c in zip(addresses, ready)]}

    def make(self):
        work = queue.Queue()
        for n in range(SERVICES):
            work.put(n)

        def create():
            with contextlib.suppress(queue.Empty):
                while True:
                    n = work.get_nowait()
                    made = self.case.create("Service", {"metadata": {"name": f"s{n}"}, "spec": {
                        "ports": [{"port": PORT, "protocol": "UDP"}]}})
                    self.ips[n] = made["spec"]["clusterIP"]
                    self.case.create("EndpointSlice", self.slice(n))

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(self.ips) != SERVICES:
            raise Failure(f"{len(self.ips)} of {SERVICES} Services could be made")

    def follow(self, version):
        for now, _, made in watch(self.cluster, self.case.path("EndpointSlice"), version):
            self.news.put((made["metadata"]["name"], made["endpoints"][0]["addresses"][0], now))

    def wait_answer(self, n):
        token = self.probe.aim(self.ips[n])
        try:
            return self.probe.wait(token, self.addresses[self.at[n]])
        finally:
            self.probe.aim(None)

    def begin(self):
        """The proxy starts where there are no rules."""
        self.cluster.stop(self.part)
        self.cluster.on("node-1", "nft", "flush", "ruleset")
        token = self.probe.aim(self.ips[1])
        self.cluster.start(self.part)
        pid = self.cluster._service("pid", self.part).strip()
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            ticks = int(f.read().rpartition(") ")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        began = time.perf_counter() - age
        arrived = self.probe.wait(token, self.addresses[self.at[1]])
        self.probe.aim(None)
        self.figures["first"].append((arrived - began) * 1000)

    def change(self, n):
        self.at[n] ^= 1
        wanted = self.addresses[self.at[n]]
        token = self.probe.aim(self.ips[n])
        while not self.news.empty():
            self.news.get()
        began = time.perf_counter()
        self.cluster.api.call("PUT", self.case.path("EndpointSlice", f"s{n}"),
                              {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **self.slice(n)})
        self.figures["changed"].append((self.probe.wait(token, wanted) - began) * 1000)
        self.probe.aim(None)
        while (seen := self.news.get(timeout=10))[:2] != (f"s{n}", wanted):
            pass
        self.figures["seen"].append((seen[2] - began) * 1000)


def show(what, sides, key):
    for side in sides:
        values = side.figures[key]
        ratio = "" if side is sides[-1] else \
            f"  {percentile(values, 0.5) / percentile(sides[-1].figures[key], 0.5):.3f} of {sides[-1].label}"
        print(f"{side.label + ': ' + what:44} p50 {percentile(values, 0.5):8.1f}  p99 {percentile(values, 0.99):8.1f}  "
              f"quartiles {percentile(values, 0.25):.1f} to {percentile(values, 0.75):.1f}  n {len(values)}{ratio}", flush=True)


def main(folders):
    with contextlib.ExitStack() as stack:
        sides = []
        for cluster in map(Cluster, folders):
            case = stack.enter_context(Case(cluster, "services"))
            sides.append(Side(case, "skiff" if cluster.is_skiff else "kube-proxy"))
        for n in range(ROUNDS):
            for side in sides:
                side.change(n % PROBED)
                time.sleep(0.3)
        for _ in range(STARTS):
            for side in sides:
                side.begin()
        print(f"{SERVICES} Services of 3 endpoints; load {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
        show("first sync, from the process's begin", sides, "first")
        show("endpoint changed, to the first packet", sides, "changed")
        show("  the same, to a watch that sees it", sides, "seen")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
