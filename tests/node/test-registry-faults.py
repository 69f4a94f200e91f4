#!/usr/bin/env python3
"""Pulls from a registry that misbehaves, as far as a fake
can play them. Arguments: the program image-tool, the folder that skiff-image is in."""
import gzip
import json
import os
import ssl
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import image_store
from image_store import StoreTest

import registry as fake
from registry import (Certificates, Registry, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, DOCKER_LIST,
                      DOCKER_MANIFEST, config, sha256, tar)

# enum err_kind
(OTHER, BAD_INPUT, UNREACHABLE, TIMEOUT, NOT_FOUND, UNAUTHORIZED, FORBIDDEN, CONFLICT, GONE, TOO_MANY, SERVER,
 INVALID_IMAGE_NAME, IMAGE_NOT_PRESENT, IMAGE_PULL, REGISTRY_UNAVAILABLE, IMAGE_VERIFY) = range(16)

LAYER = tar({"etc/": None, "etc/passwd": b"root:x:0:0::/:/bin/sh\n", "big": os.urandom(300000)})
SECRET = "planted-Secret-0815"


class Fakes(StoreTest):
    def registry(self, **options):
        r = Registry(**options)
        self.addCleanup(r.close)
        return r

    def certificates(self):
        if not hasattr(self, "_certificates"):
            self._certificates = Certificates(self.folder)
        return self._certificates

    def secure_registry(self):
        """An https registry, and the registries.yaml that trusts it."""
        r = self.registry(tls=self.certificates().server())
        return r, self.trust(r)

    def trust(self, *registries):
        """Tests stand at 127.0.0.1, which is plain http by default: an endpoint says otherwise."""
        lines = ["mirrors:"]
        for r in registries:
            lines += [f'  "{r.host}": {{endpoint: ["{r.url}"]}}']
        lines += ["configs:", f'  "*": {{tls: {{ca_file: {self.certificates().ca}}}}}']
        return "\n".join(lines) + "\n"

    def tearDown(self):
        if self.store:
            self.assertNotIn(SECRET, self.store.messages())


class Documents(Fakes):
    def setUp(self):
        super().setUp()
        self.r = self.registry()
        self.open()

    def name(self, tag="t"):
        return f"{self.r.host}/app:{tag}"

    def test_an_honest_image_is_pulled(self):
        self.r.image("app", "t", [LAYER], Cmd=["sh"])
        self.assert_pulled(self.store.pull(self.name()))
        self.assertEqual(len(self.store.do("list")), 1)

    def refuse(self, document, why, media_type=OCI_MANIFEST, kind=BAD_INPUT):
        self.r.manifest("app", "t", document, media_type)
        self.assert_failed(self.store.pull(self.name()), why, kind)
        self.assert_empty()

    def honest(self, **more):
        conf = config([sha256(LAYER)])
        return {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, **self.r.blob(conf)},
                "layers": [{"mediaType": OCI_LAYER, **self.r.blob(LAYER)}], **more}

    def test_a_document_has_one_meaning(self):
        self.refuse(self.honest(manifests=[]), "manifests: has no place")
        self.refuse(self.honest(), "Content-Type says otherwise", OCI_INDEX)
        self.refuse(self.honest(), "Content-Type says otherwise", DOCKER_MANIFEST)
        self.refuse(b'{"schemaVersion":1,"fsLayers":[]}', "schema 1", "application/json")
        self.refuse(b'{"schemaVersion":2,"schemaVersion":2}', "duplicate")
        self.refuse(json.dumps(self.honest()).encode() + b"{}", "end of file expected")
        self.refuse(b"\xef\xbb\xbf" + json.dumps(self.honest()).encode(), "JSON line")
        self.refuse(b"<html>", "JSON line", "text/html")
        self.refuse({**self.honest(), "mediaType": "application/vnd.example+json"}, "not a manifest",
                    "text/plain")
        self.r.manifest("app", "t", self.honest(), OCI_MANIFEST + "; charset=utf-8")
        self.assert_pulled(self.store.pull(self.name()))

    def test_digests_are_checked_before_use(self):
        for bad in ("sha256:../../../../x", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32, "",
                    "sha256:" + "a" * 63 + "\u0660"):
            document = self.honest()
            document["layers"][0]["digest"] = bad
            self.refuse(document, "digest")

    def test_a_manifest_must_be_what_its_digest_says(self):
        digest = self.r.manifest("app", "t", self.honest())
        other = json.dumps(self.honest(annotations={"a": "b"})).encode()
        self.r.on("GET", "/v2/app/manifests/", fake.body(other, OCI_MANIFEST))
        self.assert_failed(self.store.pull(f"{self.r.host}/app@{digest}"), "digest is sha256:", IMAGE_VERIFY)

    def test_a_header_that_contradicts_the_bytes_is_not_believed(self):
        document = json.dumps(self.honest()).encode()
        self.r.on("GET", "/v2/app/manifests/", fake.body(document, OCI_MANIFEST, [
            ("Docker-Content-Digest", "sha256:" + "a" * 64)]))
        self.assert_failed(self.store.pull(self.name()), "Docker-Content-Digest: digest is", IMAGE_VERIFY)

    def test_a_config_must_be_what_the_manifest_says(self):
        document = self.honest()
        self.r.manifest("app", "t", document)
        digest = document["config"]["digest"]
        good = self.r.blobs[digest]
        self.r.blobs[digest] = good.replace(b"linux", b"LINUX")
        self.assert_failed(self.store.pull(self.name()), "digest is", IMAGE_VERIFY)
        self.r.blobs[digest] = good + b" "
        self.assert_failed(self.store.pull(self.name()), "where the descriptor says", IMAGE_VERIFY)
        self.assert_empty()

    def test_a_layer_must_be_what_manifest_and_config_say(self):
        document = self.honest()
        self.r.manifest("app", "t", document)
        digest = document["layers"][0]["digest"]
        self.r.blobs[digest] = LAYER[:-1] + b"\1"
        self.assert_failed(self.store.pull(self.name()), "behind the end of the archive")
        self.r.blobs[digest] = tar({"big": os.urandom(len(LAYER) - 10240)})[:len(LAYER)].ljust(len(LAYER), b"\0")
        self.assert_failed(self.store.pull(self.name()), "digest is sha256:", IMAGE_VERIFY)
        self.assert_empty()
        self.r.blobs[digest] = LAYER + b"\0" * 512
        self.assert_failed(self.store.pull(self.name()), "sends more than the", IMAGE_VERIFY)

    def test_a_layer_must_be_what_its_diff_id_says(self):
        document = self.honest()
        document["config"].update(self.r.blob(config([sha256(b"something else")])))
        self.refuse(document, "diff id is sha256:", kind=IMAGE_VERIFY)

    def test_layers_are_only_shared_by_what_they_unpack_to(self):
        self.r.manifest("app", "t", self.honest())
        self.assert_pulled(self.store.pull(self.name()))
        other = self.honest()
        other["config"].update(self.r.blob(config([sha256(b"another image's")])))
        self.r.manifest("app", "other", other)
        self.assert_failed(self.store.pull(self.name("other")), "diff id is sha256:", IMAGE_VERIFY)
        self.assertEqual(len(self.store.do("list")), 1)

    def test_counts_and_platform_must_agree(self):
        document = self.honest()
        document["config"].update(self.r.blob(config([sha256(LAYER)] * 2)))
        self.refuse(document, "2 of them for 1 layers")
        document["config"].update(self.r.blob(config([sha256(LAYER)]).replace(b"amd64", b"s390x")))
        self.refuse(document, "image is for platform linux/s390x")

    def test_foreign_and_encrypted_layers_are_refused_and_their_urls_never_asked(self):
        document = self.honest()
        document["layers"][0].update(
            mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            urls=[f"{self.r.url}/foreign"])
        self.refuse(document, "foreign layers")
        document["layers"][0]["mediaType"] = OCI_LAYER + "+gzip+encrypted"
        self.refuse(document, "encrypted layers")
        document["layers"][0]["mediaType"] = "application/vnd.example.layer.squashfs"
        self.refuse(document, "not a layer that is known")
        self.assertEqual(self.r.asked("/foreign"), [])

    def test_a_compression_is_never_guessed(self):
        document = self.honest()
        zipped = gzip.compress(LAYER)
        document["layers"][0].update(self.r.blob(zipped))
        self.refuse(document, "tar entry 1")
        document["layers"][0].update(self.r.blob(LAYER), mediaType=OCI_LAYER + "+gzip")
        self.refuse(document, "gzip stream is damaged", kind=IMAGE_VERIFY)
        document["layers"][0].update(self.r.blob(zipped), mediaType=OCI_LAYER + "+zstd")
        self.refuse(document, "zstd stream is damaged", kind=IMAGE_VERIFY)

    def test_sizes_are_bounded(self):
        self.refuse(json.dumps(self.honest(annotations={"a": "x" * (4 << 20)})).encode(), "too large",
                    kind=TOO_MANY)
        self.refuse(self.honest(annotations={str(i): "" for i in range(150000)}), "values")
        self.refuse(b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested deeper")
        document = self.honest()
        document["layers"] *= 300
        self.refuse(document, "300 elements")

    def test_an_endless_manifest_stops_at_the_limit(self):
        self.r.on("GET", "/v2/app/manifests/", fake.endless([("Content-Type", OCI_MANIFEST)]))
        began = time.time()
        self.assert_failed(self.store.pull(self.name()), "too large", TOO_MANY)
        self.assertLess(time.time() - began, 20)

    def test_an_endless_layer_stops_at_its_size(self):
        self.r.manifest("app", "t", self.honest())
        self.r.on("GET", "/v2/app/blobs/" + sha256(LAYER), fake.endless(chunk=LAYER[:1024]))
        self.assert_failed(self.store.pull(self.name()), "")
        self.assert_empty()

    def test_floods_of_headers_end(self):
        flood = "".join(f"X-{i}: y\r\n" for i in range(100000))
        self.r.on("GET", "/v2/app/manifests/", fake.raw(f"HTTP/1.1 200 OK\r\n{flood}\r\n".encode()))
        self.assert_failed(self.store.pull(self.name()), "too large")
        self.r.on("GET", "/v2/app/manifests/", fake.raw(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" * 50000))
        self.assert_failed(self.store.pull(self.name()), "")
        self.r.on("GET", "/v2/app/manifests/", fake.raw(b"SSH-2.0-OpenSSH\r\n"))
        self.assert_failed(self.store.pull(self.name()), "")
        for chunk in (b"-1", b"ffffffffffffffff", b"zz"):
            self.r.on("GET", "/v2/app/manifests/", fake.raw(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\nabc\r\n"))
            self.assert_failed(self.store.pull(self.name()), "")

    def test_an_index_leads_to_this_platform(self):
        good = self.r.image("app", None, [LAYER])
        entry = {"mediaType": OCI_MANIFEST, "digest": good, "size": len(self.r.manifests["app", good][0])}
        other = {**entry, "digest": "sha256:" + "b" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
        here = {**entry, "platform": {"os": "linux", "architecture": "amd64"}}
        attestation = {**other, "platform": {"os": "unknown", "architecture": "unknown"}}
        for media_type in (OCI_INDEX, DOCKER_LIST):
            index = self.r.manifest("app", "t", {"schemaVersion": 2, "mediaType": media_type,
                                                 "manifests": [attestation, other, here]})
            self.assert_pulled(self.store.pull(self.name()))
            self.assertIn(f"{self.r.host}/app@{index}", self.store.do("find", self.name())["digests"])
            self.assertIsNotNone(self.store.do("find", f"{self.r.host}/app@{index}"))
        self.r.manifest("app", "t", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other]})
        self.assert_failed(self.store.pull(self.name()), "no entry for platform linux/amd64", BAD_INPUT)

    def test_indexes_in_indexes_end(self):
        digest = self.r.image("app", None, [LAYER])
        media_type = OCI_MANIFEST
        for depth in range(10):
            size = len(self.r.manifests["app", digest][0])
            digest = self.r.manifest("app", f"t{depth}", {
                "schemaVersion": 2, "mediaType": OCI_INDEX,
                "manifests": [{"mediaType": media_type, "digest": digest, "size": size}]})
            media_type = OCI_INDEX
        self.assert_pulled(self.store.pull(self.name("t2")))
        self.assert_failed(self.store.pull(self.name("t9")), "indexes in one another")

    def test_an_unchanged_tag_costs_one_head_request(self):
        self.r.image("app", "t", [LAYER])
        first = self.assert_pulled(self.store.pull(self.name()))
        self.r.requests.clear()
        self.assertEqual(self.assert_pulled(self.store.pull(self.name())), first)
        self.assertEqual([r[0] for r in self.r.requests], ["HEAD"])
        self.r.image("app", "t", [LAYER, tar({"new": b"layer"})])
        second = self.assert_pulled(self.store.pull(self.name()))
        self.assertNotEqual(first, second)
        self.assertEqual(len(self.r.asked("/blobs/" + sha256(gzip.compress(LAYER, mtime=0)))), 0)
        self.assertEqual(self.store.do("find", self.name())["id"], second)
        self.assertEqual(self.store.do("find", first)["tags"], [])

    def test_equal_pulls_are_one(self):
        self.r.image("app", "t", [LAYER])
        self.r.on("GET", "/v2/app/manifests/", lambda request: time.sleep(0.5))
        pulls = [self.store.send("pull", self.name(), []) for _ in range(5)]
        ids = {self.assert_pulled(self.store.wait(p)) for p in pulls}
        self.assertEqual(len(ids), 1)
        self.assertEqual(len(self.r.asked("/manifests/")), 1)

    def test_pulls_with_other_credentials_are_not(self):
        self.r.image("app", "t", [LAYER])
        self.r.users["good"] = SECRET
        self.r.on("GET", "/v2/app/manifests/", lambda request: time.sleep(0.2))
        good = self.store.send("pull", self.name(), [["good", SECRET, None]])
        bad = self.store.send("pull", self.name(), [["bad", "wrong", None]])
        none = self.store.send("pull", self.name(), [])
        self.assert_pulled(self.store.wait(good))
        self.assert_failed(self.store.wait(bad), "pull access denied", UNAUTHORIZED)
        self.assert_failed(self.store.wait(none), "pull access denied", UNAUTHORIZED)

    def test_no_more_pulls_run_at_once_than_allowed(self):
        self.open(parallel=2)
        running, peak, lock = [0], [0], threading.Lock()

        def count(request):
            with lock:
                running[0] += 1
                peak[0] = max(peak[0], running[0])
            time.sleep(0.3)
            with lock:
                running[0] -= 1

        for i in range(5):
            self.r.image("app", f"t{i}", [tar({"f": b"%d" % i})])
        self.r.on("GET", "/v2/app/manifests/", count)
        pulls = [self.store.send("pull", self.name(f"t{i}"), []) for i in range(5)]
        for p in pulls:
            self.assert_pulled(self.store.wait(p))
        self.assertEqual(peak[0], 2)


class Answers(Fakes):
    def setUp(self):
        super().setUp()
        self.r = self.registry()
        self.name = f"{self.r.host}/app:t"
        self.digest = self.r.image("app", "t", [LAYER])
        self.layer = sha256(gzip.compress(LAYER, mtime=0))
        self.data = self.r.blobs[self.layer]
        self.open()

    def test_statuses_become_kinds_of_error(self):
        for code, kind, text in ((403, FORBIDDEN, "forbidden"), (404, NOT_FOUND, "not found"),
                                 (401, UNAUTHORIZED, "pull access denied"), (418, IMAGE_PULL, "status 418")):
            self.r.handlers.clear()
            self.r.on("GET", "/v2/app/manifests/", fake.status(code))
            self.assert_failed(self.store.pull(self.name), text, kind)

    def test_trouble_that_passes_is_waited_for(self):
        for code in (500, 502, 503, 429):
            self.r.handlers.clear()
            self.r.on("GET", "/v2/app/manifests/", fake.status(code), times=1)
            self.r.on("GET", "/v2/app/blobs/", fake.status(code, [("Retry-After", "1")]), times=1)
            self.assert_pulled(self.store.pull(self.name))
            self.store.do("remove", self.name)

    def test_trouble_that_stays_is_told(self):
        self.r.on("GET", "/v2/app/manifests/", fake.status(503))
        self.assert_failed(self.store.pull(self.name), "status 503", REGISTRY_UNAVAILABLE)
        self.r.handlers.clear()
        self.r.on("GET", "/v2/app/manifests/", fake.status(429))
        self.assert_failed(self.store.pull(self.name), "too many requests", TOO_MANY)

    def test_nobody_there_is_told(self):
        self.r.close()
        self.assert_failed(self.store.pull(self.name), "127.0.0.1", REGISTRY_UNAVAILABLE)
        self.assert_failed(self.store.pull("no-such-host.invalid/app:t"), "no-such-host.invalid", IMAGE_PULL)

    def test_a_broken_blob_is_resumed_where_it_broke(self):
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(self.data, 100000), times=1)
        self.assert_pulled(self.store.pull(self.name))
        ranges = [r[2].get("range") for r in self.r.asked("/blobs/" + self.layer)]
        self.assertEqual(ranges[0], None)
        self.assertRegex(ranges[1], r"^bytes=\d+-$")

    def test_a_blob_that_breaks_again_and_again_is_resumed_while_it_moves(self):
        def piecewise(request):
            start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
            request.send_response(206 if start else 200)
            if start:
                request.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
            request.send_header("Content-Length", str(len(self.data) - start))
            request.end_headers()
            request.wfile.write(self.data[start:start + 60000])
            return request.drop()

        self.r.on("GET", "/v2/app/blobs/" + self.layer, piecewise)
        self.assert_pulled(self.store.pull(self.name))
        self.assertGreaterEqual(len(self.r.asked("/blobs/" + self.layer)), 5)

    def test_a_server_without_ranges_is_read_from_the_start(self):
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.body(self.data))
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(self.data, 100000), times=1)
        self.assert_pulled(self.store.pull(self.name))
        self.r.handlers.clear()
        self.store.do("remove", self.name)
        self.r.on("GET", "/v2/app/blobs/" + self.layer,
                  lambda request: request.answer(416) if request.headers.get("Range") else None)
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(self.data, 100000), times=1)
        self.assert_pulled(self.store.pull(self.name))

    def test_another_range_than_asked_for_is_refused(self):
        def wrong(request):
            if request.headers.get("Range"):
                return request.answer(206, self.data[5:], headers=[
                    ("Content-Range", f"bytes 299999-{len(self.data) - 1}/{len(self.data)}")])
            return None

        self.r.on("GET", "/v2/app/blobs/" + self.layer, wrong)
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(self.data, 100000), times=1)
        self.assert_failed(self.store.pull(self.name), "another range", IMAGE_PULL)

    def test_a_blob_that_never_arrives_whole_fails(self):
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(self.data, 0))
        self.assert_failed(self.store.pull(self.name), self.layer, REGISTRY_UNAVAILABLE)
        self.assert_empty()

    def test_a_blob_shorter_than_promised_fails(self):
        self.r.on("GET", "/v2/app/blobs/" + self.layer, fake.body(self.data[:1000]))
        self.assert_failed(self.store.pull(self.name), "blob ended after 1000 of", REGISTRY_UNAVAILABLE)
        self.assert_empty()

    def test_redirects_are_followed_within_limits(self):
        cdn = self.registry(tls=self.certificates().server())
        cdn.blobs.update(self.r.blobs)
        self.open(f'configs:\n  "{cdn.host}": {{tls: {{ca_file: {self.certificates().ca}}}}}\n')
        self.r.on("GET", "/v2/app/blobs/", lambda request: request.answer(
            307, headers=[("Location", cdn.url + request.path)]))
        self.assert_pulled(self.store.pull(self.name))
        self.store.do("remove", self.name)
        for location, text in ((f"http://{cdn.host}/x", "expected https"), ("file:///etc/passwd", "expected http"),
                               ("https://u:p@example.com/x", "not allowed"), ("/v2/app/loop", "redirects"),
                               ("", "redirect")):
            self.r.handlers.clear()
            self.r.on("GET", "/v2/app/blobs/", fake.redirect(location))
            self.r.on("GET", "/v2/app/loop", fake.redirect("/v2/app/loop"))
            self.assert_failed(self.store.pull(self.name), text)
        hops = len(self.r.asked("/loop"))
        self.assertLessEqual(hops, 5 * 4)

    def test_a_tag_may_redirect_to_its_digest(self):
        self.r.on("GET", "/v2/app/manifests/t", fake.redirect(f"/v2/app/manifests/{self.digest}"))
        self.assert_pulled(self.store.pull(self.name))


class Credentials(Fakes):
    """RG-01, RG-02, RG-11: who gets to see a credential."""
    CREDENTIAL = ["user", SECRET, None]

    def setUp(self):
        super().setUp()
        self.r, self.yaml = self.secure_registry()
        self.r.image("app", "t", [LAYER])
        self.r.users["user"] = SECRET
        self.name = f"{self.r.host}/app:t"

    def seen_by(self, other):
        """Nothing secret ever reached @other."""
        for method, path, headers in other.requests:
            self.assertNotIn("authorization", headers, (method, path))
            self.assertNotIn(SECRET, path)

    def test_basic_credentials_go_to_the_registry(self):
        self.open(self.yaml)
        answer = self.store.pull(self.name, self.CREDENTIAL)
        self.assert_pulled(answer)
        self.assertEqual(answer["auth"], 0)
        self.assertNotIn("authorization", self.r.requests[0][2])  # not before it was asked for

    def test_credentials_are_tried_in_order(self):
        self.open(self.yaml)
        answer = self.store.pull(self.name, ["a", "wrong", None], ["b", "wrong", None], self.CREDENTIAL)
        self.assert_pulled(answer)
        self.assertEqual(answer["auth"], 2)

    def test_there_is_no_anonymous_try_beside_credentials(self):
        self.open(self.yaml)
        self.r.realm = f"{self.r.url}/token"
        self.r.users["anonymous"] = ""
        self.assert_failed(self.store.pull(self.name, ["user", "wrong", None]), "denied", UNAUTHORIZED)
        answer = self.store.pull(self.name)
        self.assert_pulled(answer)
        self.assertEqual(answer["auth"], -1)

    def test_tokens_are_fetched_with_the_credential(self):
        self.open(self.yaml)
        self.r.realm = f"{self.r.url}/token"
        answer = self.store.pull(self.name, self.CREDENTIAL)
        self.assert_pulled(answer)
        self.assertEqual(answer["auth"], 0)
        self.assertEqual(len(self.r.asked("^/token")), 1)
        self.assertIn("scope=repository%3Aapp%3Apull", self.r.asked("^/token")[0][1])

    def test_identity_tokens_are_posted(self):
        self.open(self.yaml)
        self.r.realm = f"{self.r.url}/token"
        self.r.users["token"] = SECRET
        self.assert_pulled(self.store.pull(self.name, [None, None, SECRET]))
        self.assertEqual([r[0] for r in self.r.asked("^/token")], ["POST"])

    def test_a_token_that_ran_out_is_renewed(self):
        self.open(self.yaml)
        self.r.realm = f"{self.r.url}/token"

        def expire(request):
            self.r.tokens.clear()

        self.r.on("GET", "/v2/app/blobs/", expire, times=1)
        self.assert_pulled(self.store.pull(self.name, self.CREDENTIAL))
        self.assertGreaterEqual(len(self.r.asked("^/token")), 2)

    def test_a_strangers_token_server_sees_no_credential(self):
        other = self.registry(tls=self.certificates().server())
        self.open(self.yaml)
        for realm in (f"{other.url}/token", f"https://localhost:{other.port}/token"):
            self.r.challenge = f'Bearer realm="{realm}",service="x"'
            self.assert_failed(self.store.pull(self.name, self.CREDENTIAL), "")
        self.seen_by(other)

    def test_some_token_servers_are_not_asked(self):
        other = self.registry()
        self.open(self.yaml)
        for realm in (f"{other.url}/token", f"http://localhost:{other.port}/token",
                      f"https://u:p@127.0.0.1:{other.port}/token", f"http://[::1]:{other.port}/token",
                      "https://169.254.169.254/token", f"https://127.0.0.2:{other.port}/token",
                      "file:///etc/passwd", "https://127.0.0.1/" + "a" * 300000, "x", ""):
            self.r.challenge = f'Bearer realm="{realm}"'
            self.assertIn("message", self.store.pull(self.name, self.CREDENTIAL))
        self.r.challenge = "Negotiate"
        self.assert_failed(self.store.pull(self.name, self.CREDENTIAL), "denied", UNAUTHORIZED)
        self.assertEqual(other.requests, [])

    def test_a_configured_token_server_sees_the_credential(self):
        other = self.registry(tls=self.certificates().server())
        other.users["user"] = SECRET
        self.r.tokens = other.tokens
        self.r.realm = f"{other.url}/token"
        self.open(self.yaml + f'  "{self.r.host}": {{token_realms: ["{other.host}"], '
                              f'tls: {{ca_file: {self.certificates().ca}}}}}\n')
        self.assert_pulled(self.store.pull(self.name, self.CREDENTIAL))
        self.assertIn("authorization", other.asked("^/token")[0][2])

    def test_redirects_take_no_credential_along(self):
        other = self.registry(tls=self.certificates().server())
        other.blobs.update(self.r.blobs)
        other.manifests.update(self.r.manifests)
        self.open(self.yaml)
        self.r.on("GET", "/v2/app/blobs/", lambda request: request.answer(
            307, headers=[("Location", other.url + request.path)])
            if request.headers.get("Authorization") else None)
        self.assert_pulled(self.store.pull(self.name, self.CREDENTIAL))
        self.assertGreater(len(other.requests), 0)
        self.seen_by(other)

    def test_pull_secrets_do_not_go_to_mirrors(self):
        mirror = self.registry(tls=self.certificates().server())
        mirror.users["user"] = SECRET
        mirror.blobs, mirror.manifests = self.r.blobs, self.r.manifests
        self.open("mirrors:\n"
                  f'  "{self.r.host}": {{endpoint: ["{mirror.url}", "{self.r.url}"]}}\n'
                  f'configs:\n  "*": {{tls: {{ca_file: {self.certificates().ca}}}}}\n')
        self.assert_pulled(self.store.pull(self.name, self.CREDENTIAL))
        self.assertGreater(len(mirror.requests), 0)
        self.seen_by(mirror)

    def test_configured_credentials_are_used_where_there_are_no_secrets(self):
        self.open(self.yaml + f'  "{self.r.host}": {{auth: {{username: user, password: {SECRET}}}, '
                              f'tls: {{ca_file: {self.certificates().ca}}}}}\n')
        answer = self.store.pull(self.name)
        self.assert_pulled(answer)
        self.assertEqual(answer["auth"], -1)

    def test_what_a_registry_echoes_is_not_repeated(self):
        self.open(self.yaml)
        self.r.on("GET", "/v2/app/manifests/", lambda request: request.answer(
            500, (request.headers.get("Authorization") or SECRET).encode())
            if request.headers.get("Authorization") else None)
        self.r.users["user"] = SECRET
        answer = self.store.pull(self.name, self.CREDENTIAL)
        self.assertNotIn(SECRET, json.dumps(answer))
        self.assertNotIn("Basic", json.dumps(answer))

    def test_loopback_registries_are_spoken_to_in_plain_http(self):
        plain = self.registry()
        plain.image("app", "t", [LAYER])
        plain.users["user"] = SECRET
        self.open()
        self.assert_pulled(self.store.pull(f"localhost:{plain.port}/app:t", self.CREDENTIAL))


class Tls(Fakes):
    """RG-04."""

    def attempt(self, context, host="127.0.0.1", more=""):
        r = self.registry(tls=context)
        r.image("app", "t", [LAYER])
        self.open(f'mirrors:\n  "{host}:{r.port}": {{endpoint: ["https://{host}:{r.port}"]}}\n'
                  f'configs:\n  "{host}:{r.port}": {{tls: {{ca_file: {self.certificates().ca}{more}}}}}\n')
        return r, self.store.pull(f"{host}:{r.port}/app:t")

    def test_a_certificate_that_fits_is_accepted(self):
        c = self.certificates()
        self.assert_pulled(self.attempt(c.server())[1])
        self.assert_pulled(self.attempt(c.server(), host="localhost")[1])

    def test_certificates_that_do_not_fit_are_refused(self):
        c = self.certificates()
        stranger = Certificates(os.path.join(self.folder, "other") if not os.makedirs(
            os.path.join(self.folder, "other"), exist_ok=True) else "")
        for name, context in (("name", c.server(c.issue("DNS:example.com"))),
                              ("cn", c.server(c.issue("", cn="127.0.0.1"))),
                              ("expired", c.server(c.issue(days="-1"))),
                              ("stranger", stranger.server())):
            with self.subTest(name):
                r, answer = self.attempt(context)
                self.assert_failed(answer, "", IMAGE_PULL)
                self.assertEqual(r.requests, [])

    def test_old_tls_is_refused(self):
        r, answer = self.attempt(self.certificates().server(maximum=ssl.TLSVersion.TLSv1_1))
        self.assertIn("message", answer)
        self.assertEqual(r.requests, [])

    def test_tls_never_falls_back_to_plain_text(self):
        r = self.registry()
        r.image("app", "t", [LAYER])
        self.open(f'mirrors:\n  "{r.host}": {{endpoint: ["https://{r.host}"]}}\n')
        self.assertIn("message", self.store.pull(f"{r.host}/app:t"))
        self.assertEqual(r.requests, [])

    def test_verification_can_be_switched_off_for_a_host(self):
        c = self.certificates()
        self.assert_pulled(self.attempt(c.server(c.issue("DNS:example.com")), more=", insecure_skip_verify: true")[1])

    def test_client_certificates_are_shown(self):
        c = self.certificates()
        certificate, key = c.issue()
        context = c.server(client_ca=c.ca)
        self.assertIn("message", self.attempt(context)[1])
        self.assert_pulled(self.attempt(context, more=f", cert_file: {certificate}, key_file: {key}")[1])


class Mirrors(Fakes):
    def setUp(self):
        super().setUp()
        self.one, self.two, self.own = self.registry(), self.registry(), self.registry()
        for r in (self.one, self.two, self.own):
            r.image("app", "t", [LAYER])
        self.layer = sha256(gzip.compress(LAYER, mtime=0))
        self.yaml = ("mirrors:\n" f'  "{self.own.host}":\n' "    endpoint:\n"
                     f"      - {self.one.url}\n" f"      - {self.two.url}\n")
        self.name = f"{self.own.host}/app:t"

    def test_the_first_mirror_is_asked_first(self):
        self.open(self.yaml)
        self.assert_pulled(self.store.pull(self.name))
        self.assertEqual(self.two.requests + self.own.requests, [])
        self.assertIn(f"?ns={self.own.host.replace(':', '%3A')}", self.one.requests[0][1].replace(":", "%3A"))

    def test_what_one_cannot_give_the_next_one_is_asked_for(self):
        for fault in (fake.status(404), fake.status(500), fake.status(403), fake.raw(b""), fake.raw(b"junk"),
                      fake.redirect("http://elsewhere/")):
            self.one.handlers.clear()
            self.one.on("GET", "/v2/", fault)
            self.open(self.yaml)
            self.assert_pulled(self.store.pull(self.name))
            self.assertGreater(len(self.two.requests), 0)
            self.assertEqual(self.own.requests, [])
            self.two.requests.clear()
            self.store.do("remove", self.name)

    def test_a_mirror_that_is_gone_is_passed_over(self):
        self.one.close()
        self.open(self.yaml)
        self.assert_pulled(self.store.pull(self.name))

    def test_the_registry_itself_comes_last(self):
        for r in (self.one, self.two):
            r.on("GET", "/v2/", fake.status(404))
        self.open(self.yaml)
        self.assert_pulled(self.store.pull(self.name))
        self.own.on("GET", "/v2/", fake.status(404))
        self.store.do("remove", self.name)
        self.assert_failed(self.store.pull(self.name), "not found", NOT_FOUND)
        answer = self.store.pull(self.name)
        for r in (self.one, self.two, self.own):
            self.assertIn(r.host, answer["message"])

    def test_a_blob_that_breaks_goes_on_at_the_next_mirror(self):
        data = self.one.blobs[self.layer]
        self.one.on("GET", "/v2/app/blobs/" + self.layer, fake.status(404))
        self.one.on("GET", "/v2/app/blobs/" + self.layer, fake.cut(data, 100000), times=1)
        self.open(self.yaml)
        self.assert_pulled(self.store.pull(self.name))
        self.assertRegex(self.two.asked("/blobs/" + self.layer)[0][2]["range"], r"^bytes=\d+-$")

    def test_names_are_rewritten_for_mirrors(self):
        self.one.image("proxy/cache/app", "t", [LAYER])
        self.open(self.yaml + '    rewrite: {"^(.*)$": "proxy/cache/$1"}\n')
        self.assert_pulled(self.store.pull(self.name))
        self.assertEqual(len(self.one.asked("^/v2/proxy/cache/app/")), len(self.one.requests))
        self.assertEqual(self.store.do("find", self.name)["tags"], [self.name])

    def test_a_mirror_with_other_bytes_does_no_harm(self):
        self.one.blobs[self.layer] = os.urandom(len(self.one.blobs[self.layer]))
        self.open(self.yaml)
        self.assert_failed(self.store.pull(self.name), "layer")
        self.assert_empty()

    def test_a_broken_registries_yaml_is_told(self):
        self.open("mirrors: {a: {endpoint: [\"ftp://x\"]}}\n")
        self.assert_failed(self.store.pull(self.name), "registries.yaml': mirrors: a: endpoint: [0]", BAD_INPUT)
        self.open("configs: {a: {tls: {ca_file: /nonexistent/ca}}}\n")
        self.assert_failed(self.store.pull(self.name), "'/nonexistent/ca'")


if __name__ == "__main__":
    image_store.take_arguments()
    image_store.finish()
