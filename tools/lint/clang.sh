#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything compiles without a warning under clang too.
set -u
[ -e build-clang/build.ninja ] || CC=clang CXX=clang++ meson setup build-clang >/dev/null || exit 1
ninja -C build-clang --quiet
