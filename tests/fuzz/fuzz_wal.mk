# Fuzzing the log's readers: records, stamps, data files. As in fuzz_wire.mk: finds stay in build/fuzz, what breaks something is written
# to build/fuzz/crashes/ and goes into tests/fuzz/corpus/wal once it is understood. Pages of a data file need long inputs.
SECONDS ?= 10

.PHONY: fuzz-wal fuzz-wal-corpus
ifeq ($(VARIANT),fuzz)
$(B)/tests/fuzz/fuzz_wal: $(B)/obj/tests/fuzz/fuzz_wal.o $(call libs,wal $(DEPS_wal))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) -fsanitize=fuzzer $< -Wl,--start-group $(call libs,wal $(DEPS_wal)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/fuzz_wal.d

fuzz-wal: $(B)/tests/fuzz/fuzz_wal
	@mkdir -p $(B)/found/wal $(B)/crashes
	@echo "== fuzz-wal: $(SECONDS) s"
	@$< -max_total_time=$(SECONDS) -max_len=32768 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	  -artifact_prefix=$(B)/crashes/wal- $(B)/found/wal tests/fuzz/corpus/wal >$(B)/fuzz_wal.log 2>&1 \
	  || { tail -n 60 $(B)/fuzz_wal.log; exit 1; }
	@grep -E '^stat::(number|average)' $(B)/fuzz_wal.log
else
fuzz-wal: ## fuzz the readers of the log for SECONDS (10)
	@$(MAKE) VARIANT=fuzz SECONDS=$(SECONDS) fuzz-wal
endif

$(B)/tests/fuzz/corpus_wal: $(B)/obj/tests/fuzz/corpus_wal.o $(call libs,wal $(DEPS_wal))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) $< -Wl,--start-group $(call libs,wal $(DEPS_wal)) -Wl,--end-group -lcmocka $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/corpus_wal.d
fuzz-wal-corpus: $(B)/tests/fuzz/corpus_wal ## write the first inputs of fuzz-wal again
	@mkdir -p tests/fuzz/corpus/wal
	$< tests/fuzz/corpus/wal
