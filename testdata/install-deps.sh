#!/usr/bin/env bash
# Installs what building, testing and regenerating need besides Go, on Debian
# and its relatives, and the packages that are its arguments. Does nothing, and
# needs no root, when all is there.
set -euo pipefail

packages=(
	gcc g++ libc6-dev # workloads, and go test -race
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross # code for arm64 to read
	libstdc++6-arm64-cross libssl-dev           # libraries to read
	clang-19 llvm-19  # eBPF programs: go generate
	bolt-19           # rewrites programs to profile
	libbpf-dev        # eBPF helpers' headers
	binutils elfutils # readers of ELF files to compare with
	libdw-dev gdb openssl python3.11 # unwinds, and programs to unwind
	dwz xz-utils libc6-dbg debuginfod # debug files, and a server of them
	linux-perf        # counts timer expirations, and profiles, to compare with
	python3           # a load to profile
	nodejs openjdk-17-jdk-headless # generate code while they run
	docker.io iproute2 # a container and a network to profile
	git make
	qemu-system-x86 qemu-system-arm # other kernels
	chromium fonts-dejavu-core      # to open the pages that staccato writes
)
# Workloads for virtual machines of the other architecture.
case $(dpkg --print-architecture) in
amd64) packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
arm64) packages+=(gcc-x86-64-linux-gnu libc6-dev-amd64-cross) ;;
esac

# axe checks whether those pages are accessible, speedscope opens files that were
# converted for it. Node.js of others, which Debian's npm does not go with, may be there
# already.
command -v npm >/dev/null || packages+=(npm)
packages+=("$@")

missing=()
for package in "${packages[@]}"; do
	if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
		missing+=("$package")
	fi
done

browser=$(cd "$(dirname "${BASH_SOURCE[0]}")/browser" && pwd)
install_npm_packages() {
	local folder
	for folder in "$browser"/{axe,speedscope}; do
		if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
			(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >/dev/null)
		fi
	done
}

if ((${#missing[@]} == 0)); then
	install_npm_packages
	exit 0
fi

echo "install-deps.sh: installing ${missing[*]}"
if ((EUID != 0)); then
	echo "install-deps.sh: only root can. Run:  sudo $0" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
install_npm_packages
