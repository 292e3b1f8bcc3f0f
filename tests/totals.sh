#!/usr/bin/env bash
# Runs a test command, then prints the totals of all its test binaries and counts what was skipped.
#
# A test that cannot run because a part is missing prints a line that begins with SKIPPED and says why. That is expected
# only for data sets where their folder is not there, for Kafka where Java or Maven is not, and for TLS where OpenSSL is
# not (libssl-dev): then it is built without.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$@" -- --show-output > >(tee "$log") 2>&1
status=$?
wait

totals=$(awk '/^test result: / { passed += $4; failed += $6 } END { printf "%d passed, %d failed", passed, failed }' "$log")
skipped=$(grep -c '^SKIPPED' "$log")
grep '^SKIPPED' "$log" | sort | uniq -c
if grep '^SKIPPED' "$log" | grep -qv '^SKIPPED TLS' && [ -d ../shared/data ]; then
    echo "the data sets are in ../shared/data, so nothing may be skipped" >&2
    status=1
fi
if grep -q '^SKIPPED Kafka' "$log" && command -v java >/dev/null && command -v mvn >/dev/null; then
    echo "Java and Maven are here, so the Kafka tests may not be skipped" >&2
    status=1
fi
if grep -q '^SKIPPED TLS' "$log" && pkg-config --exists libssl 2>/dev/null; then
    echo "OpenSSL is here, so the tests are to be built with --features kafka-tls" >&2
    status=1
fi
echo "$totals, $skipped skipped"
exit "$status"
