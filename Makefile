GOLANGCI_LINT := v2.6.2
GOVULNCHECK := v1.1.4

.PHONY: demo test check bench fuzz tools

demo: ## everything in one process, with a simulated fleet, at http://127.0.0.1:8080
	go run . demo

ifdef SHORT
test: ## all tests; SHORT=1 leaves out those that need other programs, and says which
	@set -o pipefail; go test -short -v ./... 2>&1 | grep -E '^ *--- (SKIP|FAIL)|^(ok|FAIL|panic)|_test.go:[0-9]+:'
else
test: tools/tests
	go test -race -timeout 15m ./...
endif

.PHONY: tools/tests
tools/tests:
	@deploy/testtools.sh
