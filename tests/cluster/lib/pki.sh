# Certificates and kubeconfigs of a cluster. Sourced after common.sh; works in $CONTROL/pki.
# shellcheck shell=bash

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

pki_ca() { # NAME
        openssl req -x509 "${new_key[@]}" -keyout "$1.key" -out "$1.crt" -days 3650 -subj "/CN=$1" 2>/dev/null
}

pki_issue() { # NAME SUBJECT [CA]
        openssl req "${new_key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
        openssl x509 -req -in "$1.csr" -CA "${3:-ca}.crt" -CAkey "${3:-ca}.key" -set_serial "0x$(openssl rand -hex 8)" \
                -days 3650 -extfile extensions -out "$1.crt" 2>/dev/null
        rm "$1.csr"
}

pki_up() {
        mkdir -p "$CONTROL/pki"
        (
                cd "$CONTROL/pki" || exit
                umask 077
                printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' \
                        "IP:127.0.0.1,IP:$HUB_IP,IP:$API_SERVICE_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local" >extensions
                pki_ca ca
                pki_ca front-proxy-ca
                openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sa.key 2>/dev/null ||
                        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sa.key 2>/dev/null
                openssl pkey -in sa.key -pubout -out sa.pub
                pki_issue apiserver /CN=kube-apiserver
                pki_issue kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
                pki_issue front-proxy-client /CN=front-proxy-client front-proxy-ca
                pki_issue admin /O=system:masters/CN=kubernetes-admin
                pki_issue controller-manager /CN=system:kube-controller-manager
                pki_issue scheduler /CN=system:kube-scheduler
                pki_issue proxy /CN=system:kube-proxy
        )
}

# kubeconfig_inline NAME FILE: everything in the one file, good from anywhere
kubeconfig_inline() {
        kubeconfig_write "$2" \
                "certificate-authority-data: $(base64 -w0 "$CONTROL/pki/ca.crt")" \
                "client-certificate-data: $(base64 -w0 "$CONTROL/pki/$1.crt")" \
                "client-key-data: $(base64 -w0 "$CONTROL/pki/$1.key")"
}

# kubeconfig_files NAME FILE: the same by paths, as kubeadm leaves it on a node
kubeconfig_files() {
        kubeconfig_write "$2" "certificate-authority: $CONTROL/pki/ca.crt" \
                "client-certificate: $CONTROL/pki/$1.crt" "client-key: $CONTROL/pki/$1.key"
}

kubeconfig_write() { # FILE CA CERTIFICATE KEY
        (
                umask 077
                cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: skiff
  cluster:
    server: $API
    $2
users:
- name: user
  user:
    $3
    $4
contexts:
- name: skiff
  context: {cluster: skiff, user: user}
current-context: skiff
YAML
        )
}
