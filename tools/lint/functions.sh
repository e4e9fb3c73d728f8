#!/bin/sh
# SPDX-License-Identifier: MIT
# Functions of at most 80 lines, 6 parameters and nesting 4, and clang-tidy's checks for bugs: .clang-tidy says
# which, and why some are off. Where one is wrong, the line says NOLINTNEXTLINE(the check): and why.
set -u
build=$1
[ -e "$build/compile_commands.json" ] || { echo "$build has no compile_commands.json"; exit 1; }
bare=$(git grep --untracked -n 'NOLINT' -- '*.c' '*.h' '*.cc' | grep -vE 'NOLINTNEXTLINE\([a-zA-Z0-9.,-]+\): .{10}')
[ -z "$bare" ] || { echo "$bare"; echo "(a suppression names its check and says why)"; exit 1; }
files=$(git ls-files --cached --others --exclude-standard '*.c' '*.cc' ':!tests')
# shellcheck disable=SC2086 # a list of names without blanks
output=$(run-clang-tidy -quiet -p "$build" -j "$(nproc)" $files 2>/dev/null |
    sed 's/\x1b\[[0-9;]*m//g' | grep -E ' (warning|error): |note: .*threshold')
[ -z "$output" ] && exit 0
echo "$output" | sort -u
exit 1
