.PHONY: bench-coordinator
BENCH_HOST := $(B)/obj/cmd/host/coordinator_host.o $(B)/obj/cmd/host/operate.o $(B)/obj/cmd/host/admin.o
$(B)/bench/coordinator: $(B)/obj/bench/coordinator.o $(BENCH_HOST) $(call libs,$(ALL_LIBS))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) $< $(BENCH_HOST) -Wl,--start-group $(call libs,$(ALL_LIBS)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/coordinator.d

bench-coordinator: $(B)/bench/coordinator ## transactions/s of the coordinator, participants in this process, real syncs
	@dir=$$(mktemp -d ./build/bench-wal.XXXXXX); trap 'rm -rf "$$dir"' EXIT; $(B)/bench/coordinator --dir "$$dir" --seconds $(or $(SECONDS),5)
