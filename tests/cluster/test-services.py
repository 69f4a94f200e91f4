#!/usr/bin/env python3
"""Services: who reaches what, spread over whom, and what happens when nobody is there."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, container, expect, expect_equal, expect_match, script, test, wait_for, web


def serve(t, name="web", replicas=3, port=80, **spec):
    """A Deployment and a Service for it; both ready. The Service."""
    t.deployment(name, replicas, web())
    made = t.service(name, port, **spec)
    t.wait_pods(replicas, app=name)
    wait_for("endpoints", lambda: len(t.endpoints(name)) == replicas)
    return made


def ask_from_pod(t, node, script_text, name="client"):
    """What a shell script prints in a pod on that node."""
    return t.output(f"{name}-{node}", container("c", "sh", "-c", script_text, image="skiff-test/web:1"), node=node)


def servers(text):
    return {line.split()[0] for line in text.splitlines() if len(line.split()) == 2}


def wait_answer(t, node, url):
    wait_for(f"{url} answers on {node}", lambda: answer_or_none(t, node, url))


def answer_or_none(t, node, url):
    try:
        return t.cluster.curl(node, url)
    except Failure:
        return None


def get_from_pod(t, node, target, count=1, name="client"):
    return ask_from_pod(t, node, f"/web get {target} {count}; true", name).strip()


@test
def a_cluster_ip_answers_from_every_side_and_spreads(t):
    ip = serve(t)["spec"]["clusterIP"]
    names = {p["metadata"]["name"] for p in t.list("Pod", app="web")}
    for node in t.nodes:
        wait_answer(t, node, f"http://{ip}/")
        text = get_from_pod(t, node, f"{ip}:80/", 30)
        expect("failed" not in text, f"from a pod on {node}: {text}")
        expect_equal(servers(text), names, f"servers that answered a pod on {node}")
        text = "\n".join(t.cluster.curl(node, f"http://{ip}/") for _ in range(30))
        expect_equal(servers(text), names, f"servers that answered {node} itself")


@test
def a_node_port_answers_on_every_node_to_inside_and_outside(t):
    made = serve(t, type="NodePort")
    port = made["spec"]["ports"][0]["nodePort"]
    names = {p["metadata"]["name"] for p in t.list("Pod", app="web")}
    for node in t.nodes:
        url = f"http://{t.cluster.node_ip(node)}:{port}/"
        wait_answer(t, "hub", url)
        expect_equal(servers("\n".join(t.cluster.curl("hub", url) for _ in range(30))), names, f"{url} from outside")
        for other in t.nodes:
            expect(t.cluster.curl(other, url), f"{url} from {other}")
        text = get_from_pod(t, node, f"{t.cluster.node_ip(t.nodes[0])}:{port}/", 30, name="inside")
        expect("failed" not in text and servers(text) == names, f"node port from a pod on {node}: {text}")


@test
def udp_and_named_ports_are_served(t):
    t.deployment("web", 1, web())
    made = t.service("web", {"name": "dns", "port": 53, "targetPort": 8080, "protocol": "UDP"},
                     {"name": "web", "port": 80, "targetPort": "http"})
    name = t.wait_pods(1, app="web")[0]["metadata"]["name"]
    ip = made["spec"]["clusterIP"]
    wait_answer(t, "node-1", f"http://{ip}/")
    for node in t.nodes:
        text = ask_from_pod(t, node, f"/web udp {ip}:53 5; /web get {ip}:80/")
        expect_equal(servers(text), {name}, f"answers on {node}")
        expect_equal(len(text.splitlines()), 6, f"answers on {node}: {text!r}")


@test(skiff_only=True)
def the_node_tells_where_a_service_leads_and_why_not_elsewhere(t):
    made = serve(t, replicas=2, type="NodePort", externalTrafficPolicy="Local")
    ip, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    pods = {p["status"]["podIP"]: p["spec"]["nodeName"] for p in t.list("Pod", app="web")}
    node = t.nodes[0]
    program = os.path.abspath(os.path.join(os.environ.get("SKIFF_BUILD", os.path.join(
        os.path.dirname(__file__), "..", "..", "build")), "cli", "skiff"))
    socket = os.path.join(t.cluster.node_folder(node), "run", "netproxy.sock")

    def skiff(*words):
        done = t.cluster.inside(node, program, *words, "--socket", socket, "-o", "json", check=False)
        expect_equal(done.returncode, 0, f"exit code of skiff {words}: {done.stderr}")
        return json.loads(done.stdout)

    wait_for("both endpoints are known", lambda: any(
        (s["name"], s["endpoints"]["ready"], s["inForce"]) == ("web", 2, True) for s in skiff("services", "-n", t.namespace)["items"]))
    service = skiff("service", f"{t.namespace}/web")
    known = {e["address"]: e["node"] for e in service["ports"][0]["endpoints"]}
    expect_equal(known, pods, "endpoints and their nodes")
    trace = skiff("trace", f"{ip}:80")
    expect_equal((trace["kind"], trace["service"]), ("ClusterIP", f"{t.namespace}/web"), "whose cluster IP it is")
    expect_equal({e["address"]: e["node"] for e in trace["ways"][0]["endpoints"]}, pods, "where it leads")
    expect(trace["kernel"]["agrees"], f"the kernel has what the proxy thinks: {trace['kernel']}")
    trace = skiff("trace", f"{t.cluster.node_ip(node)}:{port}")
    outside = next(w for w in trace["ways"] if "outside" in w["from"])
    here = [a for a, n in pods.items() if n == node]
    expect_equal(sorted(e["address"] for e in outside["endpoints"]), sorted(here), "endpoints for who comes from outside")
    expect_equal((trace["kind"], outside["verdict"]), ("NodePort", "sent" if here else "dropped"), "a node port of policy Local")
    address = next(iter(pods))
    trace = skiff("trace", f"{address}:80")
    expect_equal(trace.get("pod", {}).get("namespace"), t.namespace if pods[address] == node else None, "a pod's own address")


@test
def a_service_without_endpoints_refuses_at_once(t):
    made = serve(t, type="NodePort")
    ip, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    wait_answer(t, "node-1", f"http://{ip}/")
    t.kubectl("scale", "deployment/web", "--replicas=0")
    wait_for("no endpoints", lambda: not t.endpoints("web"))

    def refused(where, url):
        began = time.monotonic()
        done = t.cluster.on(where, "curl", "-sS", "--max-time", "3", url, check=False)
        took = time.monotonic() - began
        if done.returncode == 7 and took < 1:
            return True
        raise Failure(f"{url} from {where}: exit {done.returncode} after {took:.1f} s: {done.stdout} {done.stderr}")

    for node in t.nodes:
        wait_for("refused", lambda: refused(node, f"http://{ip}/"), timeout=10)
        wait_for("refused", lambda: refused("hub", f"http://{t.cluster.node_ip(node)}:{port}/"), timeout=10)
        expect_equal(get_from_pod(t, node, f"{ip}:80/"), "failed: Connection refused", f"from a pod on {node}")


@test
def a_pod_that_is_not_ready_leaves_and_comes_back(t):
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    t.deployment("web", 2, web(readinessProbe=probe))
    ip = t.service("web", 80)["spec"]["clusterIP"]
    first, second = t.wait_pods(2, app="web")
    wait_for("two endpoints", lambda: len(t.endpoints("web")) == 2)
    wait_answer(t, "node-1", f"http://{ip}/")
    t.cluster.curl("node-1", f"http://{first['status']['podIP']}:8080/set/ready/0")
    wait_for("one endpoint", lambda: t.endpoints("web") == [second["status"]["podIP"]])

    def only(*wanted):
        seen = servers("\n".join(t.cluster.curl("node-1", f"http://{ip}/") for _ in range(20)))
        if seen == {p["metadata"]["name"] for p in wanted}:
            return True
        raise Failure(f"answers of {seen}")

    wait_for("only the ready pod answers", lambda: only(second), timeout=5)
    t.cluster.curl("node-1", f"http://{first['status']['podIP']}:8080/set/ready/1")
    wait_for("both answer again", lambda: only(first, second), timeout=15)


@test
def a_load_balancer_sees_which_nodes_have_endpoints(t):
    made = serve(t, replicas=1, type="LoadBalancer", externalTrafficPolicy="Local")
    home = t.list("Pod", app="web")[0]["spec"]["nodeName"]
    port, health = made["spec"]["ports"][0]["nodePort"], made["spec"]["healthCheckNodePort"]

    def told(node):
        done = t.cluster.on("hub", "curl", "-s", "--max-time", "3", "-w", " %{http_code}",
                            f"http://{t.cluster.node_ip(node)}:{health}/", check=False)
        answer, _, code = done.stdout.rpartition(" ")
        return int(code), json.loads(answer)["localEndpoints"] if answer else None

    for node in t.nodes:
        wait_for(f"health of {node}", lambda: told(node) == ((200, 1) if node == home else (503, 0)), timeout=10)
        url = f"http://{t.cluster.node_ip(node)}:{port}/"
        expect_equal(answer_or_none(t, "hub", url) is not None, node == home, f"{url} answers from outside")
        wait_answer(t, node, url)  # the node itself is served by all nodes' endpoints
    t.kubectl("scale", "deployment/web", "--replicas=0")
    wait_for("health without endpoints", lambda: told(home) == (503, 0), timeout=10)


@test
def session_affinity_keeps_a_client_with_one_pod(t):
    made = serve(t, type="NodePort", sessionAffinity="ClientIP")
    ip, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    for node in t.nodes:
        wait_answer(t, node, f"http://{ip}/")
        text = get_from_pod(t, node, f"{ip}:80/", 30)
        expect("failed" not in text and len(servers(text)) == 1, f"from one pod on {node}: {text}")
    url = f"http://{t.cluster.node_ip('node-1')}:{port}/"
    expect_equal(len(servers("\n".join(t.cluster.curl("hub", url) for _ in range(20)))), 1, f"servers of {url}")


ASK_VERSION = r"(printf 'GET /version HTTP/1.0\r\n\r\n'; sleep 1) | openssl s_client -quiet -connect 10.96.0.1:443 2>/dev/null"


@test
def the_api_server_is_reached_by_the_address_of_its_service(t):
    for node in t.nodes:
        text = t.output(f"client-{node}", container("c", "sh", "-c", ASK_VERSION, image="skiff-test/tls:1"), node=node)
        expect_match(text, r'"gitVersion": "v1\.', f"/version from a pod on {node}")
        text = t.cluster.on(node, "curl", "-sk", "--max-time", "5", "https://10.96.0.1/version")
        expect_match(text, r'"gitVersion": "v1\.', f"/version from {node}")


@test
def a_pod_reaches_itself_by_its_own_service(t):
    ip = t.service("web", 80)["spec"]["clusterIP"]
    loop = f"while :; do /web get {ip}:80/; sleep 1; done"
    t.deployment("web", 1, web(), container("loop", "sh", "-c", loop, image="skiff-test/web:1"))
    name = t.wait_pods(1, app="web")[0]["metadata"]["name"]
    wait_for("an answer of itself", lambda: f"{name} 1\n" in t.logs(name, "-c", "loop"), timeout=15, every=1)


@test(skiff_only=True)  # the bridge plugin of an upstream node hides it
def a_pod_sees_the_address_of_the_pod_that_asks(t):
    ip = serve(t, replicas=1)["spec"]["clusterIP"]
    server = t.list("Pod", app="web")[0]["status"]["podIP"]
    wait_answer(t, "node-1", f"http://{ip}/")
    for node in t.nodes:
        for name, url in (("direct", f"{server}:8080/client"), ("service", f"{ip}:80/client")):
            seen = get_from_pod(t, node, url, name=name)
            own = t.pod(f"{name}-{node}")["status"]["podIP"]
            expect_equal(seen, own, f"client address, {name} from {node}")


@test(skiff_only=True)  # as above
def another_node_sees_the_address_of_the_pod_that_asks(t):
    t.run("server", web(), node=t.nodes[0], hostNetwork=True)
    t.wait_ready("server")
    seen = get_from_pod(t, t.nodes[1], f"{t.cluster.node_ip(t.nodes[0])}:8080/client")
    expect_equal(seen, t.pod(f"client-{t.nodes[1]}")["status"]["podIP"], "client address")


@test
def a_pod_leaves_the_cluster_under_its_nodes_address(t):
    listen = "import socket; s = socket.create_server(('', 8079)); print('up', flush=True); print(s.accept()[1][0])"
    outside = subprocess.Popen(["nsenter", "--net=" + t.cluster.netns("hub"), "--", sys.executable, "-c", listen],
                               stdout=subprocess.PIPE, text=True)
    t.cleanups.append(outside.kill)
    expect_equal(outside.stdout.readline(), "up\n", "server on the hub")
    get_from_pod(t, t.nodes[1], f"{t.cluster.hub_ip}:8079/")
    expect_equal(outside.communicate(timeout=10)[0].strip(), t.cluster.node_ip(t.nodes[1]), "client address")


@test
def a_host_port_leads_to_its_pod(t):
    t.run("p", container("web", image="skiff-test/web:1", ports=[{"containerPort": 8080, "hostPort": 18080}]), node="node-1")
    t.wait_ready("p")
    url = f"http://{t.cluster.node_ip('node-1')}:18080/"
    for where in ("hub", "node-1", "node-2"):
        wait_for(f"hostPort from {where}", lambda: answer_or_none(t, where, url) == "p 1", timeout=5)
    expect_equal(get_from_pod(t, "node-2", url.removeprefix("http://")), "p 1", "hostPort from a pod on another node")
    t.delete("Pod", "p", gracePeriodSeconds=0)
    wait_for("hostPort is gone", lambda: answer_or_none(t, "hub", url) is None, timeout=10)


@test
def a_host_port_on_a_loopback_address_answers_the_nodes_own_address(t):
    t.run("p", container("web", image="skiff-test/web:1", ports=[{"containerPort": 8080, "hostPort": 18081, "hostIP": "127.0.0.1"}]), node="node-1")
    t.wait_ready("p")
    seen = t.cluster.curl("node-1", "http://127.0.0.1:18081/", "--interface", t.cluster.node_ip("node-1"))
    expect_equal(seen, "p 1", "answer to the node's own address")


@test
def a_changed_service_is_followed(t):
    t.deployment("one", 1, web())
    t.deployment("two", 1, web())
    ip = t.service("svc", 80, selector={"app": "one"})["spec"]["clusterIP"]
    t.wait_pods(1, app="one")
    t.wait_pods(1, app="two")
    wait_answer(t, "node-1", f"http://{ip}/")
    t.patch("Service", "svc", {"spec": {"selector": {"app": "two"}, "ports": [{"$patch": "replace"}, {"port": 81, "targetPort": 8080}]}})
    for node in t.nodes:
        wait_for("the new port", lambda: (answer_or_none(t, node, f"http://{ip}:81/") or "").startswith("two-"), timeout=10)
        wait_for("the old port", lambda: answer_or_none(t, node, f"http://{ip}/") is None, timeout=10)


if __name__ == "__main__":
    script()
