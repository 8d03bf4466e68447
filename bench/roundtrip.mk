BENCH_CLI := $(patsubst %,$(B)/obj/cmd/cli/%.o,client find)
$(B)/bench/roundtrip: $(B)/obj/bench/roundtrip.o $(BENCH_CLI) $(call libs,cmd/config bus schemas base)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_VARIANT) $< $(BENCH_CLI) $(call libs,cmd/config bus schemas base) $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/roundtrip.d

.PHONY: bench-roundtrip
bench-roundtrip: $(B)/bench/roundtrip bin/quanta ## what a Kafka client waits for one statement, against a fresh quanta dev; memory at rest
	@bench/with-dev sh -c 'sleep 2; grep VmRSS /proc/$$QUANTA_DEV_PID/status; $< "$$QUANTA_BOOTSTRAP" $(or $(COUNT),1000)'
