#!/usr/bin/env python3
"""kubectl port-forward: many connections at once, bytes and half-closes as they are, ports where nobody listens."""
import concurrent.futures
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import Failure, container, expect, expect_equal, script, test, wait_for, web


class Forward:
    """kubectl port-forward to one port of a pod, on a local port of its choice."""

    def __init__(self, t, pod, port):
        self.process = subprocess.Popen([t.cluster.folder + "/bin/kubectl", "--kubeconfig", t.cluster.folder + "/kubeconfig",
                                         "-n", t.namespace, "port-forward", "--address", "127.0.0.1", "pod/" + pod, f":{port}"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""
        found = re.search(r"127\.0\.0\.1:(\d+) ->", self.process.stdout.readline())
        if not found:
            raise Failure("kubectl port-forward: " + self.process.stdout.read())
        self.port = int(found[1])
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.said += line

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), 10)
        connection.settimeout(20)
        return connection

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def read_all(connection):
    parts = []
    while (part := connection.recv(65536)):
        parts.append(part)
    return b"".join(parts)


def get(forward):
    with forward.connect() as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return read_all(connection).rsplit(b"\r\n\r\n", 1)[-1].strip()


@test
def a_hundred_connections_go_through_at_once(t):
    t.run("p", web(), node="node-1")
    t.wait_ready("p")
    with Forward(t, "p", 8080) as forward, concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: get(forward), range(100)))
    expect_equal(set(answers), {b"p 1"}, "what 100 clients were answered")


@test
def bytes_and_the_end_of_either_side_come_through(t):
    t.run("p", container("c", "nc", "-ll", "-p", "7000", "-e", "cat"), node="node-1")
    t.wait_ready("p")
    wait_for("a listener", lambda: ":7000" in t.kubectl("exec", "p", "--", "netstat", "-ltn"))
    data = os.urandom(8 << 20)
    with Forward(t, "p", 7000) as forward, forward.connect() as connection:
        def send():
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)  # cat ends by it, and so does what comes back
        sender = threading.Thread(target=send)
        sender.start()
        back = read_all(connection)
        sender.join()
    expect(back == data, f"{len(back)} of {len(data)} bytes came back, or other ones")


@test
def a_port_where_nobody_listens_is_named(t):
    t.run("p", web(), node="node-1")
    t.wait_ready("p")
    with Forward(t, "p", 9999) as forward:
        with forward.connect() as connection:
            try:
                expect_equal(read_all(connection), b"", "what came from nobody")
            except ConnectionResetError:
                pass
        wait_for("the reason", lambda: "error forwarding port 9999 to pod p_" in forward.said and
                 "failed to connect to localhost:9999 inside the pod, IPv4: Connection refused" in forward.said)


class Channels:
    """A client of v4.channel.k8s.io, through the API server: one connection for each port."""

    def __init__(self, t, pod, *ports):
        pki = t.cluster.folder + "/control/pki"
        context = ssl.create_default_context(cafile=pki + "/ca.crt")
        context.load_cert_chain(pki + "/admin.crt", pki + "/admin.key")
        host, port = t.api.address.rsplit(":", 1)
        self.socket = context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=host)
        query = "&".join(f"ports={p}" for p in ports)
        self.socket.sendall((f"GET /api/v1/namespaces/{t.namespace}/pods/{pod}/portforward?{query} HTTP/1.1\r\nHost: x\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.head = self.file.readline()
        while self.file.readline().strip():
            pass

    def send(self, channel, payload):
        payload = bytes([channel]) + payload
        head = bytes([0x82, 0x80 | len(payload)]) if len(payload) < 126 else bytes([0x82, 0xfe]) + struct.pack("!H", len(payload))
        self.socket.sendall(head + b"\0\0\0\0" + payload)

    def message(self):
        """The channel and the bytes of the next one."""
        first, length = self.file.read(2)
        if length == 126:
            length, = struct.unpack("!H", self.file.read(2))
        payload = self.file.read(length)
        expect(first == 0x82, "a frame of another kind:", first, payload)
        return payload[0], payload[1:]


@test
def libraries_forward_ports_over_websockets(t):
    t.run("p", web(), node="node-1")
    t.wait_ready("p")
    client = Channels(t, "p", 8080, 9999)
    expect(b" 101 " in client.head, client.head)
    client.send(0, b"GET / HTTP/1.0\r\n\r\n")
    client.send(1, b"what nobody reads")
    client.send(9, b"of no port")
    parts = {}
    while not parts.get(0, b"").strip().endswith(b"p 1") or len(parts.get(3, b"")) <= 2:
        channel, data = client.message()
        parts[channel] = parts.get(channel, b"") + data
    expect_equal((parts[0][:2], parts[1][:2], parts[2][:2], parts[3][:2]),
                 (struct.pack("<H", 8080), struct.pack("<H", 8080), struct.pack("<H", 9999), struct.pack("<H", 9999)), "the ports that channels begin with")
    expect(b"error forwarding port 9999 to pod p_" in parts[3], parts[3])
    expect(parts[0].split(b"\r\n\r\n")[1].strip() == b"p 1", parts[0])
    client.socket.close()


if __name__ == "__main__":
    script()
