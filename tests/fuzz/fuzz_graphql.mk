# Fuzzing parser, check, plan and statements of graphql/. As in fuzz_wire.mk: finds stay in build/fuzz, what breaks something is
# written to build/fuzz/crashes/ and goes into tests/fuzz/corpus/graphql once it is understood.
SECONDS ?= 10

.PHONY: fuzz-graphql
ifeq ($(VARIANT),fuzz)
$(B)/tests/fuzz/fuzz_graphql: $(B)/obj/tests/fuzz/fuzz_graphql.o $(call libs,graphql $(DEPS_graphql))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) -fsanitize=fuzzer $< -Wl,--start-group $(call libs,graphql $(DEPS_graphql)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/fuzz_graphql.d

fuzz-graphql: $(B)/tests/fuzz/fuzz_graphql
	@mkdir -p $(B)/found/graphql $(B)/crashes
	@echo "== fuzz-graphql: $(SECONDS) s"
	@$< -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	  -artifact_prefix=$(B)/crashes/graphql- $(B)/found/graphql tests/fuzz/corpus/graphql >$(B)/fuzz_graphql.log 2>&1 \
	  || { tail -n 60 $(B)/fuzz_graphql.log; exit 1; }
	@grep -E '^stat::(number|average)' $(B)/fuzz_graphql.log
else
fuzz-graphql: ## fuzz GraphQL from its text to statements and answers for SECONDS (10)
	@$(MAKE) VARIANT=fuzz SECONDS=$(SECONDS) fuzz-graphql
endif
