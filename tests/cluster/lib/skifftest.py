"""What the cluster tests are written with.

A test is a function whose name is a sentence about behaviour; @test registers it. It gets a Case: a
namespace of its own in the cluster, words to create things in it and to look at them, and `expect` and
`wait_for`, which fail with what was seen. Tests run several at a time, but those marked alone=True,
which disturb a node or the control plane, run by themselves at the end.

Objects are made and polled through one HTTPS connection per thread (a kubectl costs 0.2 CPU seconds);
what a user types is done with the real kubectl."""
import concurrent.futures
import fnmatch
import hashlib
import http.client
import json
import os
import random
import re
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATHS = {"Pod": "api/v1/%s/pods", "Service": "api/v1/%s/services", "ConfigMap": "api/v1/%s/configmaps",
         "Secret": "api/v1/%s/secrets", "ServiceAccount": "api/v1/%s/serviceaccounts",
         "Event": "api/v1/%s/events", "Endpoints": "api/v1/%s/endpoints",
         "Deployment": "apis/apps/v1/%s/deployments", "ReplicaSet": "apis/apps/v1/%s/replicasets",
         "DaemonSet": "apis/apps/v1/%s/daemonsets", "StatefulSet": "apis/apps/v1/%s/statefulsets",
         "Job": "apis/batch/v1/%s/jobs", "CronJob": "apis/batch/v1/%s/cronjobs",
         "EndpointSlice": "apis/discovery.k8s.io/v1/%s/endpointslices",
         "Lease": "apis/coordination.k8s.io/v1/%s/leases",
         "Role": "apis/rbac.authorization.k8s.io/v1/%s/roles",
         "RoleBinding": "apis/rbac.authorization.k8s.io/v1/%s/rolebindings"}
VERSIONS = {kind: path.split("/%s")[0].removeprefix("apis/").removeprefix("api/") for kind, path in PATHS.items()}


class Failure(Exception):
    """The cluster did not do what the test says it does; the text says what was seen."""


def expect(condition, *seen):
    if not condition:
        raise Failure(" ".join(str(word) for word in seen) or "expectation not met")


def expect_equal(seen, wanted, what):
    if seen != wanted:
        raise Failure(f"{what}: {seen!r}, expected {wanted!r}")


def expect_match(text, pattern, what):
    """@pattern is a regular expression that must occur in @text; returns the match."""
    found = re.search(pattern, text or "")
    if not found:
        raise Failure(f"{what}: {text!r} does not match {pattern!r}")
    return found


def wait_for(what, look, timeout=30, every=0.15):
    """Calls look() until it returns something true, and returns that. A Failure that look() raises
    counts as not yet, and is shown when time is up."""
    deadline, seen = time.monotonic() + timeout, None
    while True:
        try:
            seen = look()
            if seen:
                return seen
        except Failure as failure:
            seen = failure
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout} s; last seen: {str(seen)[:600]}")
        time.sleep(every)


def cluster_id(folder):
    """What names all that belongs to a cluster on this machine; as common.sh has it."""
    return hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:6]


class Api:
    """The API server, as the administrator, one connection per thread."""

    def __init__(self, folder, address):
        pki = os.path.join(folder, "control", "pki")
        self.address = address
        self.context = ssl.create_default_context(cafile=pki + "/ca.crt")
        self.context.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
        self.threads = threading.local()

    def request(self, method, path, body=None, content_type="application/json", accept="application/json"):
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": accept}
        for attempt in (1, 2):  # a kept connection may have been closed under us
            connection = getattr(self.threads, "connection", None)
            if connection is None:
                connection = http.client.HTTPSConnection(self.address, context=self.context, timeout=15)
                self.threads.connection = connection
            try:
                connection.request(method, "/" + path, data, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.threads.connection = None
                if attempt == 2:
                    raise

    def call(self, method, path, body=None, absent_ok=False, **more):
        status, answer = self.request(method, path, body, **more)
        if status == 404 and absent_ok:
            return None
        if status >= 300:
            raise Failure(f"{method} {path}: {status} {answer.decode(errors='replace')[:500]}")
        return json.loads(answer)

    def get(self, path):
        return self.call("GET", path, absent_ok=True)


class Cluster:
    """The cluster that tests/cluster/up made in a folder."""

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        with open(os.path.join(self.folder, ".skiff-cluster"), encoding="ascii") as f:
            self.settings = dict(line.strip().split("=", 1) for line in f if "=" in line)
        self.hub_ip = self.settings["SUBNET"] + ".1"
        self.is_skiff = self.settings.get("NODE", "skiff") == "skiff"
        self.api = Api(self.folder, f"{self.hub_ip}:6443")
        self.node_names = sorted(os.listdir(os.path.join(self.folder, "nodes")))

    def node_ip(self, node):
        return f"{self.settings['SUBNET']}.{10 + int(node.split('-')[1])}"

    def node_folder(self, node):
        return os.path.join(self.folder, "nodes", node)

    def node(self, name):
        return self.api.get(f"api/v1/nodes/{name}") or {}

    def kubectl(self, *argv, stdin=None, check=True, timeout=120):
        """Runs kubectl; returns what it prints, and with check=False everything about it."""
        done = subprocess.run([self.folder + "/bin/kubectl", "--kubeconfig", self.folder + "/kubeconfig", *argv],
                              input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout,
                              check=False)
        if not check:
            return done
        if done.returncode != 0:
            raise Failure(f"kubectl {' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def netns(self, where):
        """The network namespace of a node, or of the hub; named as common.sh names it."""
        return f"/run/netns/skiff-{cluster_id(self.folder)}" + ("" if where == "hub" else "-" + where.split("-")[1])

    def on(self, where, *argv, check=True, timeout=30):
        """Runs a command in a node's network namespace (or "hub"'s); its output."""
        done = subprocess.run(["nsenter", "--net=" + self.netns(where), "--", *argv], capture_output=True,
                              text=True, errors="replace", timeout=timeout, check=False)
        if not check:
            return done
        if done.returncode != 0:
            raise Failure(f"{where}: {' '.join(argv)}: exit {done.returncode}: {(done.stdout + done.stderr).strip()[-400:]}")
        return done.stdout

    def curl(self, where, url, *options, timeout=2):
        """GET from a node; the body. Fails with curl's own sentence."""
        return self.on(where, "curl", "-sS", "--fail", "--max-time", str(timeout), *options, url).strip()

    def inside(self, node, *argv, check=True):
        """Runs a command in all namespaces of a node."""
        return self._service("exec", node, *argv, check=check)

    def _service(self, verb, *argv, check=True):
        done = subprocess.run([HERE + "/service", self.folder, verb, *argv], capture_output=True, text=True,
                              errors="replace", check=False, timeout=120, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failure(f"service {verb} {' '.join(argv)}: {(done.stdout + done.stderr).strip()[-400:]}")
        return done.stdout if check else done

    def runs(self, part):
        return self._service("pid", part, check=False).returncode == 0

    def start(self, part):
        self._service("start", part)

    def stop(self, part):
        self._service("stop", part)

    def kill(self, part):
        self._service("kill", part)


def container(name, *command, image="busybox:1.36", **more):
    made = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **more}
    if command:
        made["command"] = list(command)
    return made


def shell(name, script, **more):
    """A container that runs a script, ends at once on SIGTERM, and has `forever` to wait for it."""
    head = "trap 'exit 0' TERM; forever() { while :; do sleep 3600 & wait $!; done; }\n"
    return container(name, "sh", "-c", head + script, **more)


def pod(name, *containers, labels=None, annotations=None, node=None, **spec):
    made = {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5,
                     "automountServiceAccountToken": False, **spec}}
    if node:
        made["spec"]["nodeName"] = node
    return made


def web(name="web", version=1, **more):
    """The tests' HTTP server (image-src/web.c) on port 8080."""
    return container(name, image=f"skiff-test/web:{version}",
                     ports=[{"name": "http", "containerPort": 8080}], **more)


class Case:
    """One test's own corner of the cluster."""

    def __init__(self, cluster, name):
        self.cluster, self.api, self.nodes = cluster, cluster.api, cluster.node_names
        self.namespace = "t-" + re.sub("[^a-z0-9]+", "-", name)[:40].strip("-") + "-%04x" % random.randrange(65536)
        self.cleanups = []

    def __enter__(self):
        self.api.call("POST", "api/v1/namespaces", {"metadata": {"name": self.namespace}})
        wait_for("default service account", lambda: self.get("ServiceAccount", "default"), every=0.05)
        return self

    def __exit__(self, *error):
        for cleanup in reversed(self.cleanups):
            cleanup()
        # pods first and at once: a namespace takes its time
        self.api.call("DELETE", f"api/v1/namespaces/{self.namespace}/pods", {"gracePeriodSeconds": 1})
        self.api.call("DELETE", "api/v1/namespaces/" + self.namespace, absent_ok=True)

    def path(self, kind, name=None, sub=None):
        path = PATHS[kind] % ("namespaces/" + self.namespace)
        return "/".join(filter(None, (path, name, sub)))

    # ---- objects ----
    def create(self, kind, body):
        return self.api.call("POST", self.path(kind), {"apiVersion": VERSIONS[kind], "kind": kind, **body})

    def get(self, kind, name):
        return self.api.get(self.path(kind, name))

    def list(self, kind, **labels):
        query = "?labelSelector=" + urllib.parse.quote(",".join(f"{k}={v}" for k, v in labels.items()))
        return self.api.get(self.path(kind) + (query if labels else ""))["items"]

    def patch(self, kind, name, body, sub=None):
        return self.api.call("PATCH", self.path(kind, name, sub), body,
                             content_type="application/strategic-merge-patch+json")

    def delete(self, kind, name, **options):
        return self.api.call("DELETE", self.path(kind, name), options or None, absent_ok=True)

    def run(self, *args, **spec):
        """Creates a pod (see pod())."""
        return self.create("Pod", pod(*args, **spec))

    def deployment(self, name, replicas, *containers, labels=None, annotations=None, **spec):
        labels = {"app": name, **(labels or {})}
        template = pod("", *containers, labels=labels, annotations=annotations, **spec)
        del template["metadata"]["name"]
        return self.create("Deployment", {"metadata": {"name": name}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}})

    def service(self, name, *ports, selector=None, **spec):
        """Ports are numbers, forwarded to 8080, or whole ServicePorts."""
        ports = [port if isinstance(port, dict) else {"port": port, "targetPort": 8080} for port in ports]
        return self.create("Service", {"metadata": {"name": name}, "spec": {
            "selector": selector or {"app": name}, "ports": ports, **spec}})

    # ---- pods ----
    def pod(self, name):
        return self.get("Pod", name) or {}

    def status(self, name, container_name=None, kind="containerStatuses"):
        """A container's status, {} when there is none yet."""
        for status in self.pod(name).get("status", {}).get(kind, []):
            if container_name in (None, status["name"]):
                return status
        return {}

    def wait_phase(self, name, phase, timeout=30):
        def look():
            seen = self.pod(name)
            status = seen.get("status", {})
            if status.get("phase") == phase:
                return seen
            raise Failure(f"phase {status.get('phase')}: {brief(seen)}")
        return wait_for(f"pod {name} {phase}", look, timeout)

    def wait_ready(self, name, timeout=30):
        def look():
            seen = self.pod(name)
            if condition(seen, "Ready").get("status") == "True":
                return seen
            raise Failure(brief(seen))
        return wait_for(f"pod {name} Ready", look, timeout)

    def wait_gone(self, kind, name, timeout=30):
        wait_for(f"{kind} {name} gone", lambda: self.get(kind, name) is None, timeout)

    def wait_pods(self, count, timeout=60, **labels):
        """That many pods with these labels, all of them Ready and none on its way out."""
        def look():
            pods = self.list("Pod", **labels)
            if len(pods) == count and all(condition(p, "Ready").get("status") == "True" and
                                          "deletionTimestamp" not in p["metadata"] for p in pods):
                return pods
            raise Failure(f"{len(pods)} pods: " + "; ".join(brief(p) for p in pods))
        return wait_for(f"{count} pods Ready", look, timeout) if count else \
            wait_for("no pod", lambda: not self.list("Pod", **labels), timeout)

    def waiting(self, name, reason, timeout=30, kind="containerStatuses", container_name=None):
        """Until a container waits for that reason; its status."""
        def look():
            status = self.status(name, container_name, kind)
            if status.get("state", {}).get("waiting", {}).get("reason") == reason:
                return status
            raise Failure(brief(self.pod(name)))
        return wait_for(f"pod {name} waiting with {reason}", look, timeout)

    def logs(self, name, *options):
        return self.kubectl("logs", name, *options)

    def output(self, *args, phase="Succeeded", timeout=30, **spec):
        """Runs a pod to its end and returns what its (first) container printed."""
        spec.setdefault("restartPolicy", "Never")
        made = self.run(*args, **spec)
        self.wait_phase(made["metadata"]["name"], phase, timeout)
        return self.logs(made["metadata"]["name"], "-c", made["spec"]["containers"][0]["name"])

    def events(self, name=None, reason=None):
        found = [e for e in self.list("Event")
                 if name in (None, e["involvedObject"]["name"]) and reason in (None, e["reason"])]
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")

    def wait_event(self, name, reason, pattern="", timeout=30):
        """Until the object has such an event; a regular expression for its message; the event."""
        def look():
            events = self.events(name)
            for event in events:
                if event["reason"] == reason and re.search(pattern, event["message"]):
                    return event
            raise Failure("; ".join(f"{e['reason']}: {e['message'][:160]}" for e in events) or "no event")
        return wait_for(f"event {reason} of {name} ({pattern})", look, timeout)

    # ---- what users type ----
    def kubectl(self, *argv, **more):
        return self.cluster.kubectl("--namespace", self.namespace, *argv, **more)

    # ---- Services ----
    def endpoints(self, service):
        """Addresses of a Service's ready endpoints."""
        return sorted(address for part in self.list("EndpointSlice", **{"kubernetes.io/service-name": service})
                      for endpoint in part.get("endpoints") or [] if endpoint["conditions"].get("ready")
                      for address in endpoint["addresses"])

    def explain(self):
        """Everything that helps to understand a failure."""
        lines = ["    pod " + brief(p) for p in self.list("Pod")]
        lines += [f"    event {e['involvedObject']['kind']}/{e['involvedObject']['name']} {e['reason']}: {e['message'][:300]}"
                  for e in self.events()][-15:]
        return "\n".join(lines)


def condition(thing, kind):
    for found in thing.get("status", {}).get("conditions", []):
        if found["type"] == kind:
            return found
    return {}


def brief(seen):
    """A pod in a line."""
    if not seen:
        return "does not exist"
    parts = []
    status = seen.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(kind, []):
            state, detail = next(iter(one.get("state", {}).items()), ("?", {}))
            detail = " ".join(str(detail[key]) for key in ("reason", "exitCode", "message") if detail.get(key) not in (None, ""))
            parts.append(f"{one['name']}={state}{' ' if detail else ''}{detail[:160]} restarts={one['restartCount']} ready={one['ready']}")
    return f"{seen['metadata']['name']} on {seen['spec'].get('nodeName')} {status.get('phase')} {status.get('reason') or ''} [{', '.join(parts)}]"


# ---- running ----
registered = []


def test(function=None, *, alone=False, skiff_only=False, timeout=180):
    """skiff_only: about what only Skiff has; left out where the nodes are upstream's."""
    def register(made):
        registered.append((made, alone, skiff_only, timeout))
        return made
    return register(function) if function else register


printing = threading.Lock()
failed_rows = []  # what failed and the first line of why, for the end of the log


def row(name, began, trouble):
    """Prints how a check went; whether it went well."""
    with printing:
        print(f"{'not ok' if trouble else 'ok'} {time.monotonic() - began:6.1f} s  {name}", flush=True)
        if trouble:
            print(trouble, flush=True)
            failed_rows.append(f"{name}: {trouble.strip().splitlines()[0][:200]}")
    return not trouble


def run_one(cluster, function, seconds):
    began, trouble = time.monotonic(), None
    try:
        with Case(cluster, function.__name__) as case:
            try:
                function(case)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)
                line = next((f.lineno for f in where if f.name == function.__name__), 0)
                trouble = f"    line {line}: {error if isinstance(error, Failure) else repr(error)}\n"
                try:
                    trouble += case.explain()
                except Exception as second:  # the API server may be what failed
                    trouble += f"    ({second!r})"
    except Exception as error:
        trouble = (trouble or "") + f"    around the test: {error!r}"
    if not trouble and time.monotonic() - began > seconds:
        trouble = f"    took longer than {seconds} s"
    return row(f"{function.__module__}: {function.__name__}", began, trouble)


def main(folder, patterns=(), at_once=6):
    """Runs what is registered (and matches); how many passed and failed."""
    cluster = Cluster(folder)
    wanted = [entry for entry in registered if (cluster.is_skiff or not entry[2]) and
              (not patterns or any(fnmatch.fnmatch(f"{entry[0].__module__}.{entry[0].__name__}", f"*{p}*") for p in patterns))]
    results = []
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(run_one, cluster, function, seconds) for function, alone, _, seconds in wanted if not alone]
        results += [done.result() for done in running]
    results.append(agents_live(cluster, "agents live after the tests that ran side by side"))
    results += [run_one(cluster, function, seconds) for function, alone, _, seconds in wanted if alone]
    results.append(agents_live(cluster, "agents live after all tests"))
    results.append(namespaces_go(cluster))
    return sum(results), len(results) - sum(results)


def closing_line(passed, failed):
    """What failed, then the last line of a run; its exit status."""
    for line in failed_rows:
        print("failed: " + line)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def agents_live(cluster, name):
    """A check of its own: nobody starts an agent again that died by itself, as systemd would."""
    began = time.monotonic()
    nodes = sorted(os.listdir(cluster.folder + "/nodes")) if cluster.is_skiff else []
    dead = [f"{node}/{agent}" for node in nodes for agent in ("skiffd", "skiff-netproxy") if not cluster.runs(f"{node}/{agent}")]
    return row(name, began, dead and "    does not run any more: " + ", ".join(dead))


def namespaces_go(cluster):
    """A check of its own: with its pods ended, nothing holds up a test's namespace."""
    began, trouble = time.monotonic(), None

    def look():
        left = [n["metadata"]["name"] for n in cluster.api.get("api/v1/namespaces")["items"]
                if n["metadata"]["name"].startswith("t-")]
        if left:
            raise Failure(", ".join(left))
        return True
    try:
        wait_for("the tests' namespaces are gone", look, timeout=60, every=0.5)
    except Failure as failure:
        trouble = f"    {failure}"
    return row("the tests' namespaces go", began, trouble)


def script():
    """At the end of each test file: run its tests against DIR."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} DIR [PATTERN ...]")
    sys.exit(closing_line(*main(sys.argv[1], sys.argv[2:])))
