# Fuzzing lexer, parser, check, printer and splitter of quantaql/. As in fuzz_wire.mk: finds stay in build/fuzz, what breaks something is
# written to build/fuzz/crashes/ and goes into tests/fuzz/corpus/quantaql once it is understood.
SECONDS ?= 10

.PHONY: fuzz-quantaql
ifeq ($(VARIANT),fuzz)
$(B)/tests/fuzz/fuzz_quantaql: $(B)/obj/tests/fuzz/fuzz_quantaql.o $(call libs,quantaql $(DEPS_quantaql))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) -fsanitize=fuzzer $< -Wl,--start-group $(call libs,quantaql $(DEPS_quantaql)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/fuzz_quantaql.d

fuzz-quantaql: $(B)/tests/fuzz/fuzz_quantaql
	@mkdir -p $(B)/found/quantaql $(B)/crashes
	@echo "== fuzz-quantaql: $(SECONDS) s"
	@$< -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -dict=tests/fuzz/quantaql.dict \
	  -artifact_prefix=$(B)/crashes/quantaql- $(B)/found/quantaql tests/fuzz/corpus/quantaql >$(B)/fuzz_quantaql.log 2>&1 \
	  || { tail -n 60 $(B)/fuzz_quantaql.log; exit 1; }
	@grep -E '^stat::(number|average)' $(B)/fuzz_quantaql.log
else
fuzz-quantaql: ## fuzz QuantaQL's lexer, parser, check, printer and splitter for SECONDS (10)
	@$(MAKE) VARIANT=fuzz SECONDS=$(SECONDS) fuzz-quantaql
endif
