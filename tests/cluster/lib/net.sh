# The cluster's network: one namespace (the hub) with a bridge, the control plane and the registry; a
# namespace per node; a link from the machine's first namespace, so that a plain shell reaches the
# API server and the registry. Sourced after common.sh.
# shellcheck shell=bash

# subnet_is_free A.B.C: nothing of this machine routes into A.B.C.0/24
subnet_is_free() {
        [ -z "$(ip -4 route show table all to root "$1.0/24")" ] &&
                ! ip -4 route show table all to match "$1.1" | grep -qvE '^(default|0\.0\.0\.0)'
}

# net_choose_subnet: prints a free A.B.C in 10.200.0.0 to 10.239.255.0, the same for the same id when it can
net_choose_subnet() {
        local first=$((16#$ID % 10240)) i n
        for ((i = 0; i < 10240; i++)); do
                n=$(((first + i) % 10240))
                if subnet_is_free "10.$((200 + n / 256)).$((n % 256))"; then
                        echo "10.$((200 + n / 256)).$((n % 256))"
                        return
                fi
        done
        die "no free network in 10.200.0.0 to 10.239.255.0"
}

net_hub_up() {
        ip netns add "$HUB"
        ip -n "$HUB" link set lo up
        ip -n "$HUB" link add br0 type bridge
        ip -n "$HUB" link set br0 up
        ip -n "$HUB" addr add "$HUB_IP/24" dev br0
        ip link add "$HOST_LINK" type veth peer name host netns "$HUB"
        ip -n "$HUB" link set host master br0 up
        ip addr add "$HOST_IP/24" dev "$HOST_LINK"
        ip link set "$HOST_LINK" up
        # one port of kernel's bridge learns for 15 s by the book; there is no loop here
        ip -n "$HUB" link set br0 type bridge forward_delay 0 stp_state 0
}

net_node_up() { # NAME
        local ns
        ns=$(node_netns "$1")
        ip netns add "$ns"
        ip -n "$ns" link set lo up
        ip -n "$HUB" link add "$1" type veth peer name eth0 netns "$ns"
        ip -n "$HUB" link set "$1" master br0 up
        ip -n "$ns" addr add "$(node_ip "$1")/24" dev eth0
        ip -n "$ns" link set eth0 up
        ip -n "$ns" route add default via "$HUB_IP"
        # what an administrator sets on a node
        nsenter --net="/run/netns/$ns" sysctl -qw net.ipv4.ip_forward=1
}

# net_route_pods: the API server reaches pods (webhooks, proxies): the hub has no skiff-netproxy
net_route_pods() {
        kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR}{"\n"}{end}' |
                while read -r name cidr; do
                        [ -z "$cidr" ] || ip -n "$HUB" route replace "$cidr" via "$(node_ip "$name")"
                done
}

net_down() {
        local ns
        ip link delete "$HOST_LINK" 2>/dev/null || true
        for ns in /run/netns/"$HUB" /run/netns/"$HUB"-*; do
                [ ! -e "$ns" ] || ip netns delete "${ns##*/}"
        done
        # ip mounts the folder on itself with the first name in it, and leaves that behind
        [ -n "$(ls -A /run/netns 2>/dev/null)" ] || ! mountpoint -q /run/netns || umount /run/netns || true
}
