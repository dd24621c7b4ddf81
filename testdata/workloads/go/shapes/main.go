// Shapes has stacks that are hard to walk:
//
//	shapes SHAPE SECONDS
//
// leaf: main.leaf, which has no frame, called by main.callsLeaf. garbage: the
// garbage collector and growing stacks. growing: these alone. signals: handlers of
// signals. clocks: asks for the time.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The variables keep the compiler from leaving the work out.
var (
	sink uint64
	tree *node
)

type node struct {
	left, right *node
	data        [64]byte
}

func main() {
	seconds, shape := 0.0, ""
	if len(os.Args) == 3 {
		shape = os.Args[1]
		seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	work := map[string]func(){"leaf": leaves, "garbage": garbage, "growing": growing, "signals": signals, "clocks": clocks}[shape]
	if seconds <= 0 || work == nil {
		fmt.Fprintln(os.Stderr, "usage: shapes leaf|garbage|growing|signals|clocks SECONDS")
		os.Exit(2)
	}
	time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { os.Exit(0) })
	for {
		work()
	}
}

//go:noinline
func leaves() {
	sink += callsLeaf(sink) + 1
}

//go:noinline
func callsLeaf(x uint64) uint64 { return leaf(x) + 1 }

//go:noinline
func leaf(x uint64) uint64 {
	for range 1 << 16 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func clocks() {
	for range 1000 {
		sink += uint64(time.Now().UnixNano())
	}
}

//go:noinline
func garbage() {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			t := grow(14)
			sink += deep(50, uint64(t.data[0]))
			tree = t
		})
	}
	group.Wait()
}

// growing has stacks of goroutines that grow from 2 to 128 KiB.
//
//go:noinline
func growing() {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { sink += deep(50, 1) })
	}
	group.Wait()
}

//go:noinline
func grow(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: grow(depth - 1), right: grow(depth - 1)}
}

//go:noinline
func deep(depth int, x uint64) uint64 {
	var room [256]uint64
	room[x%256] = x
	if depth == 0 {
		return leaf(room[0])
	}
	return deep(depth-1, x+room[3]) + room[x%256]
}

var signalled = make(chan os.Signal, 1)

//go:noinline
func signals() {
	signal.Notify(signalled, syscall.SIGUSR1)
	for i := range 1000 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		if i%4 == 0 {
			<-signalled // else one handler may run for very many signals
		}
	}
}
