// Users asks the C library for users, again and again:
//
//	users SECONDS
//
// Go's own linker links the C code for that, in its package os/user.
package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"
)

func main() {
	seconds := 0.0
	if len(os.Args) == 2 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	if seconds <= 0 {
		fmt.Fprintln(os.Stderr, "usage: users SECONDS")
		os.Exit(2)
	}
	time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { os.Exit(0) })
	for {
		look()
	}
}

//go:noinline
func look() {
	// Another one than our own, which is remembered; it need not exist.
	_, _ = user.LookupId("1")
}
