.PHONY: test-prometheus
test-prometheus: bin/quanta bin/quanta-coordinator bin/quanta-worker bin/quanta-gateway ## a real Prometheus, with the alerts and the dashboard's queries, over a running system
	@d=$$(mktemp -d /tmp/quanta-prometheus.XXXXXX); tests/engines/engines run --dir $$d/engines kafka -- tests/observability/run $$d; s=$$?; rm -rf $$d; exit $$s
