package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -go-package bpf -type trace -type tally -type timer_tally -type control -type log_cursor -type process -type mapping -type notice layout layout.bpf.c -- -O2 -Wall -Werror -Iinclude
