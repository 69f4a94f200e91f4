#!/usr/bin/env python3
"""skiff-netproxy as a process of its own against a fake API server, in a network namespace: routes,
outages, restarts, repair, bad input, health, what `skiff services` and `skiff trace` say. Arguments: the program, the
fake API server, the command skiff."""
import ctypes, datetime, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time, unittest, urllib.request

PROXY, FAKE, SKIFF = (os.path.abspath(a) for a in sys.argv[1:4])
del sys.argv[1:4]
POD_A, POD_B = "10.244.1.10", "10.244.1.11"
cluster_ip = None  # of the Service "web"; see Proxy.setUp()


def enter_network():
    """A network namespace of our own with loopback, the pods' addresses on it and a way to Services."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
        print(f"skipped: no network namespace of our own: {os.strerror(ctypes.get_errno())}")
        sys.exit(77)
    for command in ("link set lo up", f"address add {POD_A}/32 dev lo", f"address add {POD_B}/32 dev lo",
                    "route add 10.96.0.0/16 dev lo"):
        if not shutil.which("ip") or subprocess.run(["ip", *command.split()]).returncode:
            print(f"skipped: cannot run 'ip {command}'")
            sys.exit(77)


def serve(address):
    """A pod: tells its address to whoever connects."""
    listener = socket.create_server((address, 8080))

    def loop():
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(address.encode())

    threading.Thread(target=loop, daemon=True).start()


def ask(address=None, port=80):
    """Who answers; or the error's class."""
    try:
        with socket.create_connection((address or cluster_ip, port), 1) as s:
            return s.recv(64).decode()
    except OSError as e:
        return type(e)


def answers(n=20):
    return {ask() for _ in range(n)}


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    return condition()


class Api:
    def __init__(self, folder):
        ready = f"{folder}/api-port"
        self.process = subprocess.Popen([sys.executable, FAKE, "--ready", ready], stdout=subprocess.DEVNULL)
        assert until(lambda: os.path.exists(ready) and os.path.getsize(ready))
        with open(ready) as f:
            self.url = f"http://127.0.0.1:{f.read().strip()}"

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def control(self, **command):
        return self.call("POST", "/_control", command)

    def put(self, path, body):
        try:
            return self.call("POST", path, body)
        except urllib.error.HTTPError as e:
            if e.code != 409:
                raise
        return self.call("PUT", f"{path}/{body['metadata']['name']}", body)

    def node(self, name="node-1", cidr="10.244.1.0/24", address="127.0.0.1"):
        self.put("/api/v1/nodes", {"metadata": {"name": name}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
                                   "status": {"addresses": [{"type": "InternalIP", "address": address}]}})

    def service(self, name="web", address=None, **spec):
        self.put("/api/v1/namespaces/ns/services", {
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"clusterIP": address or cluster_ip, "ports": [{"port": 80, "protocol": "TCP"}], **spec}})

    def slice(self, *addresses, service="web", **more):
        self.put("/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices", {
            "metadata": {"name": f"{service}-x", "namespace": "ns",
                         "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "nodeName": "node-1", "conditions": {"ready": True}} for a in addresses],
            **more})

    def is_up(self):
        try:
            return self.control(op="state")
        except OSError:
            return None

    def stop(self):
        self.process.kill()
        self.process.wait()


class Proxy(unittest.TestCase):
    config = ""
    tests = 0

    def setUp(self):
        # Not the same as of the test before: where that asked while there was no table, the kernel remembers for two
        # minutes that the flow is not translated, and who happens to use its source port again is refused.
        global cluster_ip
        Proxy.tests += 1
        cluster_ip = f"10.96.1.{Proxy.tests}"
        self.folder = tempfile.mkdtemp(prefix="skiff-netproxy-")
        self.log_path = f"{self.folder}/log"
        self.api = Api(self.folder)
        self.api.node()
        self.api.service()
        self.api.slice(POD_A, POD_B)
        self.write_config()
        self.proxy = None

    def tearDown(self):
        if self.proxy:
            self.stop()
        subprocess.run([PROXY, "--cleanup", "--run-dir", f"{self.folder}/run"], check=True)
        self.api.stop()
        shutil.rmtree(self.folder)

    def write_config(self, extra=""):
        with open(f"{self.folder}/kubeconfig", "w") as f:
            json.dump({"clusters": [{"name": "c", "cluster": {"server": self.api.url}}],
                       "users": [{"name": "u", "user": {}}],
                       "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                       "current-context": "x"}, f)
        with open(f"{self.folder}/config.yaml", "w") as f:
            f.write("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
                    "mode: nftables\noomScoreAdj: 0\nhostnameOverride: node-1\n"
                    f"clientConnection: {{kubeconfig: {self.folder}/kubeconfig}}\n{self.config}{extra}")

    def spawn(self, wait=True):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.folder}/notify"
        if os.path.exists(path):
            os.unlink(path)
        notify.bind(path)
        notify.settimeout(15)
        with open(self.log_path, "a") as log:
            self.proxy = subprocess.Popen(
                [PROXY, "--config", f"{self.folder}/config.yaml", "--run-dir", f"{self.folder}/run",
                 "--cni-dir", f"{self.folder}/cni", "--log-level", "debug"],
                stderr=log, env={**os.environ, "NOTIFY_SOCKET": path})
        self.status = ""
        while wait:
            message = notify.recv(4096).decode()
            for line in message.splitlines():
                self.status = line.removeprefix("STATUS=") if line.startswith("STATUS=") else self.status
            if "READY=1" in message:
                break
        notify.close()

    def stop(self, sig=signal.SIGTERM):
        self.proxy.send_signal(sig)
        code = self.proxy.wait(10)
        self.proxy = None
        return code

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def get(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def events(self, reason):
        everything = self.api.call("GET", "/apis/events.k8s.io/v1/events")["items"]
        return [event for event in everything if event["reason"] == reason]

    def metric(self, name, family="IPv4"):
        _, text = self.get(10249, "/metrics")
        for line in text.splitlines():
            if line.startswith(f'kubeproxy_{name}{{ip_family="{family}"}}'):
                return float(line.split()[-1])
        self.fail(f"no metric {name}")


class Works(Proxy):
    def test_ready_means_routed_and_changes_follow_at_once(self):
        self.spawn()
        self.assertEqual(self.status, "1 Services")
        self.assertEqual(answers(), {POD_A, POD_B})
        self.api.slice(POD_B)
        self.assertTrue(until(lambda: answers(5) == {POD_B}, 2))
        self.api.slice()
        self.assertTrue(until(lambda: ask() is ConnectionRefusedError, 2))
        self.api.slice(POD_A)
        self.assertTrue(until(lambda: answers(5) == {POD_A}, 2))
        self.api.call("DELETE", "/api/v1/namespaces/ns/services/web")
        self.assertTrue(until(lambda: ask() is not POD_A and isinstance(ask(), type), 2))

    def test_an_endpoint_that_is_not_ready_leaves(self):
        self.spawn()
        self.api.slice(endpoints=[
            {"addresses": [POD_A], "conditions": {"ready": False, "serving": False}},
            {"addresses": [POD_B], "conditions": {"ready": True}}])
        self.assertTrue(until(lambda: answers(5) == {POD_B}, 2))

    def test_hints_are_followed_when_every_endpoint_has_them(self):
        self.spawn()
        zones, nodes = lambda *names: {"forZones": [{"name": n} for n in names]}, \
            lambda *names: {"forNodes": [{"name": n} for n in names]}

        def hinted(a, b):
            self.api.slice(endpoints=[{"addresses": [POD_A], "hints": a}, {"addresses": [POD_B], "hints": b}])

        def served(*pods):
            self.assertTrue(until(lambda: answers(30) == set(pods), 3), (pods, answers(30)))

        hinted(zones("here"), zones("there"))
        served(POD_A, POD_B)  # the node has no zone
        self.api.put("/api/v1/nodes", {"metadata": {
            "name": "node-1", "labels": {"topology.kubernetes.io/zone": "here"}}})
        served(POD_A)  # PreferSameZone, PreferClose
        hinted(zones("here"), {})
        served(POD_A, POD_B)
        hinted(zones("elsewhere"), zones("there"))
        served(POD_A, POD_B)
        hinted({**zones("here"), **nodes("node-2")}, {**zones("there"), **nodes("node-1")})
        served(POD_B)  # PreferSameNode
        hinted({**zones("here"), **nodes("node-2")}, {**zones("there"), **nodes("node-3")})
        served(POD_A)

    def test_endpoints_that_leave_serve_while_nobody_else_does(self):
        self.spawn()
        leaving, gone = ({"ready": False, "serving": serving, "terminating": True} for serving in (True, False))
        self.api.slice(endpoints=[{"addresses": [POD_A], "conditions": leaving},
                                  {"addresses": [POD_B], "conditions": {"ready": True}}])
        self.assertTrue(until(lambda: answers(10) == {POD_B}, 2))
        self.api.slice(endpoints=[{"addresses": [POD_A], "conditions": leaving},
                                  {"addresses": [POD_B], "conditions": gone}])
        self.assertTrue(until(lambda: answers(10) == {POD_A}, 2))
        self.api.slice(endpoints=[{"addresses": [POD_A], "conditions": gone}])
        self.assertTrue(until(lambda: ask() is ConnectionRefusedError, 2))

    def test_a_service_changes_its_type_there_and_back(self):
        self.spawn()
        self.api.service(type="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30080}])
        self.api.node(address=POD_A)
        self.assertTrue(until(lambda: ask(POD_A, 30080) in (POD_A, POD_B), 2))
        self.api.service(type="ExternalName", clusterIP="", externalName="example.org", ports=[])
        self.assertTrue(until(lambda: isinstance(ask(), type), 2))
        self.assertTrue(until(lambda: isinstance(ask(POD_A, 30080), type), 2))
        self.api.service()
        self.assertTrue(until(lambda: answers(10) == {POD_A, POD_B}, 2))
        self.assertIsInstance(ask(POD_A, 30080), type)

    def test_slices_of_one_service_are_merged_by_port(self):
        """As those written by hand: one for each port, one address in several."""
        self.api.service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])
        self.api.call("DELETE", "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices/web-x")
        for name, address, ports in (("1", POD_A, ["a"]), ("2", POD_A, ["b"]), ("3", POD_B, ["a"]), ("4", POD_A, ["a"])):
            self.api.slice(address, metadata={"name": name, "namespace": "ns",
                                              "labels": {"kubernetes.io/service-name": "web"}},
                           ports=[{"name": port, "port": 8080, "protocol": "TCP"} for port in ports])
        self.spawn()
        self.assertEqual(answers(30), {POD_A, POD_B})
        self.assertEqual({ask(port=81) for _ in range(20)}, {POD_A})

    def test_health_metrics_and_mode_are_served(self):
        self.spawn()
        code, body = self.get(10256, "/healthz")
        self.assertEqual(code, 200)
        body = json.loads(body)
        self.assertTrue(body["healthy"] and body["nodeEligible"] and body["status"]["IPv4"]["healthy"])
        self.assertIn("lastUpdated", body)
        self.assertEqual(self.get(10249, "/proxyMode"), (200, "nftables"))
        self.assertEqual(self.get(10249, "/healthz"), (200, "ok"))
        self.assertEqual(self.get(10256, "/nothing")[0], 404)
        self.assertGreater(self.metric("sync_proxy_rules_last_timestamp_seconds"), 1e9)
        self.api.put("/api/v1/nodes", {"metadata": {"name": "node-1"}, "spec": {
            "taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}})
        self.assertTrue(until(lambda: self.get(10256, "/healthz")[0] == 503))
        self.assertEqual(self.get(10256, "/livez")[0], 200)

    def test_it_leaves_no_core_file_with_secrets(self):
        self.spawn()
        with open(f"/proc/{self.proxy.pid}/limits") as f:
            self.assertRegex(f.read(), r"Max core file size +0 +0 ")

    def test_nothing_is_done_while_nothing_changes(self):
        self.spawn()

        def cpu_ticks():
            with open(f"/proc/{self.proxy.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        time.sleep(1)
        before, switches = cpu_ticks(), self.switches()
        time.sleep(3)
        self.assertLessEqual(cpu_ticks() - before, 1)
        self.assertLessEqual(self.switches() - switches, 20)
        with open(f"/proc/{self.proxy.pid}/smaps_rollup") as f:
            print("".join(line for line in f if line.startswith(("Pss:", "Private_Dirty:"))), end="")

    def switches(self):
        with open(f"/proc/{self.proxy.pid}/status") as f:
            return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)


    def test_metrics_have_the_names_that_dashboards_look_for(self):
        self.spawn()
        self.api.slice(POD_A, metadata={
            "name": "web-x", "namespace": "ns", "labels": {"kubernetes.io/service-name": "web"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time":
                            datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")}})
        self.api.service("alone", "10.96.0.30", internalTrafficPolicy="Local")
        self.api.slice(service="alone", endpoints=[{"addresses": [POD_A], "nodeName": "node-2"}])
        family = 'ip_family="IPv4"'

        def values():
            lines = [line for line in self.get(10249, "/metrics")[1].splitlines() if not line.startswith("#")]
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

        lacking = f'kubeproxy_sync_proxy_rules_no_local_endpoints_total{{{family},traffic_policy="internal"}}'
        changes = "kubeproxy_sync_proxy_rules_endpoint_changes"
        self.assertTrue(until(lambda: (values()[f"{changes}_total"], values()[f"{changes}_pending"]) == (3, 0), 3))
        seen = values()
        self.assertEqual(seen[lacking], 1)
        syncs = seen[f"kubeproxy_sync_proxy_rules_duration_seconds_count{{{family}}}"]
        self.assertGreaterEqual(syncs, 2)
        self.assertEqual(seen[f"kubeproxy_sync_full_proxy_rules_duration_seconds_count{{{family}}}"], 1)
        self.assertEqual(seen[f"kubeproxy_sync_partial_proxy_rules_duration_seconds_count{{{family}}}"], syncs - 1)
        self.assertEqual(seen[f'kubeproxy_sync_proxy_rules_duration_seconds_bucket{{{family},le="+Inf"}}'], syncs)
        self.assertEqual(seen[f"kubeproxy_network_programming_duration_seconds_count{{{family}}}"], 1)
        self.assertEqual(seen[f'kubeproxy_network_programming_duration_seconds_bucket{{{family},le="5"}}'], 1)
        self.assertEqual(seen["kubeproxy_sync_proxy_rules_service_changes_total"], 2)
        queued = seen[f"kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{{{family}}}"]
        self.assertTrue(0 <= seen[f"kubeproxy_sync_proxy_rules_last_timestamp_seconds{{{family}}}"] - queued < 60)
        self.assertTrue(0 < seen["process_resident_memory_bytes"] < seen["process_virtual_memory_bytes"])
        self.assertTrue(0 < seen["process_open_fds"] < seen["process_max_fds"])
        self.assertLess(abs(seen["process_start_time_seconds"] - time.time()), 60)
        self.assertIn("process_cpu_seconds_total", seen)
        self.assertIn("kubernetes_build_info", self.get(10249, "/metrics")[1])


class Restarts(Proxy):
    def test_a_kill_loses_no_connection_and_a_restart_changes_nothing(self):
        self.spawn()
        failed, stop = [], threading.Event()

        def traffic():
            while not stop.is_set():
                answer = ask()
                if answer not in (POD_A, POD_B):
                    failed.append(answer)

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            for _ in range(5):
                self.stop(signal.SIGKILL)
                time.sleep(0.05)
                self.spawn()
                self.assertEqual(self.metric("skiff_last_sync_operations"), 0)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(failed, [], self.log())

    def test_what_changed_while_it_was_dead_is_caught_up_with(self):
        self.spawn()
        self.stop(signal.SIGKILL)
        self.api.slice(POD_B)
        self.assertEqual(answers(), {POD_A, POD_B})
        self.spawn()
        self.assertEqual(answers(), {POD_B})

    def test_services_go_on_while_the_api_server_is_away(self):
        self.spawn()
        self.api.control(op="down", seconds=3)
        rounds = 0
        while not self.api.is_up():
            self.assertEqual(answers(), {POD_A, POD_B})
            rounds += 1
            time.sleep(0.1)
        self.assertGreater(rounds, 5)
        self.api.slice(POD_A)
        self.assertTrue(until(lambda: answers(5) == {POD_A}, 4))

    def test_it_comes_up_without_the_api_server_and_keeps_what_was_routed(self):
        self.spawn()
        self.stop(signal.SIGKILL)
        self.api.control(op="down", seconds=14)
        self.spawn()  # ready after a while, although it has seen nothing
        self.assertIn("waiting for the API server's list of services", self.status)
        self.assertEqual(answers(), {POD_A, POD_B})
        self.assertEqual(self.get(10256, "/livez")[0], 200)

    def test_the_end_of_a_watch_is_caught_up_with(self):
        self.spawn()
        self.api.control(op="compact")
        self.api.control(op="drop")
        self.api.slice(POD_B)
        self.assertTrue(until(lambda: answers(5) == {POD_B}, 5))

    def test_sigterm_leaves_everything_and_cleanup_takes_it(self):
        self.spawn()
        self.assertEqual(self.stop(), 0, self.log())
        self.assertEqual(answers(), {POD_A, POD_B})
        subprocess.run([PROXY, "--cleanup", "--run-dir", f"{self.folder}/run"], check=True)
        self.assertNotIn(ask(), (POD_A, POD_B))

    def test_a_flush_by_somebody_else_is_repaired_within_a_second(self):
        self.spawn()
        for _ in range(3):
            subprocess.run([PROXY, "--cleanup", "--run-dir", f"{self.folder}/run"], check=True)
            self.assertTrue(until(lambda: answers(5) <= {POD_A, POD_B}, 1))
        self.assertIn("Somebody changed our nftables", self.log())

    def test_a_changed_configuration_ends_it_with_what_was_routed(self):
        self.spawn()
        self.write_config("clusterCIDR: 10.244.0.0/16\n")
        self.assertEqual(self.proxy.wait(5), 1)
        self.assertEqual(answers(), {POD_A, POD_B})
        self.spawn()
        self.assertEqual(answers(), {POD_A, POD_B})


class HealthCheckNodePort(Proxy):
    PORT = 30999

    def balance(self, port=PORT, name="lb", address="10.96.0.20", **spec):
        self.api.service(name, address, **{"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                                              "healthCheckNodePort": port, **spec})

    def probe(self, port=PORT, path="/"):
        """Status, weight, answer; 0 and the error's class."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.headers["X-Load-Balancing-Endpoint-Weight"], json.load(answer)
        except urllib.error.HTTPError as e:
            return e.code, e.headers["X-Load-Balancing-Endpoint-Weight"], json.load(e)
        except OSError as e:  # URLError, or the connection itself
            return 0, type(getattr(e, "reason", e))

    def becomes(self, code, port=PORT, seconds=3):
        return until(lambda: self.probe(port)[0] == code, seconds)

    def refuses(self, port=PORT):
        return until(lambda: self.probe(port) == (0, ConnectionRefusedError), 3)

    def test_it_tells_load_balancers_how_many_endpoints_are_here(self):
        self.balance()
        self.api.slice(POD_A, POD_B, service="lb")
        self.spawn()
        well = {"service": {"namespace": "ns", "name": "lb"}, "localEndpoints": 2, "serviceProxyHealthy": True}
        self.assertEqual(self.probe(), (200, "2", well))
        self.assertEqual(self.probe(path="/any/path"), (200, "2", well))
        self.api.slice(endpoints=[{"addresses": [POD_A], "nodeName": "node-2"}], service="lb")
        self.assertTrue(self.becomes(503))
        self.assertEqual(self.probe(), (503, "0", {**well, "localEndpoints": 0}))
        self.api.slice(POD_A, service="lb")
        self.assertTrue(self.becomes(200))
        leaving = {"ready": False, "serving": True, "terminating": True}
        self.api.slice(endpoints=[{"addresses": [POD_A], "nodeName": "node-1", "conditions": leaving}], service="lb")
        self.assertTrue(self.becomes(503))

    def test_it_follows_the_service(self):
        self.balance()
        self.api.slice(POD_A, service="lb")
        self.spawn()
        self.assertTrue(self.becomes(200))
        self.balance(31000)
        self.assertTrue(self.becomes(200, 31000))
        self.assertTrue(self.refuses())
        self.balance(31000, externalTrafficPolicy="Cluster")
        self.assertTrue(self.refuses(31000))
        self.balance()
        self.assertTrue(self.becomes(200))
        self.api.call("DELETE", "/api/v1/namespaces/ns/services/lb")
        self.assertTrue(self.refuses())

    def test_a_port_that_is_taken_hurts_no_other_service_and_is_served_when_free(self):
        with socket.create_server(("127.0.0.1", self.PORT)):
            self.balance()
            self.balance(31001, "other", "10.96.0.21")
            self.api.slice(POD_A, service="lb")
            self.api.slice(POD_A, service="other")
            self.spawn()
            self.assertTrue(self.becomes(200, 31001))
            self.assertIn("Service 'ns/lb': healthCheckNodePort 30999 is not served", self.log())
            told = until(lambda: self.events("FailedToStartServiceHealthcheck"), 3)[0]
            self.assertEqual((told["type"], told["regarding"]["kind"], told["regarding"]["name"], told["action"]),
                             ("Warning", "Service", "lb", "Program"))
            self.assertIn('failed to start healthcheck "ns/lb" on port 30999: ', told["note"])
        self.assertTrue(self.becomes(200, seconds=8))


class Tells(Proxy):
    def test_the_node_says_that_it_started(self):
        self.spawn()
        started = until(lambda: self.events("Starting"), 3)[0]
        self.assertEqual((started["type"], started["action"], started["reportingController"], started["regarding"]),
                         ("Normal", "StartKubeProxy", "kube-proxy", {"kind": "Node", "name": "node-1", "uid": "node-1"}))
        self.assertEqual(started["metadata"]["namespace"], "default")

    def test_a_service_says_once_what_of_it_is_left_out(self):
        self.spawn()
        for label in "ab":
            self.api.service("thief", "10.96.0.68", externalIPs=["169.254.169.254"], sessionAffinity=None,
                             ports=[{"port": 80, "name": label}])
        self.api.service("usurper", "10.96.0.69", externalIPs=["127.0.0.1"])
        self.api.slice("127.0.0.1", service="thief")
        self.assertTrue(until(lambda: len(self.events("AddressLeftOut")) == 3, 3))
        told = {event["regarding"]["name"]: event for event in self.events("AddressLeftOut")}
        self.assertEqual(set(told), {"thief", "usurper", "thief-x"})
        self.assertEqual(told["thief"]["regarding"],
                         {"apiVersion": "v1", "kind": "Service", "namespace": "ns", "name": "thief"})
        self.assertIn("spec: externalIPs: '169.254.169.254': left out", told["thief"]["note"])
        self.assertEqual(told["thief-x"]["regarding"]["kind"], "EndpointSlice")

    def test_a_server_that_takes_no_events_hurts_nothing(self):
        self.api.control(op="fault", match={"method": "POST", "path": "/apis/events.k8s.io"}, action="status",
                         code=403, times=1000)
        self.spawn()
        self.api.service("thief", "10.96.0.68", externalIPs=["169.254.169.254"])
        self.api.slice(POD_B)
        self.assertTrue(until(lambda: answers(5) == {POD_B}, 2))
        self.assertEqual(self.events("Starting"), [])
        self.assertIn("An event was not taken and is dropped", self.log())


class Asked(Proxy):
    """Its own socket, by `skiff` and by hand."""

    def skiff(self, *words, code=0):
        result = subprocess.run([SKIFF, *words], capture_output=True, text=True, timeout=20,
                                env={**os.environ, "SKIFF_SOCKET": f"{self.folder}/run/skiff.sock"})
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout if code == 0 else result.stderr

    def see(self, *words):
        return json.loads(self.skiff(*words, "-o", "json"))

    def ask_socket(self, path, method="GET"):
        """Status and body of a request by hand."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{self.folder}/run/netproxy.sock")
            s.settimeout(10)
            s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def test_services_are_listed_with_what_leads_to_them(self):
        self.spawn()
        self.api.slice(POD_A, POD_B, endpoints=[
            {"addresses": [POD_A], "nodeName": "node-1", "conditions": {"ready": True}},
            {"addresses": [POD_B], "nodeName": "node-2", "conditions": {"ready": False, "serving": False}}])
        self.assertTrue(until(lambda: self.see("services")["items"][0]["endpoints"]["ready"] == 1))
        self.assertTrue(until(lambda: self.see("services")["families"][0]["inForce"]))
        listed = self.see("services")
        self.assertEqual(listed["node"], "node-1")
        self.assertIn("lastSync", listed["families"][0])
        service = listed["items"][0]
        self.assertEqual((service["namespace"], service["name"], service["type"], service["clusterIPs"]),
                         ("ns", "web", "ClusterIP", [cluster_ip]))
        self.assertEqual(service["endpoints"], {"total": 2, "ready": 1, "serving": 1, "terminating": 0, "local": 1})
        lines = self.skiff("services").splitlines()
        self.assertEqual(lines[0].split(), ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "PORTS", "READY"])
        self.assertEqual(lines[1].split(), ["ns", "web", "ClusterIP", cluster_ip, "80/TCP", "1/2"])
        self.assertIn("in force", self.skiff("services", "-o", "wide"))
        self.assertEqual(self.skiff("services", "-o", "name"), "ns/web\n")
        self.assertEqual(self.see("services", "-n", "other")["items"], [])

    def test_a_service_says_where_it_leads_and_which_endpoints_are_not_taken(self):
        self.api.service(type="NodePort", externalTrafficPolicy="Local",
                         ports=[{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}])
        self.api.node("node-2", "10.244.2.0/24", "127.0.0.2")
        ready = {"ready": True, "serving": True}
        self.api.slice(ports=[{"name": "http", "port": 8080, "protocol": "TCP"}], endpoints=[
            {"addresses": ["10.244.2.9"], "nodeName": "node-2", "conditions": ready},
            {"addresses": ["10.244.2.8"], "nodeName": "node-2",
             "conditions": {"ready": False, "serving": True, "terminating": True}}])
        self.spawn()
        self.assertTrue(until(lambda: self.see("service", "ns/web")["inForce"]))
        service = self.see("service", "we")
        by_kind = {a["kind"]: a for a in service["addresses"]}
        inside = by_kind["ClusterIP"]
        self.assertEqual((inside["verdict"], inside["endpoints"], inside["masquerade"]), ("sent", 1, False))
        self.assertEqual(by_kind["NodePort"]["verdict"], "dropped")
        self.assertIn("Local", by_kind["NodePort"]["why"])
        leaving, good = service["ports"][0]["endpoints"]
        self.assertEqual((leaving["node"], leaving["terminating"]), ("node-2", True))
        self.assertEqual(leaving["inside"], {"chosen": False, "why": "terminating, and others are ready"})
        self.assertEqual(good["inside"], {"chosen": True})
        self.assertEqual(good["outside"],
                         {"chosen": False, "why": "on another node, and the traffic policy is Local"})
        text = self.skiff("service", "web")
        self.assertIn("terminating, and others are ready", text)
        self.assertRegex(text, "10.244.2.9:8080 +node-2 +ready +inside")
        self.assertIn("no Service 'wob' is routed here", self.skiff("service", "wob", code=1))

    def test_a_packet_is_traced_through_what_is_installed(self):
        self.api.service(type="NodePort", ports=[{"port": 80, "nodePort": 30080, "protocol": "TCP"}])
        self.spawn()
        self.assertTrue(until(lambda: ask() == POD_A or ask() == POD_B))
        trace = self.see("trace", f"{cluster_ip}:80")
        self.assertEqual((trace["kind"], trace["service"]), ("ClusterIP", "ns/web"))
        self.assertEqual(trace["kernel"], {"checked": True, "agrees": True, "differences": []})
        for way in trace["ways"]:
            self.assertEqual(way["verdict"], "sent")
            self.assertEqual([(e["address"], e["port"], e["chance"], e["node"]) for e in way["endpoints"]],
                             [(POD_A, 8080, 0.5, "node-1"), (POD_B, 8080, 0.5, "node-1")])
        self.assertEqual([w["masquerade"] for w in trace["ways"]], [False, True])
        self.assertIn(f"is the cluster IP of Service ns/web\n", self.skiff("trace", f"{cluster_ip}:80"))
        trace = self.see("trace", f"{POD_A}:30080")  # an address of this machine
        self.assertEqual((trace["kind"], trace["service"], trace["ways"][0]["verdict"]), ("NodePort", "ns/web", "sent"))
        trace = self.see("trace", f"{cluster_ip}:81")
        self.assertEqual((trace["service"], trace["ways"][0]["verdict"]), ("ns/web", "refused"))
        self.assertIn("no such port", trace["ways"][0]["why"])
        trace = self.see("trace", f"{cluster_ip}:80/udp")
        self.assertEqual(trace["ways"][0]["verdict"], "refused")
        trace = self.see("trace", "192.0.2.7:80")
        self.assertEqual((trace["kind"], trace["ways"][0]["verdict"]), ("None", "passes"))
        self.api.slice()
        self.assertTrue(until(lambda: self.see("trace", f"{cluster_ip}:80")["ways"][0]["verdict"] == "refused"))
        self.assertIn("no endpoint that serves", self.skiff("trace", f"{cluster_ip}:80"))

    def test_wrong_questions_are_answered_by_field_value_and_rule(self):
        self.spawn()
        for path, status, sentence in (("/v1/trace?address=x&port=80", 400, "address: 'x': expected an IP address"),
                                       ("/v1/trace?address=10.0.0.1&port=99999", 400, "port: '99999': expected 1 to 65535"),
                                       ("/v1/trace?address=10.0.0.1&port=1&protocol=icmp", 400,
                                        "protocol: 'icmp': expected TCP, UDP or SCTP"),
                                       ("/v1/trace", 400, "address: '': expected"),
                                       ("/v1/services/ns/nobody", 404, "Service 'ns/nobody' is not routed here"),
                                       ("/v1/services/ns", 404, "no such path"),
                                       ("/v2/services", 404, "no such path")):
            got, body = self.ask_socket(path)
            answer = json.loads(body)
            self.assertEqual((got, answer["kind"], answer["code"]), (status, "Status", status))
            self.assertIn(sentence, answer["message"])
        self.assertEqual(self.ask_socket("/v1/services", "DELETE")[0], 405)
        mode = os.stat(f"{self.folder}/run/netproxy.sock").st_mode
        self.assertEqual(mode & 0o777, 0o660)
        self.assertIn("expected IP:PORT[/PROTOCOL]", self.skiff("trace", "web:80", code=2))

    def test_a_long_list_arrives_whole_though_its_reader_is_slow(self):
        ports = [{"name": f"port-{i}", "port": 1000 + i, "protocol": "TCP"} for i in range(30)]  # 2 KB of JSON each
        for i in range(500):
            self.api.service(f"service-{i:03}", f"10.96.{i // 250 + 7}.{i % 250 + 1}", ports=ports)
        self.spawn()
        self.assertTrue(until(lambda: len(self.see("services")["items"]) == 501))
        with socket.socket(socket.AF_UNIX) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(f"{self.folder}/run/netproxy.sock")
            s.sendall(b"GET /v1/services HTTP/1.0\r\n\r\n")
            self.api.call("DELETE", "/api/v1/namespaces/ns/services/service-499")  # it is not written yet
            self.assertTrue(until(lambda: len(self.see("services", "-n", "ns")["items"]) == 500))
            answer = b"".join(iter(lambda: s.recv(4096), b""))
        listed = re.findall(rb'"name":"(service-\d+)"', answer)
        self.assertEqual(listed, [b"service-%03d" % i for i in range(499)])

    def test_without_the_proxy_the_command_says_what_would_help(self):
        self.assertIn("systemctl status skiff-netproxy", self.skiff("services", code=1))
        self.spawn()
        self.skiff("services")
        self.stop(signal.SIGKILL)  # its socket stays, and nobody listens
        self.assertIn("stays in force without it", self.skiff("trace", f"{cluster_ip}:80", code=1))
        self.spawn()
        self.skiff("services")


class BadInput(Proxy):
    def test_objects_that_cannot_be_read_are_named_and_hurt_nobody_else(self):
        self.spawn()
        self.api.service("bad", "10.96.0.66", ports=[{"port": 70000}])
        self.api.service("worse", "10.96.0.67", ports="x")
        self.api.service("thief", "10.96.0.68", externalIPs=["127.0.0.1", "169.254.169.254"])
        self.api.slice("127.0.0.1", "not-an-address", service="thief")
        self.api.slice(POD_A)
        self.assertTrue(until(lambda: answers(5) == {POD_A}, 2))
        self.assertIn("bad", self.log())
        self.assertIn("spec: ports: [0]: port: 70000: expected 1 to 65535", self.log())
        self.assertIn("spec: externalIPs: '169.254.169.254': left out", self.log())
        self.assertTrue(until(lambda: ask("10.96.0.68") is ConnectionRefusedError, 2))
        self.assertIsNone(self.proxy.poll())

    def test_garbage_from_the_api_server_is_survived(self):
        self.spawn()
        self.api.control(op="inject", text='{"type":"ADDED","object":{"kind":"Service"}}\n{{{{\n')
        self.api.control(op="fault", match={"method": "GET", "path": "/api/v1/services"}, action="garbage", times=1)
        self.api.slice(POD_B)
        self.assertTrue(until(lambda: answers(5) == {POD_B}, 8))
        self.assertIsNone(self.proxy.poll())

    def test_a_bad_configuration_names_field_value_and_rule(self):
        self.write_config("conntrack: {udpTimeout: soon}\n")
        self.spawn(wait=False)
        self.assertEqual(self.proxy.wait(5), 1)
        self.assertIn("conntrack: udpTimeout: 'soon': expected a duration such as 1m30s", self.log())
        for arguments, sentence in ((["--pod-routes", "maybe"], "--pod-routes: 'maybe': expected on, off or auto"),
                                    (["--config", "/nonexistent"], "/nonexistent"),
                                    (["--nonsense"], "'--nonsense': expected one of the options of --help"),
                                    (["x"], "'x': expected no further words")):
            result = subprocess.run([PROXY, *arguments], stderr=subprocess.PIPE, text=True, timeout=5)
            self.assertEqual(result.returncode, 1)
            self.assertIn(sentence, result.stderr)


if __name__ == "__main__":
    enter_network()
    serve(POD_A)
    serve(POD_B)
    result = unittest.main(verbosity=2, exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(bad > 0)
