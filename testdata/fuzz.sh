#!/usr/bin/env bash
# Runs every fuzz target of the module for a time: fuzz.sh 20s.
set -euo pipefail

# Go fuzzes one target of one package at a time.
grep -rl --include='*_test.go' '^func Fuzz' . | xargs -rn1 dirname | sort -u | while read -r folder; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$folder"/*_test.go | while read -r target; do
		echo "$folder $target"
		# By default each new input is made smaller for a minute, of which there
		# are hundreds: the time would go into that.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 50x "$folder" </dev/null
	done
done
