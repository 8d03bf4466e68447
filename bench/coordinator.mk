.PHONY: bench-coordinator
BENCH_HOST := $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/host/*.c)) $(call lib,cmd/config)
$(B)/bench/coordinator: $(B)/obj/bench/coordinator.o $(BENCH_HOST) $(call libs,$(ALL_LIBS))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) $< $(BENCH_HOST) -Wl,--start-group $(call libs,$(ALL_LIBS)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/coordinator.d

bench-coordinator: $(B)/bench/coordinator ## transactions/s of the coordinator, participants in this process, real syncs
	@dir=$$(mktemp -d ./build/bench-wal.XXXXXX); trap 'rm -rf "$$dir"' EXIT; $(B)/bench/coordinator --dir "$$dir" --seconds $(or $(SECONDS),5)
