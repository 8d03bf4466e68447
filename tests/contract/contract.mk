# The engines' one suite: tests/contract. `make contract` runs it for the embedded engine as each of the four; a server's adapter is run
# by hand or by tests/engines: build/release/tests/contract/contract --engine postgres --as postgres --uri ...
CONTRACT_SRC := $(wildcard tests/contract/*.c)
CONTRACT_OBJ := $(CONTRACT_SRC:%.c=$(B)/obj/%.o)
CONTRACT_LIBS := $(call libs,workers/embedded workers/postgres workers/mongo workers/neo4j workers/influx $(DEPS_workers/embedded))
DEPFILES += $(CONTRACT_OBJ:.o=.d)

$(B)/tests/contract/contract: $(CONTRACT_OBJ) $(CONTRACT_LIBS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) $(CONTRACT_OBJ) -Wl,--start-group $(CONTRACT_LIBS) -Wl,--end-group $(LDLIBS) -o $@

.PHONY: contract
contract: $(B)/tests/contract/contract ## the engines' contract suite, for the embedded engine as each of the four
	@set -e; for as in postgres mongo neo4j influx; do \
	  dir=$$(mktemp -d); echo "== contract embedded as $$as"; \
	  $< --engine embedded --as $$as --uri $$dir/engine > $$dir/log || { grep -vE '^\[ (RUN|     OK|N/A)' $$dir/log; rm -rf $$dir; exit 1; }; \
	  tail -1 $$dir/log; rm -rf $$dir; done

# The adapters that there are, each against its server. Logs: build/contract-engines.
CONTRACT_SERVERS := postgres mongo neo4j influx

.PHONY: contract-engines
contract-engines: $(B)/tests/contract/contract ## the contract suite against the real servers, which it starts and ends
	@mkdir -p build/contract-engines
	$(Q)tests/engines/engines run $(CONTRACT_SERVERS) --dir build/contract-engines/servers -- \
	  tests/contract/servers $< build/contract-engines $(CONTRACT_SERVERS)

.PHONY: test-contract-engines
test-contract-engines: contract-engines ## the same, as a part of make test
