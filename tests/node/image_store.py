"""The program image-tool (tests/node/image-tool.c) and what it keeps, for the tests of images."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fake"))

TOOL = LIBEXEC = None
SANITIZED = False  # sanitizers need system calls and memory of their own: no seccomp then


def take_arguments():
    global TOOL, LIBEXEC, SANITIZED
    TOOL, LIBEXEC = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
    with open(f"{LIBEXEC}/skiff-image", "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
    if os.geteuid() != 0:
        print("skipped: images are unpacked by root")
        sys.exit(77)


def finish():
    result = unittest.main(verbosity=2, exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(bad > 0)


class Store:
    """A running image-tool. Answers are matched to commands by number."""

    def __init__(self, folder, registries="", parallel=0):
        self.folder = folder
        with open(f"{folder}/registries.yaml", "w", encoding="utf-8") as f:
            f.write(registries)
        self.log = open(f"{folder}/log", "a+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [TOOL, f"{folder}/state", LIBEXEC, f"{folder}/registries.yaml", str(parallel)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.answers, self.n, self.changed = {}, 0, threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                number, value = json.loads(line)
                self.answers[number] = value
                self.changed.notify_all()
        with self.changed:
            self.n_lost = True
            self.changed.notify_all()

    def send(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        self.n += 1
        return self.n - 1

    def wait(self, number, seconds=90):
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers, seconds):
                raise AssertionError(f"no answer to command {number} in {seconds} s")
            return self.answers[number]

    def do(self, *command, seconds=90):
        return self.wait(self.send(*command), seconds)

    def pull(self, reference, *auths, seconds=90):
        return self.do("pull", reference, list(auths), seconds=seconds)

    def messages(self):
        self.log.flush()
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, kill=False):
        if kill:
            self.process.send_signal(signal.SIGKILL)
        else:
            self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        self.log.close()

    def path(self, *names):
        return os.path.join(self.folder, "state", "images", *names)

    def files(self, *names):
        return sorted(os.listdir(self.path(*names)))


class StoreTest(unittest.TestCase):
    registries = ""
    parallel = 0
    in_memory = True

    def setUp(self):
        # every layer is synced: on a disk that others use, too, that would be most of the time
        self.folder = tempfile.mkdtemp(prefix="skiff-images-", dir="/dev/shm" if self.in_memory else None)
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = None
        self.addCleanup(self.close)

    def close(self):
        if self.store and self.store.process.poll() is None:
            self.store.stop()

    def open(self, registries=None, parallel=None):
        self.close()
        self.store = Store(self.folder, self.registries if registries is None else registries,
                           self.parallel if parallel is None else parallel)
        return self.store

    def assert_pulled(self, answer):
        self.assertIn("id", answer, answer)
        return answer["id"]

    def assert_failed(self, answer, text, kind=None):
        self.assertIn("message", answer, answer)
        self.assertIn(text, answer["message"])
        if kind is not None:
            self.assertEqual(answer["kind"], kind, answer)

    def assert_empty(self):
        """Nothing of a failed pull is left that another one could use."""
        for folder in ("records", "layers", "index", "documents", "incoming"):
            self.assertEqual(self.store.files(folder), [], folder)
