# Every target says what it does: run `make`.
.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail
TOOL := go tool -modfile=internal/tools/go.mod

.PHONY: help build generate test soak mutate lint race docs vuln demo recording live bench images promises \
  judges platform-deps platform-up platform-down e2e e2e-smoke bin/platform

# The one place that says what the next release is called; what the Promises in the
# tree name is held to it by a test. VERSION=1.2.3 or TAG=v1.2.3 names another, and
# each follows from the other. Without them all has the version of its commit, which is
# the release where that has its tag: no two commits share a version.
RELEASE := v0.1.0
NAMED := $(or $(if $(VERSION),v$(patsubst v%,%,$(VERSION))),$(TAG))
BUILT = $(eval BUILT := $(or $(NAMED),$(shell internal/tools/version.sh $(RELEASE)),$(error git cannot tell \
  the commit of this folder: see `git status`, or name a version with VERSION=)))$(BUILT)
IMAGE_TAG = $(or $(TAG),$(BUILT))
IMAGE_VERSION = $(patsubst v%,%,$(BUILT))
REGISTRY ?= ghcr.io/baleen-platform

# They reach a shell between quotes, and a tag of git may hold what ends those.
FORBIDDEN := ' " ; ` $$ | & < > \

$(foreach v,VERSION TAG REGISTRY PUSH IMAGE_ARCH,$(foreach c,$(FORBIDDEN),$(if $(findstring $c,$(value $v)),\
  $(error $v has the character $c, which no version, tag or registry has))))

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build all binaries into bin/; VERSION=1.2.3 for a release.
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -X main.stamped=$(BUILT)' -o bin/ ./cmd/...

generate: ## Make the CRDs in promise.yaml from the Go types, and name each Promise in the guard.
	@dir=$$(mktemp -d) && trap "rm -r $$dir" EXIT && \
	$(TOOL) controller-gen crd paths=./promises/... output:crd:dir=$$dir && \
	go -C internal/tools build -o $$dir/promise ./promise && $$dir/promise $$dir promises

# No test measures time, so a busy machine only takes longer.
TIMEOUT := -timeout 90m

bin/tests: $(wildcard internal/tools/tests/*.go)
	@go -C internal/tools build -o $(CURDIR)/bin/tests ./tests

test: bin/tests ## Run all tests; some minutes once built.
	@bin/tests -C .,internal/tools,images -first ./pipelines $(TIMEOUT) ./...

soak: bin/tests ## Kill at every point, try all schedules, more worlds of routes, interleavings of claims and years of credentials: make soak SEEDS=2000 FROM=3 STATES=0 WORLDS=200000.
	@bin/tests -timeout 0 ./cmd/nats-user -run TestKilled -all
	@bin/tests -C images -timeout 0 -run TestProject -all
	@bin/tests -timeout 0 ./test/schedules -states $(or $(STATES),0) -crashes 0 -walks 10 -seeds $(or $(SEEDS),2000)
	@bin/tests -timeout 0 ./test/schedules -run 'TestTargets|TestUsers' -states $(or $(STATES),100000) -crashes 1 -walks 50
	@bin/tests -timeout 0 ./pipelines/api-aggregator-target -run TestRouting -worlds $(or $(WORLDS),200000)
	@bin/tests -timeout 0 ./internal/claim -run TestInterleavings -seeds $(or $(SEEDS),2000)
	@bin/tests -timeout 0 ./test/simulation -run TestYears -seeds $(or $(SEEDS),2000) -from $(or $(FROM),1)

MUTATED := $(addprefix internal/,credential claim ledger workflow destination gateway httppath subject account) \
  $(wildcard promises/*/v1alpha1/validate.go) $(patsubst %/,%,$(wildcard pipelines/*/))

mutate: ## Change the code in some 3,000 places, show which changes no test notices; ONLY=internal/claim for one package.
	@dir=$$(mktemp -d) && trap "rm -r $$dir" EXIT && go -C internal/tools build -o $$dir/mutate ./mutate && \
	$$dir/mutate -tests ./pipelines,./promises -args internal/claim=-seeds=100 $(MUTATE) $(or $(ONLY),$(MUTATED))

lint: ## Check format and all that .golangci.yml asks for, in every module; about five minutes, then seconds.
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@go -C internal/tools/lint build -o $(CURDIR)/bin/ tool
	@for module in . images internal/tools test/e2e; do \
	  printf 'lint: %s\n' $$module && (cd $$module && $(CURDIR)/bin/golangci-lint run --timeout 0 ./...) || exit; done

race: bin/tests ## Run the tests of what starts goroutines with the race detector; about five minutes once built.
	@test/race

docs: ## Run the commands of README and docs in a clone, as a reader would.
	go test -count=1 ./docs -run TestCommands -commands

JUDGES := -worlds 100 -requests 200

bin/traefik: test/e2e/tools/traefik/go.mod
	@GOWORK=off CGO_ENABLED=0 go -C $(<D) build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ github.com/traefik/traefik/v3/cmd/traefik

bin/egctl: test/judges/envoy/go.mod
	@GOWORK=off CGO_ENABLED=0 go -C $(<D) build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ github.com/envoyproxy/gateway/cmd/egctl

judges: bin/traefik bin/egctl ## Ask Traefik, Envoy Gateway, and nginx where it is installed, who gets random requests; many minutes to build.
	@go test ./test/judges -count=1 -v -timeout 0 -run 'TestTraefik|TestEnvoyGateway|TestNGINX' $(JUDGES) \
	  -traefik $(CURDIR)/bin/traefik -egctl $(CURDIR)/bin/egctl -nginx "$$(PATH="$$PATH:/usr/sbin" command -v nginx)"

vuln: ## Look for known vulnerabilities, where the database can be reached.
	@out=$$($(TOOL) govulncheck ./... 2>&1); code=$$?; echo "$$out"; \
	if [ $$code -ne 0 ] && grep -qE 'dial tcp|no such host|connection refused|i/o timeout|fetching vulnerabilities' <<<"$$out"; then \
	  echo 'vuln: SKIPPED, the vulnerability database cannot be reached'; exit 0; fi; exit $$code

images: ## Build every image into dist/images; PUSH=registry/prefix also pushes them; IMAGE_ARCH=amd64 builds for one alone.
	@go -C images run . --version '$(IMAGE_VERSION)' --tag '$(IMAGE_TAG)' $(if $(PUSH),--push '$(PUSH)') $(if $(IMAGE_ARCH),--arch '$(IMAGE_ARCH)')

promises: ## Write dist/promises, what one applies; REGISTRY=registry/prefix and TAG=v1.2.3 name the images.
	@dir=$$(mktemp -d) && trap "rm -r $$dir" EXIT && \
	go -C internal/tools build -o $$dir/release ./release && \
	$$dir/release -registry '$(REGISTRY)' -tag '$(IMAGE_TAG)' -pushed dist/images/pushed.json

demo: build ## Tell in ten chapters what Baleen does; DEMO=--all tells more, also with Synadia.
	@bin/baleen demo $(DEMO)

recording: build ## Make docs/demo.svg, the demo as a moving picture; needs script(1).
	@go -C internal/tools build -o $(CURDIR)/bin/ ./record
	@TERM=xterm script -qec "bin/baleen demo" /dev/null < /dev/null | bin/record > docs/demo.svg

live: ## Ask a real account of Synadia's what nobody could try: SYNADIA_TOKEN=... SYNADIA_ACCOUNT=id.
	@go run ./test/live

bench: build ## Measure, in ratios to the command lines of ytt, nsc and kubeseal.
	@go -C internal/tools build -trimpath -ldflags='-s -w' -o $(CURDIR)/bin/ \
	  carvel.dev/ytt/cmd/ytt github.com/nats-io/nsc/v2 github.com/bitnami-labs/sealed-secrets/cmd/kubeseal
	@go build -trimpath -ldflags='-s -w' -o bin/ ./test/bench/measured
	@go run ./test/bench

bin/platform:
	@go -C test/e2e build -o $(CURDIR)/bin/platform ./cmd/platform

platform-deps: bin/platform ## Install what the platform of the acceptance tests needs, with apt.
	@bin/platform deps

platform-up: bin/platform ## Bring up a real platform on this machine: three clusters, Kratix (KRATIX_IMAGES, KRATIX_MANIFESTS: another), Argo CD, NATS, Traefik.
	@bin/platform up

platform-down: bin/platform ## Take it down, and remove all but its programs.
	@bin/platform down

e2e: bin/platform ## Run all acceptance tests on a real platform; KEEP=1 keeps one on which they fail.
	@test -n "$(PLATFORM_KUBECONFIG)" || bin/platform check
	@test/e2e/run

e2e-smoke: bin/platform ## One API, one credential and the command line on a real platform; skipped where that cannot run.
	@go -C test/e2e test ./kratix ./platform
	@if why=$$(bin/platform check 2>&1); then go -C test/e2e test ./machine && test/e2e/run -test.short -test.run TestStories/AtOnce/Smoke; \
	else printf 'e2e-smoke: SKIPPED, and so not passed. %s\n' "$$why"; fi
