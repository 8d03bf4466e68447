# The simulator: README.md beside this file.
SIM_SRC := $(wildcard tests/sim/*.c)
SIM_OBJ := $(SIM_SRC:%.c=$(B)/obj/%.o)
SIM_LIBS := workers coordinator quantaql wal schemas/wire schemas base
SIM      := $(B)/tests/sim/sim
DEPFILES += $(SIM_OBJ:.o=.d)

$(SIM): $(SIM_OBJ) $(call libs,$(SIM_LIBS))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $(SIM_OBJ) -Wl,--start-group $(call libs,$(SIM_LIBS)) -Wl,--end-group $(LDLIBS) -o $@

SEEDS ?= 10000
FROM  ?= 1
JOBS  ?= 2

.PHONY: sim sim-bin sim-scenarios sim-mutants sim-twice
sim-bin: $(SIM)

sim: $(SIM) ## the simulator: SEEDS=10000, or SEED=n [STEPS=n] for one seed with its trace
ifdef SEED
	$(SIM) --seed $(SEED) --trace $(if $(LOSSES),--losses) $(if $(STEPS),--steps $(STEPS)) $(if $(SABOTAGE),--sabotage $(SABOTAGE))
else
	$(SIM) --seeds $(FROM)..$$(($(FROM) + $(SEEDS) - 1)) --jobs $(JOBS) --first tests/sim/seeds.txt $(if $(LOSSES),--losses) $(if $(SABOTAGE),--sabotage $(SABOTAGE))
endif

sim-scenarios: $(SIM) ## the simulator's fixed scenarios (SCENARIO=name for one, with its trace)
	$(SIM) --scenario $(if $(SCENARIO),$(SCENARIO) --trace,all)

sim-twice: $(SIM) ## a few seeds, twice: the same seed must be the same run
	$(SIM) --seeds 1..40 --jobs $(JOBS) --twice

sim-mutants: ## every sentence of the protocol left out in turn: the simulator must notice
	@$(MAKE) --no-print-directory VARIANT=mutants sim-bin
	build/mutants/tests/sim/sim --mutants --jobs $(JOBS)

# The simulator's sides of the seams pass the suites that the real ones pass.
SIM_PARTS := tests/sim/memlog.c tests/sim/memengine.c tests/sim/memstore.c tests/sim/memread.c tests/sim/sim.c tests/sim/heap.c tests/sim/prng.c tests/sim/fiber.c
SIM_CONTRACT := $(patsubst tests/sim/contract/%.c,$(B)/tests/sim/contract/%,$(wildcard tests/sim/contract/test_*.c))
DEPFILES += $(SIM_CONTRACT:$(B)/%=$(B)/obj/%.d)
$(SIM_CONTRACT): $(B)/%: $(B)/obj/%.o $(SIM_PARTS:%.c=$(B)/obj/%.o) $(call libs,workers wal schemas/wire schemas base)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $< $(SIM_PARTS:%.c=$(B)/obj/%.o) -Wl,--start-group $(call libs,workers wal schemas/wire schemas base) -Wl,--end-group -lcmocka $(LDLIBS) -o $@

# The engines' suite, its list of engines replaced by the simulated server of this kind.
SIM_SUITE_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/contract/contract.c tests/contract/case_crash.c,$(wildcard tests/contract/*.c)) tests/sim/contract/memengine_world.c)
SIM_SUITES := $(foreach e,postgres mongo neo4j influx,$(B)/tests/sim/contract/engine_$(e))
$(B)/obj/tests/sim/contract/suite_%.o: tests/contract/contract.c tests/contract/contract.h workers/engine.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) $(foreach e,embedded postgres mongo neo4j influx,-Dq_engine_$(e)=mem_$*) -c $< -o $@
$(SIM_SUITES): $(B)/tests/sim/contract/engine_%: $(B)/obj/tests/sim/contract/suite_%.o $(SIM_SUITE_OBJ) $(SIM_PARTS:%.c=$(B)/obj/%.o) $(call libs,workers wal schemas/wire schemas base)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS) -o $@

.PHONY: sim-contract
sim-contract: $(SIM_CONTRACT) $(SIM_SUITES) ## the simulator's log and engines against the contracts of the real ones
	@set -e; for t in $(SIM_CONTRACT); do echo "== $$t"; $$t; done
	@set -e; for e in postgres mongo neo4j influx; do echo "== contract $$e of the simulator"; \
	  $(B)/tests/sim/contract/engine_$$e --engine $$e --as $$e --uri mem: > $(B)/tests/sim/contract/$$e.log || \
	  { grep -vE '^\[ (RUN|     OK|N/A)' $(B)/tests/sim/contract/$$e.log; exit 1; }; tail -1 $(B)/tests/sim/contract/$$e.log; done
