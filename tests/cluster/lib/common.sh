# What every script of tests/cluster shares: where things are, what they are called, how a part of
# the cluster is started. Sourced.
# shellcheck shell=bash disable=SC2034

KUBE=${KUBE:-v1.36.3}
CACHE=${SKIFF_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/skiff}
CLUSTER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOP=$(cd "$CLUSTER_HOME/../.." && pwd)
SKIFF_BUILD=${SKIFF_BUILD:-$TOP/build}

POD_CIDR=10.244.0.0/16
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_SERVICE_IP=10.96.0.10

say() { printf '%s\n' "$*" >&2; }
die() {
        say "${0##*/}: $*"
        exit 1
}

# cluster_open DIR: names of the cluster that lives in DIR. All of them come from the path alone, so
# that `down` finds everything after an `up` that broke off anywhere.
cluster_open() {
        DIR=$(realpath -m -- "$1")
        ID=$(printf %s "$DIR" | sha256sum | cut -c1-6)
        MARK=$DIR/.skiff-cluster    # a folder without it is not ours to remove
        CONTROL=$DIR/control        # control plane: pki, log, data
        HUB=skiff-$ID               # its network namespace, with the bridge and the registry
        HOST_LINK=skiff$ID          # our end of the link to it, in the first network namespace
        CGROUP=/skiff-$ID           # of all nodes
        [ ! -f "$MARK" ] || . "$MARK" # SUBNET, KUBE_BIN
        HUB_IP=${SUBNET:-}.1
        HOST_IP=${SUBNET:-}.254
        API=https://$HUB_IP:6443
        REGISTRY=$HUB_IP:5001
}

node_number() { echo "${1#node-}"; }
node_netns() { echo "$HUB-$(node_number "$1")"; }
node_ip() { echo "$SUBNET.$((10 + $(node_number "$1")))"; }
node_names() { (cd "$DIR/nodes" 2>/dev/null && ls -d node-* 2>/dev/null) || true; }

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
        local deadline=$(($(date +%s) + $1))
        shift
        until "$@" >/dev/null 2>&1; do
                [ "$(date +%s)" -lt $deadline ] || return 1
                sleep 0.1
        done
}

kubectl() { "$DIR/bin/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }
