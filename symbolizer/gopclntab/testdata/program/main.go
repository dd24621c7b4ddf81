// Program is what the tests of gopclntab build: enough code of every kind,
// with calls inlined into each other.
package main

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"regexp"
	"sort"
	"strings"
)

type point struct{ X, Y int }

func (p point) scale(by int) point { return point{p.X * by, p.Y * by} }

func twice(p point) point { return again(p) }

func again(p point) point { return p.scale(2) }

func main() {
	words := strings.Fields("the quick brown fox")
	sort.Strings(words)
	p := twice(point{len(os.Args), 2})
	out, err := json.Marshal(p)
	source, _ := format.Source([]byte("package p;var x=1"))
	fmt.Println(string(out), err, string(source), regexp.MustCompile("o+").FindString("foo"))
}
