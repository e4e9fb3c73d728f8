#!/bin/sh
# SPDX-License-Identifier: MIT
# Functions of at most 80 lines, 6 parameters and nesting 4, by clang-tidy; a fixed set of bug checks beside.
set -u
build=$1
[ -e "$build/compile_commands.json" ] || { echo "$build has no compile_commands.json"; exit 1; }
config='{Checks: "-*,readability-function-size,bugprone-suspicious-memset-usage,bugprone-suspicious-string-compare,bugprone-suspicious-realloc-usage,bugprone-infinite-loop,bugprone-signal-handler,cert-err34-c,clang-analyzer-core.*,clang-analyzer-unix.*",
CheckOptions: [{key: readability-function-size.LineThreshold, value: 80},
{key: readability-function-size.ParameterThreshold, value: 6},
{key: readability-function-size.NestingThreshold, value: 4},
{key: readability-function-size.StatementThreshold, value: 800},
{key: readability-function-size.BranchThreshold, value: 40},
{key: bugprone-suspicious-string-compare.WarnOnImplicitComparison, value: 1}]}'
files=$(git ls-files --cached --others --exclude-standard '*.c' ':!tests')
# shellcheck disable=SC2086 # a list of names without blanks
output=$(run-clang-tidy -quiet -p "$build" -j "$(nproc)" -config="$config" $files 2>/dev/null |
    sed 's/\x1b\[[0-9;]*m//g' | grep -E '(warning|error|note):')
[ -z "$output" ] && exit 0
echo "$output" | sort -u
exit 1
