# The commands of this project. All of them work for any user; none needs root.
# make test sets up what it needs: Go modules, and for the Python peer a virtual
# environment in .venv.

GO ?= go
export GOFLAGS ?= -mod=readonly
STATICCHECK = $(GO) tool staticcheck
FUZZTIME ?= 30s

.PHONY: demo build test race check fmt generate bench bench-actors nightly vuln venv

demo: ## run the story: a registry, two agents, and everything that can break
	@$(GO) run ./cmd/pando demo

build: ## build everything, and the program into bin/
	$(GO) build ./...
	$(GO) build -o bin/pando ./cmd/pando

test: check venv ## everything that has to hold before a commit
	$(GO) test -timeout 10m ./...
	cd bench && $(GO) test ./...

race: venv
	$(GO) test -race -timeout 20m ./...

venv: ## the virtual environment of the unmodified Python peer
	@./internal/pypeer/venv.sh

check: ## format, vet, staticcheck, generated files
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	cd bench && $(GO) vet ./...
	@$(GO) mod verify >/dev/null

	@$(GO) generate ./... && git diff --exit-code -- README.md || { echo "generated parts are not up to date: commit what make generate has written" >&2; exit 1; }

generate: ## write the generated parts anew
	$(GO) generate ./...

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

bench: bench-actors ## side by side: Pando, the floor, the Python SDK, NATS
	cd bench && $(GO) run . run
	cd bench && $(GO) run . ask

bench-actors: ## actors and supervision side by side
	cd bench && $(GO) run ./actors

nightly: venv ## the long proofs: race detector, thousands of seeds, fuzzing, budgets
	PANDO_NIGHTLY=1 $(GO) test -race -count=1 -timeout 60m ./...
	./internal/fuzz.sh $(FUZZTIME)
	cd bench && $(GO) run . run --quick --check
	cd bench && $(GO) run . ask --quick --check
	cd bench && $(GO) run ./actors --rounds 5 --scale 0.2 --cases 'tell|ping|idle|panic' --check

vuln: ## known vulnerabilities; needs the database of the Go project
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...
