#!/usr/bin/env python3
"""skiffd, skiff-netproxy and the API server die and come back: no container restarts, no status is lost,
Services keep routing. These tests disturb a node or all of them, so each runs alone."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, brief, condition, container, expect, expect_equal, pod, script, shell, test, wait_for, web

OUTAGE = float(os.environ.get("SKIFF_OUTAGE_SECONDS", "120"))
AGENT, PROXY = "node-1/skiffd", "node-1/skiff-netproxy"


def identities(seen):
    """What must not change when an agent restarts."""
    return {c["name"]: (c["containerID"], c["restartCount"], c["state"]) for c in seen["status"]["containerStatuses"]}


def wait_node_ready(t, node="node-1", timeout=40):
    wait_for(f"{node} Ready", lambda: condition(t.cluster.node(node), "Ready").get("status") == "True", timeout)


def kill(t, part):
    """kill -9; when the test breaks off before it starts the part again, that is done at its end."""
    t.cluster.kill(part)
    t.cleanups.append(lambda: t.cluster.runs(part) or t.cluster.start(part))


def restart(t, part, down=0.0):
    kill(t, part)
    time.sleep(down)
    t.cluster.start(part)


class Traffic:
    """Asks a URL from a node all the time; counts what failed."""

    def __init__(self, t, node, url):
        self.t, self.node, self.url = t, node, url
        self.good, self.bad, self.stopping = 0, [], False
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.stopping:
            done = self.t.cluster.on(self.node, "curl", "-sS", "--fail", "--max-time", "2", self.url, check=False)
            if done.returncode == 0:
                self.good += 1
            else:
                self.bad.append(done.stderr.strip())
            time.sleep(0.2)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stopping = True
        self.thread.join()

    def expect_unbroken(self, more=10):
        """All went well so far, and so do as many more."""
        wanted = self.good + more
        wait_for("more answers", lambda: self.bad or self.good >= wanted)
        expect(not self.bad, f"{self.good} answers, {len(self.bad)} failures: {self.bad[:3]}")


def serve(t, replicas=2):
    t.deployment("web", replicas, web())
    ip = t.service("web", 80)["spec"]["clusterIP"]
    pods = t.wait_pods(replicas, app="web")
    wait_for("endpoints", lambda: len(t.endpoints("web")) == replicas)
    url = f"http://{ip}/"

    def answers():
        return all(t.cluster.on(node, "curl", "-s", "--max-time", "1", url, check=False).returncode == 0 for node in t.nodes)
    wait_for("the service answers", answers)
    return url, pods


@test(alone=True)
def the_agent_is_killed_and_no_container_notices(t):
    t.run("p", web(), shell("c", "forever"), node="node-1")
    before = t.wait_ready("p")
    url, _ = serve(t)
    with Traffic(t, "node-1", url) as traffic:
        restart(t, AGENT, down=3)
        wait_node_ready(t)
        t.run("after", container("c", "true"), node="node-1", restartPolicy="Never")
        t.wait_phase("after", "Succeeded")
        traffic.expect_unbroken()
    expect_equal(identities(t.pod("p")), identities(before), "containers after the restart")
    expect_equal(condition(t.pod("p"), "Ready")["lastTransitionTime"], condition(before, "Ready")["lastTransitionTime"], "last transition of Ready")


@test(alone=True)
def what_ended_while_the_agent_was_away_is_told_with_its_exit_code(t):
    words = "last words in " + t.namespace
    t.run("p", container("c", "sh", "-c", f"sleep 4; echo {words}; exit 42"), node="node-1", restartPolicy="Never")
    wait_for("running", lambda: "running" in t.status("p").get("state", {}))
    kill(t, AGENT)
    wait_for("its process ends", lambda: words not in t.cluster.inside("node-1", "ps", "-eo", "args"))
    expect_equal(t.pod("p")["status"]["phase"], "Running", "phase while nobody can tell")
    t.cluster.start(AGENT)
    began = time.monotonic()
    seen = t.wait_phase("p", "Failed")
    took = time.monotonic() - began
    state = seen["status"]["containerStatuses"][0]["state"]["terminated"]
    expect_equal((state["exitCode"], state["reason"]), (42, "Error"), "state")
    expect_equal(t.logs("p"), words + "\n", "log")
    if t.cluster.is_skiff:
        expect(took < 2, f"the right status took {took:.1f} s")


@test(alone=True)
def a_pod_deleted_while_the_agent_was_away_goes(t):
    t.run("p", shell("c", "forever"), node="node-1")
    t.wait_ready("p")
    kill(t, AGENT)
    t.kubectl("delete", "pod", "p", "--wait=false")
    t.run("new", container("c", "true"), node="node-1", restartPolicy="Never")
    t.cluster.start(AGENT)
    t.wait_gone("Pod", "p", 20)
    t.wait_phase("new", "Succeeded")


@test(alone=True)
def the_agent_restarts_in_the_middle_of_starting_pods(t):
    for n in range(8):
        t.run(f"p{n}", web(imagePullPolicy="Always"), node="node-1")
        if n == 4:
            restart(t, AGENT)
    for n in range(8):
        expect_equal(t.wait_ready(f"p{n}", 60)["status"]["containerStatuses"][0]["restartCount"], 0, f"restarts of p{n}")
    addresses = {t.pod(f"p{n}")["status"]["podIP"] for n in range(8)}
    expect_equal(len(addresses), 8, "different addresses")


@test(alone=True)
def the_proxy_is_killed_and_traffic_goes_on(t):
    url, pods = serve(t)
    with Traffic(t, "node-1", url) as traffic:
        kill(t, PROXY)
        traffic.expect_unbroken()
        t.cluster.start(PROXY)
        wait_for("the proxy is healthy", lambda: t.cluster.curl("node-1", "http://127.0.0.1:10256/healthz"))
        traffic.expect_unbroken()
    # what changed while it was away is in force soon after
    kill(t, PROXY)
    t.kubectl("scale", "deployment/web", "--replicas=1")
    wait_for("one endpoint", lambda: len(t.endpoints("web")) == 1)
    t.wait_pods(1, app="web")
    t.cluster.start(PROXY)
    began = time.monotonic()
    name = t.list("Pod", app="web")[0]["metadata"]["name"]

    def only_one():
        answers = {t.cluster.on("node-1", "curl", "-s", "--max-time", "1", url, check=False).stdout.strip() for _ in range(10)}
        if answers == {f"{name} 1"}:
            return True
        raise Failure(str(answers))
    wait_for("only the pod that is left answers", only_one, timeout=20)
    if t.cluster.is_skiff:
        expect(time.monotonic() - began < 4, f"took {time.monotonic() - began:.1f} s")


@test(alone=True, timeout=400)
def the_api_server_is_away_and_everything_goes_on(t):
    t.run("steady", web(), node="node-1")
    t.run("ends", container("c", "sh", "-c", "sleep 15; exit 9"), node="node-1", restartPolicy="Never")
    t.run("again", container("c", "sh", "-c", "sleep 15"), node="node-1")
    before = t.wait_ready("steady")
    for name in ("ends", "again"):
        wait_for("running", lambda: "running" in t.status(name).get("state", {}))
    url, _ = serve(t)
    restarts = t.status("again")["restartCount"]
    kill(t, "kube-apiserver")
    with Traffic(t, "node-1", url) as traffic:
        time.sleep(OUTAGE / 2)
        if t.cluster.is_skiff:
            restart(t, AGENT)
            restart(t, PROXY)
        time.sleep(OUTAGE / 2)
        traffic.expect_unbroken()
        t.cluster.start("kube-apiserver")
        wait_for("the API server is back", lambda: api_is_up(t), timeout=60)
        back = time.monotonic()
        ends = t.wait_phase("ends", "Failed", 30)
        took = time.monotonic() - back
        traffic.expect_unbroken()
    expect_equal(ends["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 9, "exit code of the pod that ended meanwhile")
    wait_for("restarts are told", lambda: t.status("again").get("restartCount", 0) > restarts, timeout=30)
    expect_equal(identities(t.pod("steady")), identities(before), "the pod that went on")
    wait_node_ready(t)
    if t.cluster.is_skiff:
        expect(took < 2, f"the right status took {took:.1f} s after the API server was ready")
    t.run("after", container("c", "true"), node="node-1", restartPolicy="Never")
    t.wait_phase("after", "Succeeded", 60)
    # upstream's own back-off after such an outage takes a minute; the tests that follow need not wait
    for part in ("kube-controller-manager", "kube-scheduler"):
        t.cluster.kill(part)
        t.cluster.start(part)


def api_is_up(t):
    try:
        return t.api.request("GET", "readyz")[0] == 200
    except OSError:
        return False


@test(alone=True, skiff_only=True)
def a_pod_that_has_ended_and_stays_in_the_api_is_no_trouble_when_the_api_server_returns(t):
    kept = pod("kept", shell("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"), node="node-1")
    kept["metadata"]["finalizers"] = ["example.org/kept"]
    t.create("Pod", kept)
    t.cleanups.append(lambda: t.get("Pod", "kept") and t.patch("Pod", "kept", {"metadata": {"finalizers": None}}))
    t.wait_ready("kept")
    t.delete("Pod", "kept", gracePeriodSeconds=5)
    wait_for("all but the finalizer is done", lambda: t.get("Pod", "kept")["metadata"].get("deletionGracePeriodSeconds") == 0)
    kill(t, "kube-apiserver")
    t.cluster.start("kube-apiserver")
    wait_for("the API server is back", lambda: api_is_up(t), timeout=60)
    t.run("next", shell("c", "sleep 1000"), node="node-1")
    t.wait_ready("next")
    expect(t.cluster.runs(AGENT), "the agent does not run any more")
    t.patch("Pod", "kept", {"metadata": {"finalizers": None}})
    t.wait_gone("Pod", "kept")


@test(alone=True, skiff_only=True)
def the_local_socket_and_skiff_work_without_the_api_server(t):
    import json
    socket = os.path.join(t.cluster.node_folder("node-1"), "run", "skiff.sock")
    name = f"{t.namespace}/p"
    program = os.path.join(os.environ.get("SKIFF_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build")), "cli", "skiff")
    program = os.path.abspath(program)

    def skiff(*words, code=0):
        done = t.cluster.inside("node-1", program, "--socket", socket, *words, check=False)
        expect_equal(done.returncode, code, f"exit code of skiff {words}: {done.stderr}")
        return done.stdout

    t.run("p", container("c", "sh", "-c", "echo words; sleep 1000"), node="node-1")
    t.wait_ready("p")
    kill(t, "kube-apiserver")
    try:
        curl = t.cluster.inside("node-1", "curl", "-sS", "--fail", "--max-time", "5", "--unix-socket", socket, "http://skiff/v1/pods", check=False)
        pods = {p["metadata"]["name"]: p for p in json.loads(curl.stdout)["items"] if p["metadata"]["namespace"] == t.namespace}
        expect_equal(pods["p"]["status"]["phase"], "Running", brief(pods["p"]))
        expect(name in skiff("pods", "-o", "name").split(), "skiff pods -o name")
        expect("1/1" in skiff("pods", "-n", t.namespace), "skiff pods")
        shown = json.loads(skiff("pod", name, "-o", "json"))
        expect_equal(shown["status"]["containerStatuses"][0]["ready"], True, "ready of skiff pod")
        expect("started" in [s["step"] for s in shown["skiff"]["timeline"]], "steps of skiff pod")
        expect_equal(skiff("logs", name), "words\n", "skiff logs")
        expect_equal(skiff("exec", name, "--", "sh", "-c", "echo in; exit 7", code=7), "in\n", "skiff exec")
        expect("busybox" in skiff("images"), "skiff images")
        skiff("pod", t.namespace + "/no-such-pod", code=1)
        skiff("image", "rm", "no.such/image:1", code=1)
    finally:
        t.cluster.start("kube-apiserver")
        wait_for("the API server is back", lambda: api_is_up(t), timeout=60)


if __name__ == "__main__":
    script()
