// Bench measures what staccato costs and how true it is, with nothing but what
// the kernel says of processes and BPF programs. See docs/BENCHMARKS.md.
//
//	go run ./testdata/bench -part overhead [-rates 19,97,997,4999,9999] [-warm 30s] [-time 60s]
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	part := flag.String("part", "overhead", "overhead, or growth")
	rates := flag.String("rates", "19,97,997,4999,9999", "frequencies in Hz")
	warm := flag.Duration("warm", 30*time.Second, "time before measuring")
	span := flag.Duration("time", 60*time.Second, "time measured")
	flag.Parse()
	b, err := newBench(*warm, *span)
	if err == nil {
		defer b.close()
		switch *part {
		case "overhead":
			var list []int
			for text := range strings.SplitSeq(*rates, ",") {
				hz, e := strconv.Atoi(text)
				if e != nil {
					err = e
				}
				list = append(list, hz)
			}
			if err == nil {
				err = b.overhead(list)
			}
		default:
			err = fmt.Errorf("no part %q", *part)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
