#!/usr/bin/env python3
"""What a node's port says about the CPU and memory that its pods use: the source of `kubectl top`."""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import expect, expect_equal, expect_match, script, shell, test, wait_for

BUSY = "while :; do n=0; while [ $n -lt 2000 ]; do n=$((n + 1)); done; sleep 0.1; done"


def raw(t, path, node="node-1"):
    return t.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/{path}")


def samples(text):
    """{ "name{labels}": (value, milliseconds or None) }; fails for what a Prometheus would not take."""
    seen, families, current = {}, set(), None
    expect(text.endswith("\n"), "the last line has no end")
    for line in text.splitlines():
        if line.startswith("#"):
            words = line.split()
            if words[1] == "TYPE":
                expect(words[2] not in families, f"{words[2]} is announced twice")
                families.add(words[2])
                current = words[2]
                expect(words[3] in ("counter", "gauge", "histogram"), line)
            continue
        found = expect_match(line, r"^(([a-zA-Z_:][\w:]*)(?:\{(?:[a-zA-Z_]\w*=\"(?:[^\"\\]|\\.)*\",?)*\})?) (\S+)(?: (\d+))?$", "a sample")
        part = found[2].rsplit("_", 1)
        name = found[2] if found[2] in families else part[0]
        expect(name in families and (name == found[2] or part[1] in ("bucket", "sum", "count")), f"{found[2]} is not announced")
        expect(name == current, f"{found[2]} is not beside its family's other samples")
        expect(found[1] not in seen, f"{found[1]} is there twice")
        seen[found[1]] = (float(found[3]), found[4] and int(found[4]))
    return seen


@test
def metrics_resource_shows_a_pods_cpu_time_growing(t):
    t.run("busy", shell("c", BUSY), node="node-1")
    t.wait_ready("busy")
    key = f'container_cpu_usage_seconds_total{{container="c",pod="busy",namespace="{t.namespace}"}}'
    first = wait_for("the container's CPU time", lambda: samples(raw(t, "metrics/resource")).get(key), every=1)
    expect(abs(first[1] / 1000 - time.time()) < 60, "its time is not now:", first)

    def later():
        seen = samples(raw(t, "metrics/resource"))[key]
        return seen if seen[1] > first[1] + 500 and seen[0] > first[0] else None
    wait_for("more CPU time, at a later time", later, timeout=60, every=1)
    seen = samples(raw(t, "metrics/resource"))
    expect(seen[key.replace("cpu_usage_seconds_total", "start_time_seconds")][0] > time.time() - 300, "start time")
    expect(f'pod_cpu_usage_seconds_total{{pod="busy",namespace="{t.namespace}"}}' in seen, sorted(seen))
    expect_equal(seen["resource_scrape_error"], (0.0, None), "resource_scrape_error")
    expect(seen["node_cpu_usage_seconds_total"][0] > seen[key][0], "the node used less than its pod")
    expect(seen["node_memory_working_set_bytes"][0] > 0, "the node's memory")
    t.delete("Pod", "busy", gracePeriodSeconds=1)
    wait_for("nothing of a pod that is gone", lambda: not re.search(t.namespace, raw(t, "metrics/resource")), timeout=60, every=1)


@test
def stats_summary_lists_the_pod_with_what_it_uses(t):
    t.run("p", shell("c", "echo a line; head -c 2000000 /dev/zero > /file; head -c 3000000 /dev/zero > /v/file; " + BUSY, volumeMounts=[{"name": "v", "mountPath": "/v"}]), node="node-1",
          volumes=[{"name": "v", "emptyDir": {}}])
    t.wait_ready("p")

    def mine(query=""):
        summary = json.loads(raw(t, "stats/summary" + query))
        expect_equal(summary["node"]["nodeName"], "node-1", "nodeName")
        pods = [one for one in summary["pods"] if one["podRef"]["namespace"] == t.namespace]
        expect_equal([one["podRef"]["name"] for one in pods], ["p"], "pods")
        return summary["node"], pods[0]

    def complete():
        node, seen = mine()
        c = seen["containers"][0]
        return (c["cpu"]["usageNanoCores"] > 0 and node["cpu"]["usageNanoCores"] > 0 and
                seen["network"]["name"] == "eth0" and seen["volume"][0]["name"] == "v" and c["logs"]["usedBytes"] > 0 and
                c["rootfs"]["usedBytes"] >= 2000000 and c["rootfs"]["inodesUsed"] >= 2 and
                seen["volume"][0]["usedBytes"] >= 3000000 and seen["volume"][0]["inodesUsed"] == 2 and
                seen["ephemeral-storage"]["usedBytes"] >= 5000000 and
                node["runtime"]["containerFs"]["usedBytes"] >= 2000000)
    mine()

    def look():
        try:
            return complete()
        except KeyError as missing:  # usageNanoCores takes two readings
            expect(False, "no", missing)
    wait_for("a rate of CPU time, network, volume, logs and the writable layer", look, timeout=150, every=2)
    node, seen = mine()
    expect_equal(seen["podRef"]["uid"], t.pod("p")["metadata"]["uid"], "uid")
    expect_equal([c["name"] for c in seen["containers"]], ["c"], "containers")
    if os.path.exists("/proc/pressure/cpu"):
        expect(seen["containers"][0]["cpu"]["psi"]["some"]["total"] >= 0 and node["io"]["psi"]["full"], seen)
    for key in ("fs", "memory", "rlimit"):
        expect(node[key], f"node.{key}")
    expect(node["runtime"]["imageFs"]["capacityBytes"] > node["runtime"]["imageFs"]["usedBytes"], node["runtime"])
    expect("capacityBytes" in seen["ephemeral-storage"], seen)
    node, seen = mine("?only_cpu_and_memory=true")
    expect("fs" not in node and "network" not in seen and "volume" not in seen, seen)
    expect("usageCoreNanoSeconds" in seen["containers"][0]["cpu"], seen)


@test
def the_nodes_own_metrics_count_its_pods(t):
    t.run("p", shell("c", "forever"), node="node-1")
    t.wait_ready("p")

    def counted():
        seen = samples(raw(t, "metrics"))
        return seen["kubelet_running_pods"][0] >= 1 and seen['kubelet_running_containers{container_state="running"}'][0] >= 1
    wait_for("a running pod in /metrics", counted, every=1)
    seen = samples(raw(t, "metrics"))
    expect_equal(seen['kubelet_node_name{node="node-1"}'][0], 1.0, "kubelet_node_name")
    expect(seen["process_resident_memory_bytes"][0] > 0 and seen["process_open_fds"][0] > 0, sorted(seen))


@test
def metrics_cadvisor_has_what_dashboards_ask_for_of_container_pod_and_machine(t):
    t.run("busy", shell("c", BUSY), node="node-1")
    t.wait_ready("busy")
    seen = samples(raw(t, "metrics/cadvisor"))
    mine = {key: value for key, value in seen.items() if f'namespace="{t.namespace}"' in key}

    def one(name, *parts):
        keys = [key for key in mine if key.startswith(name + "{") and all(part in key for part in parts)]
        expect_equal(len(keys), 1, f"series of {name}{parts}")
        expect(abs(mine[keys[0]][1] / 1000 - time.time()) < 60, "its time is not now:", mine[keys[0]])
        return mine[keys[0]][0]
    container = ('container="c"', 'image="busybox:1.36"', 'pod="busy"', 'name="' + t.status("busy", "c")["containerID"].split("//")[1])
    for name in ("cpu_user_seconds_total", "cpu_system_seconds_total", "spec_memory_limit_bytes", "last_seen", "memory_failcnt", "processes"):
        one("container_" + name, *container)
    expect(one("container_cpu_usage_seconds_total", *container, 'cpu="total"') > 0, "no CPU time")
    expect(one("container_start_time_seconds", *container) > time.time() - 300, "start time")
    pod = ('container=""', 'image=""', 'pod="busy"')
    expect(one("container_cpu_usage_seconds_total", *pod) > 0, "no CPU time of the pod")
    for name in ("receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets_dropped"):
        one(f"container_network_{name}_total", *pod, 'interface="eth0"')
    machine = [key for key in seen if key.startswith("machine_cpu_cores{")]
    expect_equal(seen[machine[0]][0], float(os.cpu_count()), "machine_cpu_cores")
    expect([key for key in seen if key.startswith("container_memory_working_set_bytes{") and 'id="/"' in key], "the machine's memory")
    expect(re.search(r'^cadvisor_version_info\{.*kernelVersion="' + re.escape(os.uname().release), raw(t, "metrics/cadvisor"), re.M), "version")


@test
def requests_to_the_node_and_by_the_node_are_counted(t):
    raw(t, "pods")
    seen = samples(raw(t, "metrics"))
    key = 'long_running="false",method="GET",path="pods",server_type="readwrite"'
    expect(seen[f"kubelet_http_requests_total{{{key}}}"][0] >= 1, "requests for /pods")
    expect(seen[f'kubelet_http_requests_duration_seconds_bucket{{{key},le="+Inf"}}'][0] >= 1, "durations")
    expect(any(name.startswith('rest_client_requests_total{code="200"') for name in seen), "requests to the API server")
    expect(seen["kubelet_certificate_manager_client_ttl_seconds"][0] == float("inf"), "a certificate that is not ours to renew")
    expect(seen['kubelet_desired_pods{static=""}'][0] >= 0, "pods")


@test
def attempts_of_probes_are_counted_by_result(t):
    every_second = {"periodSeconds": 1, "failureThreshold": 1000}
    t.run("p", shell("c", "forever", livenessProbe={"exec": {"command": ["true"]}, **every_second},
                     readinessProbe={"exec": {"command": ["false"]}, **every_second}), node="node-1")

    def count(kind, result):
        for key, (value, _) in samples(raw(t, "metrics/probes")).items():
            if f'namespace="{t.namespace}"' in key and f'probe_type="{kind}",result="{result}"' in key:
                expect_match(key, r'^prober_probe_total\{.*container="c",pod="p",.*pod_uid="[0-9a-f-]+"', "labels")
                return value
        return 0
    wait_for("three good ends", lambda: count("Liveness", "successful") >= 3, every=1)
    def durations():
        mine = {key: value for key, (value, _) in samples(raw(t, "metrics/probes")).items()
                if key.startswith("prober_probe_duration_seconds") and f'namespace="{t.namespace}"' in key}
        expect(all('probe_type="Liveness"' in key for key in mine), "failed attempts have durations:", sorted(mine))
        return [value for key, value in mine.items() if key.startswith("prober_probe_duration_seconds_count")]
    expect(durations()[0] >= 3, "durations of attempts:", durations())
    wait_for("three bad ends", lambda: count("Readiness", "failed") >= 3, every=1)
    expect_equal((count("Liveness", "failed"), count("Readiness", "successful")), (0, 0), "others")


@test
def metrics_are_for_those_who_may(t):
    pki, ip = t.cluster.folder + "/control/pki", t.cluster.node_ip("node-1")

    def ask(path, *options):
        return subprocess.run(["curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", *options,
                               f"https://{ip}:10250{path}"], capture_output=True, text=True, check=False).stdout

    proxy = ("--cert", pki + "/proxy.crt", "--key", pki + "/proxy.key")
    for path in ("/metrics", "/metrics/resource", "/metrics/probes", "/stats/summary"):
        expect_equal(ask(path), "401", f"{path} without credentials")
        expect_equal(ask(path, *proxy), "403", f"{path} for system:kube-proxy")
    # what metrics-server is given, and no more
    name = t.namespace
    t.cluster.kubectl("create", "clusterrole", name, "--verb=get", "--resource=nodes/metrics")
    t.cleanups.append(lambda: t.cluster.kubectl("delete", "clusterrole", name))
    t.cluster.kubectl("create", "clusterrolebinding", name, "--clusterrole=" + name, f"--serviceaccount={name}:default")
    t.cleanups.append(lambda: t.cluster.kubectl("delete", "clusterrolebinding", name))

    def bearer():  # an authorizer may remember a refusal for 30 s, so another token asks each time
        return ("-H", "Authorization: Bearer " + t.kubectl("create", "token", "default").strip())
    wait_for("/metrics/resource for nodes/metrics", lambda: ask("/metrics/resource", *bearer()) == "200", timeout=40, every=1)
    expect_equal(ask("/stats/summary", *bearer()), "403", "/stats/summary for nodes/metrics")


if __name__ == "__main__":
    script()
