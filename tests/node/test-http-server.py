#!/usr/bin/env python3
"""base/http-server against curl's manners and against hostile peers. Argument: the program http-daemon."""
import json, os, resource, shutil, socket, ssl, subprocess, sys, tempfile, time, unittest, warnings

DAEMON = sys.argv.pop(1)
with open(DAEMON, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()  # then memory says nothing
GET = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"


def openssl(*args, data=None):
    subprocess.run(["openssl", *args], check=True, input=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_key(folder, name):
    openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", f"{folder}/{name}.key")


def make_ca(folder, name):
    make_key(folder, name)
    openssl("req", "-x509", "-new", "-key", f"{folder}/{name}.key", "-subj", f"/CN={name}", "-days", "2", "-out", f"{folder}/{name}.crt")


def make_cert(folder, name, ca, subject, usage, days="2"):
    make_key(folder, name)
    openssl("req", "-new", "-key", f"{folder}/{name}.key", "-subj", subject, "-out", f"{folder}/{name}.csr")
    with open(f"{folder}/{name}.ext", "w") as f:
        f.write(f"extendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/{ca}.crt", "-CAkey", f"{folder}/{ca}.key",
            "-CAcreateserial", "-days", days, "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.crt")


def until(condition, seconds=10):
    """What @condition answers: as soon as that is true, or when time is up."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


class Daemon:
    """One http-daemon; deadlines in milliseconds."""

    def __init__(self, *where, head=1000, idle=60000, answer=1000, most=0, untrusted=0):
        args = [DAEMON, *where, *map(str, (head, idle, answer, most, untrusted))]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().split()
        if not line or line[0] != b"ready":
            self.process.wait()
            self.process.stdout.close()
            with self.log:
                self.log.seek(0)
                raise RuntimeError(self.log.read().decode())
        self.port = int(line[1])

    def stop(self):
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stdout.close()
        self.log.seek(0)
        text = self.log.read().decode()
        self.log.close()
        assert status == 0, f"exit status {status}: {text[-3000:]}"
        return text

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def memory(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))

    def said(self, text):
        # the daemon writes where the file's offset stands
        return text.encode() in os.pread(self.log.fileno(), 1 << 20, 0)

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def read_all(s):
    data = bytearray()
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)


def exchange(daemon, request):
    """Everything the server says to @request until it closes."""
    with daemon.connect() as s:
        s.sendall(request)
        return read_all(s)


def read_answer(s):
    """Status and body of one answer that has a Content-Length."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return 0, bytes(data)
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    head = bytes(head)
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(headers[b"content-length"]):
        body += s.recv(65536)
    return int(head.split()[1]), bytes(body)


class Plain(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon("tcp", "-", "-", "-")

    def tearDown(self):
        self.daemon.stop()

    def get_stats(self):
        with self.daemon.connect() as s:
            s.sendall(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n")
            return json.loads(read_answer(s)[1])

    def test_a_connection_carries_many_requests(self):
        with self.daemon.connect() as s:
            for _ in range(50):
                s.sendall(GET)
                self.assertEqual(read_answer(s), (200, b"/ok"))

    def test_pipelined_requests_are_answered_in_order(self):
        with self.daemon.connect() as s:
            s.sendall(b"".join(b"GET /p%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(300)) +
                      b"GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = read_all(s)
        self.assertEqual(text.count(b"HTTP/1.1 "), 302)
        self.assertTrue(text.index(b"/p0") < text.index(b"/p299") < text.index(b"late") < text.index(b"/last"))

    def test_a_request_in_single_bytes_is_understood(self):
        with self.daemon.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":
                s.send(bytes([byte]))
            self.assertEqual(read_answer(s), (200, b"hello"))

    def test_a_body_is_awaited_with_100_continue(self):
        with self.daemon.connect() as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"abc")
            self.assertEqual(read_answer(s), (200, b"abc"))

    def test_malformed_requests_get_400_and_the_connection_closes(self):
        for request in [b"GET / HTTP/1.1\nHost: a\n\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n"]:
            text = exchange(self.daemon, request + GET)
            self.assertTrue(text.startswith(b"HTTP/1.1 400 "), text)
            self.assertEqual(text.count(b"HTTP/1.1"), 1)
            self.assertIn(b"Connection: close", text)

    def test_too_much_is_refused(self):
        self.assertTrue(exchange(self.daemon, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n").startswith(b"HTTP/1.1 413 "))
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        text = exchange(self.daemon, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 17)
        self.assertTrue(text.startswith(b"HTTP/1.1 413 "), text)
        text = exchange(self.daemon, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 65536 + b"\r\n\r\n")
        self.assertTrue(text.startswith(b"HTTP/1.1 431 "), text)

    def test_a_megabyte_of_body_is_taken(self):
        with self.daemon.connect() as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + b"z" * 1048576)
            self.assertEqual(read_answer(s), (200, b"z" * 1048576))

    def test_http10_and_head_are_answered_in_their_way(self):
        text = exchange(self.daemon, b"GET /stream?n=70000 HTTP/1.0\r\n\r\n")
        self.assertNotIn(b"chunked", text)
        self.assertEqual(len(text.split(b"\r\n\r\n", 1)[1]), 70000)
        with self.daemon.connect() as s:
            s.sendall(b"HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream?n=10 HTTP/1.1\r\nHost: a\r\n\r\nGET /ok HTTP/1.0\r\n\r\n")
            text = read_all(s)
        self.assertEqual(text.count(b"HTTP/1.1 200"), 3)
        self.assertEqual(text.count(b"/ok"), 1)

    def test_curl_gets_a_stream_over_a_kept_connection(self):
        url = f"http://127.0.0.1:{self.daemon.port}"
        out = subprocess.run(["curl", "-sS", f"{url}/stream?n=5000000", f"{url}/ok", "-d", "x", f"{url}/echo", "-w", "%{num_connects}"],
                             check=True, stdout=subprocess.PIPE).stdout
        self.assertEqual(out.lstrip(b"x"), b"1/ok0x0")
        self.assertEqual(len(out), 5000000 + len(b"1/ok0x0"))

    def test_a_slow_reader_holds_up_only_itself(self):
        with self.daemon.connect() as s:
            s.sendall(b"GET /stream?n=100000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = 0
            while got < 2000000:  # slower than the deadline, but never without progress
                got += len(s.recv(65536))
                time.sleep(0.05)
            self.assertLess(self.get_stats()["peak"], 512 * 1024)
            self.assertGreater(got + len(read_all(s)), 100000000)
        self.assertEqual(self.get_stats()["open"], 0)

    def test_a_handler_is_told_that_its_peer_is_gone(self):
        for path in (b"/follow", b"/late?ms=60000", b"/stream?n=100000000"):
            with self.daemon.connect() as s:
                s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertTrue(until(lambda: self.get_stats()["open"] == 1), path)
            self.assertTrue(until(lambda: self.get_stats()["open"] == 0), path)

    def test_an_upgraded_connection_is_a_plain_stream(self):
        with self.daemon.connect() as s:
            s.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nahead")
            text = b""
            while not text.endswith(b"ahead"):
                text += s.recv(1000)
            self.assertTrue(text.startswith(b"HTTP/1.1 101 "))
            s.sendall(b"more")
            self.assertEqual(s.recv(1000), b"more")

    def test_a_refused_upgrade_closes_the_connection(self):
        text = exchange(self.daemon, b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + GET)
        self.assertEqual(text.count(b"HTTP/1.1"), 1)
        self.assertIn(b"Connection: close", text)

    def test_slow_peers_are_dropped_at_their_deadline(self):
        for first in (b"", b"GET / HTT", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"):
            with self.daemon.connect() as s:
                s.sendall(first)
                began, text = time.monotonic(), b"a"
                try:
                    while text and time.monotonic() - began < 5:
                        s.settimeout(0.1)
                        try:
                            text = s.recv(100)
                        except TimeoutError:
                            s.send(b"x")
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertLess(time.monotonic() - began, 2)

    def test_a_peer_that_never_reads_its_answer_is_dropped(self):
        fds = self.daemon.n_fds()
        with self.daemon.connect() as s:
            s.sendall(b"GET /big?n=60000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(until(lambda: self.daemon.memory() > 30000))
            self.assertTrue(until(lambda: self.daemon.n_fds() == fds))
            self.assertTrue(SANITIZED or self.daemon.memory() < 30000)


class Crowds(unittest.TestCase):
    def test_idle_strangers_make_room_and_cost_little(self):
        daemon = Daemon("tcp", "-", "-", "-", head=10000)
        before, fds = daemon.memory(), daemon.n_fds()
        crowd = []
        for _ in range(2000):
            crowd.append(daemon.connect())
            crowd[-1].send(b"G")
        began = time.monotonic()
        self.assertIn(b"/ok", exchange(daemon, b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        self.assertLess(time.monotonic() - began, 1)
        self.assertLess(daemon.n_fds() - fds, 135)
        if not SANITIZED:
            self.assertLess(daemon.memory() - before, 2000)
        for s in crowd:
            s.close()
        daemon.stop()

    def test_trusted_connections_outlast_a_flood_of_strangers(self):
        daemon = Daemon("tcp", "-", "-", "-", head=10000, most=300, untrusted=50)
        friends = []
        for _ in range(100):
            s = daemon.connect()
            friends.append(s)
            s.sendall(b"GET /ok?trust HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_answer(s)[0], 200)
        flood = [daemon.connect() for _ in range(1000)]
        for s in friends:
            s.sendall(GET)
            self.assertEqual(read_answer(s)[0], 200)
        for s in flood + friends:
            s.close()
        daemon.stop()

    def test_when_full_the_longest_idle_goes_and_the_busy_stay(self):
        daemon = Daemon("tcp", "-", "-", "-", most=4, untrusted=4)
        busy, idle = daemon.connect(), [daemon.connect() for _ in range(3)]
        busy.sendall(b"GET /follow?trust HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(b"200", busy.recv(1000))
        for s in idle:
            s.sendall(b"GET /ok?trust HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_answer(s)[0], 200)
        with daemon.connect() as s:
            s.sendall(GET)
            self.assertEqual(read_answer(s)[0], 200)
            self.assertEqual(idle[0].recv(10), b"")
            idle[1].sendall(GET)
            self.assertEqual(read_answer(idle[1])[0], 200)
        for s in [busy, *idle]:
            s.close()
        daemon.stop()

    def test_an_idle_connection_goes_at_its_deadline(self):
        daemon = Daemon("tcp", "-", "-", "-", idle=300)
        with daemon.connect() as s:
            s.sendall(GET)
            self.assertEqual(read_answer(s)[0], 200)
            began = time.monotonic()
            self.assertEqual(s.recv(10), b"")
            self.assertLess(time.monotonic() - began, 1)
        daemon.stop()


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        make_ca(cls.folder, "ca")
        make_ca(cls.folder, "other-ca")
        make_cert(cls.folder, "server", "ca", "/CN=node", "serverAuth")
        make_cert(cls.folder, "good", "ca", "/O=system:masters/O=devs/CN=alice", "clientAuth")
        make_cert(cls.folder, "foreign", "other-ca", "/O=system:masters/CN=mallory", "clientAuth")
        make_cert(cls.folder, "wrong-usage", "ca", "/CN=mallory", "serverAuth")
        make_cert(cls.folder, "two-names", "ca", "/CN=alice/CN=bob", "clientAuth")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        f = self.folder
        for name in ("server.crt", "server.key", "ca.crt"):
            shutil.copy(f"{f}/{name}", f"{f}/live-{name}")
        self.daemon = Daemon("tcp", f"{f}/live-server.crt", f"{f}/live-server.key", f"{f}/live-ca.crt")

    def tearDown(self):
        self.daemon.stop()

    def context(self, client=None, ca="ca"):
        c = ssl.create_default_context(cafile=f"{self.folder}/{ca}.crt")
        if client:
            c.load_cert_chain(f"{self.folder}/{client}.crt", f"{self.folder}/{client}.key")
        return c

    def connect(self, client=None, context=None):
        return (context or self.context(client)).wrap_socket(self.daemon.connect(), server_hostname="127.0.0.1")

    def who(self, client=None):
        with self.connect(client) as s:
            s.sendall(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
            return read_answer(s)[1]

    def test_a_good_certificate_names_the_peer(self):
        self.assertEqual(self.who("good"), b"cn=alice orgs=system:masters,devs")

    def test_no_or_a_bad_certificate_is_nobody(self):
        for client in (None, "foreign", "wrong-usage", "two-names"):
            self.assertEqual(self.who(client), b"cn=- orgs=", client)

    def test_old_protocols_and_http2_alone_are_refused(self):
        c = self.context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            c.maximum_version = ssl.TLSVersion.TLSv1_1
        c.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(OSError):
            self.connect(context=c)
        c = self.context()
        c.set_alpn_protocols(["h2"])
        with self.assertRaises(OSError):
            self.connect(context=c)
        c = self.context()
        c.set_alpn_protocols(["h2", "http/1.1"])
        with self.connect(context=c) as s:
            self.assertEqual(s.selected_alpn_protocol(), "http/1.1")
            self.assertIsNotNone(s.cipher())
            self.assertFalse(s.session.has_ticket)
        c = self.context()
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        with self.assertRaises(OSError):
            self.connect(context=c)

    def test_a_very_long_client_chain_is_refused(self):
        with open(f"{self.folder}/long.crt", "w") as out:
            for name in ["good"] + ["ca"] * 100:
                with open(f"{self.folder}/{name}.crt") as f:
                    out.write(f.read())
        shutil.copy(f"{self.folder}/good.key", f"{self.folder}/long.key")
        with self.assertRaises((OSError, AssertionError)):
            self.assertEqual(self.who("long"), b"cn=alice orgs=system:masters,devs")

    def test_streams_work_under_tls_in_both_directions(self):
        with self.connect() as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"q" * 1000000)
            self.assertEqual(read_answer(s), (200, b"q" * 1000000))
            s.sendall(b"GET /stream?n=20000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertGreater(len(read_all(s)), 20000000)

    def test_many_requests_in_one_record_are_all_answered(self):
        with self.connect() as s:
            s.sendall(GET * 200 + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertEqual(read_all(s).count(b"HTTP/1.1 "), 201)

    def test_an_upgrade_works_under_tls_with_bytes_sent_ahead(self):
        with self.connect() as s:
            s.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nahead")
            text = b""
            while not text.endswith(b"ahead"):
                text += s.recv(1000)
            s.sendall(b"m" * 100000)
            got = b""
            while len(got) < 100000:
                got += s.recv(65536)
            self.assertEqual(got, b"m" * 100000)

    def test_garbage_and_half_handshakes_are_dropped(self):
        self.assertEqual(exchange(self.daemon, b"\x00" * 2000).find(b"HTTP"), -1)
        exchange(self.daemon, GET)
        hello = bytes.fromhex("16030100c8010000c40303") + b"a" * 100
        with self.daemon.connect() as s:
            s.sendall(hello)
            began = time.monotonic()
            read_all(s)
            self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(self.who(), b"cn=- orgs=")

    def test_a_new_serving_certificate_is_used_and_a_broken_one_is_not(self):
        def subject():
            with self.connect() as s:
                return s.getpeercert()["subject"][0][0][1]

        f = self.folder
        make_cert(f, "server2", "ca", "/CN=renewed", "serverAuth")
        shutil.copy(f"{f}/server2.crt", f"{f}/live-server.crt")  # does not match the key yet
        self.assertTrue(until(lambda: subject() and self.daemon.said("Keeping the certificates in use")))
        self.assertEqual(subject(), "node")
        shutil.copy(f"{f}/server2.key", f"{f}/live-server.key")
        self.assertTrue(until(lambda: subject() == "renewed"))

    def test_a_new_client_ca_counts_at_once_also_for_open_connections(self):
        with self.connect("good") as s:
            s.sendall(GET)
            self.assertEqual(read_answer(s)[0], 200)
            shutil.copy(f"{self.folder}/other-ca.crt", f"{self.folder}/live-ca.crt")
            self.assertTrue(until(lambda: self.who("good") == b"cn=- orgs="))
            s.sendall(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_answer(s), (0, b""))
        self.assertEqual(self.who("foreign"), b"cn=mallory orgs=system:masters")

    def test_a_crowd_in_the_handshake_does_not_keep_others_out(self):
        crowd = [self.daemon.connect() for _ in range(1000)]
        began = time.monotonic()
        self.assertEqual(self.who("good"), b"cn=alice orgs=system:masters,devs")
        self.assertLess(time.monotonic() - began, 1)
        for s in crowd:
            s.close()


class Unix(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.deep = f"{self.folder}/{'long' * 40}"
        os.mkdir(self.deep, 0o700)
        self.path = f"{self.deep}/a.sock"

    def tearDown(self):
        shutil.rmtree(self.folder)

    def ask(self, prefix=()):
        # the path is longer than a socket address: it is reached from its folder
        code = ("import os,socket,sys; os.chdir(sys.argv[1]); s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect('a.sock');"
                "s.send(b'GET /who HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')\n"
                "while x:=s.recv(1000): print(x.decode())")
        return subprocess.run([*prefix, sys.executable, "-c", code, self.deep],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()

    def test_the_peer_is_known_and_the_mode_is_as_asked(self):
        daemon = Daemon("unix", self.path)
        self.assertEqual(os.stat(self.path).st_mode & 0o7777, 0o660)
        self.assertIn("unix uid=0 gid=0", self.ask())
        daemon.stop()

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_a_peer_of_another_pid_or_user_namespace_is_turned_away(self):
        daemon = Daemon("unix", self.path)
        self.assertIn("uid=0", self.ask(["unshare", "--net"]))
        self.assertNotIn("uid=0", self.ask(["unshare", "--pid", "--fork"]))
        self.assertNotIn("uid=0", self.ask(["unshare", "--user", "--map-root-user"]))
        self.assertIn("other namespaces", daemon.stop())

    def test_a_stale_socket_is_replaced_and_nothing_else_is(self):
        daemon = Daemon("unix", self.path)
        with self.assertRaisesRegex(RuntimeError, "another process listens"):
            Daemon("unix", self.path)
        daemon.stop()
        self.assertTrue(os.path.exists(self.path))
        Daemon("unix", self.path).stop()
        os.unlink(self.path)
        open(self.path, "w").close()
        with self.assertRaisesRegex(RuntimeError, "is no socket"):
            Daemon("unix", self.path)
        os.unlink(self.path)
        os.symlink("/nowhere", self.path)
        with self.assertRaisesRegex(RuntimeError, "is no socket"):
            Daemon("unix", self.path)
        os.unlink(self.path)
        os.chmod(self.deep, 0o777)
        with self.assertRaisesRegex(RuntimeError, "writable to nobody else"):
            Daemon("unix", self.path)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    result = unittest.main(verbosity=2, exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(bad > 0)
