#!/usr/bin/env python3
"""kubelet/server against a fake API server that answers reviews: who gets in, what is refused, and
container logs as kubectl asks for them. Argument: the program server-daemon."""
import http.server, json, os, resource, shutil, signal, socket, ssl, subprocess, sys, tempfile, threading, time, unittest

DAEMON = sys.argv.pop(1)
with open(DAEMON, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class FakeApi:
    """Answers TokenReview and SubjectAccessReview; @tokens and @allowed are the policy."""

    def __init__(self):
        self.tokens, self.allowed, self.asked, self.mode, self.delay = {}, set(), [], "ok", 0
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked.append(body)
                if fake.delay:
                    time.sleep(fake.delay)
                if fake.mode == "drop":
                    self.close_connection = True
                    return
                status, answer = fake.answer(body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, body):
        if self.mode == "500":
            return 500, {"kind": "Status", "message": "boom"}
        if self.mode == "garbage":
            return 201, b"{ not json"
        if self.mode == "empty":
            return 201, {}
        if self.mode == "both":
            return 201, {"status": {"authenticated": True, "allowed": True, "denied": True, "user": {"username": "x"}}}
        if self.mode == "huge":
            return 201, {"status": {"authenticated": True, "allowed": True, "user": {"username": "x" * 10_000_000}, "pad": "y" * 10_000_000}}
        if body["kind"] == "TokenReview":
            user = self.tokens.get(body["spec"]["token"])
            return 201, {"status": {"authenticated": True, "user": user} if user else {"authenticated": False, "error": "invalid bearer token"}}
        a = body["spec"]["resourceAttributes"]
        assert a["resource"] == "nodes" and a["name"] == "node-1" and a["version"] == "v1", a
        who = {body["spec"]["user"], *body["spec"]["groups"]}
        return 201, {"status": {"allowed": any((w, a["verb"], a["subresource"]) in self.allowed for w in who)}}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Node(unittest.TestCase):
    config = {}

    @classmethod
    def setUpClass(cls):
        cls.pki = tempfile.mkdtemp()
        for ca in ("ca", "other"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={ca}", "-days", "2",
                    "-keyout", f"{cls.pki}/{ca}.key", "-out", f"{cls.pki}/{ca}.crt")
        cls.make_client("admin", "ca", "/O=system:masters/CN=admin")
        cls.make_client("reader", "ca", "/CN=reader")
        cls.make_client("mallory", "other", "/O=system:masters/CN=admin")

    @classmethod
    def make_client(cls, name, ca, subject):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
                "-keyout", f"{cls.pki}/{name}.key", "-out", f"{cls.pki}/{name}.csr")
        with open(f"{cls.pki}/ext", "w") as f:
            f.write("extendedKeyUsage=clientAuth\n")
        openssl("x509", "-req", "-in", f"{cls.pki}/{name}.csr", "-CA", f"{cls.pki}/{ca}.crt", "-CAkey", f"{cls.pki}/{ca}.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{cls.pki}/ext", "-out", f"{cls.pki}/{name}.crt")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.pki)

    def setUp(self):
        self.api = FakeApi()
        for verb in ("get", "create", "update", "patch", "delete"):
            self.api.allowed |= {("system:masters", verb, s) for s in ("proxy", "stats", "metrics", "log", "checkpoint", "statusz", "configz")}
        self.folder = tempfile.mkdtemp()
        self.log_folder = f"{self.folder}/logs/ns_pod_uid/c"
        os.makedirs(self.log_folder)
        self.state = {"pods": {}, "containers": {}}
        self.put_container("c", {"containerID": "skiff://now", "state": {"running": {}}}, "now", 0, True)
        config = {"authentication": {"x509": {"clientCAFile": f"{self.pki}/ca.crt"}}, **self.config}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([DAEMON, self.api.url, self.folder, json.dumps({"apiVersion": "kubelet.config.k8s.io/v1beta1",
                                         "kind": "KubeletConfiguration", **config})], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().split()
        if not line:
            self.process.wait()
            self.log.seek(0)
            self.fail(self.log.read().decode())
        self.port, self.healthz_port = int(line[1]), int(line[2])

    def tearDown(self):
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stdout.close()
        self.log.seek(0)
        text = self.log.read().decode()
        self.log.close()
        self.api.close()
        shutil.rmtree(self.folder)
        self.assertEqual(status, 0, text[-3000:])

    def put_container(self, name, status, container_id, restarts, running):
        statuses = self.state["pods"].setdefault("ns/pod", {"phase": "Running", "containerStatuses": []})["containerStatuses"]
        statuses[:] = [s for s in statuses if s["name"] != name] + [{"name": name, **status}]
        self.state["containers"][container_id] = {"path": f"{self.log_folder}/{restarts}.log", "running": running}
        self.write_state()

    def write_state(self):
        with open(f"{self.folder}/state.tmp", "w") as f:
            json.dump(self.state, f)
        os.rename(f"{self.folder}/state.tmp", f"{self.folder}/state.json")

    def append(self, *lines, file="0.log", stream="stdout", tag="F"):
        with open(f"{self.log_folder}/{file}", "a") as f:
            for line in lines:
                f.write(f"2024-05-06T07:08:09.5Z {stream} {tag} {line}\n")

    def connect(self, client="admin"):
        c = ssl.create_default_context(cafile=f"{self.folder}/pki/kubelet.crt")
        if client:
            c.load_cert_chain(f"{self.pki}/{client}.crt", f"{self.pki}/{client}.key")
        s = socket.create_connection(("127.0.0.1", self.port), 10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return c.wrap_socket(s, server_hostname="node-1")

    def send(self, s, path, method="GET", token=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: node-1:10250", *headers]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def read(self, s):
        """Status and body of one answer, chunked or not."""
        f = s.makefile("rb")
        line = f.readline().split()
        if not line:
            return 0, b""
        headers = {}
        while (h := f.readline()) not in (b"\r\n", b""):
            key, value = h.decode().strip().split(": ", 1)
            headers[key.lower()] = value
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while n := int(f.readline(), 16):
                body += f.read(n)
                f.readline()
            f.readline()
        else:
            body = f.read(int(headers.get("content-length", 0)))
        return int(line[1]), body

    def ask(self, path, client="admin", **how):
        with self.connect(client) as s:
            self.send(s, path, **how)
            return self.read(s)

    def logs(self, query="", container="c", client="admin"):
        return self.ask(f"/containerLogs/ns/pod/{container}{query}", client)


class Access(Node):
    def test_without_credentials_every_path_is_unauthorized(self):
        for path in ("/", "/healthz", "/pods", "/containerLogs/ns/pod/c", "/exec/ns/pod/c", "/checkpoint/a/b/c", "/debug/pprof/", "/logs/", "/nothing"):
            for method in ("GET", "POST", "OPTIONS", "TRACE"):
                self.assertEqual(self.ask(path, None, method=method), (401, b"Unauthorized"))
        self.assertEqual(self.ask("/pods", "mallory"), (401, b"Unauthorized"))
        self.assertEqual(self.api.asked, [])

    def test_a_client_certificate_with_rights_gets_in(self):
        status, body = self.ask("/pods")
        self.assertEqual((status, json.loads(body)["kind"]), (200, "PodList"))
        self.assertEqual([a["spec"]["resourceAttributes"]["subresource"] for a in self.api.asked], ["pods", "proxy"])
        self.assertEqual(self.api.asked[0]["spec"]["groups"], ["system:masters", "system:authenticated"])

    def test_fine_grained_rights_are_enough_and_no_more_than_that(self):
        self.api.allowed.add(("reader", "get", "pods"))
        self.api.allowed.add(("reader", "get", "metrics"))
        self.assertEqual(self.ask("/pods", "reader")[0], 200)
        status, body = self.ask("/metrics", "reader")
        self.assertTrue(status == 200 and body.startswith(b"of_agent 1\n"), body)
        self.assertEqual(self.ask("/stats/summary", "reader")[0], 403)
        status, body = self.ask("/containerLogs/ns/pod/c", "reader")
        self.assertEqual((status, body), (403, b"Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[proxy])\n"))
        self.assertEqual(self.ask("/healthz", "reader")[1], b"Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n")
        for path in ("/metrics/../pods", "/metrics//x", "/metrics/%2e%2e/exec", "/metrics%2f..%2fexec", "/metrics;/exec"):
            self.assertEqual(self.ask(path, "reader")[0], 400)

    def test_running_something_needs_create_whatever_the_method(self):
        self.api.allowed.add(("reader", "get", "proxy"))
        self.assertEqual(self.ask("/containerLogs/ns/pod/absent", "reader")[0], 404)
        for path in ("/exec/ns/pod/c", "/attach/ns/pod/c", "/run/ns/pod/c", "/portForward/ns/pod"):
            self.assertEqual(self.ask(path, "reader", headers=("Connection: Upgrade", "Upgrade: websocket"))[0], 403)

    def test_allowed_callers_get_404_and_405_like_the_kubelets(self):
        self.assertEqual(self.ask("/nothing"), (404, b"404 page not found\n"))
        self.assertEqual(self.ask("/containerLogs/ns/pod"), (404, b"404: Page Not Found"))
        self.assertEqual(self.ask("/pods", method="POST"), (405, b"405: Method Not Allowed"))
        with self.connect() as s:
            self.send(s, "/pods", method="HEAD", headers=("Connection: close",))
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 403 "))

    def test_metrics_and_stats_need_their_own_rights(self):
        for path, right in (("/metrics/resource", "metrics"), ("/metrics", "metrics"), ("/stats/summary", "stats")):
            self.assertEqual(self.ask(path, "reader"),
                             (403, f"Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[{right}])\n".encode()))
        self.assertEqual(self.ask("/metrics/resource"), (200, b"of_pods 1\n"))
        self.assertEqual(self.ask("/metrics", method="POST")[0], 405)
        self.assertEqual(self.ask("/metrics/nothing")[0], 404)
        for query, only in (("", False), ("?only_cpu_and_memory=true", True), ("?only_cpu_and_memory=1", False)):
            for method in ("GET", "POST"):
                status, body = self.ask("/stats/summary" + query, method=method, headers=("Content-Length: 0",) if method == "POST" else ())
                self.assertEqual((status, json.loads(body)), (200, {"only": only}))
        self.assertEqual(self.ask("/stats/summary", method="DELETE")[0], 405)

    def test_a_token_is_reviewed_once_and_its_rights_too(self):
        self.api.tokens["good"] = {"username": "sa", "uid": "7", "groups": ["g"], "extra": {"k": ["v"]}}
        self.api.allowed.add(("sa", "get", "pods"))
        for _ in range(5):
            self.assertEqual(self.ask("/pods", None, token="good")[0], 200)
        self.assertEqual([a["kind"] for a in self.api.asked], ["TokenReview", "SubjectAccessReview"])
        self.assertEqual(self.api.asked[1]["spec"]["extra"], {"k": ["v"]})
        self.assertEqual(self.api.asked[1]["spec"]["uid"], "7")
        self.assertEqual(self.ask("/metrics", None, token="good")[0], 403)

    def test_bad_tokens_are_refused_and_asked_about_once(self):
        for _ in range(5):
            self.assertEqual(self.ask("/pods", None, token="bad"), (401, b"Unauthorized"))
        self.assertEqual(len(self.api.asked), 1)
        for token in ("", "a b", "é"):
            self.assertEqual(self.ask("/pods", None, token=token)[0], 401)
        self.assertEqual(len(self.api.asked), 1)
        self.assertEqual(self.ask("/pods", None, token="a", headers=("Authorization: Bearer b",))[0], 400)

    def test_the_same_question_at_once_is_asked_once(self):
        self.api.tokens["good"] = {"username": "sa"}
        self.api.allowed.add(("sa", "get", "pods"))
        self.api.delay = 0.3
        connections = [self.connect(None) for _ in range(20)]
        for s in connections:
            self.send(s, "/pods", token="good")
        connections.pop().close()  # gone while the question is under way
        for s in connections:
            self.assertEqual(self.read(s)[0], 200)
            s.close()
        self.assertEqual([a["kind"] for a in self.api.asked], ["TokenReview", "SubjectAccessReview"])

    def test_every_failure_of_the_reviews_denies(self):
        for mode in ("500", "garbage", "empty", "both", "huge"):
            self.api.mode = mode
            denied = (403,) if mode == "both" else (500, 403)
            if mode != "huge":
                self.assertIn(self.ask("/pods")[0], denied, mode)
            self.assertIn(self.ask("/pods", None, token="t-" + mode)[0], (401, 403, 500), mode)
        self.api.mode = "ok"
        self.assertEqual(self.ask("/pods", "reader")[0], 403)
        self.api.mode = "drop"
        self.assertEqual(self.ask("/metrics")[0], 500)
        self.assertEqual(self.ask("/pods", None, token="fresh")[0], 401)

    def test_headers_that_claim_an_identity_are_ignored(self):
        headers = ("X-Remote-User: admin", "X-Remote-Group: system:masters", "Impersonate-User: admin", "X-Forwarded-For: 127.0.0.1")
        self.assertEqual(self.ask("/pods", None, headers=headers)[0], 401)
        self.assertEqual(self.ask("/pods", "reader", headers=headers)[0], 403)

    def test_distinct_requests_leave_no_memory_behind(self):
        def dirty():
            with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))

        with self.connect("reader") as s:
            for i in range(300):
                self.send(s, f"/a{i}", method="GET", headers=(f"User-Agent: x{i}",))
                self.read(s)
            before = dirty()
            for i in range(3000):
                self.send(s, f"/b{i}?q={i}", headers=(f"User-Agent: y{i}",))
                self.read(s)
        if not SANITIZED:
            self.assertLess(dirty() - before, 256)


class Health(Node):
    def test_healthz_says_ok_or_which_check_failed(self):
        self.assertEqual(self.ask("/healthz"), (200, b"ok"))
        self.assertEqual(self.ask("/healthz/ping"), (200, b"ok"))
        self.assertEqual(self.ask("/healthz/nothing")[0], 404)
        self.assertEqual(self.ask("/healthz?verbose"), (200, b"[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n"))
        self.state["healthy"] = False
        self.write_state()
        self.assertEqual(self.ask("/healthz"), (500, b"[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n"))
        self.assertEqual(self.ask("/healthz/syncloop")[0], 500)
        self.assertEqual(self.ask("/healthz?exclude=syncloop"), (200, b"ok"))

    def test_the_loopback_port_has_healthz_and_nothing_else(self):
        for path, answer in (("/healthz", (200, b"ok")), ("/pods", (404, b"404 page not found\n")), ("/configz", (404, b"404 page not found\n")),
                             ("/debug/pprof/", (404, b"404 page not found\n"))):
            with socket.create_connection(("127.0.0.1", self.healthz_port), 10) as s:
                self.send(s, path)
                self.assertEqual(self.read(s), answer)


class Views(Node):
    """/configz, /runningpods, /run, /checkpoint and what is refused by name."""

    def test_configz_shows_the_configuration_in_force(self):
        status, body = self.ask("/configz")
        config = json.loads(body)["kubeletconfig"]
        self.assertEqual((status, config["kind"], config["apiVersion"]), (200, "KubeletConfiguration", "kubelet.config.k8s.io/v1beta1"))
        self.assertEqual(config["authentication"]["x509"]["clientCAFile"], f"{self.pki}/ca.crt")

    def test_statusz_and_flagz_are_text_for_people_and_objects_for_who_asks(self):
        status, body = self.ask("/statusz")
        self.assertEqual(status, 200)
        self.assertRegex(body.decode(), r"^\nkubelet statusz\nWarning: .*\n\nStarted: .* UTC 20\d\d\nUp: 0 hr 0\d min \d\d sec\n")
        self.assertRegex(body.decode(), r"Binary version: 1\.\d+\.\d+\nEmulation version: 1\.\d+\nPaths: /attach .* /statusz\n$")
        for kind in ("Statusz", "Flagz"):
            accept = f"Accept: application/json;as={kind};v=v1beta1;g=config.k8s.io"
            status, body = self.ask("/" + kind.lower(), headers=(accept,))
            shown = json.loads(body)
            self.assertEqual((status, shown["kind"], shown["apiVersion"], shown["metadata"]), (200, kind, "config.k8s.io/v1beta1", {"name": "kubelet"}))
            self.assertEqual(self.ask("/" + kind.lower(), headers=("Accept: application/json",))[0], 406)
        self.assertTrue(self.ask("/flagz")[1].startswith(b"\nkubelet flagz\nWarning: "))

    def test_each_of_the_fine_grained_rights_opens_its_own_view_alone(self):
        for right, path in (("pods", "/pods"), ("pods", "/runningpods/"), ("configz", "/configz"), ("healthz", "/healthz"), ("log", "/logs/")):
            who = f"only-{right}"
            self.make_client(who, "ca", f"/CN={who}")
            self.api.allowed.add((who, "get", right))
            os.makedirs(f"{self.folder}/var-log", exist_ok=True)
            self.assertEqual(self.ask(path, who)[0], 200, path)
            for other in ("/pods", "/configz", "/healthz", "/logs/", "/metrics", "/stats/summary", "/containerLogs/ns/pod/c", "/debug/pprof/"):
                if not path.startswith(other) and not (right == "pods" and other == "/pods"):
                    self.assertEqual(self.ask(other, who)[0], 403, (who, other))

    def test_the_right_to_proxy_opens_the_views_too(self):
        self.api.allowed.add(("reader", "get", "proxy"))
        for path in ("/pods", "/runningpods", "/configz", "/healthz"):
            self.assertEqual(self.ask(path, "reader")[0], 200, path)
        for path in ("/logs/", "/metrics", "/stats/summary"):
            self.assertEqual(self.ask(path, "reader")[0], 403, path)

    def test_run_hands_on_names_and_command(self):
        self.assertEqual(self.ask("/run/ns/pod/c?cmd=ls%20-l", method="POST"), (200, b"ns pod - c ls -l"))
        self.assertEqual(self.ask("/run/ns/pod/u1/c?cmd=ls", method="POST"), (200, b"ns pod u1 c ls"))
        self.assertEqual(self.ask("/run/ns/pod/c?cmd=ls")[0], 405)

    def test_runningpods_come_from_the_runtime(self):
        self.assertEqual(json.loads(self.ask("/runningpods/")[1]), {"kind": "Running"})

    def test_checkpoint_says_why_not(self):
        self.assertEqual(self.ask("/checkpoint/ns/nopod/c", method="POST"), (404, b"pod does not exist"))
        self.assertEqual(self.ask("/checkpoint/ns/pod/absent", method="POST"), (404, b"container absent does not exist"))
        status, body = self.ask("/checkpoint/ns/pod/c", method="POST")
        self.assertEqual(status, 500)
        self.assertTrue(body.startswith(b"checkpointing of ns/pod/c failed ("), body)
        self.assertEqual(self.ask("/checkpoint/ns/pod/c")[0], 405)

    def test_profiles_and_log_levels_of_go_are_refused_as_where_they_are_off(self):
        self.assertEqual(self.ask("/debug/pprof/heap"), (405, b"profiling endpoint is disabled.\n"))
        self.assertEqual(self.ask("/debug/flags/v", method="PUT"), (405, b"flags endpoint is disabled.\n"))


class SystemLogs(Node):
    def setUp(self):
        super().setUp()
        self.root = f"{self.folder}/var-log"
        os.makedirs(f"{self.root}/apt")
        self.put("kern.log", b"one\ntwo\n")
        self.put("apt/history.log", b"history\n")
        with open(f"{self.folder}/secret", "w") as f:
            f.write("secret")

    def put(self, name, data):
        with open(f"{self.root}/{name}", "wb") as f:
            f.write(data)

    def test_folders_are_lists_and_files_are_sent(self):
        self.put('a"<&>.log', b"")
        top = (b'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n<a href="a%22%3C%26%3E.log">a&#34;&lt;&amp;&gt;.log</a>\n'
               b'<a href="apt/">apt/</a>\n<a href="kern.log">kern.log</a>\n</pre>\n')
        self.assertEqual(self.ask("/logs"), (200, top))
        self.assertEqual(self.ask("/logs/"), (200, top))
        self.assertEqual(self.ask("/logs/kern.log"), (200, b"one\ntwo\n"))
        self.assertEqual(self.ask("/logs/apt/history.log"), (200, b"history\n"))
        self.assertIn(b"history.log", self.ask("/logs/apt/")[1])
        self.assertEqual(self.ask("/logs/nothing"), (404, b"404 page not found\n"))

    def test_a_question_to_the_journal_gets_files_only(self):
        self.assertIn(b"kern.log", self.ask("/logs/?query=kubelet")[1])

    def test_nothing_but_regular_files_with_one_name_is_read_and_no_link_is_followed(self):
        os.symlink("../secret", f"{self.root}/out")
        os.symlink("kern.log", f"{self.root}/within")
        os.symlink("..", f"{self.root}/up")
        os.link(f"{self.folder}/secret", f"{self.root}/hard")
        os.mkfifo(f"{self.root}/fifo")
        for name in ("out", "within", "up/secret", "up/", "hard", "fifo", "%2e%2e/secret", "../secret", "apt/../kern.log", "kern.log/x"):
            status, body = self.ask(f"/logs/{name}")
            self.assertIn(status, (400, 404), name)
            self.assertNotIn(b"secret", body)

    def test_a_big_file_comes_whole_and_a_slow_reader_costs_little(self):
        data = bytes(range(256)) * 4096 * 60
        self.put("big", data)
        with self.connect() as slow:
            self.send(slow, "/logs/big")
            slow.recv(1000)
            self.assertEqual(self.ask("/logs/big"), (200, data))
            if not SANITIZED:
                with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
                    self.assertLess(next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty")), 8000)


class Attack(Node):
    """Who is hostile costs a bounded number of descriptors and bytes, is counted, and keeps nobody else out."""

    def trouble(self, reason):
        body = self.ask("/metrics")[1].decode()
        return int(float(body.split(f'skiff_http_troubles_total{{reason="{reason}"}} ')[1].split("\n")[0]))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def private_dirty(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))

    def assert_served(self):
        began = time.monotonic()
        self.assertEqual(self.ask("/pods")[0], 200)
        self.assertLess(time.monotonic() - began, 3)

    def test_idle_connections_without_end_are_bounded(self):
        before, crowd = self.descriptors(), []
        for n in range(1500):
            crowd.append(socket.create_connection(("127.0.0.1", self.port), 10, source_address=(f"127.0.0.{2 + n % 5}", 0)))
            if n % 300 == 0:
                self.assert_served()
        self.assert_served()
        self.assertLess(self.descriptors(), before + 200)
        self.assertGreater(self.trouble("evicted"), 1000)
        if not SANITIZED:
            self.assertLess(self.private_dirty(), 16000)
        for s in crowd:
            s.close()
        deadline = time.monotonic() + 10
        while self.descriptors() > before + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertLessEqual(self.descriptors(), before + 2)

    def test_slow_handshakes_and_heads_end_at_their_deadline(self):
        silent = [socket.create_connection(("127.0.0.1", self.port), 30) for _ in range(20)]
        slow = [self.connect() for _ in range(20)]
        for s in slow:
            s.sendall(b"GET /pods HTTP/1.1\r\nX: ")
        ended, began = set(), time.monotonic()
        for s in silent:
            s.setblocking(False)
        while len(ended) < 40 and time.monotonic() - began < 25:
            for s in silent + slow:
                if s in ended:
                    continue
                try:
                    if s in slow:
                        s.sendall(b"x")
                    elif s.recv(1) == b"":
                        ended.add(s)
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    ended.add(s)
            self.assert_served()
            time.sleep(0.3)
        self.assertEqual(len(ended), 40)
        self.assertLess(time.monotonic() - began, 20)
        self.assertGreaterEqual(self.trouble("slow_handshake"), 20)
        self.assertGreaterEqual(self.trouble("slow_request"), 20)
        for s in silent + slow:
            s.close()

    def test_giant_heads_and_nonsense_are_refused_and_counted(self):
        for _ in range(20):
            with self.connect() as s:
                try:
                    s.sendall(b"GET /pods HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000)
                    self.assertIn(b" 431 ", s.recv(1000))
                except OSError:
                    pass
            with socket.create_connection(("127.0.0.1", self.port), 10) as s:
                try:
                    s.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
                    s.recv(1000)
                except OSError:
                    pass
        self.assert_served()
        self.assertGreaterEqual(self.trouble("malformed"), 20)
        self.assertGreaterEqual(self.trouble("tls"), 20)

    def test_big_bodies_are_refused_before_they_come(self):
        with self.connect() as s:
            self.send(s, "/run/ns/pod/c?cmd=x", method="POST", headers=("Content-Length: 9000000000",))
            self.assertEqual(self.read(s)[0], 413)
        self.assertGreaterEqual(self.trouble("malformed"), 1)


class NoSystemLogs(Node):
    config = {"enableSystemLogHandler": False}

    def test_the_machines_logs_are_off_when_the_configuration_says_so(self):
        self.assertEqual(self.ask("/logs/"), (405, b"logs endpoint is disabled.\n"))


class Logs(Node):
    def test_the_log_is_served_whole_and_by_parts(self):
        self.append("one", "two", "three")
        self.append("wrong", stream="stderr")
        self.assertEqual(self.logs(), (200, b"one\ntwo\nthree\nwrong\n"))
        self.assertEqual(self.logs("?tailLines=2"), (200, b"three\nwrong\n"))
        self.assertEqual(self.logs("?tailLines=0"), (200, b""))
        self.assertEqual(self.logs("?limitBytes=6"), (200, b"one\ntw"))
        self.assertEqual(self.logs("?stream=Stderr"), (200, b"wrong\n"))
        self.assertEqual(self.logs("?timestamps=true&tailLines=1"), (200, b"2024-05-06T07:08:09.500000000Z wrong\n"))
        self.assertEqual(self.logs("?sinceSeconds=60"), (200, b""))
        self.assertEqual(self.logs("?sinceTime=2024-05-06T07:08:09Z&tail=1"), (200, b"wrong\n"))

    def test_what_kubectl_must_not_ask_is_refused(self):
        for query in ("tailLines=-1", "limitBytes=0", "sinceSeconds=0", "sinceSeconds=1&sinceTime=2024-05-06T07:08:09Z", "stream=Stdout&tailLines=1"):
            self.assertEqual(self.logs("?" + query)[0], 422, query)
        for query in ("tailLines=1e9", "tailLines=9223372036854775808", "limitBytes=", "sinceTime=now", "stream=x"):
            self.assertEqual(self.logs("?" + query)[0], 400, query)

    def test_states_without_a_log_are_told_apart(self):
        self.assertEqual(self.ask("/containerLogs/ns/nopod/c"), (404, b'pod "nopod" does not exist'))
        self.assertEqual(self.logs(container="absent"), (404, b'container "absent" not found in pod "pod"'))
        self.assertEqual(self.logs("?previous=true"), (400, b'previous terminated container "c" in pod "pod" not found'))
        self.put_container("w", {"state": {"waiting": {"reason": "PodInitializing"}}}, "x", 0, False)
        self.assertEqual(self.logs(container="w"), (400, b'container "w" in pod "pod" is waiting to start: PodInitializing'))

    def test_the_previous_instance_has_its_own_log(self):
        self.append("old")
        self.append("new", file="1.log")
        self.put_container("c", {"containerID": "skiff://now", "state": {"running": {}}, "lastState": {"terminated": {"containerID": "skiff://old"}}},
                           "now", 1, True)
        self.state["containers"]["old"] = {"path": f"{self.log_folder}/0.log", "running": False}
        self.write_state()
        self.assertEqual(self.logs(), (200, b"new\n"))
        self.assertEqual(self.logs("?previous=true"), (200, b"old\n"))

    def test_links_out_of_the_log_folder_are_not_followed(self):
        os.symlink("/etc/passwd", f"{self.log_folder}/0.log")
        self.assertEqual(self.logs()[0], 400)
        os.unlink(f"{self.log_folder}/0.log")
        os.rename(self.log_folder, f"{self.folder}/elsewhere")
        os.symlink(f"{self.folder}/elsewhere", self.log_folder)
        with open(f"{self.folder}/elsewhere/0.log", "w") as f:
            f.write("2024-05-06T07:08:09.5Z stdout F secret\n")
        status, body = self.logs()
        self.assertEqual(status, 400)
        self.assertNotIn(b"secret", body)

    def test_following_ends_with_the_container(self):
        self.append("one")
        with self.connect() as s:
            self.send(s, "/containerLogs/ns/pod/c?follow=true")
            text = b""
            while b"one\n" not in text:
                text += s.recv(1000)
            self.append("two")
            while b"two\n" not in text:
                text += s.recv(1000)
            self.append("three")
            self.state["containers"]["now"]["running"] = False
            self.write_state()
            self.process.send_signal(signal.SIGUSR1)
            while not text.endswith(b"0\r\n\r\n"):
                text += s.recv(1000)
            self.assertIn(b"three\n", text)

    def test_following_shows_its_head_before_the_first_line(self):
        self.append()
        with self.connect() as s:
            self.send(s, "/containerLogs/ns/pod/c?follow=true")
            self.assertIn(b"200 OK", s.recv(1000))

    def test_a_slow_reader_of_a_big_log_blocks_nobody_and_costs_little(self):
        with open(f"{self.log_folder}/0.log", "w") as f:
            f.write(("2024-05-06T07:08:09.5Z stdout F " + "x" * 1000 + "\n") * 60000)
        with self.connect() as slow:
            self.send(slow, "/containerLogs/ns/pod/c")
            slow.recv(1000)
            time.sleep(0.2)
            began = time.monotonic()
            for _ in range(20):
                self.assertEqual(self.logs("?tailLines=1")[0], 200)
            self.assertLess(time.monotonic() - began, 3)
            if not SANITIZED:
                with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
                    self.assertLess(next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty")), 8000)
            got, end = 0, b""
            while end != b"\r\n0\r\n\r\n" and (piece := slow.recv(1 << 20)):
                got += len(piece)
                end = (end + piece)[-7:]
            self.assertGreater(got, 60000 * 1001)

    def test_more_followers_than_allowed_are_refused_and_none_is_left(self):
        self.append("x")
        before = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        context = ssl.create_default_context(cafile=f"{self.folder}/pki/kubelet.crt")
        context.load_cert_chain(f"{self.pki}/admin.crt", f"{self.pki}/admin.key")
        crowd = []
        for _ in range(512):
            s = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname="node-1")
            self.send(s, "/containerLogs/ns/pod/c?follow=true")
            s.recv(1000)
            crowd.append(s)
        self.assertEqual(self.logs()[0], 429)
        for s in crowd:
            s.close()
        time.sleep(0.3)
        self.assertEqual(self.logs()[0], 200)
        time.sleep(0.3)
        self.assertLessEqual(len(os.listdir(f"/proc/{self.process.pid}/fd")), before + 4)


class Closed(Node):
    config = {"enableDebuggingHandlers": False}

    def test_logs_are_off_with_the_debugging_handlers(self):
        self.assertEqual(self.logs(), (405, b"Debug endpoints are disabled.\n"))
        for path in ("/run/ns/pod/c", "/exec/ns/pod/c", "/attach/ns/pod/c", "/portForward/ns/pod", "/runningpods/", "/logs/", "/debug/pprof/"):
            self.assertEqual(self.ask(path, method="POST"), (405, b"Debug endpoints are disabled.\n"))
        self.assertEqual(self.ask("/pods")[0], 200)


class Anonymous(Node):
    config = {"authentication": {"anonymous": {"enabled": True}}}

    def test_who_shows_nothing_has_the_rights_of_system_anonymous(self):
        self.assertEqual(self.ask("/pods", None)[0], 403)
        self.assertIn(("system:anonymous", ["system:unauthenticated"]),
                      [(a["spec"]["user"], a["spec"]["groups"]) for a in self.api.asked])
        self.api.allowed.add(("system:unauthenticated", "get", "healthz"))
        self.assertEqual(self.ask("/healthz", None)[0], 200)
        self.assertEqual(self.ask("/healthz", None, token="nonsense")[0], 401)


class Open(Node):
    config = {"authorization": {"mode": "AlwaysAllow"}}

    def test_always_allow_still_wants_to_know_who(self):
        self.assertEqual(self.ask("/pods", "reader")[0], 200)
        self.assertEqual(self.ask("/pods", None)[0], 401)
        self.assertEqual(self.api.asked, [])


class Strict(Node):
    config = {"tlsMinVersion": "VersionTLS13"}

    def test_only_tls_1_3_is_spoken(self):
        with self.connect() as s:
            self.assertEqual(s.version(), "TLSv1.3")
        c = ssl.create_default_context(cafile=f"{self.folder}/pki/kubelet.crt")
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises(OSError):
            c.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname="node-1")


class Suites(Node):
    config = {"tlsCipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_RSA_WITH_AES_128_GCM_SHA256"]}

    def test_only_the_listed_suites_are_spoken_in_tls_1_2(self):
        c = ssl.create_default_context(cafile=f"{self.folder}/pki/kubelet.crt")
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        with c.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname="node-1") as s:
            self.assertEqual(s.cipher()[0], "ECDHE-ECDSA-CHACHA20-POLY1305")


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    result = unittest.main(verbosity=2, exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(bad > 0)
