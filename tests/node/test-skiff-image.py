#!/usr/bin/env python3
"""The program skiff-image by itself: how its processes are locked in, that none outlives another, and
what it makes of jobs, archives and streams that are not as they should be. Arguments: the program
image-tool, the folder that skiff-image is in."""
import fcntl
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import image_store
from image_store import StoreTest

import registry as fake
from registry import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Registry, config, sha256, tar

BIG = tar({f"d{i}/f{k}": os.urandom(20000) for i in range(5) for k in range(20)})


def processes_below(pid):
    """{pid: command line} of all descendants."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, []).append(int(entry))
    out, todo = [], [pid]
    while todo:
        children = found.get(todo.pop(), [])
        out += children
        todo += children
    return out


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def is_alive(pid):
    try:
        return status(pid)["State"][0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Job:
    """One skiff-image with a job of its own."""

    def __init__(self, folder, job, archive=None):
        os.makedirs(f"{folder}/job", exist_ok=True)
        os.makedirs(f"{folder}/layers", exist_ok=True)
        memory = os.memfd_create("job")
        os.write(memory, job if isinstance(job, bytes) else json.dumps(job).encode())
        os.lseek(memory, 0, os.SEEK_SET)
        self.events, write_end = os.pipe()
        fds = [memory, write_end, os.open(f"{folder}/job", os.O_RDONLY),
               os.open(f"{folder}/layers", os.O_RDONLY)] + ([] if archive is None else [archive])

        def arrange():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(3 + len(high), 400)

        self.process = subprocess.Popen([f"{image_store.LIBEXEC}/skiff-image"], preexec_fn=arrange, close_fds=False,
                                        stderr=subprocess.PIPE)
        for fd in fds:
            os.close(fd)

    def finish(self, seconds=60):
        """All events; the last one is "done" or "error"."""
        with os.fdopen(self.events, "rb") as f:
            events = [json.loads(line) for line in f.read().splitlines()]
        self.process.wait(seconds)
        self.errors = self.process.stderr.read().decode()
        self.process.stderr.close()
        return events


class Images(StoreTest):
    def setUp(self):
        super().setUp()
        self.r = Registry()
        self.addCleanup(self.r.close)

    def job(self, **more):
        return {"kind": "pull", "name": f"{self.r.host}/app", "tag": "t", "endpoints": [
            {"url": self.r.url + "/v2", "repository": "app", "is_registry": True}], **more}

    def hold_layer(self, layer):
        """A pull that stands still in the middle of a layer."""
        self.r.image("app", "t", [layer])
        data = self.r.blobs[sha256(gzip.compress(layer, mtime=0))]
        self.r.on("GET", "/v2/app/blobs/" + sha256(data), fake.silence(60, data[:len(data) // 2], len(data)))
        job = Job(self.folder, self.job())
        tree = f"{self.folder}/job/0"
        self.assertTrue(wait_until(lambda: os.path.isdir(tree) and len(os.listdir(tree)) > 1))
        children = processes_below(job.process.pid)
        self.assertEqual(len(children), 2)
        fetcher = next(c for c in children if status(c)["Uid"].split()[0] != "0")
        unpacker = next(c for c in children if c != fetcher)
        return job, fetcher, unpacker


class Sandbox(Images):
    def test_the_fetcher_has_no_rights(self):
        job, fetcher, _ = self.hold_layer(BIG)
        s = status(fetcher)
        self.assertEqual(set(s["Uid"].split() + s["Gid"].split()), {"1900000001"})
        self.assertEqual(s["Groups"].strip(), "")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(s[name], 16), 0, name)
        self.assertEqual((s["NoNewPrivs"], s["Seccomp"]), ("1", "0" if image_store.SANITIZED else "2"))
        job.process.kill()
        job.finish()

    def test_the_unpacker_sees_its_layer_and_nothing_else(self):
        job, fetcher, unpacker = self.hold_layer(BIG)
        s = status(unpacker)
        # chown, dac_override, fowner, fsetid, mknod, setfcap
        wanted = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1 << 31
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(s[name], 16), wanted, name)
        self.assertEqual((s["NoNewPrivs"], s["Seccomp"]), ("1", "0" if image_store.SANITIZED else "2"))
        with open(f"/proc/{unpacker}/mountinfo", encoding="utf-8") as f:
            mounts = f.read().splitlines()
        self.assertEqual(len(mounts), 1)
        for flag in ("nodev", "nosuid", "noexec"):
            self.assertIn(flag, mounts[0].split()[5])
        self.assertEqual(sorted(os.listdir(f"/proc/{unpacker}/root/")), sorted(os.listdir(f"{self.folder}/job/0")))
        self.assertNotEqual(os.readlink(f"/proc/{unpacker}/ns/mnt"), os.readlink("/proc/self/ns/mnt"))
        self.assertLessEqual(len(os.listdir(f"/proc/{unpacker}/fd")), 3 + 6 + 1)
        for fd in os.listdir(f"/proc/{unpacker}/fd"):
            target = os.readlink(f"/proc/{unpacker}/fd/{fd}")
            self.assertNotIn("/layers", target)
        job.process.kill()
        job.finish()

    def test_no_credential_is_left_in_an_unpacker(self):
        if image_store.SANITIZED:
            return  # the allocator keeps freed memory, and maps terabytes
        secret = b"planted-Secret-0815"
        self.r.image("app", "t", [BIG])
        data = self.r.blobs[sha256(gzip.compress(BIG, mtime=0))]
        self.r.on("GET", "/v2/app/blobs/" + sha256(data), fake.silence(60, data[:len(data) // 2], len(data)))
        job = Job(self.folder, self.job(auths=[{"username": "user", "password": secret.decode()}],
                                        hosts=[{"host": "x", "key": secret.decode()}]))
        self.assertTrue(wait_until(lambda: len(processes_below(job.process.pid)) == 2))
        unpacker = next(c for c in processes_below(job.process.pid) if status(c)["Uid"].split()[0] == "0")
        self.assertTrue(wait_until(lambda: status(unpacker)["Seccomp"] == "2"))
        with open(f"/proc/{unpacker}/maps", encoding="ascii") as maps, open(f"/proc/{unpacker}/mem", "rb") as memory:
            for line in maps:
                if " rw" not in line or "[v" in line:
                    continue
                first, last = (int(x, 16) for x in line.split()[0].split("-"))
                memory.seek(first)
                self.assertNotIn(secret, memory.read(last - first), line)
        job.process.kill()
        job.finish()


class Ends(Images):
    def test_children_die_with_the_supervisor(self):
        job, fetcher, unpacker = self.hold_layer(BIG)
        job.process.kill()
        job.finish()
        self.assertTrue(wait_until(lambda: not is_alive(fetcher) and not is_alive(unpacker)))

    def test_the_job_ends_when_nobody_reads_its_events(self):
        job, fetcher, unpacker = self.hold_layer(BIG)
        os.close(job.events)
        job.process.wait(20)
        job.process.stderr.close()
        self.assertTrue(wait_until(lambda: not is_alive(fetcher) and not is_alive(unpacker)))

    def test_a_killed_fetcher_fails_the_job(self):
        job, fetcher, _ = self.hold_layer(BIG)
        os.kill(fetcher, signal.SIGKILL)
        events = job.finish()
        self.assertIn("killed by signal 9", events[-1]["error"]["message"])
        self.assertFalse(any("layer" in e for e in events))

    def test_a_killed_unpacker_fails_the_job(self):
        job, fetcher, unpacker = self.hold_layer(BIG)
        os.kill(unpacker, signal.SIGKILL)
        events = job.finish()
        self.assertIn("killed by signal 9", events[-1]["error"]["message"])
        self.assertTrue(wait_until(lambda: not is_alive(fetcher)))

    def test_a_stalled_transfer_is_given_up(self):
        self.r.image("app", "t", [BIG])
        data = self.r.blobs[sha256(gzip.compress(BIG, mtime=0))]
        self.r.on("GET", "/v2/app/blobs/" + sha256(data), fake.silence(60, data[:1000], len(data)))
        events = Job(self.folder, self.job(stall_sec=1)).finish()
        self.assertEqual(events[-1]["error"]["kind"], "registry_unavailable")
        self.assertIn("too slow", events[-1]["error"]["message"])

    def test_a_full_pipe_is_not_slept_over(self):
        # a pipe holds 1 MiB: a time-out for each time it is full would make this 20 s
        self.r.image("app", "t", [tar({"big": os.urandom(40 << 20)})], compress=None)
        began = time.time()
        self.assertEqual(Job(self.folder, self.job()).finish()[-1], {"done": True})
        self.assertLess(time.time() - began, 12)

    def test_progress_is_told(self):
        self.r.image("app", "t", [BIG])
        data = self.r.blobs[sha256(gzip.compress(BIG, mtime=0))]

        def slowly(request):
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            for i in range(0, len(data), len(data) // 15):
                request.wfile.write(data[i:i + len(data) // 15])
                time.sleep(0.15)
            return True

        self.r.on("GET", "/v2/app/blobs/" + sha256(data), slowly)
        events = Job(self.folder, self.job()).finish()
        progress = [e["progress"]["bytes"] for e in events if "progress" in e]
        self.assertGreaterEqual(len(progress), 2)
        self.assertEqual(progress, sorted(progress))
        self.assertEqual(events[-1], {"done": True})


class Jobs(Images):
    def test_jobs_that_make_no_sense_are_refused(self):
        for job, text in ((b"", "JSON"), (b"[]", "expected an object"), ({"kind": "fly"}, "expected one of"),
                          ({"kind": "pull"}, "a pull needs"), (self.job(stall_sec=0), "stall_sec"),
                          (self.job(fetcher_uid=0), "fetcher_uid"), (b'{"kind":"pull","kind":"pull"}', "duplicate")):
            events = Job(self.folder, job).finish()
            self.assertIn(text, events[-1]["error"]["message"])

    def test_started_by_hand_it_says_so(self):
        done = subprocess.run([f"{image_store.LIBEXEC}/skiff-image"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"takes its job from skiffd", done.stderr)

    def test_a_directory_is_emptied_whatever_its_depth(self):
        path = f"{self.folder}/job"
        os.makedirs(path)
        deep = os.open(path, os.O_RDONLY)
        for _ in range(3000):  # deeper than any path, and than any limit of descriptors
            os.mkdir("d", dir_fd=deep)
            below = os.open("d", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=deep)
            os.close(deep)
            deep = below
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=deep))
        os.close(deep)
        os.symlink("/etc", f"{path}/link")
        os.mkfifo(f"{path}/fifo")
        events = Job(self.folder, {"kind": "remove"}).finish()
        self.assertEqual(events, [{"done": True}])
        self.assertEqual(os.listdir(path), [])


class Archives(Images):
    def import_bytes(self, data, pipe=False):
        if pipe:
            read_end, write_end = os.pipe()
            writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=write_end)
            os.close(write_end)
            job = Job(self.folder, {"kind": "import"}, read_end)
            writer.stdin.write(data)
            writer.stdin.close()
            writer.wait()
            return job.finish()
        fd = os.memfd_create("archive")
        os.write(fd, data)
        return Job(self.folder, {"kind": "import"}, fd).finish()

    def refused(self, data, text):
        events = self.import_bytes(data)
        self.assertIn("error", events[-1], events)
        self.assertIn(text, events[-1]["error"]["message"])
        self.assertFalse(any("image" in e for e in events))

    def saved(self, **more):
        layer = tar({"f": b"hello"})
        conf = config([sha256(layer)])
        return {"manifest.json": json.dumps([{"Config": "c.json", "RepoTags": ["x/y:1"], "Layers": ["l.tar"]}]).encode(),
                "c.json": conf, "l.tar": layer, **more}

    def layout(self, **more):
        layer = gzip.compress(tar({"f": b"hello"}))
        conf = config([sha256(gzip.decompress(layer))])
        manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {
            "mediaType": OCI_CONFIG, "digest": sha256(conf), "size": len(conf)}, "layers": [
            {"mediaType": OCI_LAYER + "+gzip", "digest": sha256(layer), "size": len(layer)}]}).encode()
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest),
             "annotations": {"org.opencontainers.image.ref.name": "reg.io/a:v1"}}]}).encode()
        blobs = {"blobs/sha256/" + sha256(b)[7:]: b for b in (layer, conf, manifest)}
        return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs, **more}

    def test_what_docker_save_writes_is_read(self):
        for pipe in (False, True):
            events = self.import_bytes(tar(self.saved()), pipe)
            self.assertEqual(events[-1], {"done": True})
            image = next(e["image"] for e in events if "image" in e)
            self.assertEqual(image["names"], ["x/y:1"])
            self.assertEqual(image["id"], sha256(self.saved()["c.json"]))
            subprocess.run(["rm", "-rf", f"{self.folder}/job"], check=True)

    def test_an_oci_layout_is_read(self):
        events = self.import_bytes(tar(self.layout()))
        self.assertEqual(events[-1], {"done": True})
        self.assertEqual(next(e["image"]["names"] for e in events if "image" in e), ["reg.io/a:v1"])

    def test_layers_may_be_compressed_or_links(self):
        saved = self.saved()
        saved["l.tar"] = gzip.compress(saved["l.tar"])
        self.assertEqual(self.import_bytes(tar(saved))[-1], {"done": True})
        subprocess.run(["rm", "-rf", f"{self.folder}/job"], check=True)
        link = tarfile.TarInfo("a/l.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../b/real.tar"
        saved = self.saved()
        saved["b/real.tar"] = saved.pop("l.tar")
        saved["manifest.json"] = saved["manifest.json"].replace(b"l.tar", b"a/l.tar")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as t:
            for name, content in saved.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                t.addfile(info, io.BytesIO(content))
            t.addfile(link)
        self.assertEqual(self.import_bytes(out.getvalue())[-1], {"done": True})

    def test_two_images_share_what_they_have_in_common(self):
        base, top = tar({"base": b"1"}), tar({"top": b"2"})
        configs = [config([sha256(base)]), config([sha256(base), sha256(top)])]
        data = tar({"manifest.json": json.dumps([
            {"Config": "0.json", "RepoTags": ["a:1"], "Layers": ["base.tar"]},
            {"Config": "1.json", "RepoTags": None, "Layers": ["base.tar", "top.tar"]}]).encode(),
            "0.json": configs[0], "1.json": configs[1], "base.tar": base, "top.tar": top})
        events = self.import_bytes(data)
        self.assertEqual(events[-1], {"done": True})
        self.assertEqual(sum("layer" in e for e in events), 2)
        self.assertEqual(sum("image" in e for e in events), 2)

    def test_archives_that_lie_are_refused(self):
        self.refused(b"", "neither an OCI layout")
        self.refused(b"x" * 2000, "tar entry 1")
        self.refused(tar({"x": b""}), "neither an OCI layout")
        self.refused(tar(self.saved())[:3000], "ends in the middle")
        self.refused(tar(self.saved(**{"manifest.json": b"{}"})), "expected an array")
        self.refused(tar(self.saved(**{"c.json": b"{}"})), "rootfs: required")
        self.refused(tar(self.saved(**{"l.tar": tar({"f": b"other"})})), "diff id is")
        saved = self.saved()
        del saved["l.tar"]
        self.refused(tar(saved), "there is no 'l.tar'")
        self.refused(tar(self.saved(**{"manifest.json": json.dumps([
            {"Config": "../../etc/passwd", "RepoTags": [], "Layers": []}]).encode()})), "'..'")
        layout = self.layout()
        blob = next(n for n in layout if n.startswith("blobs") and layout[n].startswith(b"{\"arch"))
        layout[blob] = layout[blob].replace(b"amd64", b"AMD64")
        self.refused(tar(layout), "is not what its name and size say")
        self.refused(tar(self.layout(**{"index.json": b'{"schemaVersion":2,"manifests":[]}'})), "no image for this")
        twice = tar({"a": b""})[:512] + tar({"a": b""})
        self.refused(twice, "'a' is in it twice")


class Bombs(Images):
    """UN-06: what would fill disk or memory stops at a limit that the message names."""

    def pull_layer(self, data, media_type, diff_id="sha256:" + "0" * 64):
        conf = config([diff_id])
        self.r.manifest("app", "t", {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": OCI_CONFIG, **self.r.blob(conf)},
            "layers": [{"mediaType": media_type, **self.r.blob(data)}]})
        began = time.time()
        events = Job(self.folder, self.job()).finish()
        self.assertLess(time.time() - began, 30)
        return events[-1]["error"]

    def test_a_gzip_bomb_stops_at_its_ratio(self):
        head = tarfile.TarInfo("zeros")
        head.size = 10 << 30
        piece = gzip.compress(bytes(16 << 20), 9)
        data = gzip.compress(head.tobuf()) + piece * 64
        error = self.pull_layer(data, OCI_LAYER + "+gzip")
        self.assertIn("unpacks to more than the limit of", error["message"])

    def test_a_sparse_file_is_refused(self):
        head = tarfile.TarInfo("sparse")
        head.type = tarfile.GNUTYPE_SPARSE
        error = self.pull_layer(head.tobuf(tarfile.GNU_FORMAT) + bytes(1024), OCI_LAYER)
        self.assertIn("sparse files are not supported", error["message"])

    def test_a_window_of_two_gigabytes_is_refused(self):
        data = bytes([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00])
        error = self.pull_layer(data, OCI_LAYER + "+zstd")
        self.assertIn("zstd stream is damaged", error["message"])

    def test_a_declared_size_makes_no_allocation(self):
        head = tarfile.TarInfo("x")
        head.type = tarfile.XHDTYPE
        head.size = 8 << 30
        error = self.pull_layer(head.tobuf(tarfile.GNU_FORMAT) + bytes(100000), OCI_LAYER)
        self.assertIn("extension headers of more than", error["message"])


if __name__ == "__main__":
    image_store.take_arguments()
    image_store.finish()
