package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag for an amount of bytes: 512MB, 2GiB, 1.5GB. A number
// alone is refused, since people mean different things by it.
type byteSize int64

// sizeUnits begin with the largest.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3},
}

func (s *byteSize) Type() string { return "size" }

func (s *byteSize) String() string {
	if *s == 0 {
		return ""
	}
	for _, unit := range sizeUnits {
		if int64(*s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(*s)/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(*s), 10) + "B"
}

func (s *byteSize) Set(text string) error {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(strings.ToLower(text), strings.ToLower(unit.name))
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(number, 64)
		if bytes := value * float64(unit.bytes); err == nil && bytes >= 1 && bytes < math.MaxInt64 {
			*s = byteSize(bytes)
			return nil
		}
	}
	return errors.New("want a size like 512MB or 2GiB")
}
