#!/usr/bin/env bash
# Runs the Go benchmarks of the stages that a sample passes, here and in the
# previous commit (or another one), and prints both with the change:
#
#     compare.sh BENCHSTAT [COMMIT]
#
# where BENCHSTAT is its executable. It fails when a benchmark here does, and
# never because of what it measures: that is for people to judge.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

benchstat=$1
commit=${2:-HEAD^}
packages=(bpf agent/merge symbolizer exporter/pprof exporter/otlp)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
declare -A tree=([new]=$PWD [old]=$dir/tree)

sides=(old new)
if git rev-parse --quiet --verify "$commit^{commit}" >/dev/null 2>&1; then
	mkdir "${tree[old]}"
	git archive "$commit" | tar -x -C "${tree[old]}"
else
	echo "compare.sh: there is no $commit here (a first commit, a shallow clone, or no clone): nothing to compare with" >&2
	sides=(new)
fi

# Says what is wrong, and fails unless it is so only in the old commit.
complain() {
	echo "compare.sh: $1: $2" >&2
	[[ $1 == old ]]
}

binary() { echo "$dir/$1-${2//\//-}.test"; }

for side in "${sides[@]}"; do
	for package in "${packages[@]}"; do
		if [[ ! -d ${tree[$side]}/$package ]]; then
			complain "$side" "there is no package $package"
			continue
		fi
		# With -trimpath the old folder can use what is in the build cache.
		go test -C "${tree[$side]}" -c -trimpath -o "$(binary "$side" "$package")" "./$package" >&2 ||
			complain "$side" "$package does not compile"
	done
done

# Old and new take turns, so that a change of the machine's speed meets both.
# Six measurements are the fewest of which benchstat says how sure they are.
for _ in 1 2 3; do
	for package in "${packages[@]}"; do
		for side in "${sides[@]}"; do
			test=$(binary "$side" "$package")
			[[ -x $test ]] || continue
			if (cd "${tree[$side]}/$package" && "$test" -test.run '^$' -test.bench . -test.benchtime 100ms -test.count 2) >"$dir/run"; then
				cat "$dir/run" >>"$dir/$side"
			else
				cat "$dir/run" >&2
				complain "$side" "benchmarks of $package fail"
			fi
		done
	done
done

cd "$dir"
touch "${sides[@]}" # there may be nothing old
# As names of rows, short paths of packages do.
sed -i 's|^pkg: github.com/staccato-profiler/staccato/|pkg: |' "${sides[@]}"
"$benchstat" -row pkg,.fullname -filter '.unit:(sec/op OR B/op OR allocs/op)' "${sides[@]}"
