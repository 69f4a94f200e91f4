#!/usr/bin/env python3
"""Init containers, sidecars, sharing, identity and confinement: what the programs inside see of it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import condition, container, expect, expect_equal, expect_match, script, shell, test, wait_for, web

DEFAULT_CAPABILITIES = 0x00000000a80425fb


def status_file(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def status_of(t, name, security=None, pod_security=None, **more):
    """/proc/self/status of a container with that security context."""
    made = container("c", "cat", "/proc/self/status", **more)
    if security is not None:
        made["securityContext"] = security
    spec = {"securityContext": pod_security} if pod_security else {}
    return status_file(t.output(name, made, **spec))


@test
def init_containers_run_in_order_before_the_others(t):
    def step(name, text):
        return container(name, "sh", "-c", f"{text} >> /data/steps", volumeMounts=[{"name": "data", "mountPath": "/data"}])
    text = t.output("p", container("c", "cat", "/data/steps", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
                    initContainers=[step("one", "sleep 1; echo one"), step("two", "echo two")], volumes=[{"name": "data", "emptyDir": {}}])
    expect_equal(text.split(), ["one", "two"], "steps")
    made = t.pod("p")
    for status in made["status"]["initContainerStatuses"]:
        expect_equal(status["state"]["terminated"]["reason"], "Completed", status["name"])
        expect(status["ready"], status)


@test
def an_init_container_that_fails_holds_the_pod_back(t):
    t.run("again", web(), initContainers=[container("init", "false")])
    t.waiting("again", "CrashLoopBackOff", kind="initContainerStatuses", timeout=40)
    expect_equal(t.status("again")["state"]["waiting"]["reason"], "PodInitializing", "reason of the main container")
    seen = t.pod("again")
    expect_equal(seen["status"]["phase"], "Pending", "phase")
    expect_equal(condition(seen, "Initialized")["status"], "False", "Initialized")
    expect_equal(condition(seen, "Initialized")["reason"], "ContainersNotInitialized", "reason")
    expect_match(t.kubectl("get", "pod", "again"), r"Init:(CrashLoopBackOff|Error)", "get pod")
    t.run("never", web(), initContainers=[container("init", "false")], restartPolicy="Never")
    t.wait_phase("never", "Failed")


@test
def a_rule_restarts_all_containers_of_a_pod(t):
    data = [{"name": "data", "mountPath": "/data"}]
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    once = container("once", "sh", "-c", "[ -e /data/seen ] && sleep 1000; touch /data/seen; sleep 1; exit 42", volumeMounts=data,
                     restartPolicy="Always", restartPolicyRules=[rule])
    # it does not hear SIGTERM, and no grace is given
    t.run("p", container("c", "sh", "-c", "while :; do sleep 1; done"), initContainers=[shell("init", "echo x >> /data/inits", volumeMounts=data), once],
          restartPolicy="Never", volumes=[{"name": "data", "emptyDir": {}}])

    def seen():
        status = t.pod("p").get("status", {})
        return [(s["restartCount"], *s["state"]) for kind in ("initContainerStatuses", "containerStatuses") for s in status.get(kind, [])]
    wait_for("all have run again", lambda: seen() == [(1, "terminated"), (1, "running"), (1, "running")], timeout=20)
    expect_equal(t.kubectl("exec", "p", "-c", "once", "--", "cat", "/data/inits").split(), ["x", "x"], "runs of the init container")

@test
def a_sidecar_starts_before_and_ends_after_the_main_container(t):
    sidecar = shell("side", "touch /data/side; trap 'echo side ends; exit 0' TERM; forever", restartPolicy="Always",
                    volumeMounts=[{"name": "data", "mountPath": "/data"}])
    t.run("p", container("c", "sh", "-c", "ls /data; sleep 1", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
          initContainers=[sidecar], restartPolicy="Never", volumes=[{"name": "data", "emptyDir": {}}])
    made = t.wait_phase("p", "Succeeded", 40)
    expect_equal(t.logs("p", "-c", "c").strip(), "side", "what the sidecar left for the main container")
    side = made["status"]["initContainerStatuses"][0]
    expect("terminated" in side["state"], side)
    main = made["status"]["containerStatuses"][0]["state"]["terminated"]
    expect(main["finishedAt"] <= side["state"]["terminated"]["finishedAt"], "the sidecar ended first")


@test
def containers_of_a_pod_share_network_and_an_empty_dir(t):
    mounts = [{"name": "d", "mountPath": "/d"}]
    t.run("p", web(volumeMounts=mounts), shell("c", "sleep 1; /web get 127.0.0.1:8080/; echo hello > /d/f; hostname; forever",
                                               image="skiff-test/web:1", volumeMounts=mounts), volumes=[{"name": "d", "emptyDir": {}}])
    t.wait_ready("p")
    wait_for("the answer over localhost", lambda: t.logs("p", "-c", "c").split() == ["p", "1", "p"])


@test
def process_namespaces_are_apart_unless_shared(t):
    look = "sleep 1; ps -o args | grep -cx '[s]leep 12345'; echo pid $$$$"
    apart = t.output("apart", container("c", "sh", "-c", look), shell("other", "sleep 12345 & sleep 4"), restartPolicy="Never", timeout=40)
    expect_equal(apart.split(), ["0", "pid", "1"], "processes seen apart")
    shared = t.output("shared", container("c", "sh", "-c", look), shell("other", "sleep 12345 & sleep 4"), shareProcessNamespace=True, timeout=40)
    expect_match(shared, r"^1\npid ([2-9]|\d\d+)\n", "processes seen when shared")


@test
def a_host_network_pod_has_the_nodes_address(t):
    t.run("p", container("web", "/web", "8099", image="skiff-test/web:1"), node="node-1", hostNetwork=True)
    seen = t.wait_ready("p")
    expect_equal(seen["status"]["podIP"], t.cluster.node_ip("node-1"), "podIP")
    expect_equal(t.cluster.curl("hub", f"http://{t.cluster.node_ip('node-1')}:8099/"), "node-1 1", "host name of a hostNetwork pod")


@test
def a_host_pid_pod_sees_the_nodes_processes(t):
    text = t.output("p", container("c", "sh", "-c", "ps -o args | head -n 40"), hostPID=True)
    expect(any(word in text for word in ("skiffd", "kubelet")), text)


@test
def a_container_runs_as_whom_the_pod_says(t):
    text = t.output("ids", container("c", "sh", "-c", "id -u; id -g; id -G; touch /d/f; stat -c '%u %g' /d/f; stat -c '%g %a' /d",
                                     volumeMounts=[{"name": "d", "mountPath": "/d"}]),
                    securityContext={"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456, "supplementalGroups": [4567]},
                    volumes=[{"name": "d", "emptyDir": {}}])
    lines = text.splitlines()
    expect_equal((lines[0], lines[1]), ("1234", "2345"), "uid and gid")
    expect_equal(set(lines[2].split()), {"2345", "3456", "4567"}, "groups")
    expect_equal(lines[3:], ["1234 3456", "3456 2777"], "files on a volume with fsGroup")
    text = t.output("named", container("c", "id", image="skiff-test/user:1"))
    expect_match(text, r"^uid=1000\(app\) gid=1000\(app\) groups=(?=.*1000\(app\)).*50\(staff\)", "USER app of the image")
    status = t.status("named")
    if "user" in status:
        expect_equal(status["user"]["linux"]["uid"], 1000, "user in the status")
    text = t.output("numeric", container("c", "id", "-u", image="skiff-test/user:1", securityContext={"runAsUser": 7}))
    expect_equal(text.strip(), "7", "runAsUser over the image's USER")
    t.output("nonroot", container("c", "id", securityContext={"runAsNonRoot": True, "runAsUser": 1000}))


@test
def capabilities_are_the_default_set_changed_as_asked(t):
    seen = status_of(t, "plain")
    expect_equal(int(seen["CapEff"], 16), DEFAULT_CAPABILITIES, "default CapEff")
    expect_equal(int(seen["CapBnd"], 16), DEFAULT_CAPABILITIES, "default CapBnd")
    seen = status_of(t, "none", {"capabilities": {"drop": ["ALL"]}})
    expect_equal((int(seen["CapEff"], 16), int(seen["CapBnd"], 16)), (0, 0), "all dropped")
    seen = status_of(t, "some", {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_TIME"]}})
    expect_equal(int(seen["CapEff"], 16), 1 << 12 | 1 << 25, "two added")
    seen = status_of(t, "user", {"runAsUser": 1000})
    expect_equal(int(seen["CapEff"], 16), 0, "CapEff of a user")


@test
def privileged_means_everything(t):
    made = container("c", "sh", "-c", "cat /proc/self/status; ls /dev | wc -l; mount -t tmpfs x /tmp && echo mounted; grep ' /proc/kcore ' /proc/mounts; true",
                     securityContext={"privileged": True})
    text = t.output("p", made, timeout=30)
    seen = status_file(text)
    with open("/proc/self/status", encoding="ascii") as f:
        ours = status_file(f.read())
    expect_equal(int(seen["CapEff"], 16), int(ours["CapBnd"], 16), "CapEff")
    expect_equal(seen["Seccomp"].strip(), "0", "Seccomp")
    expect("mounted" in text, text)
    expect("/proc/kcore" not in text, "a path is masked")


@test
def what_a_plain_container_must_not_do_it_cannot(t):
    look = """mount -t tmpfs x /tmp 2>/dev/null || echo no mount
(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no sysctl
head -c 1 /proc/kcore 2>/dev/null | wc -c; ls /proc/acpi 2>/dev/null | wc -l; ls /sys/firmware 2>/dev/null | wc -l
touch /sys/x 2>/dev/null || echo no sys; ls /dev | grep -cE '^(sd|vd|nvme|mem$|kmsg$)'; stat -c %a /dev/shm /dev/null
hostname changed 2>/dev/null || echo no hostname; grep -c ' / overlay ' /proc/mounts"""
    text = t.output("p", container("c", "sh", "-c", look))
    expect_equal(text.split("\n")[:-1], ["no mount", "no sysctl", "0", "0", "0", "no sys", "0", "1777", "666", "no hostname", "1"], "confinement")


@test
def a_root_file_system_can_be_read_only(t):
    text = t.output("p", container("c", "sh", "-c", "touch /x 2>&1; touch /d/x && echo volume writable; touch /dev/shm/x && echo shm writable",
                                   volumeMounts=[{"name": "d", "mountPath": "/d"}], securityContext={"readOnlyRootFilesystem": True}),
                    volumes=[{"name": "d", "emptyDir": {}}])
    expect_match(text, r"Read-only file system\nvolume writable\nshm writable", "writing")


@test
def privileges_cannot_grow_and_system_calls_are_filtered_where_asked(t):
    seen = status_of(t, "plain")
    expect_equal((seen["NoNewPrivs"].strip(), seen["Seccomp"].strip()), ("0", "0"), "by default")
    seen = status_of(t, "tight", {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}})
    expect_equal((seen["NoNewPrivs"].strip(), seen["Seccomp"].strip()), ("1", "2"), "when asked")
    for profile, wanted in (("Unconfined", "done"), ("RuntimeDefault", "refused")):
        text = t.output(profile.lower(), container("c", "sh", "-c", "unshare -U true 2>/dev/null && echo done || echo refused"),
                        securityContext={"seccompProfile": {"type": profile}})
        expect_equal(text.strip(), wanted, f"unshare under {profile}")


@test
def the_image_says_what_the_pod_does_not(t):
    expect_match(t.output("cmd", {"name": "c", "image": "skiff-test/user:1"}), r"^uid=1000", "CMD of the image")
    expect_equal(t.output("dir", container("c", "pwd", image="skiff-test/user:1")).strip(), "/home/app", "WORKDIR of the image")
    expect_equal(t.output("own", container("c", "pwd", image="skiff-test/user:1", workingDir="/made/here")).strip(), "/made/here", "workingDir")
    text = t.output("env", container("c", "env", image="skiff-test/web:2"))
    expect_match(text, r"(?m)^WEB_VERSION=2$", "ENV of the image")
    expect_match(text, r"(?m)^HOSTNAME=env$", "HOSTNAME")
    text = t.output("override", container("c", "env", image="skiff-test/web:2", env=[{"name": "WEB_VERSION", "value": "mine"}]))
    expect_match(text, r"(?m)^WEB_VERSION=mine$", "variable of the pod over the image's")


@test
def layers_lie_over_each_other_as_the_image_means(t):
    look = "ls /keep /again; ls /gone 2>/dev/null; stat -c '%a %u %g' /owned; [ /one -ef /two ] && cat /two"
    text = t.output("p", container("c", "sh", "-c", look, image="skiff-test/layers:1"))
    expect_equal(text.split("\n"), ["/again:", "new", "", "/keep:", "b", "4755 1000 50", "linked"], "files of the layers")


@test
def a_manifest_list_gives_the_image_of_this_machine(t):
    expect_equal(t.output("p", container("c", "sh", "-c", "[ -e /wrong ] || echo right", image="busybox:index")).strip(), "right", "image of the list")


@test
def an_image_by_digest_is_that_image(t):
    status = t.wait_phase(t.run("tag", container("c", "true", image="skiff-test/web:1"), restartPolicy="Never")["metadata"]["name"], "Succeeded")
    image_id = status["status"]["containerStatuses"][0]["imageID"]
    expect_match(image_id, r"^docker\.io/skiff-test/web@sha256:", "imageID")
    t.run("digest", container("c", "true", image=image_id), restartPolicy="Never")
    seen = t.wait_phase("digest", "Succeeded")["status"]["containerStatuses"][0]
    expect_equal(seen["imageID"], image_id, "imageID by digest")


if __name__ == "__main__":
    script()
