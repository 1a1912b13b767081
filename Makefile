# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0

GO        ?= go
FUZZTIME  ?= 30s
FLOWS     ?= 200
BENCH     ?= .
PKG       ?= ./...
PLATFORMS ?= linux/amd64,linux/arm64

# One version for binary, image and chart. The chart says which; a build from a
# checkout adds the commit.
BASE       := $(shell sed -n 's/^appVersion: *//p' deploy/chart/Chart.yaml)
VERSION    ?= $(BASE)-dev+$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
REPOSITORY ?= localhost/fairlead
SOURCE     ?=
REVISION    = -revision '$(shell git rev-parse HEAD 2>/dev/null)' -source '$(SOURCE)'
LDFLAGS   := -X k8s.io/component-base/version.gitVersion=$(VERSION)

# What bench measures against says that it is what it is.
KUBELDFLAGS := -X k8s.io/component-base/version.gitVersion=v1.36.3

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static binaries bin/fairlead and bin/fairlead-lab
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/fairlead ./cmd/fairlead-lab

.PHONY: demo
demo: deps build ## Build a cluster in namespaces and watch fairlead serve it (about 25 s)
	@bin/fairlead-lab --demo

# A seed is a schedule of events. The output of a failure names it.
SEED       ?= $(shell date +%s)
CHAOSFLAGS ?=
CHAOS       = bin/fairlead-lab --chaos --nodes 2 --seed $(SEED) --duration $(DURATION)

.PHONY: chaos
chaos: DURATION ?= 60s
chaos: deps build ## Disturb a cluster under load for DURATION=60s, as SEED= says
	$(CHAOS) $(CHAOSFLAGS)

.PHONY: crash
crash: DURATION ?= 11m
crash: deps build ## Kill agents 1,000 times under load, in DURATION=11m
	$(CHAOS) --gap 150ms --events kill=40,endpoints=30,service=5 $(CHAOSFLAGS)

.PHONY: load
load: DURATION ?= 10m
load: RATE ?= 1000
load: ## Make RATE=1000 endpoint changes a second at 10,000 Services for DURATION=10m
	FAIRLEAD_LOAD=$(DURATION) FAIRLEAD_RATE=$(RATE) $(GO) test ./cmd/fairlead -run '^$$' -bench 'BenchmarkLoad$$' -benchtime 1x -timeout 2h

.PHONY: e2e
e2e: deps-e2e build controlplane flanneld ## Test agents against a real control plane (first build: 5 min)
	cd bench && CGO_ENABLED=0 $(GO) vet ./...
	cd deploy/tools && $(GO) run ./template -version '$(VERSION)' -values ../../bench/e2e/testdata/secure.yaml >../../bin/secure.yaml
	cd bench && CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m $$($(GO) list ./... | grep -v /kubelet$$) # has a target of its own

BENCHFLAGS ?=

.PHONY: bench
bench: deps-e2e build controlplane flanneld benchtool ## Measure beside kube-proxy and flannel, as root: a quarter of an hour, report in bin/report
	bin/bench -bin bin -out bin/report -size short -budget 13m30s $(BENCHFLAGS)

.PHONY: bench-full
bench-full: deps-e2e build controlplane flanneld benchtool ## The same with all sizes, some hours; BENCHFLAGS='-parts latency' does a part
	bin/bench -bin bin -out bin/report-full -size full $(BENCHFLAGS)

REPORT ?= bin/report

.PHONY: bench-publish
bench-publish: benchtool ## Put the report of REPORT=bin/report into docs/performance.md and its plots into docs/pictures
	bin/bench -out $(REPORT) -publish docs

.PHONY: benchtool
benchtool:
	cd bench && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o ../bin/bench ./cmd/bench

.PHONY: controlplane
controlplane: # etcd, kube-apiserver, kube-controller-manager and kube-proxy
	cd bench && CGO_ENABLED=0 $(GO) build -ldflags '-s -w $(KUBELDFLAGS)' -o ../bin/controlplane ./cmd/controlplane

# The API server that is the newest, and the two before it; go.mod of each fixes which.
SKEW := v1.37 v1.36 v1.35

.PHONY: skew
skew: ## Apply the chart to real API servers of three versions (first build: 15 min)
	@for v in $(SKEW); do \
		echo "building the API server of $$v"; mkdir -p bin/skew/$$v; \
		full=$$(cd bench/skew/$$v && $(GO) list -m -f '{{.Version}}' k8s.io/kubernetes) || exit 1; \
		(cd bench/skew/$$v && CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$full" -o ../../../bin/skew/$$v/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver && \
			CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../../bin/skew/$$v/etcd go.etcd.io/etcd/server/v3) || exit 1; \
	done
	cd deploy/tools && FAIRLEAD_APISERVERS=$$(for v in $(SKEW); do printf '%s,' $(abspath bin/skew)/$$v; done | sed 's/,$$//') $(GO) test ./apiserver -count=1 -v -run TestServers

# The node's programs for tests with real pods. containerd leaves out snapshotters that
# need C or a kernel module.
.PHONY: kubelet
kubelet: deps-kubelet controlplane image ## Install the chart on real kubelets and use it (first build: 10 min)
	cd bench && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(KUBELDFLAGS)' -o ../bin/node ./cmd/node
	cd bench/containerd && CGO_ENABLED=0 $(GO) build -trimpath -tags 'no_btrfs no_zfs no_devmapper' \
		-ldflags '-s -w -X github.com/containerd/containerd/v2/version.Version=v2.2.9' -o ../../bin/containerd/ tool
	cd bench/helm && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../bin/ tool
	cd deploy/tools && $(GO) run ./template -version '$(VERSION)' -values ../../bench/kubelet/testdata/values.yaml >../../bin/kubelet.yaml
	cd deploy/tools && $(GO) run ./template -tests -version '$(VERSION)' -values ../../bench/kubelet/testdata/values.yaml >../../bin/kubelet-tests.yaml
	cd bench && CGO_ENABLED=0 $(GO) test ./kubelet -count=1 -timeout 25m -v

.PHONY: flanneld
flanneld: # the real one, whose backend udp needs a C compiler
	cd bench/flannel && CGO_ENABLED=1 $(GO) build -ldflags '-s -w' -o ../../bin/flanneld github.com/flannel-io/flannel

.PHONY: test
test: deps fmt ## Check format, run go vet and all tests, those on the real kernel too
	$(GO) vet $(PKG)
	$(GO) test -timeout 30m $(PKG)

.PHONY: fmt
fmt: # part of test and check
	@bad=$$(gofmt -l .); test -z "$$bad" || { echo "not gofmt'ed: $$bad"; exit 1; }

.PHONY: check
check: deps-check fmt ## Check format, go.mod, lint, the chart, its manifests and the image
	$(GO) mod tidy -diff
	$(GO) vet ./...
	cd bench && $(GO) mod tidy -diff
	cd deploy/tools && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) test -count=1 ./... # they build the program, which the cache of results does not know
	cd internal/tools/vuln && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) test ./...
	@$(MAKE) --no-print-directory lint

# golangci-lint is a tool of a module of its own, whose 500 dependencies are not ours.
bin/golangci-lint: internal/tools/lint/go.mod internal/tools/lint/go.sum
	cd internal/tools/lint && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../../bin/golangci-lint \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: lint
lint: bin/golangci-lint ## Run golangci-lint (first build: 2 min)
	bin/golangci-lint config verify
	bin/golangci-lint run ./...
	cd bench && ../bin/golangci-lint run --config ../.golangci.yml ./...
	cd deploy/tools && ../../bin/golangci-lint run --config ../../.golangci.yml ./...
	cd internal/tools/vuln && ../../../bin/golangci-lint run --config ../../../.golangci.yml ./...

.PHONY: vuln
vuln: ## Run govulncheck with the newest reports, which come through the Go module proxy
	cd internal/tools/vuln && $(GO) run . -out ../../../bin/vulndb
	cd internal/tools/vuln && $(GO) build -o ../../../bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	bin/govulncheck -db file://$(abspath bin/vulndb) ./...

.PHONY: cover
cover: deps ## Run all tests and write the coverage to bin/cover.html and bin/cover.txt
	@mkdir -p bin
	$(GO) test -count=1 -coverpkg=./... -coverprofile=bin/cover.out $(PKG)
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	@internal/tools/coverage.sh bin/cover.out >bin/cover.txt; cat bin/cover.txt

.PHONY: race
race: deps-e2e ## Run all tests under the race detector, and write their coverage to bin/coverage
	ONLY_RACES=$(ONLY_RACES) SHORT=$(SHORT) BUDGET=$(BUDGET) internal/tools/race.sh $(PKG)

# Busy loops of their own keep both cores of a machine like CI's occupied.
.PHONY: flows
flows: deps ## Run the test of late UDP replies FLOWS=200 times under load
	@mkdir -p bin && $(GO) test -c -o bin/proxier.test ./proxier
	@for i in 1 2 3 4; do timeout 1800 sh -c 'while :; do :; done' & loops="$$loops $$!"; done; \
	cd proxier && ../bin/proxier.test -test.run 'TestPacketFlowsBefore$$' -test.count $(FLOWS) -test.timeout 30m; status=$$?; \
	kill $$loops; exit $$status

KERNELS  ?= 6.1 6.12
KERNELPKG ?= ./nat/kernel ./nat ./overlay/keeper ./conntrack ./proxier ./cmd/fairlead:TestClock

.PHONY: kernels
kernels: deps ## Run tests on Debian's kernels KERNELS="6.1 6.12", emulated (an hour each)
	@KERNELS="$(KERNELS)" sh internal/tools/deps.sh kernels
	internal/tools/kernels.sh $(KERNELS) -- $(KERNELPKG)

.PHONY: nftversions
nftversions: deps ## Have the nft of other Debian releases list and read our table
	internal/tools/nftversions.sh

.PHONY: golden
golden: ## Rewrite expected output of script tests and tables of docs, and show what changed
	$(GO) test ./proxier -run Script -update
	$(GO) test ./cmd/fairlead/page -run Golden -update
	$(GO) test ./cmd/fairlead/options -run ConfigurationPage -update
	$(GO) test ./cmd/fairlead -run 'CommandsPage|Broken|PageOutputs' -update
	git diff --stat

.PHONY: counts
counts: ## Rewrite what actions cost, in counts, and show what changed; tests compare with it
	$(GO) test ./proxier ./proxier/source ./overlay/keeper -count=1 -run 'TestCounts$$' -update-counts
	git diff --stat

.PHONY: manifests
manifests: ## Rewrite deploy/kustomize, which comes from deploy/chart
	cd deploy/tools && $(GO) run ./manifests

.PHONY: image
image: ## Write the image for PLATFORMS to bin/fairlead.tar, an OCI archive
	cd deploy/tools && $(GO) run ./image -version '$(VERSION)' -name '$(REPOSITORY)' -platforms $(PLATFORMS) $(REVISION)

.PHONY: site
site: ## Write docs/ as a site to bin/site, with Hugo, and check its links
	@sh internal/tools/deps.sh check
	cd deploy/site && hugo --quiet --minify -d ../../bin/site
	cd deploy/tools && $(GO) test -count=1 ./site

.PHONY: screenshots
screenshots: deps ## Take the screenshots of docs/status-page.md in the lab, with Chromium
	$(GO) test ./cmd/fairlead -count=1 -run 'TestPageBrowser$$' -screenshots $(abspath docs/pictures)

.PHONY: pictures
pictures: ## Draw docs/pictures/*.svg from *.dot, with Graphviz
	for f in docs/pictures/*.dot; do dot -Tsvg $$f | sed '/^<!-- Generated by graphviz/,/^ -->/d' >$${f%.dot}.svg; done

.PHONY: chart
chart: ## Write the chart to bin/fairlead-VERSION.tgz, for the image of the same version
	@rm -f bin/fairlead-*.tgz # so that bin/fairlead-*.tgz names one
	cd deploy/tools && $(GO) run ./pack -version '$(VERSION)'

# A release has programs for all architectures that build, and an image of them.
.PHONY: release
release: PLATFORMS = linux/amd64,linux/arm64,linux/ppc64le,linux/riscv64,linux/s390x
release: ## Write a release to bin/release, with VERSION=v1.2.3 REPOSITORY=registry.example/fairlead
	@test '$(origin VERSION)' = 'command line' || { echo "say which: make release VERSION=v1.2.3 REPOSITORY=registry.example/fairlead"; exit 1; }
	@test -z "$$(git status --porcelain)" || { echo "commit first: a release is made of a commit"; exit 1; }
	cd deploy/tools && $(GO) run ./release -version '$(VERSION)' -repository '$(REPOSITORY)' -platforms $(PLATFORMS) $(REVISION)

.PHONY: notice
notice: ## Rewrite NOTICE after a change of dependencies
	cd deploy/tools && $(GO) run ./notice

.PHONY: fuzz
# Without -fuzzminimizetime each new input is made shorter for up to a minute, so that a test with
# large inputs does little else.
fuzz: deps ## Run each fuzz test for FUZZTIME=30s
	@for f in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do \
			echo "$$name in $$f"; \
			$(GO) test ./$$(dirname $$f) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit 1; \
		done; \
	done

.PHONY: microbench
microbench: deps ## Run the Go benchmarks named by BENCH=. on the real kernel
	$(GO) test $(PKG) -run '^$$' -bench '$(BENCH)' -benchmem

.PHONY: deps
deps: ## Install (as root, on Debian) or name the programs that tests compare with
	@sh internal/tools/deps.sh

.PHONY: deps-e2e
deps-e2e: # and a C compiler
	@sh internal/tools/deps.sh e2e

.PHONY: deps-kubelet
deps-kubelet: # and runc and skopeo
	@sh internal/tools/deps.sh kubelet

.PHONY: deps-check
deps-check: # and promtool
	@sh internal/tools/deps.sh check

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin
