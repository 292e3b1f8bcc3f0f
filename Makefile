# Everything a newcomer and the CI run. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Seconds that each fuzz target runs in `make test`.
FUZZ_SECONDS ?= 60
DEMO_FLAGS ?=
# TLS towards Kafka is checked where OpenSSL can be linked.
FEATURES = $(shell pkg-config --exists libssl 2>/dev/null && echo --features impulse/kafka-tls)

.PHONY: help demo test lint unit fuzz bench load deny clean tools test-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## build and start the demo shop: nothing else is needed
	cargo build --release --locked
	exec target/release/impulse demo $(DEMO_FLAGS)

test: tools test-tools ## every check: format, lints, all tests, fuzzing; prints totals and fails on an unexpected skip
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	tests/totals.sh cargo test --workspace --locked --no-fail-fast $(FEATURES)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(MAKE) --no-print-directory fuzz

unit: ## the tests alone
	tests/totals.sh cargo test --workspace --locked --no-fail-fast $(FEATURES)

lint: ## format and lints alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings

fuzz: ## every fuzz target for FUZZ_SECONDS seconds
	FEATURES="$(FEATURES)" fuzz/run.sh $(FUZZ_SECONDS)

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

# promtool checks the metrics; Java runs the broker of the Kafka tests, and Maven fetches it; OpenSSL is linked for TLS.
test-tools:
	@$(call have,command -v promtool,prometheus)
	@$(call have,command -v java,openjdk-17-jre-headless)
	@$(call have,command -v mvn,maven)
	@$(call have,pkg-config --exists libssl,libssl-dev pkg-config)
	@! { command -v java && command -v mvn; } >/dev/null || topology/kafka/broker fetch \
		|| echo "Kafka cannot be fetched, so its tests will be skipped" >&2

# What a command looks for, installed from Debian packages where that is possible and named where it is not.
have = $(1) >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2) >/dev/null; } \
	|| echo "$(lastword $(1)) is missing, so tests will be skipped. Install it: apt-get install $(2)" >&2

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing. Install Rust: https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null \
		|| { echo "a C or C++ compiler is missing. Install both: apt-get install build-essential" >&2; exit 1; }
