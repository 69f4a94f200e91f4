"""PersistentVolumeClaims: what is behind them reaches the pod, survives it, and comes off again."""
import os
import shutil
import subprocess

from skifftest import container, expect, expect_equal, expect_match, pod, shell, test, wait_for

CLAIMS = "api/v1/namespaces/%s/persistentvolumeclaims"
FOREVER = "forever"


def folder_on(t, node, name):
    path = os.path.join(t.cluster.node_folder(node), "pv-" + t.namespace + "-" + name)
    os.makedirs(path)
    t.cleanups.append(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def make_volume(t, name, node=None, claim="data", **spec):
    """A PersistentVolume that only the claim of that name in the test's namespace can get."""
    full = t.namespace + "-" + name
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": full}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "", "claimRef": {"namespace": t.namespace, "name": claim}, **spec}}
    if node:
        body["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}
    t.api.call("POST", "api/v1/persistentvolumes", body)
    t.cleanups.append(lambda: t.api.call("DELETE", "api/v1/persistentvolumes/" + full, absent_ok=True))
    return full


def make_claim(t, name="data", **spec):
    t.api.call("POST", CLAIMS % t.namespace, {"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}, **spec}})


def claim(t, name="data"):
    return t.api.get(f"{CLAIMS % t.namespace}/{name}")


def claimed(name="data", volume="v", **more):
    return {"name": volume, "persistentVolumeClaim": {"claimName": name, **more}}


def at(path, volume="v", **more):
    return {"name": volume, "mountPath": path, **more}


def mounts_of(t, node, uid):
    return [line for line in t.cluster.inside(node, "cat", "/proc/self/mountinfo").splitlines() if uid in line and "kubernetes.io~local-volume" in line]


@test
def a_local_volume_keeps_its_data_from_pod_to_pod(t):
    path = folder_on(t, "node-1", "a")
    name = make_volume(t, "a", "node-1", local={"path": path})
    make_claim(t)
    t.run("first", shell("c", "echo kept > /v/file; mkdir -p /v/deep; forever", volumeMounts=[at("/v")]), volumes=[claimed()], securityContext={"fsGroup": 4321})
    first = t.wait_ready("first")
    expect_equal(first["spec"]["nodeName"], "node-1", "the scheduler's choice")
    wait_for("the file", lambda: os.path.exists(path + "/file"))
    uid = first["metadata"]["uid"]
    expect_match("\n".join(mounts_of(t, "node-1", uid)), rf"/pods/{uid}/volumes/kubernetes.io~local-volume/{name} ", "the kubelet's place for it")
    expect_equal(os.stat(path).st_gid, 4321, "fsGroup of the volume")
    expect(os.stat(path).st_mode & 0o2070 == 0o2070, "mode of the volume:", oct(os.stat(path).st_mode))
    t.delete("Pod", "first", gracePeriodSeconds=1)
    t.wait_gone("Pod", "first")
    expect_equal(mounts_of(t, "node-1", uid), [], "mounts of the pod that went")
    expect(os.path.exists(path + "/file"), "the data went with the pod")
    script = "cat /v/file; cat /sub/inner 2>/dev/null; touch /v/x 2>/dev/null || echo read-only; touch /sub/y && echo sub"
    t.run("second", shell("c", script, volumeMounts=[at("/v", readOnly=True), at("/sub", subPathExpr="deep/$(WHO)")], env=[{"name": "WHO", "value": "me"}]),
          volumes=[claimed()], restartPolicy="Never")
    t.wait_phase("second", "Succeeded")
    expect_equal(t.logs("second").split(), ["kept", "read-only", "sub"], "what the second pod sees")
    expect(os.path.exists(path + "/deep/me/y"), "the subPath is not in the volume")


@test
def a_claim_that_is_read_only_is_mounted_so(t):
    path = folder_on(t, "node-1", "a")
    with open(path + "/f", "w", encoding="ascii") as f:
        f.write("hello\n")
    make_volume(t, "a", "node-1", local={"path": path}, mountOptions=["noatime", "nosuid"])
    make_claim(t)
    t.run("p", shell("c", "cat /v/f; touch /v/x 2>/dev/null || echo read-only; grep ' /v ' /proc/mounts; id -G", volumeMounts=[at("/v")]),
          volumes=[claimed(readOnly=True)], securityContext={"fsGroup": 77}, restartPolicy="Never")
    t.wait_phase("p", "Succeeded")
    lines = t.logs("p").splitlines()
    expect_equal(lines[:2], ["hello", "read-only"], "what is seen")
    expect_match(lines[2], r"\bro\b.*\bnosuid\b.*\bnoatime\b", "options of the mount")
    expect(os.stat(path).st_gid != 77, "a read-only volume got the group")


@test
def a_host_path_volume_is_checked_and_made(t):
    folder = folder_on(t, "node-1", "a")
    make_volume(t, "a", "node-1", hostPath={"path": folder + "/new", "type": "DirectoryOrCreate"})
    make_volume(t, "b", "node-1", claim="other", hostPath={"path": folder + "/none", "type": "Directory"})
    make_claim(t)
    make_claim(t, "other")
    t.run("p", shell("c", "echo here > /v/f", volumeMounts=[at("/v")]), volumes=[claimed()], restartPolicy="Never")
    t.run("q", shell("c", FOREVER, volumeMounts=[at("/v")]), volumes=[claimed("other")])
    t.wait_phase("p", "Succeeded")
    expect(os.path.exists(folder + "/new/f"), "the folder was not made")
    t.wait_event("q", "FailedMount", rf'MountVolume.SetUp failed for volume "{t.namespace}-b" : hostPath type check failed: .*/none is not a directory')
    os.mkdir(folder + "/none")
    t.wait_ready("q")


@test
def a_pod_waits_for_its_claim_and_says_so(t):
    path = folder_on(t, "node-1", "a")
    t.run("p", shell("c", FOREVER, volumeMounts=[at("/v")]), node="node-1", volumes=[claimed()])
    t.wait_event("p", "FailedMount", rf'^Unable to attach or mount volumes: unmounted volumes=\[v.*\], unattached volumes=\[.*\], failed to process volumes=\[v\]: '
                 rf'error processing PVC {t.namespace}/data: failed to fetch PVC from API server: .*"data" (not found|is forbidden)')
    make_claim(t)
    t.wait_event("p", "FailedMount", rf"error processing PVC {t.namespace}/data: PVC is not bound")
    wait_for("the container waits", lambda: t.status("p").get("state", {}).get("waiting", {}).get("reason") == "ContainerCreating")
    make_volume(t, "a", "node-1", local={"path": path})
    t.wait_ready("p")


@test
def volumes_that_cannot_be_are_named(t):
    make_volume(t, "gone", "node-1", claim="gone", local={"path": "/no/such/folder"})
    make_volume(t, "iscsi", "node-1", claim="iscsi", iscsi={"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:x", "lun": 0})
    make_volume(t, "far", "node-2", claim="far", local={"path": "/tmp"})
    make_volume(t, "block", "node-1", claim="block", volumeMode="Block", local={"path": "/dev/null"})
    for name in ("gone", "iscsi", "far"):
        make_claim(t, name)
    make_claim(t, "block", volumeMode="Block")
    for name in ("gone", "iscsi", "far", "block"):
        wait_for(f"claim {name} bound", lambda name=name: claim(t, name)["status"].get("phase") == "Bound")
        t.run(name, shell("c", FOREVER, volumeMounts=[at("/v")]), node="node-1", volumes=[claimed(name)])
    t.run("map", container("c", "true", volumeDevices=[{"name": "v", "devicePath": "/dev/xvda"}]), node="node-1", volumes=[claimed("block")])
    t.wait_event("gone", "FailedMount", r'MountVolume.NewMounter initialization failed for volume ".*-gone" : path "/no/such/folder" does not exist')
    t.wait_event("iscsi", "FailedMount", "volume type 'iscsi' is not supported by this node")
    t.wait_event("far", "FailedMount", r'MountVolume.NodeAffinity check failed for volume ".*-far" : no matching NodeSelectorTerms')
    t.wait_event("block", "FailedMount", "volume v has volumeMode Block, but is specified in volumeMounts")
    t.wait_event("map", "FailedMapVolume", r'MapVolume.MapBlockVolume failed for volume ".*-block" : .* is not a block device')
    for name in ("gone", "iscsi", "far", "block", "map"):
        t.delete("Pod", name, gracePeriodSeconds=0)
    for name in ("gone", "iscsi", "far", "block", "map"):
        t.wait_gone("Pod", name)


@test
def an_ephemeral_volume_is_the_pods_own(t):
    path = folder_on(t, "node-1", "a")
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}
    make_volume(t, "a", "node-1", claim="p-v", local={"path": path})
    make_claim(t, "q-v")
    t.run("p", shell("c", "echo x > /v/f; forever", volumeMounts=[at("/v")]), volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    t.wait_ready("p")
    expect_equal(claim(t, "p-v")["metadata"]["ownerReferences"][0]["name"], "p", "owner of the claim")
    t.delete("Pod", "p", gracePeriodSeconds=1)
    wait_for("the claim goes with its pod", lambda: claim(t, "p-v") is None)
    # a claim of that name which somebody else made
    make_volume(t, "b", "node-1", claim="q-v", local={"path": path})
    wait_for("bound", lambda: claim(t, "q-v")["status"].get("phase") == "Bound")
    t.run("q", shell("c", FOREVER, volumeMounts=[at("/v")]), node="node-1", volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    t.wait_event("q", "FailedMount", rf"PVC {t.namespace}/q-v was not created for pod {t.namespace}/q \(pod is not owner\)")


@test
def only_one_pod_has_a_read_write_once_pod_volume(t):
    path = folder_on(t, "node-1", "a")
    make_volume(t, "a", "node-1", accessModes=["ReadWriteOncePod"], local={"path": path})
    make_claim(t, accessModes=["ReadWriteOncePod"])
    t.run("p", shell("c", FOREVER, volumeMounts=[at("/v")]), node="node-1", volumes=[claimed()])
    t.wait_ready("p")
    t.run("q", shell("c", FOREVER, volumeMounts=[at("/v")]), node="node-1", volumes=[claimed()])
    t.wait_event("q", "FailedMount", r'MountVolume.SetUp failed for volume ".*-a" : volume uses the ReadWriteOncePod access mode and is already in use by another pod')
    t.delete("Pod", "p", gracePeriodSeconds=1)
    t.wait_ready("q")


def loop_device(t, node):
    """A device of 16 MiB for this test."""
    image = os.path.join(folder_on(t, node, "disk"), "image")
    with open(image, "wb") as f:
        f.truncate(16 << 20)
    made = subprocess.run(["losetup", "-f", "--show", image], check=False, capture_output=True, text=True)
    expect_equal(made.returncode, 0, f"exit status of losetup: {made.stderr}")
    device = made.stdout.strip()
    t.cleanups.append(lambda: subprocess.run(["losetup", "-d", device], check=False))
    return device


@test(alone=True)
def a_block_volume_is_a_device_in_the_container(t):
    device = loop_device(t, "node-1")
    name = make_volume(t, "a", "node-1", volumeMode="Block", local={"path": device})
    make_claim(t, volumeMode="Block")
    disk = {"volumeDevices": [{"name": "v", "devicePath": "/mnt/disk"}]}
    t.run("p", shell("c", "echo written | dd of=/mnt/disk bs=512 conv=sync; sync; stat -c '%F %t' /mnt/disk; mknod /other b 7 63 && dd if=/other of=/dev/null count=1 || echo none other; forever", **disk), volumes=[claimed()])
    uid = t.wait_ready("p")["metadata"]["uid"]
    wait_for("what it saw", lambda: "none other" in t.logs("p"))
    expect_match(t.logs("p"), r"block special file 7\b", "kind of the device")
    t.wait_event("p", "SuccessfulMountVolume", rf'MapVolume.MapPodDevice succeeded for volume "{name}" globalMapPath ".*/plugins/kubernetes.io~local-volume/volumeDevices/{name}"')
    root = os.path.join(t.cluster.node_folder("node-1"), "root")
    link = f"{root}/pods/{uid}/volumeDevices/kubernetes.io~local-volume/{name}"
    expect_equal(os.readlink(link), device, "the pod's link")
    if t.cluster.is_skiff:
        t.cluster.kill("node-1/skiffd")
        t.cluster.start("node-1/skiffd")
    t.delete("Pod", "p", gracePeriodSeconds=1)
    t.wait_gone("Pod", "p")
    wait_for("the map goes", lambda: not os.path.exists(f"{root}/plugins/kubernetes.io~local-volume/volumeDevices/{name}"))
    t.run("q", shell("c", "head -c 7 /mnt/disk; echo; (echo no > /mnt/disk) 2>/dev/null || echo read-only", **disk), volumes=[claimed(readOnly=True)], restartPolicy="Never")
    t.wait_phase("q", "Succeeded")
    expect_equal(t.logs("q").split(), ["written", "read-only"], "what the next pod reads")


@test
def two_volumes_of_a_pod_may_be_one_claim(t):
    path = folder_on(t, "node-1", "a")
    make_volume(t, "a", "node-1", local={"path": path})
    make_claim(t)
    t.run("p", shell("c", "echo both > /v/f; cat /w/f", volumeMounts=[at("/v"), at("/w", "w")]), volumes=[claimed(), claimed(volume="w")], restartPolicy="Never")
    t.wait_phase("p", "Succeeded")
    expect_equal(t.logs("p").strip(), "both", "the other mount")


@test
def a_set_keeps_the_data_of_each_member(t):
    for i in range(2):
        make_volume(t, f"s{i}", f"node-{i + 1}", claim=f"data-s-{i}", local={"path": folder_on(t, f"node-{i + 1}", f"s{i}")})
    labels = {"app": "s"}
    template = pod("", shell("c", "echo $HOSTNAME >> /v/log; forever", volumeMounts=[at("/v", "data")]), labels=labels)
    del template["metadata"]["name"]
    t.api.call("POST", f"apis/apps/v1/namespaces/{t.namespace}/statefulsets", {"metadata": {"name": "s"}, "spec": {
        "replicas": 2, "serviceName": "s", "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels}, "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}]}})
    before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in t.wait_pods(2, app="s")}
    for name in before:
        wait_for(f"{name} wrote", lambda name=name: t.kubectl("exec", name, "--", "cat", "/v/log").split() == [name])
        t.delete("Pod", name, gracePeriodSeconds=1)
    wait_for("new pods", lambda: all((t.pod(n) or {}).get("metadata", {}).get("uid") not in (None, uid) for n, uid in before.items()))
    t.wait_pods(2, app="s")
    for name in before:
        wait_for(f"{name} finds its data", lambda name=name: t.kubectl("exec", name, "--", "cat", "/v/log").split() == [name, name])


@test(alone=True, skiff_only=True)
def the_agent_is_killed_while_volumes_are_used_come_and_go(t):
    kept, gone = folder_on(t, "node-1", "kept"), folder_on(t, "node-1", "gone")
    make_volume(t, "kept", "node-1", claim="kept", local={"path": kept})
    make_volume(t, "gone", "node-1", claim="gone", local={"path": gone})
    make_claim(t, "kept")
    make_claim(t, "gone")
    t.run("kept", shell("c", FOREVER, volumeMounts=[at("/v"), at("/s", subPath="sub")]), volumes=[claimed("kept")])
    t.run("gone", shell("c", "echo x > /v/f; forever", volumeMounts=[at("/v")]), volumes=[claimed("gone")])
    before, uid = t.wait_ready("kept"), t.wait_ready("gone")["metadata"]["uid"]
    # protected while it is used, and after the restart too
    t.api.call("DELETE", f"{CLAIMS % t.namespace}/kept")
    expect(claim(t, "kept")["metadata"].get("deletionTimestamp"), "not terminating")
    t.cluster.kill("node-1/skiffd")
    t.cleanups.append(lambda: t.cluster.runs("node-1/skiffd") or t.cluster.start("node-1/skiffd"))
    t.delete("Pod", "gone", gracePeriodSeconds=0)
    t.cluster.start("node-1/skiffd")
    wait_for("its mounts come off", lambda: not mounts_of(t, "node-1", uid))
    expect(os.path.exists(gone + "/f"), "the data went with the pod")
    wait_for("the pod's folder goes", lambda: not os.path.exists(os.path.join(t.cluster.node_folder("node-1"), "root", "pods", uid)))
    now = t.wait_ready("kept")
    expect_equal(now["status"]["containerStatuses"][0]["containerID"], before["status"]["containerStatuses"][0]["containerID"], "its container")
    t.kubectl("exec", "kept", "--", "sh", "-c", "echo still > /s/f")
    expect(os.path.exists(kept + "/sub/f"), "not in the volume")
    t.delete("Pod", "kept", gracePeriodSeconds=1)
    wait_for("the claim goes when its pod went", lambda: claim(t, "kept") is None)
