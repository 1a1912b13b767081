#!/bin/sh
# SPDX-FileCopyrightText: The fairlead authors
# SPDX-License-Identifier: Apache-2.0
#
# Prints the share of statements that tests run, for each package and in total, from a
# profile of go test. A block stands in the profile once for each test binary.
#
#   internal/tools/coverage.sh bin/cover.out
set -eu
awk '
	NR > 1 { size[$1] = $2; if ($3 > 0) run[$1] = 1 }
	END {
		for (block in size) {
			package = block
			sub(/\/[^\/]*$/, "", package)
			all[package] += size[block]; total += size[block]
			if (block in run) { hit[package] += size[block]; hits += size[block] }
		}
		for (package in all) printf "%5.1f%%  %s\n", 100 * hit[package] / all[package], package | "sort -k2"
		close("sort -k2")
		printf "%5.1f%%  of %d statements in total\n", total ? 100 * hits / total : 0, total
	}' "$1"
