#!/usr/bin/env python3
"""A small working CSI driver for tests: it registers with a node, mounts, and misbehaves on command.

    csi.py --registry DIR --socket PATH [--name N] [--node-id I] [--state DIR] [--capabilities 1,6]
           [--versions 1.0.0] [--type CSIPlugin] [--topology K=V] [--max N] [--no-register]

It prints "listening PORT" once it serves: the plugin's registration at DIR/NAME-reg.sock, the
driver at PATH, and its control on 127.0.0.1:PORT as HTTP. A volume is a folder below --state, bound
to where the node wants it (without --state: an empty folder made there), and a file VOLUME.disk when
it is to be a block device. POST /_control with one
JSON object:

    {"op": "fault", "method": "NodeStageVolume", "action": A, "times": 1, ...}
      "code"      answers with gRPC status "code" and "message"
      "hang"      never answers
      "close"     closes the connection
      "garbage"   answers what is not HTTP/2
      "lie"       a message that says it is longer than it is
      "nonsense"  a message that is no protobuf
      "text"      a text that is no UTF-8 where there should be one
      "bare"      an answer without grpc-status
      "http"      HTTP status 503
      "late"      does as it is told, and then never answers
      "nothing"   says it is done, and does nothing
    {"op": "clear"}
    {"op": "calls", "reset": false}   what was asked: [{"method": M, "request": {...}}, …]
    {"op": "unregister"}, {"op": "register"}   the registration's socket goes, comes back
    {"op": "set", "capabilities": [1], "node_id": "x"}
"""
import argparse
import collections
import ctypes
import encodings.idna  # loaded late otherwise: an image has what is imported here
import encodings.latin_1
import http.server
import json
import os
import socket
import struct
import threading
import time

# ---- HPACK: headers are read by the library that curl uses, and written literally ----

hpack = ctypes.CDLL('libnghttp2.so.14')


class Pair(ctypes.Structure):
    _fields_ = [('name', ctypes.POINTER(ctypes.c_char)), ('value', ctypes.POINTER(ctypes.c_char)),
                ('namelen', ctypes.c_size_t), ('valuelen', ctypes.c_size_t),
                ('flags', ctypes.c_uint8)]


hpack.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t


class Inflater:
    def __init__(self):
        self.p = ctypes.c_void_p()
        assert hpack.nghttp2_hd_inflate_new(ctypes.byref(self.p)) == 0

    def read(self, block):
        headers, data = {}, block
        while True:
            pair, flags = Pair(), ctypes.c_int(0)
            n = hpack.nghttp2_hd_inflate_hd2(self.p, ctypes.byref(pair), ctypes.byref(flags), data,
                                             ctypes.c_size_t(len(data)), 1)
            if n < 0:
                raise ConnectionError('headers')
            data = data[n:]
            if flags.value & 2:
                headers[pair.name[:pair.namelen].decode()] = pair.value[:pair.valuelen].decode()
            if flags.value & 1:
                hpack.nghttp2_hd_inflate_end_headers(self.p)
                return headers
            if not flags.value & 2 and not data:
                return headers

    def __del__(self):
        hpack.nghttp2_hd_inflate_del(self.p)


def text(s):
    b = s.encode()
    if len(b) < 127:
        return bytes([len(b)]) + b
    n, out = len(b) - 127, b'\x7f'
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + b


def headers(*pairs):
    return b''.join(b'\x00' + text(k) + text(v) for k, v in pairs)


# ---- protobuf ----

def varint(n):
    out = b''
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n) if n else b''


def blob(field, b):
    b = b.encode() if isinstance(b, str) else b
    return varint(field << 3 | 2) + varint(len(b)) + b


def fields(b):
    """field -> its values, in order."""
    out, i = collections.defaultdict(list), 0

    def take():
        nonlocal i
        n = shift = 0
        while True:
            n |= (b[i] & 127) << shift
            i += 1
            shift += 7
            if b[i - 1] < 128:
                return n
    while i < len(b):
        tag = take()
        if tag & 7 == 0:
            out[tag >> 3].append(take())
        else:
            assert tag & 7 == 2, tag
            n = take()
            out[tag >> 3].append(b[i:i + n])
            i += n
    return out


def text_map(entries):
    out = {}
    for e in entries:
        f = fields(e)
        out[b''.join(f[1]).decode()] = b''.join(f[2]).decode()
    return out


def capability(blobs):
    out = {}
    for b in blobs:
        f = fields(b)
        if 1 in f:
            out['block'] = True
        if 2 in f:
            m = fields(f[2][0])
            out['fs_type'] = b''.join(m[1]).decode()
            out['mount_flags'] = [v.decode() for v in m[2]]
            out['mount_group'] = b''.join(m[3]).decode()
        out['mode'] = fields(f[3][0])[1][0]
    return out


SHAPES = {  # method -> field -> (name, how it is read)
    'NodeStageVolume': {1: ('volume_id', str), 2: ('publish_context', dict),
                        3: ('staging_target_path', str), 4: ('capability', capability),
                        5: ('secrets', dict), 6: ('volume_context', dict)},
    'NodeUnstageVolume': {1: ('volume_id', str), 2: ('staging_target_path', str)},
    'NodePublishVolume': {1: ('volume_id', str), 2: ('publish_context', dict),
                          3: ('staging_target_path', str), 4: ('target_path', str),
                          5: ('capability', capability), 6: ('readonly', bool),
                          7: ('secrets', dict), 8: ('volume_context', dict)},
    'NodeUnpublishVolume': {1: ('volume_id', str), 2: ('target_path', str)},
    'NodeGetVolumeStats': {1: ('volume_id', str), 2: ('volume_path', str)},
    'NotifyRegistrationStatus': {1: ('registered', bool), 2: ('error', str)},
}


def read_request(method, body):
    out = {}
    f = fields(body)
    for n, (name, how) in SHAPES.get(method, {}).items():
        if n not in f:
            continue
        out[name] = (text_map(f[n]) if how is dict else how(f[n]) if how is capability
                     else bool(f[n][0]) if how is bool else f[n][0].decode())
    return out


# ---- mounting ----

libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MNT_DETACH = 4096, 2


def mount(source, target):
    if libc.mount(source.encode(), target.encode(), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), 'mount ' + target)


def is_mounted(path):
    with open('/proc/self/mountinfo') as f:
        return any(line.split()[4] == path for line in f)


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Driver:
    def __init__(self, args):
        self.args, self.lock = args, threading.Lock()
        self.calls, self.faults = [], []
        self.capabilities = [int(c) for c in args.capabilities.split(',') if c]
        self.node_id = args.node_id

    def fault(self, method):
        with self.lock:
            for f in self.faults:
                if f['method'] == method and f.get('times', 1) != 0:
                    f['times'] = f.get('times', 1) - 1
                    return f
        return None

    def call(self, method, body):
        request = read_request(method, body)
        with self.lock:
            self.calls.append({'method': method, 'request': request})
        return getattr(self, method)(request)

    # registration

    def GetInfo(self, _):
        a = self.args
        return (blob(1, a.type) + blob(2, a.name) + blob(3, a.socket)
                + b''.join(blob(4, v) for v in a.versions.split(',')))

    def NotifyRegistrationStatus(self, _):
        return b''

    # the node's side of CSI

    def NodeGetInfo(self, _):
        out = blob(1, self.node_id) + number(2, self.args.max)
        segments = b''.join(blob(1, blob(1, k) + blob(2, v)) for k, v in
                            (t.split('=', 1) for t in self.args.topology))
        return out + (blob(3, segments) if segments else b'')

    def NodeGetCapabilities(self, _):
        return b''.join(blob(1, blob(1, number(1, c))) for c in self.capabilities)

    def NodeStageVolume(self, r):
        if not os.path.isdir(r['staging_target_path']):
            raise Failure(9, 'no staging folder')
        self.bind(r['volume_id'], r['staging_target_path'])
        return b''

    def NodeUnstageVolume(self, r):
        self.unbind(r['staging_target_path'])
        return b''

    def NodePublishVolume(self, r):
        if r['capability'].get('block'):
            open(r['target_path'], 'a').close()
        else:
            os.makedirs(r['target_path'], exist_ok=True)
        self.bind(r['volume_id'], r['target_path'])
        return b''

    def NodeUnpublishVolume(self, r):
        self.unbind(r['target_path'])
        if os.path.isdir(r['target_path']):
            os.rmdir(r['target_path'])
        elif os.path.exists(r['target_path']):
            os.unlink(r['target_path'])
        return b''

    def NodeGetVolumeStats(self, r):
        if not os.path.isdir(r['volume_path']):
            raise Failure(5, 'no such path')
        return (blob(1, number(1, 600) + number(2, 1000) + number(3, 400) + number(4, 1))
                + blob(1, number(1, 6) + number(2, 10) + number(3, 4) + number(4, 2)))

    def bind(self, volume, target):
        if not self.args.state or is_mounted(target):
            return
        source = os.path.join(self.args.state, volume)
        if os.path.isdir(target):
            os.makedirs(source, exist_ok=True)
        else:
            source += '.disk'
            os.makedirs(self.args.state, exist_ok=True)
            open(source, 'a').close()
        mount(source, target)

    def unbind(self, target):
        while is_mounted(target):
            libc.umount2(target.encode(), MNT_DETACH)


# ---- HTTP/2 ----

DATA, HEADERS, SETTINGS, PING, END_STREAM, END_HEADERS = 0, 1, 4, 6, 1, 4


class Connection:
    def __init__(self, driver, sock):
        self.driver, self.sock = driver, sock
        self.inflater, self.streams = Inflater(), {}

    def exactly(self, n):
        b = b''
        while len(b) < n:
            more = self.sock.recv(n - len(b))
            if not more:
                raise ConnectionError('closed')
            b += more
        return b

    def frame(self, kind, flags, stream, payload=b''):
        self.sock.sendall(struct.pack('>I', len(payload))[1:] + bytes([kind, flags])
                          + struct.pack('>I', stream) + payload)

    def serve(self):
        try:
            self.exactly(24)
            self.frame(SETTINGS, 0, 0)
            while True:
                self.take()
        except (OSError, ConnectionError):
            pass
        finally:
            self.sock.close()

    def take(self):
        head = self.exactly(9)
        n, kind, flags = int.from_bytes(head[:3], 'big'), head[3], head[4]
        stream = int.from_bytes(head[5:], 'big')
        payload = self.exactly(n)
        if kind == SETTINGS and not flags & 1:
            self.frame(SETTINGS, 1, 0)
        elif kind == PING and not flags & 1:
            self.frame(PING, 1, 0, payload)
        elif kind == HEADERS:
            if flags & 0x20:
                payload = payload[5:]
            self.streams[stream] = [self.inflater.read(payload)[':path'], b'']
        elif kind == DATA and stream in self.streams:
            self.streams[stream][1] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            path, body = self.streams.pop(stream)
            self.answer(stream, path.rsplit('/', 1)[1], body[5:])

    def answer(self, stream, method, body):
        fault = self.driver.fault(method)
        action = fault and fault['action']
        if action in ('hang', 'late'):
            if action == 'late':
                self.driver.call(method, body)
            time.sleep(3600)
        if action == 'close':
            raise ConnectionError('as told')
        if action == 'garbage':
            self.sock.sendall(b'HTTP/1.1 200 OK\r\n\r\nthis is not HTTP/2, nor gRPC\r\n')
            raise ConnectionError('as told')
        if action == 'http':
            self.frame(HEADERS, END_HEADERS | END_STREAM, stream, headers((':status', '503')))
            return
        try:
            if action == 'code':
                raise Failure(fault['code'], fault.get('message', 'as told'))
            message = b'' if action == 'nothing' else self.driver.call(method, body)
        except Failure as e:
            return self.fail(stream, e.code, str(e))
        except OSError as e:
            return self.fail(stream, 13, str(e))
        size = len(message)
        if action == 'lie':
            size += 1000
        if action == 'nonsense':
            message, size = b'\xff' * 20, 20
        if action == 'text':
            message = blob(1, b'\xff\xfe')
            size = len(message)
        self.frame(HEADERS, END_HEADERS, stream,
                   headers((':status', '200'), ('content-type', 'application/grpc')))
        end = END_STREAM if action == 'bare' else 0
        self.frame(DATA, end, stream, b'\0' + struct.pack('>I', size) + message)
        if not end:
            self.frame(HEADERS, END_HEADERS | END_STREAM, stream, headers(('grpc-status', '0')))

    def fail(self, stream, code, message):
        quoted = ''.join(c if ' ' <= c < '\x7f' and c != '%' else ''.join(
            '%%%02X' % b for b in c.encode()) for c in message)
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream,
                   headers((':status', '200'), ('content-type', 'application/grpc'),
                           ('grpc-status', str(code)), ('grpc-message', quoted)))


def listen(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(64)
    return s


def serve(driver, sock):
    def loop():
        while True:
            try:
                c, _ = sock.accept()
            except OSError:
                return
            threading.Thread(target=Connection(driver, c).serve, daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()


# ---- control ----

class Control(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        o = json.loads(self.rfile.read(int(self.headers.get('Content-Length') or 0)))
        data = json.dumps(self.carry_out(o)).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def carry_out(self, o):
        driver, op = self.server.driver, o['op']
        with driver.lock:
            if op == 'fault':
                driver.faults.append(o)
            elif op == 'clear':
                driver.faults = []
            elif op == 'calls':
                calls = driver.calls
                if o.get('reset'):
                    driver.calls = []
                return calls
            elif op == 'set':
                driver.capabilities = o.get('capabilities', driver.capabilities)
                driver.node_id = o.get('node_id', driver.node_id)
            elif op == 'unregister':
                os.unlink(self.server.registration)
            elif op == 'register':
                serve(driver, listen(self.server.registration))
        return {}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--registry', required=True)
    p.add_argument('--socket', required=True)
    p.add_argument('--name', default='fake.csi.example.com')
    p.add_argument('--node-id', default='fake-node')
    p.add_argument('--state')
    p.add_argument('--capabilities', default='1')
    p.add_argument('--versions', default='1.0.0')
    p.add_argument('--type', default='CSIPlugin')
    p.add_argument('--topology', action='append', default=[])
    p.add_argument('--max', type=int, default=0)
    p.add_argument('--no-register', action='store_true')
    args = p.parse_args()
    driver = Driver(args)
    control = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Control)
    control.daemon_threads = True
    control.driver = driver
    control.registration = os.path.join(args.registry, args.name + '-reg.sock')
    serve(driver, listen(args.socket))
    if not args.no_register:
        serve(driver, listen(control.registration))
    print('listening', control.server_port, flush=True)
    control.serve_forever()


main()
