// Chain burns CPU time at the end of a known chain of calls:
//
//	chain SECONDS
//
// The stack is main.main, main.alpha, main.beta, main.gamma, main.delta, where
// delta is inlined into gamma and the rest are not.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// The variable keeps the compiler from leaving the work out.
var sink uint64

func main() {
	seconds := 0.0
	if len(os.Args) == 2 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	if seconds <= 0 {
		fmt.Fprintln(os.Stderr, "usage: chain SECONDS")
		os.Exit(2)
	}
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); {
		sink = alpha(sink)
	}
}

//go:noinline
func alpha(x uint64) uint64 { return beta(x) + 1 }

//go:noinline
func beta(x uint64) uint64 { return gamma(x) + 2 }

// Gamma keeps an array on its stack: a function without a stack frame would
// leave the frame pointer to its caller, whom a walk by frame pointers then
// cannot see.
//
//go:noinline
func gamma(x uint64) uint64 {
	var last [16]uint64
	for i := range uint64(1 << 10) {
		last[x%16] = delta(x + i)
		x = last[(x+i)%16]
	}
	return x
}

func delta(x uint64) uint64 {
	for range 1 << 10 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}
