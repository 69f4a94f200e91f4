#!/usr/bin/env python3
"""A small registry (distribution API v2) in memory that misbehaves on command; a module for tests.

    r = Registry()                                  http on 127.0.0.1, a port of its own
    r = Registry(tls=Certificates(folder).server())  https
    digest = r.image("team/app", "v1", layers=[tar_bytes])
    r.on("GET", "/v2/team/app/blobs/", handler)     handler(request) answers, or returns None

A handler gets the http.server request; fault helpers below make the usual ones. r.requests holds
(method, path, {header: value in lower case}) of all that was asked."""
import base64
import gzip
import hashlib
import http.server
import io
import json
import re
import socket
import ssl
import subprocess
import tarfile
import threading
import time

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(entries):
    """A layer: {"name": bytes} for files, {"dir/": None} for directories, or TarInfo objects."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in entries.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mtime = 1700000000
            if data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(data)
            t.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def config(diff_ids, **process):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": process,
                       "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()


class Certificates:
    """A certificate authority in a folder, and servers' certificates by it."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.openssl("req", "-x509", *KEY, "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
                     "-days", "2", "-subj", "/CN=test authority")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    @property
    def ca(self):
        return f"{self.folder}/ca.crt"

    def issue(self, names="IP:127.0.0.1,DNS:localhost", days="2", cn="server"):
        """The paths of a certificate and its key. @names empty: no subjectAltName at all."""
        self.n += 1
        base = f"server{self.n}"
        self.openssl("req", *KEY, "-nodes", "-keyout", base + ".key", "-out", base + ".csr",
                     "-subj", f"/CN={cn}")
        with open(f"{self.folder}/{base}.ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
        self.openssl("x509", "-req", "-in", base + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                     "-CAcreateserial", "-out", base + ".crt", "-days", days, "-extfile", base + ".ext")
        return f"{self.folder}/{base}.crt", f"{self.folder}/{base}.key"

    def server(self, certificate=None, client_ca=None, maximum=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or self.issue()))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        if maximum:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.maximum_version = maximum
        return context


class Registry:
    def __init__(self, tls=None, host="127.0.0.1"):
        self.blobs, self.manifests, self.handlers, self.requests = {}, {}, [], []
        self.users, self.tokens, self.realm, self.challenge = {}, {}, None, None
        self.lock, self.tls = threading.Lock(), tls
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def do_GET(self):
                registry.serve(self)

            do_HEAD = do_POST = do_GET

            def answer(self, status, body=b"", content_type="application/octet-stream", headers=()):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                return True

            def drop(self):
                """Breaks the connection without another word."""
                try:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                self.close_connection = True
                return True

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                connection.settimeout(120)
                if registry.tls:  # the handshake is the thread's business: it may hang
                    connection = registry.tls.wrap_socket(connection, server_side=True,
                                                          do_handshake_on_connect=False)
                return connection, address

            def handle_error(self, request, client_address):
                pass

        self.server = Server((host, 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self.server.server_port
        self.host = f"{host}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- contents ----

    def blob(self, data):
        self.blobs[sha256(data)] = data
        return {"digest": sha256(data), "size": len(data)}

    def manifest(self, repository, tag, document, media_type=None):
        """@document: bytes, or an object that is written as JSON. Returns its digest."""
        if not isinstance(document, bytes):
            media_type = media_type or document.get("mediaType")
            document = json.dumps(document).encode()
        digest = sha256(document)
        for reference in filter(None, (tag, digest)):
            self.manifests[repository, reference] = (document, media_type)
        return digest

    def image(self, repository, tag, layers, compress="gzip", **process):
        """An image of uncompressed layers. Returns the digest of its manifest."""
        descriptors = []
        for layer in layers:
            data, suffix = layer, ""
            if compress == "gzip":
                data, suffix = gzip.compress(layer, mtime=0), "+gzip"
            descriptors.append({"mediaType": OCI_LAYER + suffix, **self.blob(data)})
        document = config([sha256(layer) for layer in layers], **process)
        return self.manifest(repository, tag, {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, **self.blob(document)}, "layers": descriptors})

    def on(self, method, prefix, handler, times=None):
        """Requests that begin so go to @handler first; the newest handler is asked first."""
        self.handlers.insert(0, [method, prefix, handler, times])

    def asked(self, pattern, method=None):
        with self.lock:
            return [r for r in self.requests if re.search(pattern, r[1]) and method in (None, r[0])]

    # ---- answers ----

    def serve(self, request):
        length = int(request.headers.get("Content-Length") or 0)
        request.body = request.rfile.read(length) if length else b""
        with self.lock:
            self.requests.append((request.command, request.path,
                                  {k.lower(): v for k, v in request.headers.items()}))
        for entry in self.handlers:
            method, prefix, handler, times = entry
            if method not in ("*", request.command) or not request.path.startswith(prefix) or times == 0:
                continue
            if times is not None:
                entry[3] -= 1
            if handler(request) is not None:
                return
        if request.path.startswith("/token"):
            self.serve_token(request)
        elif self.is_allowed(request):
            self.serve_object(request)

    def is_allowed(self, request):
        if not self.users and not self.challenge:
            return True
        given = request.headers.get("Authorization") or ""
        if given.startswith("Bearer ") and given[7:] in self.tokens:
            return True
        if given.startswith("Basic ") and not self.realm:
            user, _, password = base64.b64decode(given[6:]).decode().partition(":")
            if self.users.get(user) == password:
                return True
        repository = re.match(r"/v2/(.+)/(manifests|blobs)/", request.path)
        challenge = self.challenge or (
            f'Bearer realm="{self.realm}",service="fake",scope="repository:{repository[1]}:pull"'
            if self.realm and repository else 'Basic realm="fake"')
        request.answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', "application/json",
                       [("WWW-Authenticate", challenge)])
        return False

    def serve_token(self, request):
        given = request.headers.get("Authorization") or ""
        anonymous = not given and not request.body
        if not anonymous:
            if given.startswith("Basic "):
                user, _, password = base64.b64decode(given[6:]).decode().partition(":")
            else:
                user, password = "token", re.search(rb"refresh_token=([^&]*)", request.body)[1].decode()
            if self.users.get(user) != password:
                request.answer(401, b"{}", "application/json")
                return
        token = f"token-{len(self.tokens)}"
        if not anonymous or "anonymous" in self.users:
            self.tokens[token] = time.time()
        request.answer(200, json.dumps({"token": token, "expires_in": 300}).encode(), "application/json")

    def serve_object(self, request):
        path = request.path.partition("?")[0]
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if path in ("/v2", "/v2/"):
            request.answer(200, b"{}", "application/json")
        elif found and found[2] == "manifests" and (found[1], found[3]) in self.manifests:
            document, media_type = self.manifests[found[1], found[3]]
            request.answer(200, document, media_type or "application/json",
                           [("Docker-Content-Digest", sha256(document))])
        elif found and found[2] == "blobs" and found[3] in self.blobs:
            self.serve_blob(request, self.blobs[found[3]])
        else:
            request.answer(404, b'{"errors":[{"code":"NOT_FOUND"}]}', "application/json")

    def serve_blob(self, request, data):
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        if not start:
            request.answer(200, data)
            return
        first = int(start[1])
        if first >= len(data):
            request.answer(416)
            return
        request.answer(206, data[first:], headers=[
            ("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")])


# ---- handlers for the usual faults ----

def status(code, headers=(), body=b""):
    return lambda request: request.answer(code, body, "text/plain", headers)


def redirect(location, code=307):
    return lambda request: request.answer(code, b"", headers=[("Location", location)])


def body(data, content_type="application/octet-stream", headers=()):
    return lambda request: request.answer(200, data, content_type, headers)


def cut(data, after):
    """Promises all of @data, sends some, breaks the connection."""
    def handler(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[:after])
        return request.drop()
    return handler


def endless(headers=(), chunk=b"x" * 65536):
    """Chunks without an end."""
    def handler(request):
        request.send_response(200)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            request.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    return handler


def silence(seconds=100, data=b"", length=1000):
    """An answer that stops after @data."""
    def handler(request):
        request.send_response(200)
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(data)
        request.wfile.flush()
        time.sleep(seconds)
        return request.drop()
    return handler


def raw(data):
    """Bytes instead of HTTP."""
    def handler(request):
        request.wfile.write(data)
        return request.drop()
    return handler
