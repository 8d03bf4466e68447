BENCH_CORE_LIBS := coordinator quantaql wal schemas/wire schemas base
$(B)/bench/core: $(B)/obj/bench/core.o $(call libs,$(BENCH_CORE_LIBS))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $< -Wl,--start-group $(call libs,$(BENCH_CORE_LIBS)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/core.d

.PHONY: bench-core
bench-core: $(B)/bench/core ## microseconds of the coordinator's core a transaction, alone on one thread
	$(Q)$<
