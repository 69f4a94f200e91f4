"""CSI: a driver in a pod registers with the node, and brings its volumes to other pods."""
import hashlib
import json
import os

from skifftest import Failure, container, expect, expect_equal, expect_match, shell, test, wait_for

STORAGE = "apis/storage.k8s.io/v1/"
NODE = "node-1"


class Driver:
    """tests/fake/csi.py in a privileged pod, under a name of the test's own."""

    def __init__(self, t, capabilities="1", **spec):
        self.t, self.name = t, "x" + t.namespace[-4:] + ".csi.test"  # paths of sockets are short
        self.root = os.path.join(t.cluster.node_folder(NODE), "root")
        self.state = f"{self.root}/csi-{self.name}"
        self.capabilities = capabilities
        body = {"metadata": {"name": self.name}, "spec": spec}
        self.object = f"{STORAGE}csidrivers/{self.name}"
        t.api.call("POST", STORAGE + "csidrivers", body)
        t.cleanups.append(lambda: t.api.call("DELETE", self.object, absent_ok=True))
        self.start()
        t.cleanups.append(self.others_go)

    def start(self):
        arguments = ["--name", self.name, "--registry", self.root + "/plugins_registry", "--socket", f"{self.root}/{self.name}.sock",
                     "--state", self.state, "--node-id", "id-of-" + NODE, "--capabilities", self.capabilities, "--max", "20",
                     "--topology", self.name + "/node=" + NODE]
        self.t.run("driver", container("csi", image="skiff-test/csi:1", args=arguments, securityContext={"privileged": True},
                                       volumeMounts=[{"name": "root", "mountPath": self.root, "mountPropagation": "Bidirectional"}]),
                   node=NODE, volumes=[{"name": "root", "hostPath": {"path": self.root}}], terminationGracePeriodSeconds=0)
        wait_for("the driver in the CSINode", self.is_known)

    def is_known(self):
        node = self.t.api.get(STORAGE + "csinodes/" + NODE) or {"spec": {}}
        return next((d for d in node["spec"].get("drivers") or [] if d["name"] == self.name), None)

    def others_go(self):
        """The pods that have volumes go while the driver is there; then it may go too."""
        if not self.t.pod("driver"):
            self.start()
        names = [p["metadata"]["name"] for p in self.t.list("Pod") if p["metadata"]["name"] != "driver"]
        for name in names:
            self.t.delete("Pod", name, gracePeriodSeconds=1)
        for name in names:
            self.t.wait_gone("Pod", name)

    def control(self, **operation):
        port = self.t.logs("driver").split()[1]
        return json.loads(self.t.kubectl("exec", "driver", "--", "wget", "-qO-", "--post-data", json.dumps(operation), f"http://127.0.0.1:{port}/_control"))

    def last(self, method):
        calls = [c["request"] for c in self.control(op="calls") if c["method"] == method]
        if not calls:
            raise Failure(f"{method} was never called")
        return calls[-1]

    def staging(self, handle):
        return f"{self.root}/plugins/kubernetes.io/csi/{self.name}/{hashlib.sha256(handle.encode()).hexdigest()}"

    def volume(self, claim="data", handle="vol", **more):
        """A PersistentVolume for a claim of the test's, and the claim."""
        t, full = self.t, f"{self.t.namespace}-{handle}"
        size = {"storage": "1Gi"}
        t.api.call("POST", "api/v1/persistentvolumes", {"metadata": {"name": full}, "spec": {
            "capacity": size, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
            "claimRef": {"namespace": t.namespace, "name": claim}, "csi": {"driver": self.name, "volumeHandle": handle, **more}}})
        t.cleanups.insert(0, lambda: t.api.call("DELETE", "api/v1/persistentvolumes/" + full, absent_ok=True))
        t.api.call("POST", f"api/v1/namespaces/{t.namespace}/persistentvolumeclaims", {"metadata": {"name": claim}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}, "volumeName": full}})
        return full


def using(name, script, claim="data"):
    return (name, shell("c", script, volumeMounts=[{"name": "v", "mountPath": "/v"}])), {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}], "node": NODE}


def run(t, name, script, **more):
    args, spec = using(name, script)
    t.run(*args, **{**spec, **more})


def mounts(t, piece):
    return [line for line in t.cluster.inside(NODE, "cat", "/proc/self/mountinfo").splitlines() if piece in line]


@test
def a_driver_in_a_pod_is_known_to_the_api_and_leaves_again(t):
    driver = Driver(t)
    known = driver.is_known()
    expect_equal((known["nodeID"], known["topologyKeys"], known["allocatable"]), ("id-of-" + NODE, [driver.name + "/node"], {"count": 20}), "CSINode")
    node = t.api.get("api/v1/nodes/" + NODE)["metadata"]
    expect_equal(json.loads(node["annotations"]["csi.volume.kubernetes.io/nodeid"])[driver.name], "id-of-" + NODE, "annotation")
    expect_equal(node["labels"][driver.name + "/node"], NODE, "label")
    wait_for("told so", lambda: driver.last("NotifyRegistrationStatus") == {"registered": True})
    driver.control(op="unregister")
    wait_for("gone from the CSINode", lambda: not driver.is_known())
    driver.control(op="register")
    wait_for("back in the CSINode", driver.is_known)


@test
def a_volume_is_attached_staged_shared_and_given_back(t):
    driver = Driver(t, fsGroupPolicy="File")
    t.create("Secret", {"metadata": {"name": "s"}, "stringData": {"password": "secret"}})
    name = driver.volume(nodeStageSecretRef={"name": "s", "namespace": t.namespace}, volumeAttributes={"a": "b"})
    run(t, "first", "echo kept > /v/file; forever", securityContext={"fsGroup": 4321})
    attachment = STORAGE + "volumeattachments/csi-" + hashlib.sha256(("vol" + driver.name + NODE).encode()).hexdigest()
    wait_for("the VolumeAttachment", lambda: t.api.get(attachment))
    unique = f"kubernetes.io/csi/{driver.name}^vol"
    wait_for("volumesInUse", lambda: unique in (t.api.get("api/v1/nodes/" + NODE)["status"].get("volumesInUse") or []))
    t.waiting("first", "ContainerCreating")
    # the part of the external attacher
    t.api.call("PATCH", attachment + "/status", {"status": {"attached": True, "attachmentMetadata": {"device": "sdx"}}}, content_type="application/merge-patch+json")
    first = t.wait_ready("first")
    staged = driver.last("NodeStageVolume")
    expect_equal((staged["publish_context"], staged["secrets"], staged["volume_context"]), ({"device": "sdx"}, {"password": "secret"}, {"a": "b"}), "NodeStageVolume")
    target = driver.last("NodePublishVolume")["target_path"]
    expect_match(target, rf"/pods/{first['metadata']['uid']}/volumes/kubernetes.io~csi/{name}/mount$", "target of NodePublishVolume")
    expect_equal(len(mounts(t, driver.staging("vol") + "/globalmount")), 1, "mounts of the staged volume")
    wait_for("the file", lambda: os.path.exists(driver.state + "/vol/file"))
    expect_equal(os.stat(driver.state + "/vol").st_gid, 4321, "fsGroup of the volume")
    run(t, "second", "cat /v/file; forever")
    t.wait_ready("second")
    wait_for("what the second pod reads", lambda: t.logs("second").strip() == "kept")
    expect_equal(len([c for c in driver.control(op="calls") if c["method"] == "NodeStageVolume"]), 1, "it is staged once")
    t.delete("Pod", "first", gracePeriodSeconds=1)
    t.wait_gone("Pod", "first")
    expect(not mounts(t, target), "still mounted for the pod that went")
    expect_equal(len(mounts(t, driver.staging("vol") + "/globalmount")), 1, "the other pod has it yet")
    t.delete("Pod", "second", gracePeriodSeconds=1)
    t.wait_gone("Pod", "second")
    wait_for("unstaged", lambda: not os.path.exists(driver.staging("vol")))
    wait_for("detached", lambda: not t.api.get(attachment))
    expect(os.path.exists(driver.state + "/vol/file"), "the data went with the pods")


@test
def an_inline_volume_comes_and_goes_with_its_pod(t):
    driver = Driver(t, volumeLifecycleModes=["Ephemeral"], podInfoOnMount=True, attachRequired=False, tokenRequests=[{"audience": "vault"}])
    t.run("p", shell("c", "echo mine > /v/f; forever", volumeMounts=[{"name": "v", "mountPath": "/v"}]), node=NODE,
          volumes=[{"name": "v", "csi": {"driver": driver.name, "volumeAttributes": {"size": "1"}}}])
    uid = t.wait_ready("p")["metadata"]["uid"]
    request = driver.last("NodePublishVolume")
    handle = "csi-" + hashlib.sha256((uid + "v").encode()).hexdigest()
    expect_equal(request["volume_id"], handle, "volume id")
    context = request["volume_context"]
    tokens = json.loads(context.pop("csi.storage.k8s.io/serviceAccount.tokens"))
    expect(tokens["vault"]["token"].count(".") == 2 and tokens["vault"]["expirationTimestamp"], "token:", tokens)
    prefix = "csi.storage.k8s.io/"
    expect_equal(context, {"size": "1", prefix + "pod.name": "p", prefix + "pod.namespace": t.namespace, prefix + "pod.uid": uid,
                           prefix + "serviceAccount.name": "default", prefix + "ephemeral": "true"}, "volume_context")
    wait_for("the file", lambda: os.path.exists(f"{driver.state}/{handle}/f"))
    expect(not any(c["method"] == "NodeStageVolume" for c in driver.control(op="calls")), "an inline volume was staged")
    t.delete("Pod", "p", gracePeriodSeconds=1)
    t.wait_gone("Pod", "p")
    expect_equal(driver.last("NodeUnpublishVolume")["volume_id"], handle, "NodeUnpublishVolume")
    # a driver that does not say that it does such volumes gets none
    t.api.call("PATCH", driver.object, {"spec": {"podInfoOnMount": False}}, content_type="application/merge-patch+json")


@test
def trouble_names_the_driver_the_call_and_the_code(t):
    driver = Driver(t, attachRequired=False)
    name = driver.volume()
    for method, step in (("NodeStageVolume", "MountDevice"), ("NodePublishVolume", "SetUp")):
        driver.control(op="fault", method=method, action="code", code=9, message="no disk today", times=2)
        driver.control(op="fault", method=method, action="garbage")
        run(t, "p", "forever")
        t.wait_event("p", "FailedMount", rf"^MountVolume.{step} failed for volume \"{name}\" : CSI driver '{driver.name}': {method}: "
                     "rpc error: code = FailedPrecondition desc = no disk today$")
        t.wait_ready("p")
        t.delete("Pod", "p", gracePeriodSeconds=1)
        t.wait_gone("Pod", "p")
    t.run("q", shell("c", "forever", volumeMounts=[{"name": "v", "mountPath": "/v"}]), node=NODE, volumes=[{"name": "v", "csi": {"driver": driver.name}}])
    t.wait_event("q", "FailedMount", rf"volume mode \"Ephemeral\" not supported by driver {driver.name} \(only supports \[\"Persistent\"\]\)")
    t.delete("Pod", "q", gracePeriodSeconds=0)
    t.wait_gone("Pod", "q")


@test(alone=True, skiff_only=True)
def driver_and_agent_are_killed_while_volumes_are_used_come_and_go(t):
    driver = Driver(t, attachRequired=False)
    driver.volume()
    driver.volume("other", "gone")
    run(t, "kept", "echo here > /v/f; forever")
    args, spec = using("gone", "forever", claim="other")
    t.run(*args, **spec)
    before = t.wait_ready("kept")["status"]["containerStatuses"][0]["containerID"]
    t.wait_ready("gone")
    t.cluster.kill(NODE + "/skiffd")
    t.cleanups.append(lambda: t.cluster.runs(NODE + "/skiffd") or t.cluster.start(NODE + "/skiffd"))
    t.delete("Pod", "driver", gracePeriodSeconds=0)
    t.delete("Pod", "gone", gracePeriodSeconds=1)
    t.cluster.start(NODE + "/skiffd")
    wait_for("the driver's pod is gone", lambda: not t.pod("driver"))
    wait_for("the container of the pod that goes has ended", lambda: "running" not in t.status("gone").get("state", {}))
    expect(t.pod("gone"), "a pod went with its volume still there")
    driver.start()
    t.wait_gone("Pod", "gone")
    wait_for("unstaged", lambda: not os.path.exists(driver.staging("gone")))
    now = t.wait_ready("kept")["status"]["containerStatuses"][0]["containerID"]
    expect_equal(now, before, "the container that had nothing to do with it")
    t.kubectl("exec", "kept", "--", "sh", "-c", "echo more >> /v/f")
    with open(driver.state + "/vol/f", encoding="ascii") as f:
        expect_equal(f.read().split(), ["here", "more"], "the volume")
    t.delete("Pod", "kept", gracePeriodSeconds=1)
    t.wait_gone("Pod", "kept")
    wait_for("unstaged", lambda: not os.path.exists(driver.staging("vol")))
    expect(not mounts(t, "/plugins/kubernetes.io/csi/" + driver.name), "a mount was left")
