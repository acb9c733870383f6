SHELL := /bin/bash

GOLANGCI_LINT := v2.15.0
GOVULNCHECK := v1.9.0
CYCLONEDX := v1.10.0
VERSION ?= $(shell git describe --tags --always --dirty)

.PHONY: demo test check bench fuzz image release audit

demo: ## everything in one process, with a simulated fleet, at http://127.0.0.1:8080
	go run . demo

# Packages beside the root that take long with the race detector.
SLOW := /dashboard /ingest /internal/registry /simulator

ifdef SHORT
test: ## all tests; SHORT=1 leaves out those that need other programs, and says which
	@set -o pipefail; go test -short -v ./... 2>&1 | grep -E '^ *--- (SKIP|FAIL)|^(ok|FAIL|panic)|_test.go:[0-9]+:'
else
# With the race detector all but those: they run whole platforms and browsers or reckon days and years, and take three to ten
# times as long with it: make check has it for them as well.
test: tools/tests
	go test -race -timeout 15m $$(go list ./... | grep -vx -e pilewatch $(SLOW:%=-e pilewatch%))
	go test -timeout 15m . $(SLOW:%=.%)
endif

.PHONY: tools/tests
tools/tests:
	@deploy/testtools.sh

ONLY ?= .
bench: tools/bench ## measure the figures of the design; ONLY=gateway measures those whose id starts so; writes bench.json
	go test -run '^$$' -bench '^BenchmarkFigures$$/^($(ONLY))' -benchtime 1x -timeout 120m .

check: tools/lint tools/tests ## formatting, vet, linters, tests in random order, fuzz targets for 10 s each, vulnerabilities
	go vet ./...
	.tools/bin/golangci-lint run ./...
	go test -race -shuffle=on -count=1 -timeout 20m ./...
	$(MAKE) fuzz FUZZTIME=10s
	go generate ./... && git diff --exit-code
	deploy/vulncheck.sh

audit: tools/sbom tools/vuln ## what the program is made of, with licences, as dist/pilewatch.cdx.json; and whether any of it is known to be vulnerable
	@mkdir -p dist
	.tools/bin/cyclonedx-gomod mod -json -licenses -noserial -type application -output dist/pilewatch.cdx.json .
	deploy/vulncheck.sh

FUZZTIME ?= 1m
fuzz: ## every fuzz target for FUZZTIME
	@set -e; for p in $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go 2>/dev/null | cut -c6-); do \
			echo "$$f in $$p"; (cd $$p && go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

image: ## the image of docker-compose.yml, with the version in it
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) -t pilewatch:$(VERSION) .

release: tools/sbom ## static binaries for linux, the same bytes wherever they are built; what is in them (SBOM); checksums; into dist/
	@for arch in amd64 arm64; do \
		deploy/build.sh $(VERSION) $$arch dist/pilewatch-$(VERSION)-linux-$$arch || exit 1; \
		.tools/bin/cyclonedx-gomod bin -json -noserial -version $(VERSION) -output dist/pilewatch-$(VERSION)-linux-$$arch.cdx.json dist/pilewatch-$(VERSION)-linux-$$arch || exit 1; \
	done
	cd dist && sha256sum pilewatch-$(VERSION)-* >pilewatch-$(VERSION).sha256

.PHONY: tools/sbom
tools/sbom:
	@[ -x .tools/bin/cyclonedx-gomod ] || GOBIN=$$PWD/.tools/bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX)

.PHONY: tools/bench
tools/bench:
	@deploy/benchtools.sh || echo "going on without: what needs them is not measured"

.PHONY: tools/lint
tools/lint: tools/vuln
	@[ -x .tools/bin/golangci-lint ] || GOBIN=$$PWD/.tools/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

.PHONY: tools/vuln
tools/vuln:
	@[ -x .tools/bin/govulncheck ] || GOBIN=$$PWD/.tools/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
