# `make` lists the targets. Everything here is also what .ci/run does, one stage at a time.
.DEFAULT_GOAL := help
SHELL := /bin/bash

LINT      := .tools/golangci-lint
PKG       ?= ./...
RUN       ?= .
BENCH     ?= .
BENCHTIME ?= 1s
FUZZ      ?= Fuzz
FOR       ?= 60
ARGS      ?=
export SEED N

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: vet lint test ## what to run before a commit: vet, format, lint, tidy, tests
	go mod tidy -diff

.PHONY: fmt
fmt: $(LINT) ## format every file (gofumpt, import groups)
	$(LINT) fmt

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: lint
lint: $(LINT) ## formatting and linters, nothing is changed
	$(LINT) fmt --diff
	$(LINT) run

.PHONY: test
test: ## every test; PKG=./actor RUN=TestHost narrows it
	go test -run '$(RUN)' $(PKG)

.PHONY: race
race: ## every test under the race detector, in random order
	go test -race -shuffle=on -run '$(RUN)' $(PKG)

.PHONY: sim
sim: ## whole nodes in virtual time: sleeps, retries, eviction
	go test -count=1 ./test/virtual/...

.PHONY: cluster
cluster: ## three servers, R3, in real time; three nodes that are killed, stopped and restarted, in short
	go test -count=1 -run 'R3|[Cc]luster|Replicated' ./jetstream/...
	go test -count=1 -v ./test/cluster/...

.PHONY: cluster-full
cluster-full: ## the same nodes at full length, then with three replicas and every append synced: for docs/reliability.md
	@git log -1 --format='commit %h of %cs'
	FULL=1 go test -count=1 -v -timeout 3h ./test/cluster/...
	FULL=1 REPLICAS=3 SYNC=always go test -count=1 -v -timeout 3h ./test/cluster/...

.PHONY: large
large: ## kill nodes at the stages of an append of 63 MiB
	FULL=1 go test -count=1 -v -timeout 20m -run 'TestLog_killedAtSize' ./jetstream

.PHONY: chaos
chaos: ## kill real node processes under load and check that nothing is lost or doubled
	N=$(or $(N),25) go test -count=1 -v ./test/chaos/...

.PHONY: fuzz
fuzz: ## every fuzz target, sharing FOR=60 seconds; FUZZ=FuzzDecode narrows it
	bash tools/fuzz.sh $(FOR) '$(FUZZ)'

.PHONY: bench
bench: ## benchmarks; BENCH=Step BENCHTIME=1s PKG=./test/bench narrow them
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(PKG)

.PHONY: cover
cover: ## coverage of the whole module by all tests, as coverage/index.html
	mkdir -p coverage
	go test -coverpkg=./... -coverprofile=coverage/cover.out ./...
	go tool cover -func=coverage/cover.out | tail -n 1
	go tool cover -html=coverage/cover.out -o coverage/index.html

.PHONY: update
update: ## rewrite golden files; read the diff before committing it
	UPDATE=1 go test -count=1 $(PKG)

.PHONY: record
record: ## write a store of this version for test/replay; NAME=2026-11-26 is its folder, others are left alone
	RECORD=$(NAME) go test -count=1 -run TestRecord ./test/replay

.PHONY: tools
tools: $(LINT) ## build the pinned tools into .tools/

$(LINT): tools/go.mod tools/go.sum
	go build -modfile=tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: node
node: ## run a node; ARGS='--listen :4333' passes flags
	go run ./cmd/node $(ARGS)

.PHONY: client
client: ## run the client; ARGS='call counter/alice action' passes arguments
	@go run ./cmd/client $(ARGS)

.PHONY: ci
ci: ## the whole of .ci/run
	bash .ci/run
