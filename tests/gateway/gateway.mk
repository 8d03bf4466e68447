# What openapi.c holds is this file's bytes.
$(B)/obj/gateway/openapi.o: gateway/openapi.json

.PHONY: test-gateway test-gateway-edge test-gateway-rest test-gateway-openapi
test-gateway: test-gateway-edge test-gateway-rest test-gateway-openapi ## the HTTP interface: all of these
test-gateway-edge: bin/quanta bin/quanta-gateway ## TLS, mutual TLS, limits by key and address, settings of the gateway
	@python3 tests/gateway/test_edge.py
test-gateway-rest: bin/quanta bin/quanta-gateway ## the HTTP interface against a real quanta dev, through curl
	@tests/gateway/run

# schemathesis comes from PyPI into build/venv. Left out, because they ask what HTTP can't give: unknown headers aren't refused
# (negative_data_rejection is checked by tests/gateway/test_rest.py for bodies), random text is no QuantaQL (positive_data_acceptance), and
# the dev system has auth off (ignored_auth).
test-gateway-openapi: bin/quanta ## tests made from /openapi.json by schemathesis
	@[ -x build/venv/bin/st ] || { python3 -m venv build/venv && build/venv/bin/pip -q install schemathesis==4.32.5; }
	bench/with-dev sh -c 'build/venv/bin/st run "http://$$QUANTA_HTTP/openapi.json" --phases examples,coverage,fuzzing -n $(or $(EXAMPLES),30) --exclude-checks negative_data_rejection,positive_data_acceptance,ignored_auth'
