# Fuzzing the readers of schemas/ and schemas/wire/. The fuzzer's finds stay in build/fuzz; what breaks something is written to
# build/fuzz/crashes/ and goes into tests/fuzz/corpus/wire once it is understood.
SECONDS ?= 10

.PHONY: fuzz-wire fuzz-wire-corpus
ifeq ($(VARIANT),fuzz)
$(B)/tests/fuzz/fuzz_wire: $(B)/obj/tests/fuzz/fuzz_wire.o $(call libs,schemas/wire $(DEPS_schemas/wire))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) -fsanitize=fuzzer $< -Wl,--start-group $(call libs,schemas/wire $(DEPS_schemas/wire)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/fuzz_wire.d

fuzz-wire: $(B)/tests/fuzz/fuzz_wire
	@mkdir -p $(B)/found/wire $(B)/crashes
	@echo "== fuzz-wire: $(SECONDS) s"
	@$< -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	  -artifact_prefix=$(B)/crashes/wire- $(B)/found/wire tests/fuzz/corpus/wire >$(B)/fuzz_wire.log 2>&1 \
	  || { tail -n 60 $(B)/fuzz_wire.log; exit 1; }
	@grep -E '^stat::(number|average)' $(B)/fuzz_wire.log
else
fuzz-wire: ## fuzz the readers of messages, schemas and documents for SECONDS (10)
	@$(MAKE) VARIANT=fuzz SECONDS=$(SECONDS) fuzz-wire
endif

$(B)/tests/fuzz/corpus_wire: $(B)/obj/tests/fuzz/corpus_wire.o $(call libs,schemas/wire $(DEPS_schemas/wire))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) $< -Wl,--start-group $(call libs,schemas/wire $(DEPS_schemas/wire)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/corpus_wire.d
fuzz-wire-corpus: $(B)/tests/fuzz/corpus_wire ## write the first inputs of fuzz-wire again
	@mkdir -p tests/fuzz/corpus/wire
	$< tests/fuzz/corpus/wire
