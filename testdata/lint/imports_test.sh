#!/usr/bin/env bash
# Shows that the import rules catch what they forbid, and let pass what they do
# not, in small modules of the same name: imports_test.sh DEPGUARD.
set -euo pipefail

depguard=$1
lint=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=github.com/staccato-profiler/staccato
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# try EXPECTATION FOLDER IMPORT: a package in FOLDER that imports IMPORT, both
# below the module. EXPECTATION is allowed or forbidden.
try() {
	local expectation=$1 folder=$2 import=$3 output status=0
	rm -rf "$work/module"
	mkdir -p "$work/module/$folder" "$work/module/$import"
	cd "$work/module"
	printf 'module %s\n\ngo 1.26\n' "$module" >go.mod
	printf 'package p\n' >"$import/imported.go"
	printf 'package p\n\nimport _ "%s"\n' "$(sed 's|/\.$||' <<<"$module/$import")" >"$folder/importing.go"
	output=$(bash "$lint/imports.sh" "$depguard" 2>&1) || status=$?
	case $expectation in
	allowed) [[ $status -eq 0 ]] ;;
	forbidden) [[ $status -ne 0 && $output == *"importing.go:3:8: import '"*"is not allowed"* ]] ;;
	esac || {
		echo "$folder imports $import: want $expectation, got status $status:" >&2
		echo "$output" >&2
		return 1
	}
}

try forbidden . bpf
try forbidden bpf symbolizer
try forbidden bpf/source/cpu exporter/pprof
try forbidden bpf agent
try forbidden symbolizer/elfsym bpf
try forbidden symbolizer exporter
try forbidden exporter bpf
try forbidden exporter/report symbolizer
try forbidden exporter/otlp symbolizer
try forbidden exporter/otlp agent
try forbidden agent cmd/staccato
try forbidden cmd/staccato bpf
try forbidden deploy agent
try allowed bpf .
try allowed bpf bpf/source/cpu
try allowed agent bpf
try allowed agent/process symbolizer
try allowed cmd/staccato agent
try allowed cmd/staccato exporter/folded
echo "imports_test.sh: 18 import rules hold"
