# What `make test` runs, in the order of how soon it tells something, and the variants.
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.mk,fuzz-%,$(wildcard tests/fuzz/fuzz_*.mk))

.PHONY: test asan ubsan tsan cov fuzz bench
test: setup ## what CI runs (the sanitizers' variants are targets of their own: asan, ubsan, tsan)
	@scripts/test 'all -j2' docs-check 'unit -j2' contract sim-contract sim-scenarios sim-twice 'sim SEEDS=10000' sim-mutants 'fuzz SECONDS=10' \
	  test-cli test-demo test-gateway-rest test-gateway-edge test-graphql test-permissions setup-engines test-prometheus test-contract-engines test-real

test-demo: ## the demo, as a test
	@$(MAKE) --no-print-directory demo

asan: ## unit tests, contract and 100 seeds under AddressSanitizer
	@$(MAKE) --no-print-directory -j2 VARIANT=asan unit contract
	@$(MAKE) --no-print-directory VARIANT=asan sim SEEDS=100
ubsan: ## the same under UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory -j2 VARIANT=ubsan unit contract
	@$(MAKE) --no-print-directory VARIANT=ubsan sim SEEDS=100
tsan: ## the same (20 seeds) under ThreadSanitizer
	@$(MAKE) --no-print-directory -j2 VARIANT=tsan unit contract
	@$(MAKE) --no-print-directory VARIANT=tsan sim SEEDS=20

fuzz: $(FUZZ_TARGETS) ## each fuzz target for SECONDS (10)

cov: ## line coverage of quantaql, coordinator and wal by unit tests, contract and 100 seeds: fails below 90 %
	@find build/cov -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory -j2 VARIANT=cov unit contract
	@$(MAKE) --no-print-directory VARIANT=cov sim SEEDS=100
	@$(MAKE) --no-print-directory VARIANT=cov sim-scenarios
	@scripts/coverage quantaql coordinator wal

bench: bench-parse bench-wal bench-coordinator bench-roundtrip ## every benchmark, one after the other
