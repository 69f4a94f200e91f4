#!/usr/bin/env python3
"""kubectl exec, attach and cp: what goes in, comes out and how it ended; terminals; clients that misbehave."""
import base64
import fcntl
import json
import os
import pty
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, container, expect, expect_equal, expect_match, script, test, wait_for


def run_sleeper(t, name="p", node="node-1"):
    t.run(name, container("c", "sleep", "100000"), node=node)
    t.wait_ready(name)


def execute(t, *argv, stdin=None, check=False):
    return t.kubectl("exec", *argv, stdin=stdin, check=check)


@test
def a_command_gives_its_output_and_its_exit_code(t):
    run_sleeper(t)
    done = execute(t, "p", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    expect_equal((done.stdout, done.returncode), ("out\n", 3), "output and exit code")
    expect_match(done.stderr, "^err\ncommand terminated with exit code 3", "standard error")
    done = execute(t, "p", "--", "nosuchthing")
    expect_equal(done.returncode, 1, "exit code for a command that is not there")
    expect_match(done.stderr, "exec 'nosuchthing': executable file not found in \\$PATH", "why")
    expect_match(execute(t, "p", "-c", "other", "--", "true").stderr, "container other is not valid for pod p", "no such container")


@test
def input_reaches_the_command_and_its_end_too(t):
    run_sleeper(t)
    text = "line\n" * 100000  # more than any pipe holds
    expect_equal(execute(t, "-i", "p", "--", "cat", stdin=text, check=True), text, "what cat gives back")
    expect_equal(execute(t, "-i", "p", "--", "head", "-n", "1", stdin=text, check=True), "line\n", "head, which reads not all")
    expect_equal(execute(t, "-i", "p", "--", "wc", "-c", stdin="", check=True), "0\n", "no input at all")


@test
def files_are_copied_both_ways_byte_for_byte(t):
    run_sleeper(t)
    with tempfile.TemporaryDirectory(prefix="skiff-cp-") as folder:
        with open(folder + "/there", "wb") as f:
            f.write(os.urandom(20 << 20))
        t.kubectl("cp", folder + "/there", "p:/tmp/file")
        t.kubectl("cp", "p:/tmp/file", folder + "/back")
        with open(folder + "/there", "rb") as a, open(folder + "/back", "rb") as b:
            expect(a.read() == b.read(), "the file came back changed")


@test
def what_a_command_leaves_running_does_not_hold_the_session(t):
    run_sleeper(t)
    began = time.monotonic()
    expect_equal(execute(t, "p", "--", "sh", "-c", "sleep 60 & echo started", check=True), "started\n", "output")
    expect(time.monotonic() - began < 10, "exec waited for what it left running")


class Terminal:
    """kubectl exec -it (or attach) in a terminal of its own."""

    def __init__(self, t, *argv, verb="exec"):
        command = [t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig", "-n", t.namespace,
                   verb, "-it", *argv]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.resize(33, 101)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=10):
        """Waits for text on the screen, and forgets what came up to it."""
        end = time.monotonic() + seconds
        while pattern not in self.seen:
            if time.monotonic() > end:
                raise Failure(f"'{pattern}' did not appear; there is: {self.seen[-300:]!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode(errors="replace")
                except OSError:
                    end = 0
        self.seen = self.seen.split(pattern, 1)[1]

    def close(self):
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@test
def a_terminal_feels_like_a_local_one(t):
    run_sleeper(t)
    terminal = Terminal(t, "p", "--", "sh")
    terminal.expect("# ")
    terminal.type("echo $((20+3)); tty\n")
    terminal.expect("23\r\n")
    terminal.expect("/dev/pts/")
    wait_size = "until [ \"$(stty size)\" = '{}' ]; do sleep 0.1; done; echo si''zed\n"
    terminal.type(wait_size.format("33 101"))
    terminal.expect("sized")
    terminal.resize(44, 122)
    terminal.type(wait_size.format("44 122"))
    terminal.expect("sized")
    terminal.type("sleep 1000\n")
    terminal.expect("sleep 1000")
    wait_for("the sleep", lambda: "sleep 1000" in execute(t, "p", "--", "ps").stdout.replace("sleep 100000", ""))
    terminal.type("\x03")
    terminal.expect("# ")
    terminal.type("exit 7\n")
    terminal.expect("command terminated with exit code 7")
    expect_equal(terminal.close(), 7, "exit code")


@test
def a_terminal_that_is_gone_hangs_its_command_up(t):
    run_sleeper(t)
    terminal = Terminal(t, "p", "--", "sh", "-c", "echo ready; sleep 2000")
    terminal.expect("ready")
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.close()
    wait_for("the end of the command", lambda: "sleep 2000" not in execute(t, "p", "--", "ps").stdout)


@test
def attached_input_reaches_the_container_and_ends_it(t):
    t.run("p", container("c", "sh", "-c", "while read line; do echo got $line; done; echo bye; exit 4", stdin=True, stdinOnce=True),
          restartPolicy="Never")
    t.wait_ready("p")
    done = t.kubectl("attach", "-i", "p", stdin="one\ntwo\n", check=False)
    expect_equal(done.stdout, "got one\ngot two\nbye\n", "what the container said")
    t.wait_phase("p", "Failed")
    expect_equal(t.status("p")["state"]["terminated"]["exitCode"], 4, "exit code")
    expect_equal(t.logs("p"), "got one\ngot two\nbye\n", "its log, all the same")


@test
def a_pod_may_be_run_for_its_output(t):
    done = t.kubectl("run", "p", "-i", "--rm", "--restart=Never", "--image=busybox:1.36", "--image-pull-policy=IfNotPresent",
                     "--", "sh", "-c", "read word; echo $word, back", stdin="there\n")
    expect_match(done, "there, back", "output of kubectl run -i --rm")
    wait_for("the pod to go", lambda: t.get("Pod", "p") is None)


@test
def several_may_watch_a_container(t):
    t.run("p", container("c", "sh", "-c", "n=0; while sleep 0.2; do n=$((n+1)); echo line $n; echo err $n >&2; done"))
    t.wait_ready("p")
    command = [t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig", "-n", t.namespace, "attach", "p"]
    watchers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for watcher in watchers:
        expect_match(watcher.stdout.readline(), "^line [0-9]+$", "what a watcher sees")
    watchers[0].kill()
    expect_match(watchers[1].stdout.readline(), "^line [0-9]+$", "what another one goes on to see")
    t.delete("Pod", "p", gracePeriodSeconds=0)
    for watcher in watchers:
        watcher.communicate(timeout=20)  # ends with the container


@test
def a_terminal_of_a_container_is_attached_to(t):
    t.run("p", container("c", "sh", stdin=True, tty=True))
    t.wait_ready("p")
    terminal = Terminal(t, "p", verb="attach")
    terminal.type("echo $((40+2))\n")
    terminal.expect("42\r\n")
    terminal.resize(44, 122)
    terminal.type("until [ \"$(stty size)\" = '44 122' ]; do sleep 0.1; done; echo si''zed\n")
    terminal.expect("sized")
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.close()
    terminal = Terminal(t, "p", verb="attach")  # the shell is still there
    terminal.type("echo $((50+3)); exit\n")
    terminal.expect("53\r\n")
    terminal.close()


def resident(t, node):
    pid = t.cluster._service("pid", node + "/skiffd").split()[0]
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS:")).split()[1]) * 1024


@test
def a_client_that_does_not_read_stalls_its_own_command_alone(t):
    run_sleeper(t)
    with subprocess.Popen([t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig", "-n", t.namespace,
                           "exec", "p", "--", "yes"], stdout=subprocess.PIPE) as stuck:
        stuck.stdout.read(65536)
        time.sleep(2)  # time in which it could fill memory
        expect(resident(t, "node-1") < 64 << 20, "the agent gathers what nobody reads")
        expect_equal(execute(t, "p", "--", "echo", "served", check=True), "served\n", "somebody else's command")
        stuck.kill()
    wait_for("the end of a command whose output nobody takes", lambda: " yes" not in execute(t, "p", "--", "ps").stdout)


class WebSocket:
    """A client of channel.k8s.io, as browsers and the conformance suite are."""

    def __init__(self, t, protocol, *command, **wants):
        pki = t.cluster.folder + "/control/pki"
        context = ssl.create_default_context(cafile=pki + "/ca.crt")
        context.check_hostname = False
        context.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
        host, port = t.api.address.rsplit(":", 1)
        self.socket = context.wrap_socket(socket.create_connection((host, int(port)), 10))
        query = urllib.parse.urlencode([("command", word) for word in command] + list(wants.items()))
        self.socket.sendall((f"GET /api/v1/namespaces/{t.namespace}/pods/p/exec?{query} HTTP/1.1\r\nHost: x\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.head = []
        while (line := self.file.readline().strip().decode()):
            self.head.append(line)
        expect_match(self.head[0] if self.head else "nothing", "^HTTP/1.1 101 ", "the answer to the upgrade")
        expect(f"sec-websocket-protocol: {protocol}" in [h.lower() for h in self.head], self.head)

    def send(self, payload):
        head = bytes([0x82, 0x80 | len(payload)]) if len(payload) < 126 else bytes([0x82, 0xfe]) + struct.pack("!H", len(payload))
        self.socket.sendall(head + b"\0\0\0\0" + payload)

    def messages(self):
        """All until the close frame."""
        seen = []
        while True:
            first, length = self.file.read(2)
            if length == 126:
                length, = struct.unpack("!H", self.file.read(2))
            elif length == 127:
                length, = struct.unpack("!Q", self.file.read(8))
            payload = self.file.read(length)
            if first & 15 == 8:
                self.socket.close()
                return seen
            seen.append(payload)


@test
def browsers_run_commands_over_websockets(t):
    run_sleeper(t)
    seen = WebSocket(t, "v4.channel.k8s.io", "sh", "-c", "echo remote; exit 5", stdout=1, stderr=1).messages()
    expect_equal(b"".join(m[1:] for m in seen if m[0] == 1), b"remote\n", "standard output")
    status = json.loads(b"".join(m[1:] for m in seen if m[0] == 3))
    expect_equal(status["details"]["causes"], [{"reason": "ExitCode", "message": "5"}], "the last word")
    seen = WebSocket(t, "channel.k8s.io", "echo", "plain", stdout=1).messages()
    expect_equal([m for m in seen if m[1:]], [b"\1plain\n"], "messages of the first version")
    seen = WebSocket(t, "base64.channel.k8s.io", "echo", "coded", stdout=1).messages()
    expect_equal([base64.b64decode(m[1:]) for m in seen if m[1:]], [b"coded\n"], "messages in base64")
    client = WebSocket(t, "v4.channel.k8s.io", "head", "-n", "2", stdin=1, stdout=1)
    client.send(b"\0one\n")
    client.send(b"\0two\n")
    expect_equal(b"".join(m[1:] for m in client.messages() if m[0] == 1), b"one\ntwo\n", "what was sent")


def streams(t, family):
    """The value of a metric of node-1 about commands."""
    text = t.cluster.kubectl("get", "--raw", "/api/v1/nodes/node-1/proxy/metrics")
    return float(expect_match(text, family + r'\{kind="exec"\} (\S+)', "metrics")[1])


@test(alone=True)
def a_storm_of_commands_is_bounded_and_counted_and_others_are_served(t):
    run_sleeper(t)
    pki, many = t.cluster.folder + "/control/pki", 300
    context = ssl._create_unverified_context()
    context.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
    before, crowd, answers = streams(t, "skiff_streams_refused_total"), [], []
    try:
        for _ in range(many):
            s = context.wrap_socket(socket.create_connection((t.cluster.node_ip("node-1"), 10250), 10))
            s.sendall((f"GET /exec/{t.namespace}/p/c?command=sleep&command=100&output=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n").encode())
            crowd.append(s)
            answers.append(s.recv(4096).split()[1])
        expect_equal((answers.count(b"101"), answers.count(b"429")), (256, many - 256), "commands that run, and that were refused")
        expect_equal(streams(t, "skiff_streams"), 256.0, "open streams")
        expect_equal(streams(t, "skiff_streams_refused_total") - before, many - 256.0, "refused streams")
        expect_equal(t.kubectl("logs", "p"), "", "kubectl logs in the storm")
    finally:
        for s in crowd:
            s.close()
    wait_for("no stream left", lambda: streams(t, "skiff_streams") == 0, timeout=60, every=0.5)
    expect_equal(execute(t, "p", "--", "echo", "again").stdout, "again\n", "a command after the storm")


@test
def what_is_no_spdy_or_websocket_ends_that_connection_alone(t):
    run_sleeper(t)
    pki = t.cluster.folder + "/control/pki"

    def ask(*headers, junk=b"", path="/exec/{}/p/c?command=true&output=1"):
        """The status of the answer, and what follows it until the server closes."""
        context = ssl._create_unverified_context()
        context.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
        with context.wrap_socket(socket.create_connection((t.cluster.node_ip("node-1"), 10250), 10)) as s:
            answer = b""
            try:
                s.sendall(("POST " + path.format(t.namespace) + " HTTP/1.1\r\nHost: x\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n").encode() + junk)
                s.settimeout(10)
                while (part := s.recv(65536)):
                    answer += part
            except (ssl.SSLError, ConnectionError):
                expect(junk, "the connection was broken off over a proper request")
            return int(answer.split()[1]) if answer else 0, answer.decode(errors="replace")

    upgrade, spdy, version = "Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"
    expect_equal(ask("Connection: close")[0], 400, "no upgrade")
    expect_equal(ask(upgrade, "Upgrade: telnet")[0], 400, "an upgrade to something else")
    expect_equal(ask(upgrade, spdy)[0], 400, "SPDY without a protocol version")
    code, text = ask(upgrade, spdy, "X-Stream-Protocol-Version: v9.channel.k8s.io")
    expect_equal(code, 403, "a version of the future")
    expect_match(text, "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io", "what is accepted")
    expect_equal(ask(upgrade, spdy, version, path="/exec/{}/p/c?command=true")[0], 400, "no stream wanted")
    expect_equal(ask(upgrade, spdy, version, path="/exec/{}/p/c?output=1")[0], 400, "no command")
    expect_equal(ask(upgrade, spdy, version, path="/exec/{}/q/c?command=true&output=1")[0], 404, "no such pod")
    for junk in (b"GET / HTTP/1.1\r\n\r\n" * 10, b"\x80\x03\0\1\0\xff\xff\xff", os.urandom(100000)):
        code, _ = ask(upgrade, spdy, version, junk=junk)
        expect(code in (101, 0), f"{code} for nonsense behind an upgrade, not 101 or a connection that breaks")
    expect_equal(ask(upgrade, "Upgrade: websocket")[0], 426, "a WebSocket without a version")
    expect_equal(execute(t, "p", "--", "echo", "fine", check=True), "fine\n", "exec afterwards")


@test
def debug_joins_the_processes_of_a_container_that_runs(t):
    t.run("p", container("c", "sleep", "4321"), container("other", "sleep", "1234"))
    t.wait_ready("p")
    terminal = Terminal(t, "p", "--image=busybox:1.36", "--image-pull-policy=IfNotPresent", "--target=c", "-c", "dbg", "--", "sh", verb="debug")
    terminal.expect("# ", 40)
    terminal.type("ps -o args | grep '[s]leep'; echo $((20+3))\n")
    terminal.expect("sleep 4321", 20)
    terminal.expect("23\r\n")
    terminal.type("ps -o args | grep -c '[s]leep 1234'; cat /proc/1/root/etc/hostname; exit 0\n")
    terminal.expect("0\r\n", 20)
    terminal.close()
    wait_for("the end of it is seen", lambda: "terminated" in t.status("p", "dbg", "ephemeralContainerStatuses").get("state", {}))
    expect_equal(t.pod("p")["status"]["phase"], "Running", "phase")
    expect_equal([s["restartCount"] for s in t.pod("p")["status"]["containerStatuses"]], [0, 0], "restarts")


@test
def debug_of_a_container_that_is_not_there_says_so(t):
    t.run("p", container("c", "sleep", "4321"), container("done", "true"), restartPolicy="Never")
    wait_for("the end of 'done'", lambda: "terminated" in t.status("p", "done").get("state", {}))
    t.kubectl("debug", "p", "--image=busybox:1.36", "--target=done", "-c", "dbg", "--attach=false", "--", "sh")
    status = t.waiting("p", "CreateContainerConfigError", kind="ephemeralContainerStatuses")
    expect_equal(status["state"]["waiting"]["message"], "unable to find target container done", "message")


if __name__ == "__main__":
    script()
