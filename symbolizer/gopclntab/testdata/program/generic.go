//go:build go1.18

package main

import "os"

func init() {
	values := []int{len(os.Args), 2}
	os.Setenv("MOST", most(os.Args))
	if most(values) < 0 {
		panic(values)
	}
}

func most[T int | string](values []T) T {
	m := values[0]
	for _, v := range values {
		m = larger(m, v)
	}
	return m
}

func larger[T int | string](a, b T) T {
	if a > b {
		return a
	}
	return b
}
