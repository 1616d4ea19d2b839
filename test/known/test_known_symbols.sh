#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The names that libnib.a gives to a program that is linked with it. usage: test_known_symbols.sh libnib.a
set -euo pipefail
names=$(nm --defined-only -g "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u) || names=
if ! grep -qx nib_model_open <<<"$names"; then
    echo "not the known fault: nm does not read $1"
    exit 0
fi
foreign=$(grep -cv '^nib_' <<<"$names" || true)
[ "$foreign" -eq 0 ] && exit 0
echo "$foreign names in libnib.a do not begin with nib_"
exit 1
