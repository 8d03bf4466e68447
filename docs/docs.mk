# What is written from the code. A unit test each compares the file with it.
.PHONY: docs
docs: bin/quanta-coordinator ## write docs/configuration.md and docs/metrics.md from the code
	@$< --help-settings > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	@$< --help-metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

.PHONY: docs-check
docs-check: bin/quanta-coordinator ## fails when a file that `make docs` writes isn't what the code says
	@bin/quanta-coordinator --help-settings | cmp - docs/configuration.md && bin/quanta-coordinator --help-metrics | cmp - docs/metrics.md || \
	  { echo "run make docs" >&2; exit 1; }
