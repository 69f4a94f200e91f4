"""Images of a registry that asks who wants them: pull secrets, and who may use what is here already."""
import base64
import crypt
import json
import os
import subprocess

from skifftest import expect_match, shell, test, wait_for

PORT, USER, PASSWORD = 5002, "puller", "correct horse"


class PrivateRegistry:
    """The images of the cluster's registry, for those with a password."""

    def __init__(self, t):
        self.t, folder = t, os.path.join(t.cluster.folder, "control")
        self.address = f"{t.cluster.hub_ip}:{PORT}"
        self.files = [os.path.join(folder, name) for name in ("private-registry.yml", "private-registry.htpasswd")]
        with open(self.files[1], "w", encoding="ascii") as f:
            f.write(f"{USER}:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        with open(self.files[0], "w", encoding="ascii") as f:
            json.dump({"version": 0.1, "log": {"level": "warn"}, "http": {"addr": self.address},
                       "storage": {"filesystem": {"rootdirectory": folder + "/registry"}},
                       "auth": {"htpasswd": {"realm": "private", "path": self.files[1]}}}, f)

    def __enter__(self):
        self.process = subprocess.Popen(
            ["nsenter", "--net=" + self.t.cluster.netns("hub"), "docker-registry", "serve", self.files[0]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the private registry", lambda: "UNAUTHORIZED" in self.t.cluster.on(
            "hub", "curl", "-s", f"http://{self.address}/v2/", check=False).stdout)
        return self

    def __exit__(self, kind, error, trace):
        self.process.kill()
        self.process.wait()
        for path in self.files:
            os.unlink(path)

    def secret(self, name, password=PASSWORD):
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        config = json.dumps({"auths": {self.address: {"auth": auth}}})
        self.t.create("Secret", {"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
                                 "stringData": {".dockerconfigjson": config}})


def forever(image, policy="IfNotPresent"):
    return shell("c", "forever", image=image, imagePullPolicy=policy)


@test
def what_was_pulled_with_a_secret_is_for_who_has_it(t):
    with PrivateRegistry(t) as registry:
        image = f"{registry.address}/library/busybox:1.36"
        node = {"nodeName": t.cluster.node_names[0]}
        registry.secret("good")
        registry.secret("same-again")
        registry.secret("wrong", "guessed")

        t.run("first", forever(image, "Always"), imagePullSecrets=[{"name": "good"}], **node)
        t.wait_ready("first")
        t.wait_event("first", "Pulled", "^Successfully pulled image ")

        # without the secret, and with a wrong one, the image that is here is of no use
        t.run("nobody", forever(image), **node)
        status = t.waiting("nobody", "ErrImagePull")
        expect_match(status["state"]["waiting"]["message"], "pull access denied", "message")
        t.run("guesser", forever(image), imagePullSecrets=[{"name": "wrong"}], **node)
        t.waiting("guesser", "ErrImagePull")

        # who has it needs no registry; another secret with the same content is as good
        t.run("second", forever(image), imagePullSecrets=[{"name": "good"}], **node)
        t.run("third", forever(image), imagePullSecrets=[{"name": "same-again"}], **node)
        for name in ("second", "third"):
            t.wait_ready(name)
            t.wait_event(name, "Pulled", "already present on machine and can be accessed by the pod$")

    # the registry is gone: the records are not, also after a restart
    skiffd = node["nodeName"] + "/skiffd"
    t.cluster.kill(skiffd)
    t.cluster.start(skiffd)
    t.run("fourth", forever(image), imagePullSecrets=[{"name": "same-again"}], **node)
    t.wait_ready("fourth")
    t.run("late", forever(image), **node)
    t.waiting("late", "ImagePullBackOff")


@test
def what_needed_no_secret_is_everybodys(t):
    node = {"nodeName": t.cluster.node_names[0]}
    t.run("a", shell("c", "forever", imagePullPolicy="Always"), **node)
    t.wait_ready("a")
    t.run("b", shell("c", "forever", imagePullPolicy="Never"), **node)
    t.wait_ready("b")
