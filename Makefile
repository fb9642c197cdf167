# The commands of this project. All of them work for any user; none needs root.
# make test sets up what it needs: Go modules, and for the Python peer a virtual
# environment in .venv.

GO ?= go
export GOFLAGS ?= -mod=readonly
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck
FUZZTIME ?= 30s

.PHONY: demo build test check fmt generate bench nightly vuln venv

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

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

bench: ## servers side by side: Pando, the floor, the Python SDK
	cd bench && $(GO) run . run

nightly: venv ## the long proofs: the race detector over everything, fuzzing
	$(GO) test -race -count=1 -timeout 30m ./...
	@for target in $$(grep -rhoE '^func (Fuzz[A-Za-z0-9]+)' --include='*_test.go' -H . | sed -E 's/^(.*):func (Fuzz.*)$$/\1:\2/'); do \
		dir=$$(dirname $${target%%:*}); name=$${target##*:}; \
		case $$dir in ./bench*) continue;; esac; \
		echo "fuzz $$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
	done

vuln: ## known vulnerabilities; needs the database of the Go project
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...
