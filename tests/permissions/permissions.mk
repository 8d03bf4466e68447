.PHONY: test-permissions
test-permissions: bin/quanta ## who may do what, over HTTP and Kafka, against a model of its own (SEED=n CASES=n)
	@tests/permissions/run
