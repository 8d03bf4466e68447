# QuantaDB. `make help` lists the targets. Objects go to build/<variant>, programs of the plain variant to bin/.
#
# One static library per folder in MODULES; a unit test links its own module's library and those that this module may depend on
# (DEPS_*), so that a dependency that should not be there fails to link.

VARIANT ?= release
B       := build/$(VARIANT)
GEN     := build/gen
CC      ?= gcc

MODULES := base schemas schemas/wire quantaql wal coordinator workers workers/embedded workers/postgres workers/mongo workers/neo4j workers/influx bus graphql gateway auth cmd/config
DEPS_base             :=
DEPS_schemas          := base
DEPS_schemas/wire     := schemas $(DEPS_schemas)
DEPS_quantaql         := schemas $(DEPS_schemas)
DEPS_wal              := schemas/wire $(DEPS_schemas/wire)
DEPS_coordinator      := quantaql wal $(DEPS_wal)
DEPS_workers          := schemas/wire $(DEPS_schemas/wire)
DEPS_workers/embedded := workers $(DEPS_workers)
DEPS_workers/postgres := workers $(DEPS_workers)
DEPS_workers/mongo    := workers $(DEPS_workers)
DEPS_workers/neo4j    := workers $(DEPS_workers)
DEPS_workers/influx   := workers $(DEPS_workers)
DEPS_bus              := base
DEPS_graphql          := base
DEPS_gateway          := graphql schemas $(DEPS_schemas)
DEPS_auth             := base
DEPS_cmd/config       := schemas base
ALL_LIBS := gateway graphql auth bus workers/embedded workers/postgres workers/mongo workers/neo4j workers/influx workers coordinator quantaql wal schemas/wire schemas base

WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Werror
CSTD   := -std=c17 -D_GNU_SOURCE
INC    := -I. -I$(GEN) -isystem /usr/include/postgresql -isystem /usr/include/libmongoc-1.0 -isystem /usr/include/libbson-1.0
# gcc's guesses about sizes are wrong in instrumented code (its manual says so of -fsanitize): the release build makes them.
INSTRUMENTED := -DQ_TEST_BUILD -Wno-format-truncation -Wno-stringop-overread -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized
CFLAGS_release := -O2 -g -fno-omit-frame-pointer
CFLAGS_asan    := -O1 -g -fsanitize=address -fno-omit-frame-pointer $(INSTRUMENTED)
CFLAGS_ubsan   := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all $(INSTRUMENTED)
CFLAGS_tsan    := -O1 -g -fsanitize=thread $(INSTRUMENTED)
CFLAGS_cov     := -O0 -g --coverage -fprofile-update=atomic -DQ_TEST_BUILD -DQ_COVERAGE
CFLAGS_fuzz    := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -DQ_TEST_BUILD
CFLAGS_mutants := -O2 -g -DQ_MUTANTS -DQ_TEST_BUILD
CFLAGS_failpoints := $(CFLAGS_release) -DQ_FAILPOINTS
CFLAGS_VARIANT := $(CFLAGS_$(VARIANT))
ifeq ($(VARIANT),fuzz)
CC := clang
WARN := -Wall -Wextra -Wno-gnu -Werror
endif
CFLAGS  = $(CSTD) $(INC) $(WARN) $(CFLAGS_VARIANT) -fstack-protector-strong -MMD -MP
LDLIBS := -lrdkafka -lmicrohttpd -lgnutls -lcurl -lpq -lmongoc-1.0 -lbson-1.0 -llmdb -lmsgpackc -ljansson -lyajl -lisal -lxxhash -lsodium -lyaml -lzstd -lcrypto -lz -lm -lpthread

# V=1 shows the commands.
ifeq ($(V),)
Q := @
say = @printf '  %-4s %s\n' $(1) $(2)
endif

.PHONY: all help setup clean test unit
.DEFAULT_GOAL := all
.SECONDARY:
.SECONDEXPANSION:

# ---- libraries -------------------------------------------------------------------------------------------------------
name = $(subst /,_,$(1))
lib  = $(B)/lib/libq_$(call name,$(1)).a
libs = $(foreach m,$(1),$(call lib,$(m)))

GEN_quantaql := $(GEN)/quantaql/lexer.c $(GEN)/quantaql/grammar.c

define MODULE
SRC_$(1) := $$(wildcard $(1)/*.c)
OBJ_$(1) := $$(SRC_$(1):%.c=$(B)/obj/%.o) $$(patsubst $(GEN)/%.c,$(B)/obj/gen/%.o,$$(GEN_$(1)))
$(call lib,$(1)): $$(OBJ_$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$(OBJ_$(1))
DEPFILES += $$(OBJ_$(1):.o=.d)
.PHONY: lib-$(call name,$(1))
lib-$(call name,$(1)): $(call lib,$(1))
endef
$(foreach m,$(MODULES),$(eval $(call MODULE,$(m))))

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@
# What re2c and lemon write isn't ours to warn about.
$(B)/obj/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(filter-out -Wconversion -Wshadow -Wmissing-prototypes -Wextra,$(CFLAGS)) -Wno-unused-parameter -Wno-sign-compare -Wno-unused-function -c $< -o $@

$(GEN)/quantaql/lexer.c: quantaql/lexer.re
	@mkdir -p $(@D)
	$(Q)re2c --no-generation-date -W -i -o $@ $<
$(GEN)/quantaql/grammar.c $(GEN)/quantaql/grammar.h &: quantaql/grammar.y
	@mkdir -p $(GEN)/quantaql
	$(Q)lemon -q -T/usr/share/lemon/lempar.c -d$(GEN)/quantaql $< >/dev/null || lemon -T/usr/share/lemon/lempar.c -d$(GEN)/quantaql $<
$(OBJ_quantaql): $(GEN)/quantaql/grammar.h

# ---- programs: cmd/<name>.c is one main; cmd/<folder>/*.c are shared by them -------------------------------------------
CMD_MAINS  := $(wildcard cmd/*.c)
CMD_SHARED := $(wildcard cmd/*/*.c)
BINS       := $(CMD_MAINS:cmd/%.c=bin/%)
CMD_OBJ    := $(CMD_SHARED:%.c=$(B)/obj/%.o)
DEPFILES   += $(CMD_OBJ:.o=.d) $(CMD_MAINS:%.c=$(B)/obj/%.d)

all: setup $(BINS) ## build the programs into bin/

$(B)/bin/%: $(B)/obj/cmd/%.o $(CMD_OBJ) $(call libs,$(ALL_LIBS))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_VARIANT) -rdynamic $< $(CMD_OBJ) -Wl,--start-group $(call libs,$(ALL_LIBS)) -Wl,--end-group -ledit $(LDLIBS) -o $@
bin/%: $(B)/bin/%
	@mkdir -p bin
	$(Q)cp $< $@.new && mv $@.new $@ # the old one may be running

# ---- unit tests: tests/unit/<module, / as _>/test_*.c -----------------------------------------------------------------
UNIT_BINS :=
define UNIT
UNIT_SRC_$(1) := $$(wildcard tests/unit/$(call name,$(1))/test_*.c)
UNIT_BINS += $$(UNIT_SRC_$(1):%.c=$(B)/%)
DEPFILES += $$(UNIT_SRC_$(1):%.c=$(B)/obj/%.d)
$$(UNIT_SRC_$(1):%.c=$(B)/%): $(B)/%: $(B)/obj/%.o $(call libs,$(1) $(DEPS_$(1)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS_VARIANT) $$< -Wl,--start-group $(call libs,$(1) $(DEPS_$(1))) -Wl,--end-group -lcmocka $$(LDLIBS) -o $$@
.PHONY: unit-$(call name,$(1))
unit-$(call name,$(1)): $$(UNIT_SRC_$(1):%.c=$(B)/%)
	@set -e; for t in $$^; do echo "== $$$$t"; $$$$t; done
endef
$(foreach m,$(MODULES),$(eval $(call UNIT,$(m))))

unit: $(UNIT_BINS) ## run the unit tests (VARIANT=asan|ubsan|tsan for the variants)
	@set -e; for t in $(UNIT_BINS); do echo "== $$t"; $$t; done

# ---- each area adds its own targets -----------------------------------------------------------------------------------
-include $(wildcard tests/*/*.mk bench/*.mk docs/*.mk demo/*.mk tests/*.mk)

setup: ## install the Debian packages that are missing
	@scripts/setup

help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20 | sort

clean: ## remove what was built
	rm -rf build/release build/asan build/ubsan build/tsan build/cov build/fuzz build/mutants build/failpoints build/gen bin

-include $(DEPFILES)
