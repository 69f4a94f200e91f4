# One Skiff node of a cluster: its namespaces, its configuration, skiffd and skiff-netproxy.
# Sourced after the others.
# shellcheck shell=bash

in_node() { # NAME
        local init
        init=$(part_pid "$1/init") || die "$1 is not up"
        echo nsenter --target "$init" --mount --uts --ipc --net --pid --
}

node_init() { # NAME
        local here=$DIR/nodes/$1
        rm -f "$here/.up"
        part_start_within "$1/init" nsenter --net="/run/netns/$(node_netns "$1")" -- \
                unshare --mount --propagation private --uts --ipc --pid --fork --kill-child -- \
                "$CLUSTER_HOME/lib/node-init" "$DIR" "$1"
        wait_for 10 test -e "$here/.up" || die "$1 did not come up: $(tail -n 3 "$here/log/init.log")"
}

# Where cgroup v2 is mounted: the whole hierarchy, or its unified part beside v1 controllers.
cgroup2_mount() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

# node_cgroup: a cgroup per node, with whatever controllers this machine has for it
node_cgroup() { # NAME
        local root group controllers
        root=$(cgroup2_mount)
        mkdir -p "$root$CGROUP/$1"
        for group in "$root" "$root$CGROUP"; do
                read -ra controllers <"$group/cgroup.controllers" || true
                for controller in "${controllers[@]}"; do
                        echo "+$controller" >"$group/cgroup.subtree_control" 2>/dev/null || true
                done
        done
}

node_configure() { # NAME
        local here=$DIR/nodes/$1
        mkdir -p "$here"/{run,root,state,manifests,log/pods,log/containers}
        (cd "$CONTROL/pki" && umask 077 && pki_issue "$1" "/O=system:nodes/CN=system:node:$1")
        kubeconfig_files "$1" "$here/kubeconfig"
        kubeconfig_inline proxy "$here/proxy.kubeconfig"
        echo "nameserver $DNS_SERVICE_IP" >"$here/resolv.conf"
        cat >"$here/config.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $CONTROL/pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP/$1
clusterDNS: [$DNS_SERVICE_IP]
clusterDomain: cluster.local
failSwapOn: false
oomScoreAdj: 0
resolvConf: $here/resolv.conf
staticPodPath: $here/manifests
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
${KUBELET_CONFIG:-}
YAML
        cat >"$here/proxy-config.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $here/proxy.kubeconfig}
clusterCIDR: $POD_CIDR
hostnameOverride: $1
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
        # k3s's format: every registry that a manifest may name is the cluster's own
        {
                echo "mirrors:"
                for registry in docker.io registry.k8s.io quay.io ghcr.io gcr.io "$REGISTRY"; do
                        printf '  "%s": {endpoint: ["http://%s"]}\n' "$registry" "$REGISTRY"
                done
                # one that test-pull-secrets starts, and that knows who asks
                printf '  "%s": {endpoint: ["http://%s"]}\n' "$HUB_IP:5002" "$HUB_IP:5002"
        } >"$here/registries.yaml"
}

find_program() { # NAME: in the build folder
        local found
        found=$(find "$SKIFF_BUILD" -maxdepth 2 -name "$1" -type f -perm /u+x -print -quit)
        [ -n "$found" ] || die "no $1 in $SKIFF_BUILD: run make"
        echo "$found"
}

start_skiffd() { # NODE
        local here=$DIR/nodes/$1
        part_start_within "$1/skiffd" $(in_node "$1") "$(find_program skiffd)" \
                --config "$here/config.yaml" --kubeconfig "$here/kubeconfig" \
                --bootstrap-kubeconfig "$here/bootstrap-kubeconfig" \
                --hostname-override "$1" --node-ip "$(node_ip "$1")" \
                --root-dir "$here/root" --run-dir "$here/run" --state-dir "$here/state" \
                --pod-log-dir "$here/log/pods" --container-log-dir "$here/log/containers" \
                --libexec-dir "$(dirname "$(find_program skiff-shim)")" --registries "$here/registries.yaml" --log-level info
}

start_skiff_netproxy() { # NODE
        local here=$DIR/nodes/$1
        part_start_within "$1/skiff-netproxy" $(in_node "$1") "$(find_program skiff-netproxy)" \
                --config "$here/proxy-config.yaml" --hostname-override "$1" --run-dir "$here/run" --log-level info
}

node_up() { # NAME: all but its readiness
        mkdir -p "$DIR/nodes/$1/log"
        net_node_up "$1"
        node_cgroup "$1"
        node_configure "$1"
        node_init "$1"
        start_skiffd "$1"
        start_skiff_netproxy "$1"
}

nodes_wait() { # NAME...
        kubectl wait --for=create --timeout=60s "${@/#/node/}" >/dev/null 2>&1 &&
                kubectl wait --for=condition=Ready --timeout=60s "${@/#/node/}" >/dev/null
}
