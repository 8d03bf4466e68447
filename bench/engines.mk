BENCH_ENGINES_SRC := $(wildcard bench/engines/*.c)
BENCH_ENGINES_OBJ := $(BENCH_ENGINES_SRC:%.c=$(B)/obj/%.o)
DEPFILES += $(BENCH_ENGINES_OBJ:.o=.d)

$(B)/bench/engines: $(BENCH_ENGINES_OBJ) $(call libs,bus base)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $(BENCH_ENGINES_OBJ) $(call libs,bus base) $(LDLIBS) -o $@

.PHONY: bench-engines
bench-engines: $(B)/bench/engines chaos-programs ## transactions over two and four real engines through Kafka, beside the same rows written directly (SECONDS=n a figure)
	@bench/engines/run $< --seconds $(or $(SECONDS),5)
