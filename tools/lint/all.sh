#!/bin/sh
# SPDX-License-Identifier: MIT
# `all.sh BUILD`: every check, each in a script of its own, all run even if one fails. Exit 0 if all are clean.
set -u
folder=$(dirname "$0")
build=$1
cd "$folder/../.." || exit 1
status=0
for check in files banned headers design functions clang; do
    if tools/lint/$check.sh "$build"; then
        echo "lint $check: clean"
    else
        echo "lint $check: FAILED"
        status=1
    fi
done
exit $status
