# Gatehouse. Plain `make` lists what can be made.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

# The linter is pinned: a new version finds new things, and that is a change of
# its own. Built by the Go toolchain into .tools, never taken as a binary.
GOLANGCI_LINT := v2.15.0
LINTER        := .tools/golangci-lint-$(GOLANGCI_LINT)

CONFIG   ?= Caddyfile.example
VERSION  ?= v0.0.0-dev
FUZZTIME ?= 30s
# One package may take so long on a busy machine; the whole of `make test` stays under
# ten minutes on two cores.
TIMEOUT  ?= 15m
# The packages whose tests take longest start first, so that none runs on alone at the
# end; a third of those that run wait for servers, browsers and times of grace.
LONGEST  := ./e2e ./caddymodule ./authcore ./api
ATONCE   ?= $(shell echo $$((($$(nproc) * 3 + 1) / 2)))

.PHONY: help run build test check prove bench fuzz golden screenshots packages packages-test upgrade fmt vet lint tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## serve the example on http://localhost:8080, codes on this terminal
	go run . run --config $(CONFIG)

build: ## build the binary ./gatehouse
	go build -trimpath -ldflags '-s -w' -o gatehouse .

test: tools ## everything, with the race detector; a skipped test is a failure
	.ci/go-test -race -p $(ATONCE) -parallel 6 -timeout $(TIMEOUT) $(LONGEST) ./...

check: tools fmt vet lint ## fmt, vet, lint and the short tests
	go test -short ./...

prove: ## the long proofs: the tests of `make test` with large numbers, Firefox, SpamAssassin, Traefik
	@.ci/tools prove
	GATEHOUSE_PROVE=1 .ci/go-test -race -tags prove -timeout 3h ./...

bench: ## run all benchmarks
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## run every fuzz test for FUZZTIME (30s)
	@for dir in $$(grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for name in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -c6-); do \
	    echo "$$dir $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; \
	done

golden: ## write the golden files anew; read the diff before committing it
	@for dir in $$(grep -rl 'flag.Bool("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  go test "$$dir" -update; \
	done

screenshots: tools ## make the pictures in docs/screenshots anew; look at them before committing
	go test ./e2e -count=1 -run '^TestScreenshots$$' -screenshots

packages: ## what a release consists of, into dist/packages: make packages VERSION=v0.1.0
	@.ci/tools packages
	cd packaging && go run . -version $(VERSION) -out ../dist/packages

packages-test: ## the tests of packages and image, which are installed and run too, as root on Debian
	@.ci/tools packages
	cd packaging && go test -tags packages -count=1 -timeout 60m ./...

upgrade: tools ## the last release's store, sessions and Caddyfile under this build
	.ci/last-release
	GATEHOUSE_RELEASE=$(CURDIR)/dist/last-release go test ./e2e -count=1 -run '^TestUpgrade$$'

fmt: ## fail on files that gofmt would change
	@files=$$(gofmt -l .); \
	  [ -z "$$files" ] || { echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; }

vet:
	go vet -tags prove ./...

lint: $(LINTER)
	$(LINTER) run

$(LINTER):
	mkdir -p .tools
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv .tools/golangci-lint $@

tools:
	@.ci/tools
