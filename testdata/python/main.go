// Command python unpacks a Python that can list its functions for perf (3.12 and
// later), which Debian 12 has none of, and prints where its program is.
//
//	go run -C testdata/python . DIR
package main

import (
	"fmt"
	"os"

	"github.com/kluctl/go-embed-python/python"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "python: usage: go run . DIR")
		os.Exit(2)
	}
	p, err := python.NewEmbeddedPythonWithTmpDir(os.Args[1], false)
	if err != nil {
		fmt.Fprintf(os.Stderr, "python: unpack Python to %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	path, err := p.GetExePath()
	if err != nil {
		fmt.Fprintf(os.Stderr, "python: find Python in %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Println(path)
}
