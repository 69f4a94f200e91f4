"""RuntimeClasses: one runtime answers to several handlers, and says so of those that it is not."""
from skifftest import expect_equal, expect_match, shell, test

CLASSES = "apis/node.k8s.io/v1/runtimeclasses"


def make_class(t, name, handler, **more):
    t.api.call("POST", CLASSES, {"metadata": {"name": name}, "handler": handler, **more})


def drop_class(t, name):
    t.api.call("DELETE", f"{CLASSES}/{name}", absent_ok=True)


@test
def a_class_of_a_plain_runtime_is_run_with_its_overhead(t):
    name = t.namespace + "-plain"
    make_class(t, name, "runc", overhead={"podFixed": {"cpu": "10m"}})
    try:
        t.run("p", shell("c", "forever"), runtimeClassName=name)
        t.wait_ready("p")
        expect_equal(t.pod("p")["spec"]["overhead"], {"cpu": "10m"}, "overhead")
    finally:
        drop_class(t, name)


@test
def a_handler_that_nobody_is_holds_the_pod_back_until_the_class_is_another(t):
    name = t.namespace + "-odd"
    make_class(t, name, "kata-of-nobody")
    try:
        t.run("p", shell("c", "forever"), runtimeClassName=name)
        event = t.wait_event("p", "FailedCreatePodSandBox", 'no runtime for "kata-of-nobody" is configured$')
        expect_match(event["message"], "^Failed to create pod sandbox: ", "message")
        expect_equal(t.pod("p")["status"]["phase"], "Pending", "phase")
        drop_class(t, name)
        t.wait_event("p", "FailedCreatePodSandBox", f'runtimeclass.node.k8s.io "{name}" not found$')
        make_class(t, name, "skiff")
        t.wait_ready("p")
    finally:
        drop_class(t, name)


@test
def the_node_lists_its_handlers(t):
    node = t.api.get("api/v1/nodes/" + t.nodes[0])
    names = [handler["name"] for handler in node["status"]["runtimeHandlers"]]
    expect_equal(names, ["", "crun", "runc", "skiff"], "handlers")
