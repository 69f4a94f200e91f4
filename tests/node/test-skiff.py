#!/usr/bin/env python3
"""The command `skiff` against a skiffd that stands alone on manifests."""
import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import skiff_node
from skiff_node import Layer, NodeTest, wait_for, write_archive

FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"


class Lists(NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.put("web", ("main", "echo hello; " + FOREVER), ("side", FOREVER))
        cls.node.put("crash", ("main", "echo why; exit 7"))
        cls.node.wait_ready("web")
        cls.node.wait_waiting("crash", "CrashLoopBackOff")

    def test_the_daemon_leaves_no_core_file_with_secrets(self):
        with open(f"/proc/{self.node.process.pid}/limits", encoding="utf-8") as f:
            self.assertRegex(f.read(), r"Max core file size +0 +0 ")

    def test_pods_are_listed_with_their_state(self):
        lines = self.node.skiff("pods").splitlines()
        self.assertEqual(lines[0].split(), ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"])
        self.assertRegex(lines[1], r"^default +crash-node-1 +0/1 +CrashLoopBackOff +\d")
        self.assertRegex(lines[2], r"^default +web-node-1 +2/2 +Running +0 ")
        self.assertEqual(len(self.node.skiff("pods", "--no-headers").splitlines()), 2)
        self.assertEqual(self.node.skiff("pods", "-o", "name"), "default/crash-node-1\ndefault/web-node-1\n")
        self.assertIn("10.91.0.", self.node.skiff("pods", "-o", "wide"))
        self.assertIn("kind: PodList", self.node.skiff("pods", "-o", "yaml"))

    def test_containers_are_listed_with_what_runs_of_them(self):
        listed = self.node.json("containers", "web")["items"]
        self.assertEqual([c["name"] for c in listed], ["main", "side"])
        self.assertTrue(all(os.path.exists(f"/proc/{c['pid']}") and os.path.exists(c["logPath"]) for c in listed), listed)
        self.assertRegex(self.node.skiff("containers", "crash", "--no-headers"),
                         r"^default +crash-node-1 +main +\S+ +\d+ +Error \(7\)")
        self.assertEqual(self.node.skiff("containers", "-o", "name").splitlines(),
                         ["default/crash-node-1/main", "default/web-node-1/main", "default/web-node-1/side"])

    def test_status_says_what_is_there_and_what_is_wrong(self):
        shown = self.node.skiff("status")
        for line in (r"Node +node-1 \(10\.90\.0\.1\), ready", r"API server +none: this node stands alone", r"Versions +skiff \d.* Kubernetes v1",
                     r"Pods +\d+, \d+ Running", r"Memory +skiffd +\S+[MK]B private", r" +skiff-shim +\S+ private.*\(\d+ of them\)"):
            self.assertRegex(shown, "(?im)^" + line)
        self.assertIn("pod default/crash-node-1: container 'main': CrashLoopBackOff", shown)
        self.assertIn("help: see why it ended: skiff logs default/crash-node-1/main --previous", shown)
        status = self.node.json("status")
        self.assertEqual(status["node"]["name"], "node-1")
        self.assertGreater(status["processes"][0]["privateBytes"], 1 << 19)

    def test_the_doctor_looks_at_this_machine(self):
        done = self.node.call("doctor")
        self.assertRegex(done.stdout, r"(?m)^ok +kernel +Linux \d")
        self.assertRegex(done.stdout, r"(?m)^ok +skiffd +node node-1, ready$")
        self.assertRegex(done.stdout, r"\n\d+ ok, \d+ warnings?, \d+ problems?\n$")
        found = json.loads(self.node.call("doctor", "-o", "json").stdout)
        self.assertEqual(done.returncode, any(f["level"] == "problem" for f in found))
        self.assertTrue(all(("help" in f) == (f["level"] != "ok") for f in found))
        self.assertIn("it does not answer", self.node.call("doctor", "--socket", "/nowhere.sock").stdout)

    def test_settings_are_told_with_where_they_came_from(self):
        table = self.node.skiff("config")
        self.assertRegex(table, r"(?m)^podCIDR +10\.91\.0\.0/24 +" + self.node.folder + "/config.yaml$")
        self.assertRegex(table, r"(?m)^maxPods +110 +default$")
        self.assertRegex(table, r"(?m)^authentication\.webhook\.enabled +false +/")
        self.assertRegex(table, r"(?m)^authentication\.anonymous\.enabled +false +default$")
        self.assertRegex(table, r"(?m)^--node-ip +\(none\) +default$")
        self.assertRegex(table, r"(?m)^--hostname-override +node-1 +command line$")

    def test_support_collects_without_secrets(self):
        self.node.put("secretive", {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", FOREVER],
                                    "env": [{"name": "KEY", "value": "hunter2-value"}]}, metadata={"annotations": {"note": "hunter2-note"}})
        self.node.wait_ready("secretive")
        path = self.node.folder + "/support.tar.gz"
        self.assertEqual(self.node.skiff("support", path), path + "\n")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with tarfile.open(path) as archive:
            files = {m.name: archive.extractfile(m).read().decode(errors="replace") for m in archive}
        self.assertLessEqual({"status.json", "pods.json", "events.json", "config.json", "doctor.txt", "files/proc/version"}, set(files))
        self.assertIn("secretive-node-1", files["pods.json"])
        self.assertFalse([name for name, text in files.items() if "hunter2" in text])
        self.assertEqual(self.node.call("support", path).returncode, 1)  # never over a file that is there
        alone = self.node.folder + "/alone.tar.gz"
        self.node.skiff("support", alone, "--socket", "/nowhere.sock")
        with tarfile.open(alone) as archive:
            self.assertLessEqual({"status.json.error", "services.json.error"}, set(archive.getnames()))
        self.node.remove("secretive")

    def test_names_may_be_cut_short(self):
        self.assertEqual(self.node.skiff("logs", "web", "m"), "hello\n")
        self.assertEqual(self.node.skiff("logs", "default/web-node-1/main"), "hello\n")
        self.assertEqual(self.node.skiff("exec", "default/we/si", "--", "echo", "in"), "in\n")
        done = self.node.call("logs", "nothing")
        self.assertEqual((done.returncode, done.stderr), (1, "skiff: no pod 'nothing' on this node\n"))
        self.assertIn("no container 'x' in pod default/web-node-1", self.node.call("logs", "web", "x").stderr)

    def test_events_name_what_happened_to_whom(self):
        self.assertRegex(self.node.skiff("events", "web", "--no-headers"), r"Normal +Started +Pod/web-node-1 ")
        self.assertNotIn("crash", self.node.skiff("events", "default/web"))

    def test_watch_shows_what_changes(self):
        watch = self.node.watch("pods", "-w")
        self.assertIn("NAMESPACE", watch.readline())
        self.node.put("late", ("main", FOREVER))
        for line in watch:
            if "late-node-1" in line and "Running" in line:
                break
        self.node.remove("late")
        for line in watch:
            if "late-node-1" in line and "Gone" in line:
                break
        self.assertRegex(line, r"default +late-node-1 +\S+ +Gone ")

    def test_nothing_is_coloured_but_on_a_terminal(self):
        self.assertNotIn("\033", self.node.skiff("pods"))
        self.assertIn("\033[32m", self.node.on_terminal("pods"))
        self.assertNotIn("\033[", self.node.on_terminal("pods", env={"NO_COLOR": "1"}))

    def test_versions_are_told_also_by_a_command_alone(self):
        self.assertRegex(self.node.skiff("version"), r"skiff +\S+\nskiffd +\d")
        done = self.node.call("version", "--socket", "/nowhere.sock")
        self.assertEqual(done.returncode, 1)
        self.assertIn("skiffd      does not answer", done.stdout)

    def test_every_verb_has_a_man_page(self):
        built = os.path.dirname(skiff_node.SKIFF)
        for page in self.node.skiff("--man-pages").split():
            with open(f"{built}/{page}.1", encoding="utf-8") as f:
                self.assertTrue(f.read().startswith(f'.TH "{page}" 1'), page)
        self.assertIn("complete -o default -F _skiff skiff", self.node.skiff("completion", "bash"))

    def test_wrong_usage_ends_with_2(self):
        for words in (["podz"], ["pods", "--follow"], ["image", "paint"], ["pod"], ["events", "-o", "name"]):
            self.assertEqual(self.node.call(*words).returncode, 2, words)


class Explain(NodeTest):
    def explain(self, name, text):
        """What `skiff explain` says, once it says @text."""
        return wait_for(text, lambda: (lambda said: text in said and said)(self.node.skiff("explain", name, code=None)), 30,
                        lambda: self.node.skiff("explain", name))

    def test_what_a_pod_waits_for_is_told_with_what_would_help(self):
        self.node.put("fine", ("main", FOREVER))
        self.node.put("crash", ("main", "exit 7"))
        self.node.put("absent", {"name": "main", "image": "no.such/image:1", "imagePullPolicy": "Never"})
        self.node.put("missing", ("main", FOREVER), volumes=[{"name": "v", "hostPath": {"path": "/no/such", "type": "Directory"}}])
        with open(self.node.folder + "/manifests/missing.json", encoding="utf-8") as f:
            pod = json.load(f)
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
        with open(self.node.folder + "/manifests/missing.json", "w", encoding="utf-8") as f:
            json.dump(pod, f)
        self.node.put("unready", {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", FOREVER],
                                  "readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}})
        self.node.put("huge", {"name": "main", "image": "busybox:1", "resources": {"requests": {"cpu": "9000"}}})
        self.assertIn("It runs, and waits for nothing (1 of 1 containers ready).", self.explain("fine", "It runs"))
        said = self.explain("crash", "CrashLoopBackOff")
        self.assertRegex(said, r"tried +ended with exit code 7 after \d+ restart")
        self.assertRegex(said, r"when +\S+Z \(in \d+s\)")
        self.assertIn("skiff logs default/crash-node-1/main --previous", said)
        self.assertIn("skiff image import FILE", self.explain("absent", "its image 'no.such/image:1' could not be had"))
        self.assertIn("make the path on this node", self.explain("missing", "volume 'v': it could not be set up"))
        self.assertIn("attempts failed", self.explain("unready", "its readiness probe has failed"))
        self.assertIn("make room on this node", self.explain("huge", "refused on this node: "))
        waits = self.node.json("explain", "crash")["waits"]
        self.assertEqual([w["about"] for w in waits], ["container 'main'"])
        self.assertLessEqual({"what", "since", "tried", "next", "nextAt", "help"}, set(waits[0]))

    def test_an_end_that_takes_long_is_explained(self):
        self.node.put("stubborn", ("main", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=8)
        self.node.wait_ready("stubborn")
        self.node.remove("stubborn")
        said = self.explain("stubborn", "it was sent its stop signal and has not ended yet")
        self.assertIn("next   SIGKILL", said)

    def test_steps_are_shown_with_what_they_took(self):
        self.node.put("steps", ("main", "exit 3"), restartPolicy="Never")
        self.node.wait_pod("steps", "its end", lambda p: p["status"]["phase"] == "Failed" and p["skiff"]["worker"] == "finished")
        table = self.node.skiff("timeline", "steps")
        for step in (r"\(pod\) +admitted", r"\(pod\) +sandbox", r"main +image", r"main +created", r"main +started",
                     r"main +exited +exit code 3", r"\(pod\) +terminating", r"\(pod\) +finished"):
            self.assertRegex(table, r"(?m)^\+\S+ +\S+ +" + step)
        self.assertIn("█", self.node.on_terminal("timeline", "steps", columns=160, env={"LC_ALL": "C.UTF-8"}))
        self.assertNotIn("█", self.node.on_terminal("timeline", "steps", columns=80, env={"LC_ALL": "C.UTF-8"}))
        xml.dom.minidom.parseString(self.node.skiff("timeline", "steps", "-o", "svg"))
        self.assertEqual(self.node.call("pods", "-o", "svg").returncode, 2)


class Sessions(NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.put("web", ("main", "echo here $((6 * 7)); " + FOREVER))
        cls.node.put("shell", {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never", "command": ["sh"],
                               "stdin": True, "tty": True})
        cls.node.wait_ready("web")
        cls.node.wait_ready("shell")

    def test_a_command_gives_its_output_and_exit_code(self):
        done = self.node.call("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("out\n", "err\n", 7))
        self.assertEqual(self.node.call("exec", "web", "--", "sh", "-c", "kill -9 $$").returncode, 137)
        done = self.node.call("exec", "web", "--", "/no/such")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such", done.stderr)
        self.assertEqual(len(self.node.skiff("exec", "web", "--", "sh", "-c", "yes | head -c 3000000")), 3000000)

    def test_input_is_passed_on_up_to_its_end(self):
        data = "x" * 1000000
        with open(self.node.folder + "/input", "w", encoding="ascii") as f:
            f.write(data)
        with open(self.node.folder + "/input", encoding="ascii") as f:
            self.assertEqual(self.node.skiff("exec", "-i", "web", "--", "cat", stdin=f), data)
        self.assertEqual(self.node.skiff("exec", "web", "--", "cat"), "")
        done = self.node.call("exec", "-it", "web", "--", "echo", "x")
        self.assertEqual((done.stdout, done.stderr), ("x\n", "Unable to use a TTY - input is not a terminal\n"))

    def test_a_terminal_is_one_with_its_size(self):
        shell = self.node.terminal("exec", "-it", "web", "--", "sh", rows=31, columns=97)
        shell.wait_text(r"[$#] ")
        shell.type("stty size\n")
        shell.wait_text(r"31 97")
        shell.resize(20, 60)
        shell.type("sleep 0; stty size\n")
        wait_for("the new size", lambda: (shell.type("stty size\n"), shell.read(0.3), re.search(r"\n20 60", shell.text))[2])
        shell.type("echo $((1 + 1)) now; sleep 100\n")
        shell.wait_text(r"\n2 now\r")
        # the shell may be between its two commands, and let the first one go by
        wait_for("the prompt", lambda: (shell.type("\x03"), shell.read(0.3), re.search(r"(?s)\^C\r\n.*[$#] ", shell.text))[2])
        shell.type("exit 5\n")
        self.assertEqual(shell.wait_end(), 5)

    def test_who_attaches_speaks_to_the_containers_own_program(self):
        shell = self.node.terminal("attach", "-it", "shell")
        shell.type("echo $((40 + 2))\n")
        shell.wait_text(r"\n42\r")
        shell.type("exit\n")
        self.assertEqual(shell.wait_end(), 0)

    def test_a_session_ends_with_its_container(self):
        self.node.put("gone", ("main", FOREVER))
        self.node.wait_ready("gone")
        shell = self.node.terminal("exec", "-it", "gone", "--", "sh")
        shell.wait_text(r"[$#] ")
        self.node.remove("gone")
        self.assertNotEqual(shell.wait_end(), 0)

    def test_a_restart_of_skiffd_ends_a_session_and_puts_the_terminal_back(self):
        shell = self.node.terminal("exec", "-it", "web", "--", "sh")
        shell.wait_text(r"[$#] ")
        self.node.stop(kill=True)
        self.assertEqual(shell.wait_end(), 1)
        self.assertIn("the connection to skiffd ended", shell.text)
        self.node.start()


class Copies(NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.put("web", ("main", "mkdir -p /tmp/conf/sub; echo one >/tmp/conf/a; echo two >/tmp/conf/sub/b; "
                                     "ln -s /etc/passwd /tmp/conf/link; " + FOREVER), ("side", FOREVER), ("liar", FOREVER))
        cls.node.wait_ready("web")
        cls.here = cls.node.folder + "/here"
        os.mkdir(cls.here)

    def setUp(self):
        shutil.rmtree(self.here)
        os.mkdir(self.here)

    def read(self, path):
        with open(f"{self.here}/{path}", encoding="utf-8") as f:
            return f.read()

    def test_folders_come_out_of_a_container(self):
        wait_for("the files", lambda: self.node.ok("exec", "web", "--", "test", "-L", "/tmp/conf/link"))
        done = self.node.call("cp", "default/web:/tmp/conf", self.here)
        self.assertEqual((done.returncode, done.stderr), (0, "skiff: 'conf/link' is a link to '/etc/passwd': left out\n"))
        self.assertEqual((self.read("conf/a"), self.read("conf/sub/b")), ("one\n", "two\n"))
        self.assertFalse(os.path.lexists(self.here + "/conf/link"))
        self.node.skiff("cp", "web:tmp/conf/a", self.here + "/called")
        self.assertEqual(self.read("called"), "one\n")
        done = self.node.call("cp", "web:/no/such", self.here)
        self.assertEqual(done.returncode, 1)
        self.assertIn("tar in the container ended with exit code 1", done.stderr)
        self.assertEqual(self.node.call("cp", "web:/tmp/conf/a", self.here + "/no/such").returncode, 1)

    def test_files_go_into_a_container(self):
        data = os.urandom(3000000)
        os.makedirs(self.here + "/site/deep" + "/x" * 100)
        for name in ("big", "deep/" + "n" * 120):
            with open(f"{self.here}/site/{name}", "wb") as f:
                f.write(data)
        self.node.skiff("cp", self.here + "/site", "web:/tmp", "-c", "side")
        self.node.skiff("cp", "default/web/side:/tmp/site", self.here + "/back")
        for name in ("big", "deep/" + "n" * 120):
            with open(f"{self.here}/back/{name}", "rb") as f:
                self.assertEqual(f.read(), data)
        self.assertTrue(os.path.isdir(self.here + "/back/deep" + "/x" * 100))
        self.node.skiff("cp", "--no-preserve", self.here + "/site/big", "web:/tmp/other")
        self.assertEqual(self.node.skiff("exec", "web", "--", "sh", "-c", "cat /tmp/other | head -c 0; ls /tmp/other"), "/tmp/other\n")
        self.assertIn("no such folder", self.node.call("cp", self.here + "/site/big", "web:/no/").stderr)
        self.assertIn("/no/file", self.node.call("cp", "/no/file", "web:/tmp").stderr)

    def test_an_archive_that_lies_reaches_nothing(self):
        self.node.skiff("exec", "web", "-c", "liar", "--", "sh", "-c",
                        "mkdir -p /bin/real && rm /bin/tar && echo '#!/bin/sh\ncd / && exec busybox tar cf - -C / etc/passwd' >/bin/tar && "
                        "busybox chmod 755 /bin/tar")
        done = self.node.call("cp", "web:/tmp/conf", self.here + "/x", "-c", "liar")
        self.assertEqual(done.returncode, 1)
        self.assertIn("holds 'etc/passwd', which was refused: that was not asked for", done.stderr)
        self.assertEqual(os.listdir(self.here), [])
        self.node.skiff("exec", "web", "-c", "liar", "--", "rm", "/bin/tar")
        done = self.node.call("cp", "web:/tmp/conf", self.here + "/x", "-c", "liar")
        self.assertIn("run tar, which the container must have", done.stderr)

    def test_one_of_two_is_in_a_pod(self):
        for words in (("web:/a", "web:/b"), ("/a", "/b"), ("web:", "/b")):
            self.assertEqual(self.node.call("cp", *words).returncode, 2)


class Forwards(NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.put("echo", {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never",
                              "command": ["nc", "-ll", "-p", "7777", "-e", "cat"],
                              "ports": [{"name": "echo", "containerPort": 7777}]})
        cls.node.wait_ready("echo")

    def forward(self, *words):
        process = subprocess.Popen([self.node.program, "port-forward", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env={**os.environ, "SKIFF_SOCKET": self.node.socket})
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        found = re.match(r"Forwarding from localhost:(\d+) -> (\d+)", line)
        self.assertTrue(found, line)
        return process, int(found.group(1))

    @staticmethod
    def talk(port, data):
        """What came back; None: the connection broke."""
        def send(s):
            try:
                s.sendall(data)
                if data:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as s:
                sender = threading.Thread(target=send, args=(s,))
                sender.start()
                got = bytearray()
                while piece := s.recv(65536):
                    got += piece
                sender.join()
            return bytes(got)
        except ConnectionError:
            return None

    def test_bytes_and_half_closes_pass_as_they_are(self):
        process, port = self.forward("echo", ":echo")
        wait_for("the echo", lambda: self.talk(port, b"hello") == b"hello")
        data = os.urandom(5000000)
        self.assertEqual(self.talk(port, data), data)
        with socket.create_connection(("127.0.0.1", port), 20) as idle:  # holds nobody up
            with concurrent.futures.ThreadPoolExecutor(2) as pool:  # nc's own queue is no longer
                pieces = [os.urandom(50000) for _ in range(20)]
                self.assertTrue(list(pool.map(lambda p: self.talk(port, p), pieces)) == pieces, "bytes were lost")
            idle.sendall(b"still here")
            self.assertEqual(idle.recv(100), b"still here")
        process.terminate()
        self.assertEqual(process.wait(20), 0)

    def test_who_dials_a_closed_port_is_told(self):
        process, port = self.forward("echo", ":9")
        self.assertEqual(self.talk(port, b""), b"")
        self.assertRegex(process.stderr.readline(), r"skiff: .*9.*refused")

    def test_it_lives_on_while_skiffd_restarts(self):
        process, port = self.forward("echo", ":7777")
        self.node.stop(kill=True)
        self.assertEqual(self.talk(port, b""), b"")
        self.assertIn("cannot reach skiffd", process.stderr.readline())
        self.node.start()
        wait_for("the echo", lambda: self.talk(port, b"again") == b"again")

    def test_wrong_words_are_refused(self):
        for words in (("echo", "none"), ("echo", "0:80"), ("echo", "80", "--address", "here")):
            self.assertEqual(self.node.call("port-forward", *words).returncode, 2)
        answer = self.node.http("POST", "/v1/pods/default/echo-node-1/port-forward?port=80")
        self.assertEqual((answer["code"], answer["message"]), (400, "expected an upgrade to skiff-stream"))


class Handling(NodeTest):
    def test_inspect_shows_what_a_container_is_made_of(self):
        self.node.put("web", ("main", FOREVER), ("side", FOREVER))
        self.node.wait_ready("web")
        seen = self.node.json("inspect", "web", "si")
        self.assertEqual(seen["name"], "side")
        self.assertEqual(seen["config"]["process"]["args"][:2], ["sh", "-c"])
        self.assertEqual(seen["namespaces"]["net"], os.readlink(f"/proc/{seen['pid']}/ns/net"))
        self.assertIn(seen["id"], seen["cgroup"])
        self.assertNotEqual(seen["namespaces"]["net"], os.readlink("/proc/self/ns/net"))
        self.assertIn("ociVersion:", self.node.skiff("inspect", "web", "-o", "yaml"))
        self.assertIn("Process:", self.node.skiff("inspect", "web"))

    def test_restart_starts_containers_anew_whatever_the_policy(self):
        self.node.put("once", ("main", FOREVER), ("side", FOREVER), restartPolicy="Never")
        before = self.node.wait_ready("once")
        self.assertEqual(self.node.skiff("restart", "once", "main"), "restarting 1 container of default/once-node-1\n")

        def counts(pod):
            return [c["restartCount"] for c in pod["status"]["containerStatuses"]]
        after = self.node.wait_pod("once", "a restart", lambda p: counts(p) == [1, 0] and all(
            c["ready"] for c in p["status"]["containerStatuses"]))
        self.assertEqual(after["status"]["podIP"], before["status"]["podIP"])
        self.assertEqual(after["status"]["phase"], "Running")
        done = self.node.call("restart", "once", "nothing")
        self.assertEqual((done.returncode, done.stderr), (1, "skiff: no container 'nothing' in pod default/once-node-1\n"))
        self.node.put("ended", ("main", "exit 0"), ("side", FOREVER), restartPolicy="Never")
        self.node.wait_pod("ended", "one end", lambda p: any(c["state"].get("terminated") for c in p["status"].get("containerStatuses", [])))
        self.node.skiff("restart", "ended", "main")
        self.node.wait_pod("ended", "another run", lambda p: counts(p) == [1, 0])

    def test_restart_ends_a_back_off(self):
        self.node.put("crash", ("main", "exit 1"))
        pod = self.node.wait_waiting("crash", "CrashLoopBackOff")
        count = pod["status"]["containerStatuses"][0]["restartCount"]
        began = time.monotonic()
        self.node.skiff("restart", "crash")
        self.node.wait_pod("crash", "a start", lambda p: p["status"]["containerStatuses"][0]["restartCount"] > count)
        self.assertLess(time.monotonic() - began, 8)
        self.assertNotIn("killed", self.node.skiff("timeline", "crash"))

    def test_stop_ends_a_static_pod_until_its_manifest_changes(self):
        self.node.put("static", ("main", FOREVER))
        self.node.wait_ready("static")
        self.assertEqual(self.node.skiff("stop", "static"), "stopping default/static-node-1\n")
        self.node.wait_pod("static", "its end", lambda p: p["skiff"]["worker"] == "finished" and
                           (p["status"]["phase"], p["status"]["reason"]) == ("Failed", "Stopped"))
        self.assertNotIn("DisruptionTarget", self.node.skiff("pod", "static"))
        self.assertEqual(self.node.call("restart", "static").returncode, 1)
        self.node.put("static", ("main", FOREVER), metadata={"labels": {"a": "b"}})
        self.node.wait_ready("static")

    def test_use_is_measured(self):
        self.node.put("busy", ("main", "while :; do :; done"))
        self.node.wait_ready("busy")
        row = wait_for("CPU time", lambda: re.search(r"(?m)^default +busy-node-1 +([1-9]\d+)m", self.node.skiff("top")))
        self.assertGreater(int(row.group(1)), 50)
        self.assertRegex(self.node.skiff("top", "busy"), r"default +busy-node-1 +main +\d+m")
        self.assertRegex(self.node.skiff("stats", "busy", "--no-headers"), r"default +busy-node-1 +main ")
        self.assertEqual(self.node.json("stats")["node"]["nodeName"], "node-1")
        self.node.remove("busy")


class Archives(NodeTest):
    def archive(self, *images):
        path = self.node.folder + "/archive.tar"
        write_archive(path, images)
        return path

    def test_each_image_of_an_archive_is_told(self):
        layer = Layer().add("file", data=b"1").bytes()
        path = self.archive((["first:1", "first:2"], [layer], {}), (["Bad:Name", "second:1"], [layer], {"Cmd": ["x"]}),
                            ([], [layer], {"Cmd": ["y"]}))
        done = self.node.call("image", "import", path)
        lines = done.stdout.splitlines()
        self.assertEqual([line.split()[2:] for line in lines], [
            ["docker.io/library/first:1", "docker.io/library/first:2"], ["docker.io/library/second:1"], ["<none>"]])
        for line in lines:
            self.assertRegex(line, r"^sha256:[0-9a-f]{64} \d+\S* ")
        self.assertRegex(done.stderr, r"^skiff: a name in the archive was left out: 'Bad:Name': .*lowercase")
        self.assertEqual(done.returncode, 0)

    def test_prune_leaves_what_is_in_use(self):
        layer = Layer().add("file", data=b"3").bytes()
        self.node.put("web", ("main", FOREVER))
        self.node.wait_ready("web")
        self.node.skiff("image", "import", self.archive((["unused:1", "unused:2"], [layer], {})))
        users = {tag: image["usedBy"] for image in self.node.json("images")["items"] for tag in image["tags"]}
        self.assertEqual(users["docker.io/library/busybox:1"], ["default/web-node-1/main"])
        self.assertEqual(users["docker.io/library/unused:1"], [])
        self.assertRegex(self.node.skiff("images", "-o", "wide"), r"(?m)^docker.io/library/busybox +1 +sha256:\S+ +\S+ +\S+ +\S+ +default/web-node-1/main *$")
        told = self.node.skiff("image", "prune").splitlines()
        self.assertTrue(any("docker.io/library/unused:1 docker.io/library/unused:2" in line for line in told), told)
        self.assertRegex(told[-1], r"^removed \d+ images?$")
        left = [tag for image in self.node.json("images")["items"] for tag in image["tags"]]
        self.assertIn("docker.io/library/busybox:1", left)
        self.assertNotIn("docker.io/library/unused:1", left)

    def test_a_name_is_for_one_image(self):
        layer = Layer().add("file", data=b"2").bytes()
        before = self.node.json("images")
        done = self.node.call("image", "import", self.archive((["a:1"], [layer], {}), (["b:1"], [layer], {"Cmd": ["x"]})), "own:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected an archive of one image, this one holds 2: leave the name away", done.stderr)
        self.assertEqual(self.node.json("images"), before)
        told = self.node.skiff("image", "import", self.archive((["a:1"], [layer], {})), "own:1")
        self.assertEqual(told.split()[2:], ["docker.io/library/own:1"])


class Plan(NodeTest):
    MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "busybox:1", imagePullPolicy: IfNotPresent, resources: {requests: {memory: 16Mi}}}
      - {name: side, image: "elsewhere.example/side:2"}
---
# nothing
---
apiVersion: v1
kind: Service
metadata: {name: web}
"""

    def plan(self, text, *words, code=0):
        with open(self.node.folder + "/manifest.yaml", "w", encoding="utf-8") as f:
            f.write(text)
        return self.node.skiff("plan", "-f", self.node.folder + "/manifest.yaml", *words, code=code)

    def test_a_manifest_is_planned_and_nothing_is_done(self):
        before = self.node.skiff("pods", "-o", "name")
        deployment, service = json.loads(self.plan(self.MANIFEST, "-o", "json"))["items"]
        self.assertEqual((deployment["outcome"], deployment["namespace"], deployment["replicas"], deployment["qosClass"]),
                         ("admitted", "shop", 3, "Burstable"))
        self.assertEqual([(i["image"], i["present"]) for i in deployment["images"]],
                         [("busybox:1", True), ("elsewhere.example/side:2", False)])
        self.assertEqual((deployment["requests"], deployment["fields"]), ({"memory": "16Mi"}, []))
        self.assertEqual(set(deployment["left"]), {"cpu", "memory", "ephemeral-storage", "pods"})
        self.assertEqual((service["kind"], service["outcome"]), ("Service", "nothing"))
        text = self.plan(self.MANIFEST)
        self.assertIn("Deployment shop/web (one pod of 3): admitted\n", text)
        self.assertIn("elsewhere.example/side:2 (side): not present: would be pulled\n", text)
        self.assertEqual(self.node.skiff("pods", "-o", "name"), before)

    def test_what_is_wrong_is_told_and_ends_with_1(self):
        text = self.plan(self.MANIFEST.replace("name: side,", "name: side, imagePullPolicie: Never,"), code=1)
        self.assertIn("unknown   spec.template.spec.containers[1].imagePullPolicie\n", text)
        text = self.plan(self.MANIFEST.replace("name: side", "name: Side"), code=1)
        self.assertIn("invalid: spec: template: spec: containers: [1]: name: 'Side': expected a DNS label", text)
        text = self.plan(self.MANIFEST.replace("memory: 16Mi", "memory: 900Ti"), code=1)
        self.assertIn("refused: OutOfmemory: Node didn't have enough resource: memory", text)
        done = self.node.call("plan", "-f", "-", input="a: [", stdin=None)
        self.assertEqual(done.returncode, 1)
        self.assertIn("skiff: 'standard input': ", done.stderr)
        self.assertEqual(self.node.call("plan").returncode, 2)
        done = self.node.call("plan", "-f", "/no/such")
        self.assertIn("/no/such", done.stderr)

    def test_a_folder_is_planned_in_the_order_of_its_names(self):
        folder = self.node.folder + "/planned"
        os.mkdir(folder)
        for name in ("b.json", "a.yaml", "c.txt", ".hidden.yaml"):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
                json.dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name[0]},
                           "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}}, f)
        items = json.loads(self.node.skiff("plan", "-f", folder, "-n", "ours", "-o", "json"))["items"]
        self.assertEqual([(i["namespace"], i["name"]) for i in items], [("ours", "a"), ("ours", "b")])

    def test_a_body_that_is_no_manifest_is_answered(self):
        for body in ({}, {"kind": "List", "items": [1, None, {"kind": []}]}, {"items": []},
                     {"apiVersion": "v1", "kind": "Pod", "metadata": 3, "spec": {"containers": {}}},
                     {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": None}):
            answer = self.node.http("POST", "/v1/plan", body)
            self.assertTrue({i["outcome"] for i in answer["items"]} <= {"invalid", "nothing"}, answer)
        self.assertEqual(self.node.http("POST", "/v1/plan", {"items": [{}] * 501, "kind": "List"})["code"], 400)
        self.assertEqual(self.node.http("GET", "/v1/plan")["code"], 405)


class Dash(NodeTest):
    """A real terminal: tmux."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.put("web", ("main", "echo from the log; " + FOREVER), ("side", FOREVER))
        cls.node.wait_ready("web")

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.node.folder + "/tmux", "-f", "/dev/null", *words],
                              capture_output=True, text=True, timeout=30, check=True).stdout

    def type(self, *keys):
        self.tmux("send-keys", "-t", "dash", *keys)

    def wait(self, pattern):
        screen = ""

        def look():
            nonlocal screen
            screen = self.tmux("capture-pane", "-p", "-t", "dash")
            return re.search(pattern, screen)
        wait_for(f"'{pattern}' on the screen", look, 20, lambda: screen)
        return screen

    def test_the_node_is_on_a_real_terminal_and_keys_work(self):
        if not shutil.which("tmux"):
            self.skipTest("tmux is not installed")
        self.tmux("new-session", "-d", "-s", "dash", "-x", "110", "-y", "30",
                  f"env LC_ALL=C.UTF-8 SKIFF_SOCKET={self.node.socket} {self.node.program} dash; echo ended with $?; sleep 100")
        self.addCleanup(self.tmux, "kill-server")
        screen = self.wait(r"(?m)^default/web-node-1 +Running +2/2 ")
        self.assertRegex(screen, r"(?m)^  main +Running ")
        self.assertRegex(screen, r"(?m)^EVENTS")
        self.tmux("resize-window", "-t", "dash", "-x", "60", "-y", "12")
        self.wait(r"(?m)\A.*\n(.*\n){1,9}  side +Running")
        self.tmux("resize-window", "-t", "dash", "-x", "110", "-y", "30")
        self.type("/", "nothing", "Enter")
        self.wait("nothing that the filter lets through")
        self.type("Escape")
        self.wait(r"(?m)^  side")
        self.type("j", "l")
        self.wait(r"(?m)^from the log")
        self.type("C-c")
        self.wait("Enter goes back")
        self.tmux("resize-window", "-t", "dash", "-x", "100", "-y", "30")  # is no Enter
        time.sleep(0.3)  # tmux may tell of it late
        self.type("Enter")
        self.wait(r"(?m)^default/web-node-1")
        self.type("e")
        self.wait("Enter goes back")
        self.type("Enter")
        self.wait(r"(?m)^default/web-node-1")
        self.type("s")
        self.wait(r"(?m)[#$] *$")
        self.type("echo $((40 + 2)); exit", "Enter")
        self.wait(r"(?m)^default/web-node-1")
        self.node.stop(kill=True)
        screen = self.wait(r"\Acannot reach skiffd.*trying again|\Acannot reach skiffd")
        self.assertIn("default/web-node-1", screen)
        self.node.start()
        self.wait(r"\Anode-1 ")
        self.type("q")
        self.wait("ended with 0")

    def test_without_a_terminal_it_says_so(self):
        done = self.node.call("dash")
        self.assertEqual((done.returncode, "expected a terminal" in done.stderr), (2, True))


class Contents(NodeTest):
    """Images written out, and read against their digests."""

    def setUp(self):
        big, small = Layer().add("big", data=os.urandom(3000000)).bytes(), Layer().add("small", data=b"x" * 100).bytes()
        path = self.node.folder + "/two.tar"
        write_archive(path, [(["one:1"], [big], {}), (["two:1"], [big, small], {"Cmd": ["y"]})])
        self.node.skiff("image", "import", path)
        self.addCleanup(lambda: [self.node.call("image", "rm", name) for name in ("one:1", "two:1")])

    def image(self, name):
        return next(i for i in self.node.json("images")["items"] if f"docker.io/library/{name}" in i["tags"])

    def tree(self, name):
        """The file of this name, in the store."""
        folder = self.node.folder + "/state/images/layers"
        return next(f"{folder}/{layer}/{name}" for layer in os.listdir(folder) if os.path.exists(f"{folder}/{layer}/{name}"))

    def test_what_is_exported_can_be_imported(self):
        before = self.image("two:1")
        path = self.node.folder + "/exported.tar"
        self.assertRegex(self.node.skiff("image", "export", "two:1", path), r"exported.tar 3\.\d+MB two:1\n$")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with tarfile.open(path) as archive:
            names = archive.getnames()
            index = json.load(archive.extractfile("index.json"))
            manifest = json.load(archive.extractfile("blobs/" + index["manifests"][0]["digest"].replace(":", "/")))
            for blob in [manifest["config"], *manifest["layers"]]:
                data = archive.extractfile("blobs/" + blob["digest"].replace(":", "/")).read()
                self.assertEqual((skiff_node.digest(data), len(data)), (blob["digest"], blob["size"]))
        self.assertEqual(names[0], "oci-layout")
        self.node.skiff("image", "rm", "two:1")
        self.node.skiff("image", "import", path)
        after = self.image("two:1")
        self.assertEqual((after["id"], after["layers"]), (before["id"], before["layers"]))
        with open(path, "rb") as f:
            whole = f.read()
        piped = subprocess.run([self.node.program, "image", "export", "two:1", "-"], stdout=subprocess.PIPE, check=True,
                               env={**os.environ, "SKIFF_SOCKET": self.node.socket}).stdout
        self.assertEqual(piped, whole)
        self.assertEqual(self.node.call("image", "export", "none:1", path).returncode, 1)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), whole)

    def test_damage_is_found_and_not_exported(self):
        self.assertNotIn("damaged", self.node.skiff("image", "verify"))
        file = self.tree("big")
        with open(file, "r+b") as f:
            f.seek(1000000)
            f.write(b"damage")
        for words, seen in (((), 1), (("one:1",), 1), (("two:1",), 1), (("busybox:1",), 0)):
            done = self.node.call("image", "verify", *words, "-o", "json")
            bad = [o for o in json.loads(done.stdout)["items"] if o["state"] != "ok"]
            self.assertEqual((len(bad), done.returncode), (seen, seen), words)
        done = self.node.call("image", "verify")
        self.assertRegex(done.stdout, r"layer +sha256:\S+ +\S+ +damaged +docker.io/library/(one:1, docker.io/library/two|two:1, docker.io/library/one):1 +file 'big': changed")
        self.assertIn("1 of ", done.stderr)
        done = self.node.call("image", "export", "two:1", self.node.folder + "/bad.tar")
        self.assertEqual(done.returncode, 1)
        self.assertFalse(os.path.exists(self.node.folder + "/bad.tar"))
        self.assertFalse(os.path.exists(self.node.folder + "/bad.tar.part"))
        os.unlink(file)
        self.assertIn("file 'big': missing", self.node.call("image", "verify", "one:1").stdout)
        documents = self.node.folder + "/state/images/documents/"
        with open(documents + self.image("one:1")["id"].replace(":", "-"), "a", encoding="ascii") as f:
            f.write(" ")
        self.assertRegex(self.node.call("image", "verify", "one:1").stdout, r"document +sha256:\S+ .* damaged .* it has changed")

    def test_sizes_are_told_shared_and_alone(self):
        one, two = self.image("one:1"), self.image("two:1")
        self.assertEqual((one["sizeAlone"], one["sizeShared"]), (0, one["size"]))
        self.assertEqual(two["sizeShared"], one["size"])
        self.assertEqual(two["sizeAlone"] + two["sizeShared"], two["size"])
        self.assertEqual([layer["images"] for layer in two["layers"]], [2, 1])
        self.node.skiff("image", "rm", "one:1")
        self.assertEqual(self.image("two:1")["sizeShared"], 0)


class Socket(NodeTest):
    def test_who_is_not_root_may_look_and_not_touch(self):
        self.node.put("web", ("main", FOREVER))
        self.node.wait_ready("web")
        os.chown(self.node.socket, 0, 54321)

        def as_member(*words):
            return self.node.call(*words, user=65534, group=54321, extra_groups=[])
        self.assertIn("web-node-1", as_member("pods").stdout)
        self.assertEqual(as_member("logs", "web").returncode, 0)
        for words in (["exec", "web", "--", "true"], ["attach", "web"], ["inspect", "web"], ["restart", "web"], ["stop", "web"],
                      ["image", "pull", "x"], ["image", "rm", "busybox:1"],
                      ["image", "import", "/x"]):
            done = as_member(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertEqual(done.stderr, "skiff: this needs root; a member of the socket's group may only look\n")
        self.assertIn("busybox", self.node.skiff("images"))
        answer = self.node.http("POST", "/v1/pods/default/web-node-1/exec", {"command": ["true"]}, user=65534, group=54321)
        self.assertEqual((answer["code"], answer["reason"]), (403, "Forbidden"))
        done = self.node.call("pods", user=65534, group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected root, or a member of the socket's group", done.stderr)

    def test_idle_connections_lock_nobody_out(self):
        idle = [self.node.connect(b"GET /v1/pods HTTP/1.1\r\n") for _ in range(300)]
        idle += [self.node.connect() for _ in range(300)]
        self.addCleanup(lambda: [s.close() for s in idle])
        self.assertIn('"items"', self.node.skiff("pods", "-o", "json"))
        several = [self.node.connect_as_other(b"GET /v1/pods HTTP/1.1\r\n", 100) for _ in range(4)]
        os.chmod(self.node.socket, 0o666)
        self.addCleanup(os.chmod, self.node.socket, 0o660)
        # whole requests, and no word after them
        several += [self.node.connect_as_other(b"GET /v1/node HTTP/1.1\r\nHost: x\r\n\r\n", 200, uid=65534)
                    for _ in range(2)]
        self.addCleanup(lambda: [p.communicate() for p in several])
        for _ in range(20):
            self.assertIn('"items"', self.node.skiff("pods", "-o", "json"))


skiff_node.take_arguments()
skiff_node.finish()
