# make help lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 20s

TOOLS := $(CURDIR)/.tools
# Folders named testdata are not in ./...; these have Go code of this module.
PACKAGES := ./... ./testdata/rooted ./testdata/workloads ./testdata/bench ./testdata/vm
# Tests that sample the host would disturb each other, so they run one package
# after the other, and after all that keep the CPUs busy.
SAMPLING := ./agent/... ./bpf/...
# Modules of their own, so that what only tests need stays out of go.mod.
MODULES := $(filter-out testdata/tools,$(patsubst %/go.mod,%,$(wildcard testdata/*/go.mod)))
# Kernels for make test-vm, such as 6.1-amd64,newest-arm64; none means all.
KERNELS ?=
# Those that make test boots: one to refuse, the oldest, and another processor.
KERNELS_TESTED := 5.10-amd64,6.1-amd64,6.12-arm64

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: ## build ./staccato (needs Go alone)
	CGO_ENABLED=0 go build -o staccato ./cmd/staccato

.PHONY: generate
generate: deps ## compile the eBPF programs with clang-19
	go generate ./...

.PHONY: test
test: deps lint generated unit sampling modules bench-compare test-vm-few ## everything that must hold; run it as root

.PHONY: unit
unit: ## tests of packages that do not sample
	go test -count=1 $$(go list $(PACKAGES) | grep -Ev '^github.com/staccato-profiler/staccato/(agent|bpf)(/|$$)')

.PHONY: sampling
sampling: ## tests of packages that sample, as root with the kernel's eBPF
	go test -count=1 -p 1 -timeout 12m $(SAMPLING)

.PHONY: modules
modules: ## tests in modules of their own, such as those with a collector
	for module in $(MODULES); do (cd $$module; echo "$$module"; go vet ./...; go test -count=1 -p 1 -artifacts ./...); done

.PHONY: test-vm
test-vm: deps ## boot KERNELS (all) in QEMU, run tests there; all: write docs/KERNELS.md
	go run ./testdata/vm $(if $(KERNELS),-kernels $(KERNELS),-table docs/KERNELS.md)

.PHONY: test-vm-few
test-vm-few: deps ## the same for three kernels, as make test does
	go run ./testdata/vm -kernels $(KERNELS_TESTED)

.PHONY: bench
bench: deps ## measure cost and accuracy: PART=overhead, SCALE=0.1 (docs/BENCHMARKS.md)
	go run ./testdata/bench $(if $(PART),-part $(PART)) $(if $(SCALE),-scale $(SCALE))

.PHONY: bench-compare
bench-compare: tools ## run the Go benchmarks here and in the previous commit
	testdata/bench/compare.sh $(TOOLS)/benchstat

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s)
	testdata/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: tools ## gofmt, go vet, staticcheck, import rules
	@unformatted=$$(gofmt -l .); if [[ -n $$unformatted ]]; then echo "run make fmt:" $$unformatted; exit 1; fi
	go vet $(PACKAGES) ./testdata/vm/...
	$(TOOLS)/staticcheck $(PACKAGES) ./testdata/vm/...
	testdata/lint/imports_test.sh $(TOOLS)/depguard
	testdata/lint/imports.sh $(TOOLS)/depguard

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w .

.PHONY: generated
generated: ## check that the committed eBPF objects fit their sources
	testdata/check-generated.sh

.PHONY: deps
deps: ## install what is needed besides Go (Debian, root)
	@testdata/install-deps.sh

.PHONY: tools
tools: ## build linters and benchstat, whose versions testdata/tools/go.mod pins
	@mkdir -p $(TOOLS)
	@cd testdata/tools && go build -o $(TOOLS)/ tool
