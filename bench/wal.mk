$(B)/bench-wal: $(B)/obj/bench/wal.o $(call libs,wal $(DEPS_wal))
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $< -Wl,--start-group $(call libs,wal $(DEPS_wal)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/wal.d

.PHONY: bench-wal
bench-wal: $(B)/bench-wal ## how fast groups become durable, with real syncs
	$(Q)$<
