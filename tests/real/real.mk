# The programs as they are deployed, over real servers. The directory stays when it fails: DIR/up.log, DIR/servers/*/log.
REAL_DIR ?= build/test-real

.PHONY: test-real
test-real: all ## quanta up over real Kafka and four real databases: the specification, load with kills, wrong settings
	@tests/real/run $(REAL_DIR)
