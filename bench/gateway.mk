# Point reads through REST against a fresh quanta dev; the requests per second that CPU time would allow are the comparable figure where others use the machine.
.PHONY: bench-gateway
bench-gateway: bin/quanta ## point reads through REST: requests/s and latency at 1 to 256 connections, CPU time for each request
	@bench/with-dev bench/gateway $(or $(SECONDS),5)
