# The commands people type. Meson builds; the scripts named here do the rest.
#
#   make            build into build/
#   make run        a node by itself on the example manifests; Ctrl-C stops it, its pods stay
#   make stop       takes that node and its pods away
#   make test       every tier of tests; sets up what it needs (root)
#   make cluster    a whole Kubernetes cluster on this machine: NODES=2 KUBE=v1.36.3 DIR=/tmp/skiff
#   make conformance  Kubernetes' own suite against such a cluster: FOCUS='\[sig-node\].*' SKIP=... NODES=2;
#                   FOCUS=@tests/conformance/subset is something of every group
#   make bench      figures beside crun, runc and a null node; decides nothing
#   make install    everything into place under PREFIX and DESTDIR
#   make clean      removes build folders

BUILD  ?= build
PREFIX ?= /usr
NODES  ?= 2
KUBE   ?= v1.36.3
DIR    ?= /tmp/skiff-cluster
export KUBE
export SKIFF_BUILD = $(abspath $(BUILD))

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

# what a node by itself needs: half the time of everything
programs: $(BUILD)/build.ninja
	@ninja -C $(BUILD) kubelet/skiffd runtime/skiff-shim runtime/skiff-image cli/skiff

$(BUILD)/build.ninja:
	@tools/setup build
	meson setup $(BUILD) --prefix $(PREFIX)

run:
	@tools/setup build run
	@$(MAKE) --no-print-directory programs
	@tools/standalone run

stop:
	@tools/standalone stop

test: all
	@tools/setup run test
	@tools/test $(BUILD)

unit: all
	@tools/test $(BUILD) unit

cluster: all
	@tools/setup run test
	tests/cluster/up $(DIR) $(NODES)

conformance: all
	@tools/setup run test
	tests/conformance/run --nodes $(NODES) $(if $(FOCUS),'$(FOCUS)','\[Conformance\]') '$(SKIP)'

bench: all
	@tools/setup run test
	tests/bench/run

lint:
	@tools/setup build test
	tools/lint

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-ci-*

.PHONY: all programs run stop test unit cluster conformance bench lint install clean
