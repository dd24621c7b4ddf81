// Cgo goes from Go to C and back, twice:
//
//	cgo SECONDS
//
// main.cross → C's outer → middle → main.backToGo → outer → middle → main.backToGo
// → main.deep → main.work, on goroutines whose stacks must grow.
package main

/*
#cgo CFLAGS: -O2 -fomit-frame-pointer
#include <stdint.h>
uint64_t outer(uint64_t x, int depth);
*/
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	seconds := 0.0
	if len(os.Args) == 2 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	if seconds <= 0 {
		fmt.Fprintln(os.Stderr, "usage: cgo SECONDS")
		os.Exit(2)
	}
	time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { os.Exit(0) })
	for {
		done := make(chan C.uint64_t)
		go func() { done <- cross(1) }() // a new stack, which must grow
		<-done
	}
}

//go:noinline
func cross(x C.uint64_t) C.uint64_t {
	for range 100 {
		x += C.outer(x, 1)
	}
	return x
}

//export backToGo
func backToGo(x C.uint64_t, depth C.int) C.uint64_t {
	if depth > 0 {
		return C.outer(x, depth-1)
	}
	return C.uint64_t(deep(8, uint64(x)))
}

//go:noinline
func deep(depth int, x uint64) uint64 {
	var room [64]uint64
	room[x%64] = x
	if depth == 0 {
		return work(room[0])
	}
	return deep(depth-1, x+room[3]) + room[x%64]
}

//go:noinline
func work(x uint64) uint64 {
	for range 1 << 10 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}
