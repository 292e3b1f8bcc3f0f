# Everything a newcomer and the CI run. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Seconds that each fuzz target runs in `make test`.
FUZZ_SECONDS ?= 60
DEMO_FLAGS ?=

.PHONY: help demo test lint unit fuzz bench load deny clean tools test-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## build and start the demo shop: nothing else is needed
	cargo build --release --locked
	exec target/release/impulse demo $(DEMO_FLAGS)

test: tools test-tools ## every check: format, lints, all tests, fuzzing; prints totals and fails on an unexpected skip
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	tests/totals.sh cargo test --workspace --locked --no-fail-fast
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(MAKE) --no-print-directory fuzz

unit: ## the tests alone
	tests/totals.sh cargo test --workspace --locked --no-fail-fast

lint: ## format and lints alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fuzz: ## every fuzz target for FUZZ_SECONDS seconds
	fuzz/run.sh $(FUZZ_SECONDS)

bench: ## the benchmarks, with a report each (docs/BENCHMARKS.md)
	cargo bench --locked

load: ## the load test against a server of its own (docs/BENCHMARKS.md)
	cargo build --release --locked --workspace
	target/release/load-tests smoke

deny: ## licences, sources and duplicates of dependencies; builds its tool first, which takes minutes
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --offline check licenses bans sources

clean: ## remove what was built
	cargo clean

# promtool checks the metrics; Java runs the broker of the Kafka tests, and Maven fetches it.
test-tools:
	@$(call have,promtool,prometheus)
	@$(call have,java,openjdk-17-jre-headless)
	@$(call have,mvn,maven)
	@! { command -v java && command -v mvn; } >/dev/null || topology/kafka/broker fetch \
		|| echo "Kafka cannot be fetched, so its tests will be skipped" >&2

# A command from a Debian package, installed where that is possible and named where it is not.
have = command -v $(1) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2) >/dev/null; } \
	|| echo "$(1) is missing, so tests will be skipped. Install it: apt-get install $(2)" >&2

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing. Install Rust: https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null \
		|| { echo "a C or C++ compiler is missing. Install both: apt-get install build-essential" >&2; exit 1; }
