# A node of the peers: containerd, runc, upstream's kubelet and kube-proxy, in the namespaces that a
# Skiff node would have. `NODE=upstream up DIR` makes such nodes: what the tests themselves are tried
# against, and what benchmarks compare with. Sourced after node.sh, whose start functions it replaces.
# Needs the packages containerd, runc and containernetworking-plugins.
# shellcheck shell=bash

upstream_cgroups() { # NAME: kubelet wants its root in every hierarchy
        local hierarchy group file
        for hierarchy in /sys/fs/cgroup/*/; do
                group=${hierarchy%/}$CGROUP
                mkdir -p "$group/$1" 2>/dev/null || continue
                for file in cpuset.cpus cpuset.mems; do
                        if [ -e "$group/$file" ]; then
                                cat "$hierarchy$file" >"$group/$file"
                                cat "$hierarchy$file" >"$group/$1/$file"
                        fi
                done
        done
}

upstream_configure() { # NAME
        local here=$DIR/nodes/$1
        mkdir -p "$here"/{containerd,cni,certs.d/_default}
        printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' "$REGISTRY" "$REGISTRY" >"$here/certs.d/_default/hosts.toml"
        cat >"$here/containerd.toml" <<TOML
version = 2
root = "$here/containerd/root"
state = "$here/containerd/state"
[grpc]
  address = "$here/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$here/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/skiff-test/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$here/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$here/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "$here/containerd/runc"
TOML
        cat >>"$here/config.yaml" <<YAML
failCgroupV1: false
containerRuntimeEndpoint: unix://$here/containerd.sock
podLogsDir: $here/log/pods
volumePluginDir: $here/plugins
YAML
}

upstream_network() { # NAME: once the node has its podCIDR
        local here=$DIR/nodes/$1 cidr=
        wait_for 60 pod_cidr "$1" || die "$1 got no podCIDR: $(tail -n 3 "$here/log/skiffd.log")"
        cidr=$(pod_cidr "$1")
        cat >"$here/cni/10-bridge.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$cidr"}]], "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "$here/containerd/ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
JSON
}
pod_cidr() { kubectl get node "$1" -o jsonpath='{.spec.podCIDR}' | grep .; }

start_containerd() {
        part_start_within "$1/containerd" $(in_node "$1") containerd -c "$DIR/nodes/$1/containerd.toml"
        wait_for 10 test -S "$DIR/nodes/$1/containerd.sock" || die "$1: containerd does not listen"
}

start_skiffd() {
        local here=$DIR/nodes/$1
        part_pid "$1/containerd" >/dev/null || {
                upstream_cgroups "$1"
                upstream_configure "$1"
                # paths that are fixed in these programs are the node's own
                $(in_node "$1") sh -c 'mount -t tmpfs tmpfs /var/log; mkdir -p /run/containerd /var/log/containers; mount -t tmpfs tmpfs /run/containerd'
                start_containerd "$1"
        }
        part_start_within "$1/skiffd" $(in_node "$1") "$KUBE_BIN/peers" kubelet --config "$here/config.yaml" \
                --kubeconfig "$here/kubeconfig" --root-dir "$here/root" --hostname-override "$1" \
                --node-ip "$(node_ip "$1")"
        [ -e "$here/cni/10-bridge.conflist" ] || upstream_network "$1"
}

start_skiff_netproxy() {
        part_start_within "$1/skiff-netproxy" $(in_node "$1") "$KUBE_BIN/peers" kube-proxy --config "$DIR/nodes/$1/proxy-config.yaml"
}

# kube-proxy and the bridge plugin know nothing of the other nodes' pods
net_route_pods() {
        local from name cidr
        kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR}{"\n"}{end}' |
                while read -r name cidr; do
                        ip -n "$HUB" route replace "$cidr" via "$(node_ip "$name")"
                        for from in $(node_names); do
                                [ "$from" = "$name" ] || ip -n "$(node_netns "$from")" route replace "$cidr" via "$(node_ip "$name")"
                        done
                done
}
