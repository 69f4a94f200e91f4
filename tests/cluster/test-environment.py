#!/usr/bin/env python3
"""What a program finds around it: variables, volumes, and the token that lets it speak to the API server."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from skifftest import container, expect, expect_equal, expect_match, script, shell, test, wait_for


def variables(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def field(path):
    return {"fieldRef": {"fieldPath": path}}


def mount(name, path, **more):
    return {"name": name, "mountPath": path, **more}


@test
def variables_by_value_refer_to_those_before_them(t):
    env = [{"name": "A", "value": "one"}, {"name": "B", "value": "$(A)-two"}, {"name": "C", "value": "$$(A) $(NONE)"},
           {"name": "EMPTY"}, {"name": "SPACES", "value": " a  b "}]
    seen = variables(t.output("p", container("c", "env", env=env)))
    expect_equal((seen["A"], seen["B"], seen["C"], seen["EMPTY"], seen["SPACES"]),
                 ("one", "one-two", "$(A) $(NONE)", "", " a  b "), "variables")
    text = t.output("args", {**container("c", "sh", "-c", "echo \"$0\" \"$@\""), "args": ["$(A)", "$$(A)", "$(NONE)"],
                             "env": [{"name": "A", "value": "x y"}]})
    expect_equal(text.strip(), "x y $(A) $(NONE)", "arguments")


@test
def fields_of_the_pod_become_variables(t):
    env = [{"name": name, "valueFrom": field(path)} for name, path in (
        ("NAME", "metadata.name"), ("NS", "metadata.namespace"), ("UID_", "metadata.uid"), ("IP", "status.podIP"), ("IPS", "status.podIPs"),
        ("HOST", "status.hostIP"), ("NODE", "spec.nodeName"), ("SA", "spec.serviceAccountName"),
        ("LABEL", "metadata.labels['tier']"), ("NOTE", "metadata.annotations['example.com/note']"))]
    env += [{"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, **more}}} for name, resource, more in (
        ("CPU", "limits.cpu", {}), ("MILLI", "requests.cpu", {"divisor": "1m"}), ("MEM", "limits.memory", {}),
        ("MIB", "limits.memory", {"divisor": "1Mi"}))]
    seen = variables(t.output("p", container("c", "env", env=env, resources={
        "requests": {"cpu": "100m"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}),
        labels={"tier": "front"}, annotations={"example.com/note": "a = b"}))
    made = t.pod("p")
    node = made["spec"]["nodeName"]
    for name, value in (("NAME", "p"), ("NS", t.namespace), ("UID_", made["metadata"]["uid"]), ("NODE", node),
                        ("HOST", t.cluster.node_ip(node)), ("SA", "default"), ("LABEL", "front"), ("NOTE", "a = b"),
                        ("IP", made["status"]["podIP"]), ("IPS", made["status"]["podIP"]), ("CPU", "2"), ("MILLI", "100"),
                        ("MEM", str(64 << 20)), ("MIB", "64")):
        expect_equal(seen.get(name), value, name)


@test
def config_maps_and_secrets_become_variables(t):
    t.create("ConfigMap", {"metadata": {"name": "cfg"}, "data": {"KEY": "from cfg", "OTHER": "o", "1bad": "x"}})
    t.create("Secret", {"metadata": {"name": "sec"}, "stringData": {"PASSWORD": "s3cret", "OTHER": "of secret"}})
    env = [{"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "KEY"}}},
           {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "PASSWORD"}}},
           {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
           {"name": "OTHER", "value": "of the pod"}]
    env_from = [{"configMapRef": {"name": "cfg"}}, {"prefix": "S_", "secretRef": {"name": "sec"}},
                {"configMapRef": {"name": "none", "optional": True}}]
    seen = variables(t.output("p", container("c", "env", env=env, envFrom=env_from)))
    expect_equal((seen["ONE"], seen["PASS"], seen["KEY"], seen["S_PASSWORD"], seen["S_OTHER"], seen["OTHER"]),
                 ("from cfg", "s3cret", "from cfg", "s3cret", "of secret", "of the pod"), "variables")
    expect("MAYBE" not in seen, seen)


@test
def services_become_variables_unless_the_pod_says_no(t):
    made = t.service("my-web", {"name": "http", "port": 80, "targetPort": 8080}, selector={"app": "none"})
    t.service("headless", 80, selector={"app": "none"}, clusterIP="None")
    ip = made["spec"]["clusterIP"]
    # the node learns of a new Service by its watch
    t.output("before", container("c", "sleep", "1"))
    seen = variables(t.output("p", container("c", "env")))
    for name, value in (("MY_WEB_SERVICE_HOST", ip), ("MY_WEB_SERVICE_PORT", "80"), ("MY_WEB_SERVICE_PORT_HTTP", "80"),
                        ("MY_WEB_PORT", f"tcp://{ip}:80"), ("MY_WEB_PORT_80_TCP", f"tcp://{ip}:80"),
                        ("MY_WEB_PORT_80_TCP_PROTO", "tcp"), ("MY_WEB_PORT_80_TCP_PORT", "80"), ("MY_WEB_PORT_80_TCP_ADDR", ip),
                        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443"),
                        ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.1")):
        expect_equal(seen.get(name), value, name)
    expect(not any(name.startswith("HEADLESS") for name in seen), seen)
    seen = variables(t.output("q", container("c", "env"), enableServiceLinks=False))
    expect("MY_WEB_SERVICE_HOST" not in seen and seen.get("KUBERNETES_SERVICE_HOST") == "10.96.0.1", seen)


@test
def an_empty_dir_is_shared_by_containers_and_survives_restarts(t):
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    mounts = [mount("disk", "/disk"), mount("ram", "/ram")]
    runs = "$(cat /disk/runs /ram/runs | sort | uniq -c | xargs)"
    t.run("p", container("writer", "sh", "-c", "echo $HOSTNAME >> /disk/runs; echo ram >> /ram/runs; sleep 1", volumeMounts=mounts),
          shell("reader", f"grep ' /ram ' /proc/mounts; until [ \"{runs}\" = '2 p 2 ram' ]; do sleep 0.2; done; echo both; forever",
                volumeMounts=mounts), volumes=volumes)
    wait_for("what two runs of the writer left", lambda: "both" in t.logs("p", "-c", "reader"), timeout=40)
    expect_match(t.logs("p", "-c", "reader"), r"^tmpfs /ram tmpfs .*size=1024k", "mount of the memory volume")
    text = t.output("mode", container("c", "sh", "-c", "stat -c '%a %u:%g' /disk; echo a > /disk/a && cat /disk/a",
                                      volumeMounts=[mount("disk", "/disk")]), volumes=volumes[:1],
                    securityContext={"runAsUser": 1000})
    expect_equal(text.splitlines(), ["777 0:0", "a"], "mode of an emptyDir")
    text = t.output("group", shell("c", "stat -c '%a %u:%g' /ram /below", volumeMounts=[mount("ram", "/ram"), mount("ram", "/below", subPath="a/b")]),
                    volumes=volumes[1:], securityContext={"fsGroup": 123})
    expect_equal(text.splitlines(), ["3777 0:123"] * 2, "mode of an emptyDir in memory and of a folder made for subPath")


@test
def a_host_path_is_the_nodes_own_folder(t):
    base = os.path.join(t.cluster.folder, "host-" + t.namespace)
    os.mkdir(base)
    t.cleanups.append(lambda: os.path.isdir(base) and __import__("shutil").rmtree(base))
    with open(base + "/file", "w", encoding="ascii") as f:
        f.write("of the host\n")
    volumes = [{"name": "dir", "hostPath": {"path": base, "type": "Directory"}},
               {"name": "file", "hostPath": {"path": base + "/file", "type": "File"}},
               {"name": "new", "hostPath": {"path": base + "/new", "type": "DirectoryOrCreate"}}]
    text = t.output("p", container("c", "sh", "-c", "cat /file; echo back > /dir/back; touch /new/n; touch /ro/x || echo read-only", volumeMounts=[
        mount("dir", "/dir"), mount("file", "/file"), mount("new", "/new"), mount("dir", "/ro", readOnly=True)]), volumes=volumes)
    expect_equal(text.splitlines()[0], "of the host", "file of the host")
    expect("read-only" in text, text)
    with open(base + "/back", encoding="ascii") as f:
        expect_equal(f.read(), "back\n", "what the pod wrote")
    expect(os.path.exists(base + "/new/n"), "DirectoryOrCreate made nothing")
    t.run("bad", container("c", "true", volumeMounts=[mount("x", "/x")]),
          volumes=[{"name": "x", "hostPath": {"path": base + "/file", "type": "Directory"}}])
    t.wait_event("bad", "FailedMount", "hostPath type check failed")


@test
def config_maps_secrets_and_fields_become_files(t):
    t.create("ConfigMap", {"metadata": {"name": "cfg"}, "data": {"a.conf": "A\n", "b.conf": "B\n"}, "binaryData": {"raw": "AAEC"}})
    t.create("Secret", {"metadata": {"name": "sec"}, "stringData": {"user": "admin", "pass": "s3cret"}})
    volumes = [{"name": "cfg", "configMap": {"name": "cfg"}},
               {"name": "item", "configMap": {"name": "cfg", "items": [{"key": "a.conf", "path": "sub/renamed", "mode": 0o400}]}},
               {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 0o440}},
               {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                                          {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}}]}},
               {"name": "all", "projected": {"sources": [{"configMap": {"name": "cfg", "items": [{"key": "b.conf", "path": "cfg/b"}]}},
                                                         {"secret": {"name": "sec", "items": [{"key": "user", "path": "sec/user"}]}},
                                                         {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
               {"name": "none", "configMap": {"name": "no-such", "optional": True}}]
    look = """cat /cfg/a.conf /cfg/b.conf; wc -c < /cfg/raw; cat /item/sub/renamed; ls -A /item
stat -L -c %a /item/sub/renamed /sec/pass /cfg/a.conf; cat /sec/pass; echo; cat /info/labels; echo; cat /info/cpu; echo
cat /all/cfg/b /all/sec/user; echo; cat /all/name; echo; ls /none | wc -l; cat /one; touch /cfg/x 2>&1 | grep -o 'Read-only file system'
grep -c '^tmpfs /sec ' /proc/mounts; readlink /cfg/a.conf"""
    text = t.output("p", container("c", "sh", "-c", look, resources={"limits": {"cpu": "250m"}}, volumeMounts=[
        *(mount(v["name"], "/" + v["name"]) for v in volumes), mount("cfg", "/one", subPath="a.conf")]),
        volumes=volumes, labels={"x": "1", "y": "two"})
    lines = text.splitlines()
    expect_equal(lines[:4], ["A", "B", "3", "A"], "config map")
    listed = [line for line in lines[4:] if line in ("sub", "..data") or line.startswith("..2")]
    expect("sub" in listed and "..data" in listed, f"layout of a volume: {lines[4:8]}")
    rest = [line for line in lines[4:] if line not in listed]
    expect_equal(rest, ["400", "440", "644", "s3cret", 'x="1"', 'y="two"', "250", "B", "admin", "p", "0", "A",
                        "Read-only file system", "1", "..data/a.conf"], "files")


@test
def every_pod_gets_a_token_that_the_api_server_takes(t):
    t.create("Role", {"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]})
    t.create("RoleBinding", {"metadata": {"name": "reader"}, "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": t.namespace}],
                             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}})
    look = r"""cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; stat -L -c %a token
ask() { (printf "GET $1 HTTP/1.0\r\nAuthorization: Bearer $(cat token)\r\n\r\n"; sleep 1) |
        openssl s_client -quiet -verify_return_error -CAfile ca.crt -connect $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT 2>&1; }
ask /api/v1/namespaces/$(cat namespace)/pods | grep -oE '^HTTP/1.. [0-9]+|"kind":"PodList"'
ask /api/v1/namespaces/kube-system/secrets | grep -oE '^HTTP/1.. [0-9]+'"""
    text = t.output("p", container("c", "sh", "-c", look, image="skiff-test/tls:1"), automountServiceAccountToken=True)
    lines = text.split()
    expect_equal(lines[0], t.namespace, "namespace file")
    expect_equal(lines[1], "644", "mode of the token")
    expect_match(text, r'HTTP/1\.\d 200\n"kind":"PodList"', "what the token may")
    expect_match(text, r"HTTP/1\.\d 403", "what it may not")
    made = t.pod("p")["spec"]["volumes"]
    expect(any(v["name"].startswith("kube-api-access-") for v in made), made)


@test
def a_token_belongs_to_its_user_when_the_pod_runs_as_one(t):
    text = t.output("p", container("c", "sh", "-c", "stat -L -c '%a %u %g' /var/run/secrets/kubernetes.io/serviceaccount/token; cat /var/run/secrets/kubernetes.io/serviceaccount/token | wc -c"),
                    automountServiceAccountToken=True, securityContext={"runAsUser": 1000, "fsGroup": 2000})
    expect_match(text, r"^6[04]0 \S+ 2000\n[1-9]\d\d", "token of a pod with fsGroup")


@test
def a_projected_token_has_its_own_audience_and_life(t):
    import base64
    import json
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}}]}}]
    token = t.output("p", container("c", "cat", "/t/vault", volumeMounts=[mount("t", "/t")]), volumes=volumes).strip()
    claims = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    expect_equal(claims["aud"], ["vault"], "audience")
    expect(590 <= claims["exp"] - claims["iat"] <= 610, claims)
    expect_equal(claims["kubernetes.io"]["pod"]["name"], "p", "pod of the token")


@test
def a_changed_config_map_reaches_the_running_pod(t):
    t.create("ConfigMap", {"metadata": {"name": "cfg"}, "data": {"key": "old"}})
    t.run("p", shell("c", "while :; do cat /cfg/key; echo; sleep 1; done", volumeMounts=[mount("cfg", "/cfg")]),
          volumes=[{"name": "cfg", "configMap": {"name": "cfg"}}])
    t.wait_ready("p")
    t.patch("ConfigMap", "cfg", {"data": {"key": "new"}})
    wait_for("the new value inside", lambda: t.logs("p", "--tail=1").strip() == "new", timeout=150, every=2)


@test
def every_pod_finds_hosts_resolv_conf_and_its_name(t):
    text = t.output("p", container("c", "sh", "-c", "hostname; cat /etc/hosts /etc/resolv.conf"), hostname="renamed", subdomain="sub",
                    hostAliases=[{"ip": "10.9.8.7", "hostnames": ["alias.example"]}])
    expect_match(text, r"^renamed\n", "host name")
    ip = t.pod("p")["status"]["podIP"]
    expect_match(text, rf"{ip}\trenamed\.sub\.{t.namespace}\.svc\.cluster\.local\trenamed", "/etc/hosts")
    expect_match(text, r"10\.9\.8\.7\talias\.example", "host aliases")
    expect_match(text, rf"search {t.namespace}\.svc\.cluster\.local svc\.cluster\.local cluster\.local", "resolv.conf")
    expect_match(text, r"nameserver 10\.96\.0\.10\n", "resolv.conf")
    expect_match(text, r"options ndots:5", "resolv.conf")
    text = t.output("q", container("c", "cat", "/etc/resolv.conf"), dnsPolicy="None", dnsConfig={
        "nameservers": ["10.1.2.3"], "searches": ["a.example"], "options": [{"name": "ndots", "value": "2"}]})
    expect_equal(text.splitlines(), ["search a.example", "nameserver 10.1.2.3", "options ndots:2"], "dnsPolicy None")


if __name__ == "__main__":
    script()
