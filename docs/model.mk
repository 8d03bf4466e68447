# The protocol's models: docs/model/README.md.
.PHONY: model
model: ## the protocol's models, exhaustively, with spin (3 minutes; WORD=crash: only the lines with that word)
	@docs/model/run $(WORD)
