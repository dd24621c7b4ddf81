#!/usr/bin/env bash
# Checks the import rules of imports.yaml in the Go module in the working
# directory: imports.sh DEPGUARD, where DEPGUARD is its executable.
set -euo pipefail

depguard=$1
# The only place where depguard looks; without a file it would check nothing.
config=.depguard.yaml
trap 'rm -f "$config"' EXIT
sed "s|@ROOT@|$PWD|" "$(dirname "${BASH_SOURCE[0]}")/imports.yaml" >"$config"
"$depguard" ./...
