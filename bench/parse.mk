$(B)/bench-parse: $(B)/obj/bench/parse.o $(call libs,quantaql $(DEPS_quantaql))
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $< -Wl,--start-group $(call libs,quantaql $(DEPS_quantaql)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/bench/parse.d

.PHONY: bench-parse
bench-parse: $(B)/bench-parse ## MB/s and statements/s from QuantaQL text to a checked tree, on one core
	$(Q)$<
