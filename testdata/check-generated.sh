#!/usr/bin/env bash
# Fails when the committed eBPF objects are not what go generate makes of their
# sources; the new ones are then in the working tree.
set -euo pipefail

generated() { find . -name '*_bpfel.go' -o -name '*_bpfel.o' | sort; }

if ! command -v clang-19 >/dev/null; then
	echo "check-generated.sh: clang-19 is missing: testdata/install-deps.sh installs it" >&2
	exit 1
fi
before=$(generated | xargs -r sha256sum)
go generate ./...
after=$(generated | xargs -r sha256sum)
if ! difference=$(diff <(echo "$before") <(echo "$after")); then
	echo "check-generated.sh: make generate changes these files; commit them with their sources:" >&2
	echo "$difference" >&2
	exit 1
fi
