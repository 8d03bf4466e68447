# SQLite is the oracle of one test, and no part of any program.
$(B)/tests/unit/coordinator/test_exec_sqlite: LDLIBS += -lsqlite3
