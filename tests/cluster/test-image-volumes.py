"""Image volumes: what an image holds, mounted into a container that runs another one."""
import json
import os

from skifftest import condition, container, expect, expect_equal, expect_match, shell, test, wait_for

LAYERS = "skiff-test/layers:1"  # its three layers leave /keep/b, /again/new, /owned, /one and /two


def image(name, reference, **more):
    return {"name": name, "image": {"reference": reference, **more}}


def at(name, path, **more):
    return {"name": name, "mountPath": path, **more}


@test
def a_volume_shows_an_image_read_only(t):
    t.run("p", shell("c", "forever", volumeMounts=[at("v", "/v", readOnly=False)]), volumes=[image("v", LAYERS, pullPolicy="Always")])
    t.wait_ready("p")
    look = t.kubectl("exec", "p", "--", "sh", "-c",
                     "cd /v; cat again/new one; echo; ls keep again; test -e gone || echo no gone; test -x bin/sh && echo a tool\n"
                     "touch x 2>/dev/null || echo read-only; bin/busybox true 2>/dev/null || echo no programs; stat -c %u:%a owned")
    expect_equal(look.split(), "2linked again: new keep: b no gone a tool read-only no programs 1000:4755".split(), "what is seen")
    event = t.wait_event("p", "Pulling", rf'^Pulling image "{LAYERS}"')
    expect("fieldPath" not in event["involvedObject"], "the pull is the pod's:", event["involvedObject"])
    t.wait_event("p", "Pulled", rf'^Successfully pulled image "{LAYERS}" in .* Image size: \d+ bytes')
    expect_equal([m["mountPath"] for m in t.status("p")["volumeMounts"]], ["/v"], "volumeMounts of the status")


@test
def sub_paths_and_several_containers_share_an_image(t):
    first = shell("a", "cat /etc/new /file; echo; forever", volumeMounts=[at("v", "/etc/new", subPath="again/new"), at("v", "/file", subPath="one")])
    second = shell("b", "ls /keep; forever", volumeMounts=[at("w", "/keep", subPathExpr="$(DIR)")], env=[{"name": "DIR", "value": "keep"}])
    t.run("p", first, second, volumes=[image("v", LAYERS), image("w", LAYERS)])
    t.wait_ready("p")
    wait_for("logs of a", lambda: t.logs("p", "-c", "a").strip() == "2linked")
    wait_for("logs of b", lambda: t.logs("p", "-c", "b").split() == ["b"])


@test
def a_sub_path_that_the_image_lacks_is_named(t):
    t.run("p", shell("c", "forever", volumeMounts=[at("v", "/v", subPath="no/such")]), volumes=[image("v", LAYERS)])
    status = t.waiting("p", "CreateContainerError")
    expect_match(status["state"]["waiting"]["message"], r"^ImageVolumeMountFailed: .*'no/such': No such file or directory", "message")
    t.wait_event("p", "Failed", r"^Error: ImageVolumeMountFailed: ")


@test
def an_image_that_is_not_there_holds_back_only_who_mounts_it(t):
    missing = "skiff-test/layers:no-such-tag"
    t.run("p", shell("needs", "forever", volumeMounts=[at("v", "/v")]), shell("free", "forever"),
          volumes=[image("v", missing), image("unused", "skiff-test/nobody:1")])
    status = t.waiting("p", "ErrImagePull", container_name="needs")
    expect_match(status["state"]["waiting"]["message"], "not found|NotFound", "message")
    status = t.waiting("p", "ImagePullBackOff", container_name="needs")
    expect_match(status["state"]["waiting"]["message"], rf'Back-off pulling image "{missing}"', "message")
    wait_for("the other one runs", lambda: "running" in t.status("p", "free").get("state", {}))
    t.wait_event("p", "Failed", rf'^Failed to pull image "{missing}": ')
    t.wait_event("p", "Failed", r"^Error: ErrImagePull$")
    expect_equal(condition(t.pod("p"), "Ready")["status"], "False", "Ready")


@test
def a_volume_whose_image_may_not_be_pulled_says_so(t):
    t.run("p", container("c", "true", volumeMounts=[at("v", "/v")]), volumes=[image("v", "skiff-test/never:1", pullPolicy="Never")])
    t.waiting("p", "ErrImageNeverPull")


@test(alone=True, skiff_only=True)
def a_mounted_image_stays_as_long_as_it_is_mounted(t):
    t.run("p", shell("c", "forever", volumeMounts=[at("v", "/v")]), node="node-1", volumes=[image("v", LAYERS)])
    t.wait_ready("p")
    t.cluster.kill("node-1/skiffd")
    t.cluster.start("node-1/skiffd")
    socket = os.path.join(t.cluster.node_folder("node-1"), "run", "skiff.sock")

    def ask(method, path):
        return t.cluster.inside("node-1", "curl", "-sS", "--max-time", "5", "-X", method, "--unix-socket", socket, "http://skiff/v1/images" + path, check=False).stdout

    def image_id():
        images = json.loads(ask("GET", "") or "{}").get("items", [])
        return next((i["id"] for i in images if f"docker.io/{LAYERS}" in i["tags"]), None)
    wait_for("refusal", lambda: "is used by 1 container" in ask("DELETE", "?name=" + (image_id() or "none")))
    expect_equal(t.kubectl("exec", "p", "--", "cat", "/v/one"), "linked", "the file")
