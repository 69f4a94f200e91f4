#!/usr/bin/env python3
"""What a node says about itself, and what answers on its port."""
import datetime
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import condition, container, expect, expect_equal, expect_match, script, shell, test, wait_for


def os_release():
    with open("/etc/os-release", encoding="utf-8") as f:
        return dict(line.strip().replace('"', "").split("=", 1) for line in f if "=" in line)


@test
def kubectl_shows_nodes_ready_with_version_address_and_runtime(t):
    lines = t.cluster.kubectl("get", "nodes", "-o", "wide").splitlines()
    expect_equal(len(lines), 1 + len(t.nodes), "lines of kubectl get nodes")
    runtime = "skiff" if t.cluster.is_skiff else "containerd"
    for node, line in zip(t.nodes, lines[1:]):
        expect_match(line, rf"^{node} +Ready +<none> +\S+ +v1\.36\.\S+ +{t.cluster.node_ip(node)} ", "get nodes")
        expect(os_release()["PRETTY_NAME"] in line, line)
        expect(os.uname().release in line, line)
        expect(f" {runtime}://" in line, line)


@test
def a_node_reports_its_machine_and_its_capacity(t):
    status = t.cluster.node("node-1")["status"]
    info = status["nodeInfo"]
    for field in ("machineID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion"):
        expect(info.get(field), f"nodeInfo.{field} is empty")
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        expect_equal(info["bootID"], f.read().strip(), "bootID")
    expect_equal((info["operatingSystem"], info["architecture"]),
                 ("linux", {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]), "platform")
    capacity, allocatable = status["capacity"], status["allocatable"]
    expect_equal(capacity["cpu"], str(os.cpu_count()), "capacity.cpu")
    with open("/proc/meminfo", encoding="ascii") as f:
        total = int(f.readline().split()[1])
    expect_equal(capacity["memory"], f"{total}Ki", "capacity.memory")
    expect_equal(allocatable["memory"], f"{total - 100 * 1024}Ki", "allocatable.memory (evictionHard is 100Mi)")
    expect_equal((capacity["pods"], allocatable["pods"]), ("110", "110"), "pods")
    expect("ephemeral-storage" in capacity and "ephemeral-storage" in allocatable, capacity)
    expect_equal(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250, "kubelet's port")
    addresses = {a["type"]: a["address"] for a in status["addresses"]}
    expect_equal(addresses, {"InternalIP": t.cluster.node_ip("node-1"), "Hostname": "node-1"}, "addresses")


@test
def a_node_carries_the_well_known_labels(t):
    labels = t.cluster.node("node-1")["metadata"]["labels"]
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    for name, value in (("kubernetes.io/hostname", "node-1"), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", arch),
                        ("beta.kubernetes.io/os", "linux"), ("beta.kubernetes.io/arch", arch)):
        expect_equal(labels.get(name), value, name)


@test
def the_conditions_give_their_true_reasons(t):
    node = t.cluster.node("node-1")
    for kind, status, reason, message in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status")):
        seen = condition(node, kind)
        expect_equal((seen.get("status"), seen.get("reason")), (status, reason), kind)
        expect(message in seen["message"], seen["message"])
        expect(seen["lastHeartbeatTime"] and seen["lastTransitionTime"], seen)


@test
def the_lease_is_renewed_every_ten_seconds(t):
    path = "apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"

    def renewed():
        return datetime.datetime.fromisoformat(t.api.get(path)["spec"]["renewTime"].replace("Z", "+00:00"))

    lease = t.api.get(path)
    expect_equal((lease["spec"]["holderIdentity"], lease["spec"]["leaseDurationSeconds"]), ("node-1", 40), "lease")
    expect_equal([o["name"] for o in lease["metadata"]["ownerReferences"]], ["node-1"], "owner of the lease")
    first = renewed()
    second = wait_for("the lease is renewed", lambda: renewed() if renewed() != first else None, timeout=15)
    third = wait_for("the lease is renewed again", lambda: renewed() if renewed() != second else None, timeout=15)
    gap = (third - second).total_seconds()
    expect(8 <= gap <= 12, f"{gap} s between two renewals")


@test
def pods_get_addresses_of_the_nodes_pod_cidr(t):
    for node in t.nodes:
        t.run(f"on-{node}", container("c", "sleep", "1000"), node=node)
    for node in t.nodes:
        cidr = t.cluster.node(node)["spec"]["podCIDR"]
        seen = t.wait_ready(f"on-{node}")["status"]
        expect(seen["podIP"].startswith(cidr.rsplit(".", 1)[0] + "."), f"{seen['podIP']} is not in {cidr}")
        expect_equal(seen["podIPs"], [{"ip": seen["podIP"]}], "podIPs")
        expect_equal(seen["hostIP"], t.cluster.node_ip(node), "hostIP")


@test
def describe_node_lists_its_pods_and_what_they_ask_for(t):
    t.run("asks", container("c", "sleep", "1000", resources={"requests": {"cpu": "10m", "memory": "10Mi"}}), node="node-1")
    t.wait_ready("asks")
    text = t.cluster.kubectl("describe", "node", "node-1")
    expect_match(text, r"Non-terminated Pods:", "describe node")
    expect_match(text, rf"{t.namespace} +asks +10m \(\d+%\) +0 \(0%\) +10Mi", "describe node")
    expect_match(text, r"Ready +True +.*KubeletReady", "describe node")


@test
def the_port_answers_those_who_may_and_nobody_else(t):
    pki, ip = t.cluster.folder + "/control/pki", t.cluster.node_ip("node-1")

    def ask(path, *options):
        return subprocess.run(["curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", *options,
                               f"https://{ip}:10250{path}"], capture_output=True, text=True, check=False).stdout

    admin = ("--cert", pki + "/admin.crt", "--key", pki + "/admin.key")
    proxy = ("--cert", pki + "/proxy.crt", "--key", pki + "/proxy.key")
    token = t.kubectl("create", "token", "default").strip()
    bearer = ("-H", "Authorization: Bearer " + token)
    expect_equal(ask("/healthz", *admin), "200", "/healthz for an administrator")
    expect_equal(ask("/pods", *admin), "200", "/pods for an administrator")
    expect_equal(ask("/no/such/thing", *admin), "404", "an unknown path for an administrator")
    expect_equal(ask("/pods"), "401", "/pods without credentials")
    expect_equal(ask("/pods", "-H", "Authorization: Bearer nonsense"), "401", "/pods with a bad token")
    expect_equal(ask("/pods", *proxy), "403", "/pods for system:kube-proxy")
    expect_equal(ask("/pods", *bearer), "403", "/pods for a service account without rights")
    t.cluster.kubectl("create", "clusterrolebinding", t.namespace, "--clusterrole=system:kubelet-api-admin",
                      f"--serviceaccount={t.namespace}:default")
    t.cleanups.append(lambda: t.cluster.kubectl("delete", "clusterrolebinding", t.namespace))
    # an authorizer may remember a refusal for 30 s, so another token asks
    bearer = ("-H", "Authorization: Bearer " + t.kubectl("create", "token", "default").strip())
    wait_for("/pods for a service account with rights", lambda: ask("/pods", *bearer) == "200", timeout=40, every=1)


@test
def the_api_server_proxies_to_the_node(t):
    expect_equal(t.cluster.kubectl("get", "--raw", "/api/v1/nodes/node-2/proxy/healthz"), "ok", "healthz by proxy")


@test
def images_on_the_node_are_listed_in_its_status(t):
    t.run("p", container("c", "sleep", "1000"), node="node-1")
    t.wait_ready("p")

    def listed():
        names = [name for image in t.cluster.node("node-1")["status"].get("images", []) for name in image["names"]]
        return any(name == "docker.io/library/busybox:1.36" for name in names)
    wait_for("busybox in the node's images", listed, timeout=40, every=1)


if __name__ == "__main__":
    script()


@test
def an_extended_resource_that_others_patch_in_is_allocatable_and_counted(t):
    node, dongle = "api/v1/nodes/" + t.nodes[0], "skiff.test/dongle"

    def patch(amount):
        t.api.call("PATCH", node + "/status", {"status": {"capacity": {dongle: amount}}}, content_type="application/merge-patch+json")

    def allocatable():
        return t.api.get(node)["status"]["allocatable"].get(dongle)

    patch("2")
    try:
        wait_for("it is allocatable", lambda: allocatable() == "2")
        greedy = dict(resources={"limits": {dongle: "2"}})
        t.run("first", shell("c", "forever", **greedy), nodeName=t.nodes[0])
        t.wait_ready("first")
        t.run("second", shell("c", "forever", **greedy), nodeName=t.nodes[0])  # past the scheduler
        status = wait_for("it is refused", lambda: (lambda s: s.get("phase") == "Failed" and s)(t.pod("second")["status"]))
        expect_equal(status["reason"], "OutOf" + dongle, "reason")
    finally:
        patch(None)
    wait_for("it is gone", lambda: allocatable() is None)
