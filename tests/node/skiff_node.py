"""A whole skiffd by itself on manifests, in network and mount namespaces, cgroup and folders of its own;
and the command `skiff` that asks it."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cluster", "lib"))
from ociimage import ARCH, PATH, Layer, digest  # noqa: E402

SKIFFD = SKIFF = LIBEXEC = None


def take_arguments():
    """The programs skiffd and skiff, and the folder of skiff-shim and skiff-image."""
    global SKIFFD, SKIFF, LIBEXEC
    SKIFFD, SKIFF, LIBEXEC = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
    if os.geteuid() != 0:
        skip("a node needs root")
    if not cgroup_mount():
        skip("no cgroup v2 hierarchy is mounted")
    for program in ("unshare", "ip", "busybox"):
        if not shutil.which(program):
            skip(f"{program} is not installed")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def finish():
    result = unittest.main(verbosity=2, exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(bad > 0)


def cgroup_mount():
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((line.split()[1] for line in f if line.split()[2] == "cgroup2"), None)


def busybox_layer():
    program = shutil.which("busybox")
    layer = Layer()
    for folder in ("bin", "etc", "proc", "sys", "dev"):
        layer.directory(folder)
    layer.directory("tmp", 0o1777)
    with open(program, "rb") as f:
        layer.add("bin/busybox", data=f.read(), mode=0o755)
    for applet in ("sh", "sleep", "cat", "echo", "true", "false", "id", "stty", "ls", "head", "kill", "yes", "dd", "env",
                   "tar", "test", "nc", "ln", "mkdir", "rm"):
        layer.symlink("bin/" + applet, "busybox")
    libraries = re.findall(r"(/\S+\.so\S*) \(0x", subprocess.run(
        ["ldd", program], capture_output=True, text=True, check=False).stdout)
    for path in libraries:
        with open(path, "rb") as f:
            layer.add(path.lstrip("/"), data=f.read(), mode=0o755)
    layer.add("etc/passwd", data=b"root:x:0:0:root:/:/bin/sh\n")
    return layer.bytes()


def write_archive(path, images):
    """As docker save does; @images: (names, layers, config)."""
    files, manifest = {}, []
    for names, layers, config in images:
        document = json.dumps({"architecture": ARCH, "os": "linux", "config": {"Env": [PATH], **config},
                               "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}).encode()
        config_name = digest(document)[7:] + ".json"
        files[config_name] = document
        files.update({digest(layer)[7:] + "/layer.tar": layer for layer in layers})
        manifest.append({"Config": config_name, "RepoTags": names,
                         "Layers": [digest(layer)[7:] + "/layer.tar" for layer in layers]})
    archive = Layer().add("manifest.json", data=json.dumps(manifest).encode())
    for name, data in files.items():
        archive.add(name, data=data)
    with open(path, "wb") as f:
        f.write(archive.bytes())


class Skiffd:
    def __init__(self, **config):
        self.folder = tempfile.mkdtemp(prefix="skiff-node-")
        os.chmod(self.folder, 0o755)
        self.program = shutil.copy(SKIFF, self.folder)  # who is not root may have no way to the build folder
        self.run = self.folder + "/run"
        self.socket = self.run + "/skiff.sock"
        self.name = os.path.basename(self.folder).replace("_", "x").lower()
        self.group = f"{cgroup_mount()}/{self.name}"
        os.mkdir(self.group)
        for folder in ("run", "manifests", "root", "state", "log"):
            os.mkdir(f"{self.folder}/{folder}", 0o755)
        with open(self.folder + "/config.yaml", "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
                       "authentication": {"webhook": {"enabled": False}}, "cgroupDriver": "cgroupfs",
                       "cgroupRoot": "/" + self.name, "enableServer": False, "failSwapOn": False,
                       "healthzPort": 0, "podCIDR": "10.91.0.0/24", "imageGCHighThresholdPercent": 100,
                       "fileCheckFrequency": "1s", "staticPodPath": self.folder + "/manifests", **config}, f)
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c",
             "ip link set lo up && ip link add br0 type bridge && ip addr add 10.90.0.1/24 dev br0 && ip link set br0 up && "
             "ip route add default via 10.90.0.2 && echo ready && exec cat >/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n", "no namespace"
        self.process = None
        self.closers = []

    def start(self, *options):
        self.log = open(self.folder + "/log/skiffd.log", "a", encoding="utf-8")
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", f"--mount=/proc/{self.holder.pid}/ns/mnt",
             SKIFFD, "--config", self.folder + "/config.yaml", "--hostname-override", "node-1",
             "--root-dir", self.folder + "/root", "--run-dir", self.run, "--state-dir", self.folder + "/state",
             "--pod-log-dir", self.folder + "/log/pods", "--container-log-dir", self.folder + "/log/containers",
             "--libexec-dir", LIBEXEC, *options], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        wait_for("skiffd's answer", lambda: self.ok("node"), 30, self.tail)
        return self

    def tail(self):
        with open(self.folder + "/log/skiffd.log", encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-15:])

    def skiff(self, *words, code=0, **more):
        """Standard output of `skiff WORDS`, which ends with @code (None: any)."""
        done = self.call(*words, **more)
        if code is not None and done.returncode != code:
            raise AssertionError(f"skiff {words}: exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
        return done.stdout

    def call(self, *words, **more):
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR",)}
        env.update(SKIFF_SOCKET=self.socket, TERM="xterm", **more.pop("env", {}))
        return subprocess.run([self.program, *words], capture_output=True, text=True, env=env, timeout=60,
                              stdin=more.pop("stdin", subprocess.DEVNULL), check=False, **more)

    def watch(self, *words, seconds=30):
        """Standard output of a `skiff` that goes on until it is killed, line by line."""
        process = subprocess.Popen([SKIFF, *words, "--socket", self.socket], stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL)
        alarm = threading.Timer(seconds, process.kill)
        alarm.start()
        self.closers.append(lambda: (alarm.cancel(), process.kill(), process.wait(), process.stdout.close()))
        return process.stdout

    def terminal(self, *words, **more):
        terminal = Terminal(self, *words, **more)
        self.closers.append(terminal.close)
        return terminal

    def on_terminal(self, *words, **more):
        """What `skiff WORDS` shows on a terminal of its own."""
        terminal = Terminal(self, *words, **more)
        terminal.wait_end()
        return terminal.text

    def connect(self, data=b""):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.socket)
        s.sendall(data)
        return s

    def connect_as_other(self, data, n, uid=0):
        """A process that holds @n connections until its input ends."""
        code = ("import os, socket, sys\nos.setuid(int(sys.argv[4]))\nheld = []\nfor _ in range(int(sys.argv[3])):\n"
                "    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s)\n"
                "    try: s.sendall(sys.argv[2].encode())\n    except OSError: pass\n"
                "print('held', flush=True)\nsys.stdin.read()\n")
        process = subprocess.Popen([sys.executable, "-c", code, self.socket, data.decode(), str(n), str(uid)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "held\n"
        return process

    def http(self, method, path, body=None, **more):
        """The JSON that the socket answers to curl."""
        done = subprocess.run(
            ["curl", "-s", "-X", method, "--unix-socket", self.socket, "http://skiff" + path,
             *(["-d", json.dumps(body)] if body is not None else [])],
            capture_output=True, text=True, check=True, timeout=60, extra_groups=[], **more)
        return json.loads(done.stdout)

    def json(self, *words):
        return json.loads(self.skiff(*words, "-o", "json"))

    def ok(self, *words):
        return self.call(*words).returncode == 0

    def put(self, name, *containers, **spec):
        """A manifest of a pod; a container is (name, command) or an object."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **spec.pop("metadata", {})},
               "spec": {"terminationGracePeriodSeconds": 1, **spec, "containers": [
                   c if isinstance(c, dict) else {"name": c[0], "image": "busybox:1", "imagePullPolicy": "Never",
                                                  "command": ["sh", "-c", c[1]]} for c in containers]}}
        with open(f"{self.folder}/manifests/.{name}", "w", encoding="utf-8") as f:
            json.dump(pod, f)
        os.rename(f"{self.folder}/manifests/.{name}", f"{self.folder}/manifests/{name}.json")

    def remove(self, name):
        os.unlink(f"{self.folder}/manifests/{name}.json")

    def pod(self, name):
        done = self.call("pod", f"default/{name}-node-1", "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_pod(self, name, what, check, seconds=30):
        def look():
            pod = self.pod(name)
            return pod if pod and check(pod) else None
        return wait_for(f"pod {name}: {what}", look, seconds, lambda: json.dumps(self.pod(name), indent=1) + self.tail())

    def wait_ready(self, name, seconds=30):
        return self.wait_pod(name, "ready", lambda p: any(
            c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", [])), seconds)

    def wait_waiting(self, name, reason, seconds=30):
        return self.wait_pod(name, reason, lambda p: any(
            c["state"].get("waiting", {}).get("reason") == reason for c in p["status"].get("containerStatuses", [])), seconds)

    def stop(self, kill=False):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        if self.process:
            code = self.process.wait(30)
            self.log.close()
            with open(self.folder + "/log/skiffd.log", encoding="utf-8", errors="replace") as f:
                trouble = re.search(r"(?s)(ERROR: \w+Sanitizer|runtime error:).{0,3000}", f.read())
            if trouble or (code != 0 and not kill):
                self.process = None
                raise AssertionError(f"skiffd ended with {code}: {trouble.group(0) if trouble else self.tail()}")
        self.process = None

    def close(self):
        for closer in self.closers:
            closer()
        self.stop()
        for _ in range(100):
            for folder, _dirs, _files in os.walk(self.group, topdown=False):
                try:
                    with open(folder + "/cgroup.kill", "w", encoding="ascii") as f:
                        f.write("1")
                    os.rmdir(folder)
                except OSError:
                    pass
            if not os.path.exists(self.group):
                break
            time.sleep(0.05)
        self.holder.stdin.close()
        self.holder.wait(30)
        self.holder.stdout.close()
        shutil.rmtree(self.folder)


class Terminal:
    """A `skiff` on a terminal."""

    def __init__(self, node, *words, rows=24, columns=200, env=None):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.environ.pop("NO_COLOR", None)
                os.environ.update(TERM="xterm", SKIFF_SOCKET=node.socket, **(env or {}))
                os.execv(SKIFF, [SKIFF, *words])
            finally:
                os._exit(127)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """False: its end."""
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            self.text += data.decode(errors="replace")
            return bool(data)
        return True

    def close(self):
        if self.fd >= 0:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self.fd)
            os.waitpid(self.pid, 0)

    def wait_text(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if time.monotonic() > end or not self.read(0.2):
                raise AssertionError(f"no '{pattern}' on the terminal: {self.text!r}")
        return self.text

    def wait_end(self, seconds=30):
        """The exit code."""
        end = time.monotonic() + seconds
        while self.read(0.2):
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self.fd)
                self.fd = -1
                raise AssertionError(f"it does not end: {self.text!r}")
        os.close(self.fd)
        self.fd = -1
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wait_for(what, check, seconds=30, explain=lambda: ""):
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}\n{explain()}")
        time.sleep(0.05)


class NodeTest(unittest.TestCase):
    """Tests of a class share one node with the image busybox:1."""
    node = None
    config = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Skiffd(**cls.config)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        archive = cls.node.folder + "/busybox.tar"
        write_archive(archive, [(["busybox:1"], [busybox_layer()], {"Cmd": ["sh"]})])
        cls.node.skiff("image", "import", archive)
