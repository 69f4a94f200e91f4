#!/usr/bin/env python3
"""The command `skiff` against a skiffd that stands alone on manifests."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import skiff_node
from skiff_node import Layer, NodeTest, write_archive

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

    def test_nothing_is_coloured_but_on_a_terminal(self):
        self.assertNotIn("\033", self.node.skiff("pods"))
        self.assertIn("\033[32m", self.node.on_terminal("pods"))
        self.assertNotIn("\033[", self.node.on_terminal("pods", env={"NO_COLOR": "1"}))

    def test_versions_are_told_also_by_a_command_alone(self):
        self.assertRegex(self.node.skiff("version"), r"skiff +\S+\nskiffd +\d")
        done = self.node.call("version", "--socket", "/nowhere.sock")
        self.assertEqual(done.returncode, 1)
        self.assertIn("skiffd      does not answer", done.stdout)

    def test_wrong_usage_ends_with_2(self):
        for words in (["podz"], ["pods", "--follow"], ["image", "paint"], ["pod"], ["events", "-o", "name"]):
            self.assertEqual(self.node.call(*words).returncode, 2, words)


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

    def test_a_name_is_for_one_image(self):
        layer = Layer().add("file", data=b"2").bytes()
        before = self.node.json("images")
        done = self.node.call("image", "import", self.archive((["a:1"], [layer], {}), (["b:1"], [layer], {"Cmd": ["x"]})), "own:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected an archive of one image, this one holds 2: leave the name away", done.stderr)
        self.assertEqual(self.node.json("images"), before)
        told = self.node.skiff("image", "import", self.archive((["a:1"], [layer], {})), "own:1")
        self.assertEqual(told.split()[2:], ["docker.io/library/own:1"])


class Socket(NodeTest):
    def test_who_is_not_root_may_look_and_not_touch(self):
        self.node.put("web", ("main", FOREVER))
        self.node.wait_ready("web")
        os.chown(self.node.socket, 0, 54321)

        def as_member(*words):
            return self.node.call(*words, user=65534, group=54321, extra_groups=[])
        self.assertIn("web-node-1", as_member("pods").stdout)
        self.assertEqual(as_member("logs", "web").returncode, 0)
        for words in (["exec", "web", "--", "true"], ["image", "pull", "x"], ["image", "rm", "busybox:1"],
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
