"""Container images made in Python: layers as tar archives, and a registry to push them to."""
import functools
import gzip
import hashlib
import http.client
import io
import json
import platform
import sys
import tarfile

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."


class Layer:
    """A tar archive in the making; the same calls give the same bytes."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link="", uid=0, gid=0):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.uid, info.gid = kind, mode, link, uid, gid
        info.size, info.mtime = len(data), 1700000000
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def directory(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def symlink(self, name, target):
        return self.add(name, tarfile.SYMTYPE, mode=0o777, link=target)

    def hardlink(self, name, target):
        return self.add(name, tarfile.LNKTYPE, link=target)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@functools.cache
def pack(layer):
    return gzip.compress(layer, 1, mtime=0)


def image_parts(name, layers, docker=False, **config):
    """An image's manifest with its media type, and the blobs it names. Two names never share a digest."""
    document = {"architecture": ARCH, "os": "linux", "created": "2023-11-14T22:13:20Z",
                "config": {"Env": [PATH], "Labels": {"skiff.test/name": name}, **config},
                "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
    data = json.dumps(document).encode()
    kind = (DOCKER + "container.image.v1+json", DOCKER + "image.rootfs.diff.tar.gzip",
            DOCKER + "distribution.manifest.v2+json") if docker else \
        (OCI + "config.v1+json", OCI + "layer.v1.tar+gzip", OCI + "manifest.v1+json")
    packed = [pack(layer) for layer in layers]
    manifest = {"schemaVersion": 2, "mediaType": kind[2],
                "config": {"mediaType": kind[0], "size": len(data), "digest": digest(data)},
                "layers": [{"mediaType": kind[1], "size": len(layer), "digest": digest(layer)} for layer in packed]}
    return kind[2], manifest, [data, *packed]


class Registry:
    def __init__(self, host_port):
        self.connection = http.client.HTTPConnection(host_port, timeout=20)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        response.read()
        return response

    def expect(self, status, response, what):
        if response.status != status:
            sys.exit(f"images: {what}: {response.status} {response.reason}")

    def blob(self, repository, data):
        name = digest(data)
        if self.request("HEAD", f"/v2/{repository}/blobs/{name}").status == 200:
            return name
        started = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        self.expect(202, started, f"upload to {repository}")
        place = started.headers["Location"]
        place = place[place.index("/v2/"):]
        place += ("&" if "?" in place else "?") + "digest=" + name
        self.expect(201, self.request("PUT", place, data, {"Content-Type": "application/octet-stream"}),
                    f"blob of {repository}")
        return name

    def manifest(self, repository, reference, media_type, document):
        data = json.dumps(document).encode()
        self.expect(201, self.request("PUT", f"/v2/{repository}/manifests/{reference}", data,
                                      {"Content-Type": media_type}), f"{repository}:{reference}")
        return {"mediaType": media_type, "size": len(data), "digest": digest(data)}

    def image(self, repository, tag, layers, docker=False, **config):
        """Pushes an image of tar archives and says how a manifest list would name it."""
        media_type, manifest, blobs = image_parts(f"{repository}:{tag}", layers, docker, **config)
        for blob in blobs:
            self.blob(repository, blob)
        return self.manifest(repository, tag, media_type, manifest)
