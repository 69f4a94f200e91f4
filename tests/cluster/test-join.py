#!/usr/bin/env python3
"""A node that joins with a bootstrap token, and certificates that are asked for: the controller manager
signs what an administrator (or the cluster's own approver) approves. Each test takes over a node of the
cluster, with another kubeconfig and configuration, and gives it back as it was."""
import calendar
import json
import os
import shutil
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import condition, expect, expect_equal, shell, script, test, wait_for

REQUESTS = "apis/certificates.k8s.io/v1/certificatesigningrequests"
NODE = "node-2"


def openssl(*argv, stdin=None):
    return subprocess.run(["openssl", *argv], check=True, capture_output=True, text=True, input=stdin).stdout


class Joining:
    """node-2 with a configuration of its own; at the end it is what it was."""

    def __init__(self, t, *config):
        self.t, self.folder = t, t.cluster.node_folder(NODE)
        self.pki = self.folder + "/root/pki"
        self.kubeconfig, self.bootstrap = self.folder + "/kubeconfig", self.folder + "/bootstrap-kubeconfig"
        self.extra = config
        self.names = (self.kubeconfig, self.folder + "/config.yaml")

    def __enter__(self):
        t = self.t
        t.cluster.stop(NODE + "/skiffd")
        for name in self.names:
            shutil.copy2(name, name + ".kept")
        with open(self.folder + "/config.yaml", "a", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in self.extra))
        return self

    def __exit__(self, *error):
        t = self.t
        if t.cluster.runs(NODE + "/skiffd"):
            t.cluster.stop(NODE + "/skiffd")
        for name in self.names:
            os.rename(name + ".kept", name)
        if os.path.exists(self.bootstrap):
            os.unlink(self.bootstrap)
        for name in os.listdir(self.pki):
            if name.startswith(("kubelet-client", "kubelet-server")):
                os.unlink(self.pki + "/" + name)
        self.start()

    def start(self):
        t, before = self.t, time.time()
        t.cluster.start(NODE + "/skiffd")
        wait_for("a Ready node", lambda: self.renewed(before) and condition(t.cluster.node(NODE), "Ready").get("status") == "True", timeout=60)

    def renewed(self, since):
        """The node's lease was renewed after @since: it is the new skiffd who is there."""
        lease = self.t.api.get(f"apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}")
        stamp = time.strptime(lease["spec"]["renewTime"].split(".")[0] + "UTC", "%Y-%m-%dT%H:%M:%S%Z")
        return calendar.timegm(stamp) >= int(since)

    def write_bootstrap(self):
        """A token as kubeadm makes them, with the rights that kubeadm gives them."""
        t, api = self.t, self.t.api
        secret, token = "bootstrap-token-abcdef", "abcdef.0123456789abcdef"
        api.call("POST", "api/v1/namespaces/kube-system/secrets", {
            "metadata": {"name": secret}, "type": "bootstrap.kubernetes.io/token",
            "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
                           "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"}})
        t.cleanups.append(lambda: api.call("DELETE", "api/v1/namespaces/kube-system/secrets/" + secret, absent_ok=True))
        bind(t, "system:node-bootstrapper", "Group", "system:bootstrappers:kubeadm:default-node-token")
        with open(self.kubeconfig, encoding="utf-8") as f:
            lines = f.read().splitlines()
        lines = [line for line in lines if "client-key" not in line]
        with open(self.bootstrap, "w", encoding="utf-8") as f:
            f.write("\n".join(line if "client-certificate" not in line else "    token: " + token for line in lines) + "\n")
        os.unlink(self.kubeconfig)


def bind(t, role, kind, name):
    path, binding = "apis/rbac.authorization.k8s.io/v1/clusterrolebindings", f"{t.namespace}-{role.replace(':', '-')}"
    t.api.call("POST", path, {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": binding},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}]})
    t.cleanups.append(lambda: t.api.call("DELETE", f"{path}/{binding}", absent_ok=True))


def pending(t, signer, since):
    """Names of this test's requests that nobody has approved."""
    return [o["metadata"]["name"] for o in t.api.get(REQUESTS)["items"] if o["spec"]["signerName"] == signer and
            o["metadata"]["name"] not in since and not o.get("status", {}).get("conditions")]


def known(t):
    return {o["metadata"]["name"] for o in t.api.get(REQUESTS)["items"]}


@test(alone=True)
def a_node_joins_with_a_token_once_its_request_is_approved(t):
    since = known(t)
    with Joining(t, "rotateCertificates: true") as node:
        node.write_bootstrap()
        t.cluster.start(NODE + "/skiffd")
        name = wait_for("a request", lambda: pending(t, "kubernetes.io/kube-apiserver-client-kubelet", since))[0]
        spec = t.api.get(f"{REQUESTS}/{name}")["spec"]
        expect_equal((spec["username"], spec["usages"]), ("system:bootstrap:abcdef", ["digital signature", "client auth"]), "the request")
        with open(node.kubeconfig, encoding="utf-8") as f:
            user = json.load(f)["users"][0]["user"]
        expect_equal(user["client-certificate"], node.pki + "/kubelet-client-current.pem", "certificate of the kubeconfig")
        before = time.time()
        t.cluster.kubectl("certificate", "approve", name)
        wait_for("the node's lease renewed", lambda: node.renewed(before + 1), timeout=60)
        subject = openssl("x509", "-noout", "-subject", "-in", node.pki + "/kubelet-client-current.pem")
        expect("CN = system:node:node-2" in subject and "O = system:nodes" in subject, subject)
        expect_equal(os.stat(node.pki + "/kubelet-client-current.pem").st_mode & 0o777, 0o600, "its mode")
        t.run("p", shell("c", "forever"), node=NODE)
        t.wait_ready("p")

        # the next start needs no token
        t.cluster.kill(NODE + "/skiffd")
        os.unlink(node.bootstrap)
        node.start()


@test(alone=True)
def a_client_certificate_near_its_end_is_renewed_and_used(t):
    since, pki = known(t), t.cluster.folder + "/control/pki"
    bind(t, "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "Group", "system:nodes")
    with Joining(t, "rotateCertificates: true") as node:
        os.makedirs(node.pki, exist_ok=True)
        old = node.pki + "/kubelet-client-old"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", old + ".key", "-out", old + ".csr",
                "-subj", "/O=system:nodes/CN=system:node:" + NODE)
        open(node.pki + "/kubelet-client-index", "w", encoding="ascii").close()
        ages = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds)) for seconds in (-36000, 600)]
        with open(old + ".ext", "w", encoding="ascii") as f:
            f.write("extendedKeyUsage=clientAuth\n")
        openssl("ca", "-batch", "-config", "/dev/stdin", "-in", old + ".csr", "-out", old + ".crt", "-notext", "-startdate", ages[0], "-enddate", ages[1],
                "-extfile", old + ".ext", stdin=CA.format(pki=pki, work=node.pki))
        current = node.pki + "/kubelet-client-current.pem"
        with open(current, "w", encoding="ascii") as f, open(old + ".crt", encoding="ascii") as a, open(old + ".key", encoding="ascii") as b:
            os.fchmod(f.fileno(), 0o600)
            f.write(a.read() + b.read())
        node.start()
        wait_for("a new certificate", lambda: os.path.islink(current), timeout=60, every=0.5)
        expect(time.time() < not_after(current) - 3600, "the new certificate ends too early")
        new = [o for o in t.api.get(REQUESTS)["items"] if o["metadata"]["name"] not in since]
        expect_equal({o["spec"]["username"] for o in new}, {"system:node:" + NODE}, "who asked")
        for name in ("old.crt", "old.key", "old.csr", "old.ext"):
            os.unlink(f"{node.pki}/kubelet-client-{name}")
        before = time.time()
        wait_for("the node's lease renewed by it", lambda: node.renewed(before + 1), timeout=60, every=0.5)


def not_after(path):
    return ssl.cert_time_to_seconds(openssl("x509", "-noout", "-enddate", "-in", path).strip().split("=")[1])


CA = """
[ca]
default_ca = c
[c]
certificate = {pki}/ca.crt
private_key = {pki}/ca.key
database = {work}/kubelet-client-index
new_certs_dir = {work}
default_md = sha256
rand_serial = yes
policy = p
[p]
organizationName = optional
commonName = supplied
"""


@test(alone=True)
def the_serving_certificate_is_asked_for_and_served_when_it_was_approved(t):
    since, address = known(t), t.cluster.node_ip(NODE)
    ca = t.cluster.folder + "/control/pki/ca.crt"

    def healthz():
        done = t.cluster.on("hub", "curl", "-s", "--cacert", ca, "-o", "/dev/null", "-w", "%{http_code}", f"https://{address}:10250/healthz", check=False)
        return done.returncode, done.stdout
    with Joining(t, "serverTLSBootstrap: true") as node:
        node.start()
        name = wait_for("a request", lambda: pending(t, "kubernetes.io/kubelet-serving", since))[0]
        code, _ = healthz()
        expect(code not in (0, 60), "curl was served without a certificate:", code)
        t.cluster.kubectl("certificate", "approve", name)
        # 401: a client that shows nothing is nobody, but its TLS knows who answered
        wait_for("a certificate that the cluster's CA signed", lambda: healthz() == (0, "401"), every=0.5)
        t.run("p", shell("c", "echo hello; forever"), node=NODE)
        t.wait_ready("p")
        expect_equal(t.kubectl("logs", "p"), "hello\n", "kubectl logs by it")
        text = openssl("x509", "-noout", "-ext", "subjectAltName", "-in", node.pki + "/kubelet-server-current.pem")
        expect(f"DNS:{NODE}, IP Address:{address}" in text, text)
        t.cluster.kill(NODE + "/skiffd")
        node.start()
        expect_equal(healthz(), (0, "401"), "after a restart, without another request")
        expect_equal(pending(t, "kubernetes.io/kubelet-serving", since), [], "requests")


if __name__ == "__main__":
    script()
