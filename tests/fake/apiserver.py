#!/usr/bin/env python3
"""A small working API server for tests: objects in memory, watches, and faults on command.

    apiserver.py [--port N] [--ready FILE] [--tls-cert F --tls-key F [--client-ca F]] [--token T]
                 [--no-default-objects]

It prints "listening PORT" (and writes PORT to --ready FILE) once it serves 127.0.0.1. Faults and
looks inside go through POST /_control with one JSON object:

    {"op": "fault", "match": {"method": "GET", "path": "/api/v1/pods", "watch": true},
     "action": A, "times": 1, "after": 0, ...}
                     match: every part given must fit; path is a prefix; times -1 is for ever;
                     after: bytes are right for so many watch events first (actions of streams)
      "close"        closes the connection without an answer
      "hang"         never answers
      "late"         does what is asked, and answers after "clear" (not lists and watches)
      "garbage"      answers what is not HTTP
      "status"       answers "code" (with "reason", "retry_after", "cause", "message", "raw")
      "no-watchlist" refuses sendInitialEvents as a server without the feature does (422)
      "cut"          stream: half of the next event, then closes the connection
      "end"          stream: ends it in good order
      "silence"      stream: nothing more is sent
      "raw"          stream: the next event is replaced by the bytes of "text" (or "repeat" times "x")
      "error"        stream: an ERROR event with "code", "reason", "cause" and then the end
      "drip"         stream: every byte of the next event by itself
    {"op": "clear"}             faults are forgotten, hanging requests are let go
    {"op": "inject", "text": T} raw bytes into every open watch
    {"op": "compact"}           old resourceVersions answer 410 from now on
    {"op": "bookmarks"}         a bookmark into every open watch that asked for them
    {"op": "drop"}              cuts every open connection
    {"op": "down", "seconds": S} cuts them and refuses connections for so long
    {"op": "requests", "reset": false}  what was asked: [{"method", "path", "query", "status"}, …]
    {"op": "state"}             {"watches": n, "connections": n, "version": n}

No admission, no defaults but those that a node depends on. Strategic merge is approximated: lists
with a known merge key are merged, $patch, $setElementOrder, $retainKeys and
$deleteFromPrimitiveList are understood.
"""
import argparse
import base64
import collections
import copy
import http.server
import json
import os
import queue
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import uuid

# group/version -> resource -> (kind, namespaced)
RESOURCES = {
    'api/v1': {
        'nodes': ('Node', False), 'namespaces': ('Namespace', False),
        'persistentvolumes': ('PersistentVolume', False), 'pods': ('Pod', True),
        'secrets': ('Secret', True), 'configmaps': ('ConfigMap', True),
        'services': ('Service', True), 'events': ('Event', True),
        'serviceaccounts': ('ServiceAccount', True),
        'persistentvolumeclaims': ('PersistentVolumeClaim', True)},
    'apis/coordination.k8s.io/v1': {'leases': ('Lease', True)},
    'apis/discovery.k8s.io/v1': {'endpointslices': ('EndpointSlice', True)},
    'apis/events.k8s.io/v1': {'events': ('Event', True)},
    'apis/networking.k8s.io/v1': {'servicecidrs': ('ServiceCIDR', False)},
    'apis/node.k8s.io/v1': {'runtimeclasses': ('RuntimeClass', False)},
    'apis/storage.k8s.io/v1': {
        'csinodes': ('CSINode', False), 'csidrivers': ('CSIDriver', False),
        'volumeattachments': ('VolumeAttachment', False)},
    'apis/certificates.k8s.io/v1': {
        'certificatesigningrequests': ('CertificateSigningRequest', False)},
    'apis/authentication.k8s.io/v1': {'tokenreviews': ('TokenReview', False)},
    'apis/authorization.k8s.io/v1': {'subjectaccessreviews': ('SubjectAccessReview', False)},
}
MERGE_KEYS = {  # field of a list -> key of its elements
    'conditions': 'type', 'addresses': 'type', 'podIPs': 'ip', 'hostIPs': 'ip', 'taints': 'key',
    'containers': 'name', 'initContainers': 'name', 'ephemeralContainers': 'name', 'env': 'name',
    'volumes': 'name', 'volumeMounts': 'mountPath', 'ports': 'containerPort',
    'imagePullSecrets': 'name', 'ownerReferences': 'uid', 'volumesAttached': 'name',
    'resourceClaimStatuses': 'name', 'hostAliases': 'ip'}
PRIMITIVE_MERGE = {'finalizers', 'podCIDRs'}
HISTORY_MAX = 10000


class Refused(Exception):
    """An answer that is a metav1.Status."""

    def __init__(self, code, reason, message, details=None, headers=None):
        super().__init__(message)
        self.code, self.headers = code, headers or {}
        self.body = {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure',
                     'message': message, 'reason': reason, 'code': code}
        if details:
            self.body['details'] = details


def now(micro=False):
    t = time.time()
    text = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t))
    return text + ('.%06dZ' % (t % 1 * 1e6) if micro else 'Z')


# ---- selectors and patches ----

def field(obj, path):
    for part in path.split('.'):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return '' if obj is None else str(obj)


def matches_fields(obj, selector):
    for term in filter(None, selector.split(',')):
        if '!=' in term:
            path, value = term.split('!=', 1)
            if field(obj, path) == value:
                return False
        else:
            path, value = term.replace('==', '=').split('=', 1)
            if field(obj, path) != value:
                return False
    return True


def split_labels(selector):
    terms, depth, start = [], 0, 0
    for i, c in enumerate(selector):
        depth += (c == '(') - (c == ')')
        if c == ',' and depth == 0:
            terms.append(selector[start:i].strip())
            start = i + 1
    return [t for t in terms + [selector[start:].strip()] if t]


def matches_labels(obj, selector):
    labels = obj['metadata'].get('labels') or {}
    for term in split_labels(selector):
        words = term.replace('(', ' (').split(None, 2)
        if len(words) == 3 and words[1] in ('in', 'notin'):
            values = [v.strip() for v in words[2].strip('()').split(',')]
            if (labels.get(words[0]) in values) != (words[1] == 'in'):
                return False
        elif '!=' in term:
            key, value = term.split('!=', 1)
            if labels.get(key.strip()) == value.strip():
                return False
        elif '=' in term:
            key, value = term.replace('==', '=').split('=', 1)
            if labels.get(key.strip()) != value.strip():
                return False
        elif term.startswith('!'):
            if term[1:] in labels:
                return False
        elif term not in labels:
            return False
    return True


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def merge_list(have, patch, key, order):
    if any(isinstance(e, dict) and e.get('$patch') == 'replace' for e in patch):
        return [e for e in patch if '$patch' not in e]
    result = list(have or [])
    for e in patch:
        i = next((i for i, h in enumerate(result) if h.get(key) == e.get(key)), None)
        if e.get('$patch') == 'delete':
            if i is not None:
                del result[i]
        elif i is None:
            result.append(strategic_merge({}, e))
        else:
            result[i] = strategic_merge(result[i], e)
    if order:
        wanted = [o.get(key) for o in order]
        result.sort(key=lambda e: wanted.index(e.get(key)) if e.get(key) in wanted
                    else len(wanted))
    return result


def strategic_merge(target, patch):
    if patch.get('$patch') == 'replace':
        return {k: v for k, v in patch.items() if k != '$patch'}
    target = dict(target or {})
    if '$retainKeys' in patch:
        target = {k: v for k, v in target.items() if k in patch['$retainKeys']}
    for key, value in patch.items():
        if key.startswith('$deleteFromPrimitiveList/'):
            name = key.split('/', 1)[1]
            target[name] = [e for e in target.get(name) or [] if e not in value]
        elif key.startswith('$'):
            continue
        elif value is None or (isinstance(value, dict) and value.get('$patch') == 'delete'):
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = strategic_merge(target.get(key), value)
        elif isinstance(value, list) and key in MERGE_KEYS and all(
                isinstance(e, dict) for e in value):
            target[key] = merge_list(target.get(key), value, MERGE_KEYS[key],
                                     patch.get('$setElementOrder/' + key))
        elif isinstance(value, list) and key in PRIMITIVE_MERGE:
            target[key] = (target.get(key) or []) + [
                e for e in value if e not in (target.get(key) or [])]
        else:
            target[key] = value
    return target


# ---- objects ----

class Store:
    """All objects, their history, and who watches them. One lock for everything."""

    def __init__(self):
        self.lock = threading.RLock()
        self.version = 100
        self.compacted = 0
        self.objects = collections.OrderedDict()  # (gv, resource, namespace, name) -> object
        self.history = []                         # (version, type, key, object, previous)
        self.watches = set()

    def _record(self, kind, key, obj, previous):
        self.history.append((self.version, kind, key, obj, previous))
        if len(self.history) > HISTORY_MAX:
            self.compacted = self.history[len(self.history) // 2][0]
            self.history = self.history[len(self.history) // 2:]
        for watch in list(self.watches):
            watch.offer(kind, key, obj, previous)

    def _stamp(self, obj):
        self.version += 1
        obj['metadata']['resourceVersion'] = str(self.version)

    def put(self, key, obj):
        """Stores a new or changed object and tells the watches. Under the lock."""
        previous = self.objects.get(key)
        self._stamp(obj)
        self.objects[key] = obj
        self._record('MODIFIED' if previous else 'ADDED', key, obj, previous)
        return obj

    def remove(self, key):
        obj = copy.deepcopy(self.objects.pop(key))
        self._stamp(obj)
        self._record('DELETED', key, obj, obj)
        return obj

    def get(self, key):
        if key not in self.objects:
            raise Refused(404, 'NotFound', '%s "%s" not found' % (key[1], key[3]),
                          {'name': key[3], 'kind': key[1]})
        return self.objects[key]

    def select(self, gv, resource, namespace, query):
        labels, fields = query.get('labelSelector', ''), query.get('fieldSelector', '')
        return [o for k, o in self.objects.items()
                if k[:2] == (gv, resource) and namespace in (None, k[2])
                and matches_labels(o, labels) and matches_fields(o, fields)]


class Watch:
    """One open watch: a queue of events that its connection's thread writes out."""

    def __init__(self, gv, resource, namespace, query):
        self.gv, self.resource, self.namespace, self.query = gv, resource, namespace, query
        self.bookmarks = query.get('allowWatchBookmarks') == 'true'
        self.queue = queue.Queue()

    def fits(self, key, obj):
        return (key[:2] == (self.gv, self.resource) and self.namespace in (None, key[2])
                and matches_labels(obj, self.query.get('labelSelector', ''))
                and matches_fields(obj, self.query.get('fieldSelector', '')))

    def offer(self, kind, key, obj, previous):
        fits, fitted = self.fits(key, obj), previous is not None and self.fits(key, previous)
        if kind == 'DELETED':
            kind = 'DELETED' if fitted else None
        elif fits:
            kind = 'MODIFIED' if fitted else 'ADDED'
        else:
            kind = 'DELETED' if fitted else None
        if kind:
            self.queue.put({'type': kind, 'object': obj})

    def bookmark(self, version, initial_end=False):
        kind = RESOURCES[self.gv][self.resource][0]
        metadata = {'resourceVersion': str(version), 'creationTimestamp': None}
        if initial_end:
            metadata['annotations'] = {'k8s.io/initial-events-end': 'true'}
        self.queue.put({'type': 'BOOKMARK', 'object': {
            'kind': kind, 'apiVersion': api_version(self.gv), 'metadata': metadata}})


def api_version(gv):
    return gv.split('/', 1)[1]


# ---- faults ----

class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.all = []
        self.released = threading.Event()

    def add(self, fault):
        with self.lock:
            self.all.append(dict(fault, left=fault.get('times', 1), wait=fault.get('after', 0)))

    def clear(self):
        with self.lock:
            self.all = []
            self.released.set()
            self.released = threading.Event()

    def take(self, actions, method, path, query, count=False):
        """The first fault of one of these actions that fits, used up by one."""
        with self.lock:
            for f in self.all:
                m = f.get('match', {})
                if (f['action'] not in actions or f['left'] == 0
                        or m.get('method', method) != method
                        or not path.startswith(m.get('path', '/'))
                        or m.get('watch', query.get('watch') == 'true')
                        != (query.get('watch') == 'true')
                        or ('initial' in m and m['initial'] != ('sendInitialEvents' in query))):
                    continue
                if count and f['wait'] > 0:
                    f['wait'] -= 1
                    continue
                f['left'] -= 1
                return f
        return None


REQUEST_FAULTS = ('close', 'hang', 'garbage', 'status')
STREAM_FAULTS = ('cut', 'end', 'silence', 'raw', 'error', 'drip')


class Broken(Exception):
    """The connection is to be closed as it stands."""


# ---- HTTP ----

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 0

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except (OSError, Broken):
            self.close_connection = True

    # answers

    def answer(self, code, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() + b'\n'
        self.note(code)
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def note(self, code):
        with self.server.faults.lock:
            self.server.requests.append({'method': self.command, 'path': self.path_only,
                                         'query': self.query, 'status': code,
                                         'port': self.client_address[1],
                                         'authorization': self.headers.get('Authorization'),
                                         'agent': self.headers.get('User-Agent'),
                                         'type': self.headers.get('Content-Type')})

    def chunk(self, data):
        self.wfile.write(b'%x\r\n' % len(data) + data + b'\r\n')

    # dispatch

    def do(self):
        url = urllib.parse.urlsplit(self.path)
        self.path_only = urllib.parse.unquote(url.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length) if length else b''
        try:
            if self.path_only == '/_control':
                return self.answer(200, self.control(json.loads(body)))
            self.fault_before()
            self.authenticate()
            self.route([p for p in self.path_only.split('/') if p], body)
        except Refused as e:
            self.answer(e.code, e.body, e.headers)
        except json.JSONDecodeError as e:
            self.answer(400, Refused(400, 'BadRequest', str(e)).body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

    def fault_before(self):
        f = self.server.faults.take(REQUEST_FAULTS, self.command, self.path_only, self.query)
        if not f:
            return
        if f['action'] == 'status':
            if 'raw' in f:
                self.answer(f['code'], f['raw'].encode())
                raise Broken
            details = {}
            headers = {}
            if 'cause' in f:
                details['causes'] = [{'reason': f['cause'], 'message': f['cause']}]
            if 'retry_after' in f:
                headers['Retry-After'] = str(f['retry_after'])
            raise Refused(f['code'], f.get('reason', ''), f.get('message', 'as commanded'),
                          details, headers)
        self.note(0)
        if f['action'] == 'hang':
            self.server.faults.released.wait()
        if f['action'] == 'garbage':
            self.wfile.write(b'\x16\x03\x01\x00garbage\r\n\r\n')
        raise Broken

    def authenticate(self):
        token = self.server.options.token
        if token and self.headers.get('Authorization') != 'Bearer ' + token:
            raise Refused(401, 'Unauthorized', 'Unauthorized')

    def route(self, parts, body):
        if self.path_only in ('/healthz', '/readyz', '/livez'):
            return self.answer(200, b'ok')
        if self.path_only == '/version':
            return self.answer(200, {'major': '1', 'minor': '36', 'gitVersion': 'v1.36.3'})
        gv = '/'.join(parts[:2] if parts[:1] == ['api'] else parts[:3])
        parts = parts[2:] if parts[:1] == ['api'] else parts[3:]
        namespace = None
        if parts[:1] == ['namespaces'] and len(parts) > 2 and parts[2] != 'status':
            namespace, parts = parts[1], parts[2:]
        if gv not in RESOURCES or not parts or parts[0] not in RESOURCES[gv]:
            raise Refused(404, 'NotFound', 'the server could not find the requested resource')
        resource, name, sub = (parts + [None, None])[:3]
        if RESOURCES[gv][resource][1] and name and namespace is None:
            raise Refused(404, 'NotFound', 'the server could not find the requested resource')
        self.serve(gv, resource, namespace, name, sub, body)

    def serve(self, gv, resource, namespace, name, sub, body):
        store, key = self.server.store, (gv, resource, namespace or '', name)
        if self.command == 'GET' and not name:
            if self.query.get('watch') in ('true', '1'):
                return self.watch(gv, resource, namespace)
            return self.list(gv, resource, namespace)
        parsed = json.loads(body) if body else {}
        code, answer = self.act(key, sub, parsed)
        if self.server.faults.take(('late',), self.command, self.path_only, self.query):
            self.server.faults.released.wait()
        self.answer(code, answer)

    def act(self, key, sub, parsed):
        gv, resource, namespace, _name = key
        with self.server.store.lock:
            if self.command == 'GET':
                return 200, self.server.store.get(key)
            if self.command == 'POST' and sub:
                return 201, self.create_sub(key, sub, parsed)
            if self.command == 'POST':
                return 201, self.create(gv, resource, namespace or None, parsed)
            if self.command == 'PUT':
                return 200, self.replace(key, sub, parsed)
            if self.command == 'PATCH':
                return 200, self.patch(key, sub, parsed)
            return 200, self.delete(key, parsed)

    # reading

    def list(self, gv, resource, namespace):
        store, kind = self.server.store, RESOURCES[gv][resource][0]
        limit, start = int(self.query.get('limit') or 0), 0
        with store.lock:
            items, version = store.select(gv, resource, namespace, self.query), store.version
            if 'continue' in self.query:
                token = json.loads(base64.b64decode(self.query['continue']))
                if token['version'] < store.compacted:
                    raise Refused(410, 'Expired', 'The provided continue parameter is too old')
                start, version = token['start'], token['version']
        metadata = {'resourceVersion': str(version)}
        page = items[start:start + limit] if limit else items[start:]
        if start + len(page) < len(items):
            token = {'start': start + len(page), 'version': version}
            metadata['continue'] = base64.b64encode(json.dumps(token).encode()).decode()
            metadata['remainingItemCount'] = len(items) - start - len(page)
        self.answer(200, {'kind': kind + 'List', 'apiVersion': api_version(gv),
                          'metadata': metadata, 'items': page})

    def open_watch(self, gv, resource, namespace):
        store, watch = self.server.store, Watch(gv, resource, namespace, self.query)
        version = self.query.get('resourceVersion') or '0'
        with store.lock:
            if 'sendInitialEvents' in self.query:
                if self.server.faults.take(('no-watchlist',), 'GET', self.path_only, self.query):
                    raise Refused(422, 'Invalid', 'ListOptions.meta.k8s.io "" is invalid: '
                                  'sendInitialEvents: Forbidden: sendInitialEvents is forbidden '
                                  'for watch unless the WatchList feature gate is enabled')
                if self.query.get('resourceVersionMatch') != 'NotOlderThan':
                    raise Refused(422, 'Invalid', 'resourceVersionMatch: Forbidden')
            if not version.isdigit():
                raise Refused(400, 'BadRequest', 'Invalid value: "%s"' % version)
            if int(version) > store.version:
                raise Refused(504, 'Timeout', 'Too large resource version: %s, current: %d'
                              % (version, store.version),
                              {'causes': [{'reason': 'ResourceVersionTooLarge'}]})
            if version == '0' or 'sendInitialEvents' in self.query:
                for obj in store.select(gv, resource, namespace, self.query):
                    watch.queue.put({'type': 'ADDED', 'object': obj})
                if 'sendInitialEvents' in self.query:
                    watch.bookmark(store.version, initial_end=True)
            elif int(version) < store.compacted:
                watch.queue.put({'type': 'ERROR', 'object': Refused(
                    410, 'Expired', 'too old resource version: %s (%d)'
                    % (version, store.compacted)).body})
                watch.queue.put(None)
            else:
                for at, kind, key, obj, previous in store.history:
                    if at > int(version):
                        watch.offer(kind, key, obj, previous)
            store.watches.add(watch)
        return watch

    def watch(self, gv, resource, namespace):
        watch = self.open_watch(gv, resource, namespace)
        end = time.monotonic() + float(self.query.get('timeoutSeconds') or 1800)
        try:
            self.note(200)
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            while True:
                try:
                    event = watch.queue.get(timeout=max(0, end - time.monotonic()))
                except queue.Empty:
                    event = None
                if event is None or not self.send_event(event):
                    break
            self.wfile.write(b'0\r\n\r\n')
        finally:
            with self.server.store.lock:
                self.server.store.watches.discard(watch)

    def send_event(self, event):
        """False when the stream is to end."""
        if isinstance(event, bytes):
            self.chunk(event)
            return True
        line = json.dumps(event, separators=(',', ':')).encode() + b'\n'
        f = self.server.faults.take(STREAM_FAULTS, 'GET', self.path_only, self.query, count=True)
        if not f:
            self.chunk(line)
            return True
        if f['action'] == 'cut':
            self.chunk(line[:len(line) // 2])
            raise Broken
        if f['action'] == 'silence':
            self.server.faults.released.wait()
            raise Broken
        if f['action'] == 'raw':
            self.chunk(b'x' * f['repeat'] + b'\n' if 'repeat' in f else f['text'].encode())
        elif f['action'] == 'error':
            details = {'causes': [{'reason': f['cause']}]} if 'cause' in f else None
            error = Refused(f['code'], f.get('reason', ''), 'as commanded', details).body
            self.chunk(json.dumps({'type': 'ERROR', 'object': error}).encode() + b'\n')
        elif f['action'] == 'drip':
            for i in range(len(line)):
                self.chunk(line[i:i + 1])
        return f['action'] in ('raw', 'drip')

    # writing

    def create(self, gv, resource, namespace, obj):
        store, (kind, namespaced) = self.server.store, RESOURCES[gv][resource]
        if resource in ('tokenreviews', 'subjectaccessreviews'):
            return self.review(resource, obj)
        metadata = obj.setdefault('metadata', {})
        if namespaced:
            metadata.setdefault('namespace', namespace or 'default')
        if 'name' not in metadata and 'generateName' in metadata:
            metadata['name'] = metadata['generateName'] + uuid.uuid4().hex[:5]
        if not metadata.get('name'):
            raise Refused(422, 'Invalid', 'name or generateName is required')
        key = (gv, resource, metadata.get('namespace', '') if namespaced else '', metadata['name'])
        if key in store.objects:
            raise Refused(409, 'AlreadyExists', '%s "%s" already exists' % (resource, key[3]),
                          {'name': key[3], 'kind': resource})
        obj.update({'kind': kind, 'apiVersion': api_version(gv)})
        metadata.update({'uid': str(uuid.uuid4()), 'creationTimestamp': now(), 'generation': 1})
        if resource == 'pods':
            obj.setdefault('status', {}).setdefault('phase', 'Pending')
            obj['spec'].setdefault('terminationGracePeriodSeconds', 30)
            obj['spec'].setdefault('restartPolicy', 'Always')
        return store.put(key, obj)

    def review(self, resource, obj):
        spec = obj.get('spec', {})
        if resource == 'tokenreviews':
            user = self.server.tokens.get(spec.get('token'))
            obj['status'] = {'authenticated': user is not None}
            if user is not None:
                obj['status']['user'] = user
        else:
            groups, user = spec.get('groups') or [], spec.get('user')
            obj['status'] = {'allowed': 'system:masters' in groups or user in self.server.allowed}
        return obj

    def create_sub(self, key, sub, body):
        store = self.server.store
        if sub == 'binding':
            obj = copy.deepcopy(store.get(key))
            obj['spec']['nodeName'] = body['target']['name']
            store.put(key, obj)
            return {'kind': 'Status', 'apiVersion': 'v1', 'status': 'Success'}
        if sub == 'eviction':
            return self.delete(key, body.get('deleteOptions') or {})
        if sub == 'token':
            store.get(key)
            seconds = body.get('spec', {}).get('expirationSeconds', 3600)
            t = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + seconds))
            body['status'] = {'token': 'token-%s-%s' % (key[3], uuid.uuid4().hex),
                              'expirationTimestamp': t}
            return body
        raise Refused(404, 'NotFound', 'the server could not find the requested resource')

    def change(self, key, sub, new):
        """Stores @new with what may not be changed taken from the object there."""
        store = self.server.store
        old = store.get(key)
        wanted = new['metadata'].get('resourceVersion')
        if wanted and wanted != old['metadata']['resourceVersion']:
            raise Refused(409, 'Conflict', 'Operation cannot be fulfilled on %s "%s": the object '
                          'has been modified' % (key[1], key[3]))
        if new['metadata'].get('uid', old['metadata']['uid']) != old['metadata']['uid']:
            raise Refused(409, 'Conflict', 'the UID in the precondition (%s) does not match'
                          % new['metadata']['uid'])
        if sub == 'status':
            new['spec'] = old.get('spec')
        elif 'status' in old:
            new['status'] = old['status']
        for name in ('name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp',
                     'deletionGracePeriodSeconds', 'generation', 'resourceVersion'):
            new['metadata'].pop(name, None)
            if name in old['metadata']:
                new['metadata'][name] = old['metadata'][name]
        if new.get('spec') is None:
            new.pop('spec', None)
        if new.get('spec') != old.get('spec'):
            new['metadata']['generation'] = old['metadata'].get('generation', 1) + 1
        if new == old:
            return old
        if new['metadata'].get('deletionTimestamp') and not new['metadata'].get('finalizers') \
                and key[1] != 'pods':
            return store.remove(key)
        return store.put(key, new)

    def replace(self, key, sub, new):
        new.setdefault('metadata', {})
        new.update({'kind': RESOURCES[key[0]][key[1]][0], 'apiVersion': api_version(key[0])})
        return self.change(key, sub, new)

    def patch(self, key, sub, patch):
        old = copy.deepcopy(self.server.store.get(key))
        kind = (self.headers.get('Content-Type') or '').split(';')[0]
        if kind == 'application/strategic-merge-patch+json':
            return self.change(key, sub, strategic_merge(old, patch))
        if kind == 'application/merge-patch+json':
            return self.change(key, sub, merge_patch(old, patch))
        raise Refused(415, 'UnsupportedMediaType', 'the body of the request was in an unknown '
                      'format - accepted media types include: application/merge-patch+json')

    def delete(self, key, options):
        store = self.server.store
        obj = copy.deepcopy(store.get(key))
        metadata = obj['metadata']
        wanted = (options.get('preconditions') or {}).get('uid')
        if wanted and wanted != metadata['uid']:
            raise Refused(409, 'Conflict', 'the UID in the precondition (%s) does not match the '
                          'UID in record (%s)' % (wanted, metadata['uid']))
        if key[1] != 'pods':
            if metadata.get('finalizers'):
                metadata.setdefault('deletionTimestamp', now())
                return store.put(key, obj)
            return store.remove(key)
        grace = options.get('gracePeriodSeconds', self.query.get('gracePeriodSeconds'))
        if grace is None:
            grace = obj['spec'].get('terminationGracePeriodSeconds', 30)
        grace = int(grace)
        if not obj['spec'].get('nodeName') or obj['status'].get('phase') in (
                'Succeeded', 'Failed'):
            grace = 0
        if grace == 0 and not metadata.get('finalizers'):
            return store.remove(key)
        if 'deletionTimestamp' in metadata and grace >= metadata['deletionGracePeriodSeconds']:
            return obj
        metadata['deletionGracePeriodSeconds'] = grace
        metadata['deletionTimestamp'] = time.strftime(
            '%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + grace))
        metadata['generation'] = metadata.get('generation', 1) + 1
        return store.put(key, obj)

    # control

    def control(self, c):
        server, store, op = self.server, self.server.store, c['op']
        if op == 'fault':
            server.faults.add(c)
        elif op == 'clear':
            server.faults.clear()
        elif op in ('inject', 'bookmarks'):
            with store.lock:
                for watch in store.watches:
                    if op == 'inject':
                        watch.queue.put(c['text'].encode())
                    elif watch.bookmarks:
                        watch.bookmark(store.version)
        elif op == 'compact':
            with store.lock:
                store.version += 1
                store.compacted, store.history = store.version, []
        elif op == 'drop':
            server.cut(self.connection)
        elif op == 'down':
            threading.Thread(target=server.go_down, args=(c['seconds'], self.connection),
                             daemon=True).start()
        elif op == 'allow':  # {"op": "allow", "token": T, "user": {...}} or {"user_name": N}
            if 'token' in c:
                server.tokens[c['token']] = c['user']
            else:
                server.allowed.add(c['user_name'])
        elif op == 'requests':
            with server.faults.lock:
                asked = list(server.requests)
                if c.get('reset'):
                    server.requests.clear()
            return asked
        elif op == 'state':
            with store.lock:
                return {'watches': len(store.watches), 'version': store.version,
                        'connections': len(server.connections) - 1}
        else:
            raise Refused(400, 'BadRequest', 'op "%s" is not known' % op)
        return {}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, options):
        self.options = options
        self.store, self.faults = Store(), Faults()
        self.connections, self.requests = set(), collections.deque(maxlen=100000)
        self.tokens, self.allowed = {}, set()
        self.tls = None
        if options.tls_cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.tls_cert, options.tls_key)
            if options.client_ca:
                self.tls.load_verify_locations(options.client_ca)
                self.tls.verify_mode = ssl.CERT_REQUIRED
        super().__init__(('127.0.0.1', options.port), Handler)

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def finish_request(self, request, client_address):
        # in the connection's own thread: a client that is slow with its handshake stops nobody
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, Broken)):
            super().handle_error(request, client_address)

    def cut(self, but=None):
        for connection in list(self.connections):
            if connection is but:
                continue
            try:  # a reset, not an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def go_down(self, seconds, but):
        """A socket that does not listen but holds the port: connections are refused meanwhile."""
        address = self.server_address
        self.shutdown()
        self.socket.close()
        self.cut(but)
        time.sleep(seconds)
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address)
        self.server_activate()
        self.back.set()

    def serve(self):
        while True:
            self.back = threading.Event()
            self.serve_forever(poll_interval=0.02)
            self.back.wait()


def add_default_objects(store):
    for name in ('default', 'kube-system', 'kube-public', 'kube-node-lease'):
        with store.lock:
            store.put(('api/v1', 'namespaces', '', name), {
                'kind': 'Namespace', 'apiVersion': 'v1',
                'metadata': {'name': name, 'uid': str(uuid.uuid4()), 'creationTimestamp': now()},
                'status': {'phase': 'Active'}})


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--port', type=int, default=0)
    p.add_argument('--ready')
    p.add_argument('--tls-cert')
    p.add_argument('--tls-key')
    p.add_argument('--client-ca')
    p.add_argument('--token')
    p.add_argument('--no-default-objects', action='store_true')
    options = p.parse_args()
    server = Server(options)
    if not options.no_default_objects:
        add_default_objects(server.store)
    port = server.server_address[1]
    if options.ready:
        with open(options.ready + '.tmp', 'w', encoding='ascii') as f:
            f.write('%d\n' % port)
        os.rename(options.ready + '.tmp', options.ready)
    print('listening %d' % port, flush=True)
    server.serve()


if __name__ == '__main__':
    main()
