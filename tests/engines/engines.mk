# Real servers for a person, and for the tests: README.md beside this file.
ENGINES_DIR ?= build/engines

.PHONY: setup-engines engines-up engines-down engines-status
setup-engines: setup ## what the real servers need: Debian packages, jars, and the MongoDB server, which is built
	@scripts/setup tests/engines/packages.txt
	@tests/engines/engines fetch

engines-up: setup-engines ## start PostgreSQL, MongoDB, Neo4j, InfluxDB and Kafka on loopback; prints the quanta.yaml to use (ENGINES_DIR=dir)
	@tests/engines/engines up --dir $(ENGINES_DIR) postgres mongo neo4j influx kafka
engines-down: ## end them; their data stays
	@tests/engines/engines down --dir $(ENGINES_DIR)
engines-status: ## which of them run
	@tests/engines/engines status --dir $(ENGINES_DIR)
