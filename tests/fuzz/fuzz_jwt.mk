# Fuzzing tokens, key sets and API keys of auth/. As in fuzz_wire.mk: finds stay in build/fuzz, what breaks something is
# written to build/fuzz/crashes/ and goes into tests/fuzz/corpus/jwt once it is understood.
SECONDS ?= 10

.PHONY: fuzz-jwt
ifeq ($(VARIANT),fuzz)
$(B)/tests/fuzz/fuzz_jwt: $(B)/obj/tests/fuzz/fuzz_jwt.o $(call libs,auth $(DEPS_auth))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_VARIANT) -fsanitize=fuzzer $< -Wl,--start-group $(call libs,auth $(DEPS_auth)) -Wl,--end-group $(LDLIBS) -o $@
DEPFILES += $(B)/obj/tests/fuzz/fuzz_jwt.d

fuzz-jwt: $(B)/tests/fuzz/fuzz_jwt
	@mkdir -p $(B)/found/jwt $(B)/crashes
	@echo "== fuzz-jwt: $(SECONDS) s"
	@$< -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	  -artifact_prefix=$(B)/crashes/jwt- $(B)/found/jwt tests/fuzz/corpus/jwt >$(B)/fuzz_jwt.log 2>&1 \
	  || { tail -n 60 $(B)/fuzz_jwt.log; exit 1; }
	@grep -E '^stat::(number|average)' $(B)/fuzz_jwt.log
else
fuzz-jwt: ## fuzz tokens, key sets and API keys for SECONDS (10)
	@$(MAKE) VARIANT=fuzz SECONDS=$(SECONDS) fuzz-jwt
endif
