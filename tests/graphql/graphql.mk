# graphql-js comes from npm into build/graphql, at the version that package.json names. npm is a part of some nodejs packages, and Debian's own is one by itself.
.PHONY: test-graphql
test-graphql: bin/quanta ## GraphQL: graphql-js reads the schema, validates the queries and compares what they answer
	@command -v npm >/dev/null || apt-get install -y -qq npm >/dev/null
	@cmp -s tests/graphql/package.json build/graphql/package.json && [ -d build/graphql/node_modules/graphql ] || { mkdir -p build/graphql && \
	  cp tests/graphql/package.json build/graphql/ && npm install --silent --no-audit --no-fund --prefix build/graphql; }
	@NODE_PATH=$(CURDIR)/build/graphql/node_modules bench/with-dev node tests/graphql/run.js
