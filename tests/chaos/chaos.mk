MINUTES ?= 5

.PHONY: chaos test-chaos chaos-programs
chaos-programs:
	@$(MAKE) --no-print-directory -j2 build/release/bin/quanta-coordinator build/release/bin/quanta-worker

chaos: chaos-programs ## transfers over four engines while everything is killed and paused at random, MINUTES=5 (SEED=n)
	@tests/chaos/chaos --minutes $(MINUTES) $(addprefix --seed ,$(SEED))

test-chaos: chaos-programs ## one minute of it
	@tests/chaos/chaos --minutes 1
