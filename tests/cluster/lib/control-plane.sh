# etcd, API server, controller manager, scheduler and registry of a cluster, in the hub's namespace.
# Each function starts one part; `service` calls them again after a stop. Sourced after the others.
# shellcheck shell=bash

in_hub() { echo nsenter --net="/run/netns/$HUB" --; }

start_etcd() {
        part_start etcd $(in_hub) "$KUBE_BIN/controlplane" etcd \
                --data-dir "$CONTROL/etcd" --unsafe-no-fsync --quota-backend-bytes 4294967296 \
                --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
                --listen-peer-urls http://127.0.0.1:2380 --log-level warn
}

# The hub runs no service proxy: aggregated APIs and webhooks are reached at their endpoints.
start_kube_apiserver() {
        local pki=$CONTROL/pki
        part_start kube-apiserver $(in_hub) "$KUBE_BIN/controlplane" kube-apiserver \
                --etcd-servers http://127.0.0.1:2379 \
                --bind-address 0.0.0.0 --secure-port 6443 --advertise-address "$HUB_IP" \
                --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
                --client-ca-file "$pki/ca.crt" --enable-bootstrap-token-auth \
                --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
                --allow-privileged --service-cluster-ip-range "$SERVICE_CIDR" --enable-aggregator-routing \
                --service-account-issuer https://kubernetes.default.svc.cluster.local \
                --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
                --kubelet-client-certificate "$pki/kubelet-client.crt" \
                --kubelet-client-key "$pki/kubelet-client.key" \
                --kubelet-preferred-address-types InternalIP \
                --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
                --requestheader-allowed-names front-proxy-client \
                --requestheader-extra-headers-prefix X-Remote-Extra- \
                --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
                --proxy-client-cert-file "$pki/front-proxy-client.crt" \
                --proxy-client-key-file "$pki/front-proxy-client.key"
}

api_is_ready() {
        [ "$(curl -s --max-time 2 --cacert "$CONTROL/pki/ca.crt" --cert "$CONTROL/pki/admin.crt" \
                --key "$CONTROL/pki/admin.key" "$API/readyz")" = ok ]
}

start_kube_controller_manager() {
        part_start kube-controller-manager $(in_hub) "$KUBE_BIN/controlplane" kube-controller-manager \
                --kubeconfig "$CONTROL/controller-manager.kubeconfig" --leader-elect=false \
                --controllers '*,bootstrapsigner,tokencleaner' --use-service-account-credentials \
                --service-account-private-key-file "$CONTROL/pki/sa.key" --root-ca-file "$CONTROL/pki/ca.crt" \
                --cluster-signing-cert-file "$CONTROL/pki/ca.crt" --cluster-signing-key-file "$CONTROL/pki/ca.key" \
                --allocate-node-cidrs --cluster-cidr "$POD_CIDR" --service-cluster-ip-range "$SERVICE_CIDR"
}

start_kube_scheduler() {
        part_start kube-scheduler $(in_hub) "$KUBE_BIN/controlplane" kube-scheduler \
                --kubeconfig "$CONTROL/scheduler.kubeconfig" --leader-elect=false
}

start_registry() {
        cat >"$CONTROL/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $CONTROL/registry}, delete: {enabled: true}}
http: {addr: $REGISTRY}
YAML
        part_start registry $(in_hub) docker-registry serve "$CONTROL/registry.yml"
}

registry_is_ready() { curl -sf --max-time 2 "http://$REGISTRY/v2/" -o /dev/null; }

control_plane_up() {
        mkdir -p "$CONTROL"/{log,pid,etcd,registry}
        start_registry
        start_etcd
        pki_up
        start_kube_apiserver
        kubeconfig_inline admin "$DIR/kubeconfig"
        kubeconfig_inline controller-manager "$CONTROL/controller-manager.kubeconfig"
        kubeconfig_inline scheduler "$CONTROL/scheduler.kubeconfig"
        wait_for 60 api_is_ready || die "kube-apiserver is not ready: $(tail -n 5 "$CONTROL/log/kube-apiserver.log")"
        start_kube_controller_manager
        start_kube_scheduler
        wait_for 10 registry_is_ready || die "docker-registry does not answer: $(tail -n 5 "$CONTROL/log/registry.log")"
        echo "$REGISTRY" >"$DIR/registry"
}
