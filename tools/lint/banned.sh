#!/bin/sh
# SPDX-License-Identifier: MIT
# Functions that nobody may call, and comparisons of secrets that leak their time.
set -u
list='strcpy|strcat|sprintf|vsprintf|strncpy|atoi|atol|atoll|atof|strtok|gets|system|popen|alloca|rand|srand|random|tmpnam|mktemp'
found=$(git grep --untracked -nE "(^|[^a-zA-Z0-9_>.\"])($list) *\(" -- '*.c' '*.h' '*.cc' | grep -vE ':[0-9]+: *(/?\*|//)')
secrets=$(git grep --untracked -nE "(memcmp|strcmp|strncmp) *\([^;()]*(secret|signature|password|hmac)" -- '*.c' '*.cc' \
    ':!tests' | grep -v 'lint: not a secret')
[ -z "$found$secrets" ] && exit 0
printf '%s\n' "$found" "$secrets" | sed '/^$/d'
exit 1
