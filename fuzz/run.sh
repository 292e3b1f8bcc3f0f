#!/usr/bin/env bash
# Runs every fuzz target for so many seconds each (60 if not said), one after the other: fuzz/run.sh [SECONDS] [TARGET]
# FEATURES holds flags that choose features, such as those of the build at hand.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
export BOLERO_RANDOM_TEST_TIME_MS=$((seconds * 1000))
exec cargo test --locked ${FEATURES:-} --test fuzz -- --test-threads=1 "${@:2}"
