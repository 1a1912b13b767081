#!/usr/bin/env bash
# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs tests under the race detector, and prints the share of statements that the tests of
# each package run. Each program that a test starts from its own binary is under the detector
# as well, and writes what it finds into the same folder.
#
# The detector makes everything about ten times slower, and this step is about races. So a
# test that fails without a report of a race runs once more by itself, and its name is printed.
# With ONLY_RACES=1 its second failure is printed as well, and only reports, panics and packages
# that do not build fail the step. `make test` is strict about times. BUDGET bounds the step: the
# packages that are left then are named, and fail it unless ONLY_RACES=1. With SHORT=1 tests that
# fill large tables fill smaller ones, and those that skip themselves with -short are named.
#
# Each line of these runs begins with "race:", so that nobody takes it for a result of `make test`.
#
#   [ONLY_RACES=1] [SHORT=1] [BUDGET=20m] internal/tools/race.sh PACKAGE...
#
# Results in bin/coverage: report.txt, index.html, profile, tests.txt, left.txt with what was not
# run, and race.PID for each race.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/bin/coverage
rm -rf "$out"
mkdir -p "$out"
# Each program under the detector sleeps for a second before it ends, unless it is told to sleep less.
export CGO_ENABLED=1 GORACE="log_path=$out/race atexit_sleep_ms=100" FAIRLEAD_SKIPPED="$out/skipped.txt"
flags=(-race -count=1 -timeout 30m)
if [ "${SHORT:-}" = 1 ]; then flags+=(-short); fi

# A test passes, and its result would be cached, although a program that it started reports a race.
status=0
timeout -s KILL "${BUDGET:-2h}" go test "${flags[@]}" -covermode=atomic -coverprofile="$out/profile" "$@" 2>&1 |
	tee "$out/tests.txt" | sed -u 's/^/race: /' || status=$?
late=
if [ $status -eq 137 ]; then # BUDGET is over
	late=$(go list "$@" | grep -vxF "$(awk '/^(ok|FAIL|\?|---)?[ \t]+fairlead/ { print $1 ~ /fairlead/ ? $1 : $2 }' "$out/tests.txt")" || true)
	status=0
	if grep -q '^FAIL' "$out/tests.txt"; then status=1; fi
fi

# failed prints each package that failed with its failed tests, as a line of a package and a
# regular expression. It fails if a package failed for another reason than a failed test.
failed() {
	awk '
		/^--- FAIL: / { names = names (names ? "|" : "") $3 }
		/^panic: |^fatal error: / { names = ""; broken = 1 }
		/^ok / { names = ""; broken = 0 }
		/^FAIL\t/ {
			if (broken || !names) exit 1
			print $2, "^(" names ")$"
			names = ""; broken = 0
		}' "$out/tests.txt"
}

races() { compgen -G "$out/race.*" >/dev/null || grep -qs '^WARNING: DATA RACE' "$out/tests.txt" "$out/again.txt"; }

if [ $status -ne 0 ] && ! races; then
	if again=$(failed) && [ -n "$again" ]; then
		status=0
		while read -r package tests; do
			echo "once more, alone: $package $tests"
			if ! go test "${flags[@]}" -run "$tests" "$package" 2>&1 | tee "$out/again.txt" | sed -u 's/^/race: /'; then
				echo "failed twice under the race detector, without a race: $package $tests"
				if [ "${ONLY_RACES:-}" != 1 ] || grep -q '^panic: \|^fatal error: ' "$out/again.txt"; then status=1; fi
			fi
		done <<<"$again"
	fi
fi
if races; then
	cat "$out"/race.* 2>/dev/null || true
	echo "the race detector found something"
	status=1
fi
touch "$out/profile" # no package may have come to its end
internal/tools/coverage.sh "$out/profile" >"$out/report.txt"
go tool cover -html="$out/profile" -o "$out/index.html" || echo "there is no profile to show"
cat "$out/report.txt"
{
	for package in $late; do echo "the race detector did not see all of $package within ${BUDGET:-2h}"; done
	if [ -s "$FAIRLEAD_SKIPPED" ]; then
		echo "only \`make race\` and .ci/run long run these tests under the race detector:"
		sort -u "$FAIRLEAD_SKIPPED" | sed 's/^/  /'
	fi
} >"$out/left.txt"
cat "$out/left.txt"
if [ -n "$late" ] && [ "${ONLY_RACES:-}" != 1 ]; then status=1; fi
exit $status
