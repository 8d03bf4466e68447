.PHONY: test-cli
test-cli: bin/quanta ## every command against a real quanta dev: wrong inputs, the shell through a terminal, crashes
	@tests/cli/run
