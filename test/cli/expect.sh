# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# What the command's tests share; sourced. The sourcing script sets `failed`.

# expect CODE 'PATTERN' COMMAND...: exit code, and what standard output and error together must match (extended regex; '' any).
expect() {
    local code=$1 pattern=$2
    shift 2
    "$@" >out 2>&1 </dev/null
    local got=$?
    if [ $got -ne "$code" ] || { [ -n "$pattern" ] && ! grep -qE "$pattern" out; }; then
        echo "FAILED: $*: exit $got, wanted $code and /$pattern/; it said:"
        head -c 600 out
        failed=1
    fi
}
check() { if ! "$@"; then echo "FAILED: $*"; failed=1; fi; }
