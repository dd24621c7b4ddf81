package main

import (
	"encoding/binary"
	"strings"
	"unicode"
)

// printable replaces what a terminal would obey: names come from the programs
// that are profiled.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return replaceUnprintable(s)
		}
	}
	return s
}

func replaceUnprintable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// appendPrintable appends printable(s).
func appendPrintable(b []byte, s string) []byte {
	at := len(b)
	b = append(b, s...)
	text := b[at:]
	if len(text) < 8 {
		for _, c := range text {
			if c < ' ' || c > '~' {
				return append(b[:at], replaceUnprintable(s)...)
			}
		}
		return b
	}
	// The last eight are looked at once more, or in part.
	odd := unusual(binary.LittleEndian.Uint64(text[len(text)-8:]))
	for ; len(text) > 8; text = text[8:] {
		odd |= unusual(binary.LittleEndian.Uint64(text))
	}
	if odd != 0 {
		return append(b[:at], replaceUnprintable(s)...)
	}
	return b
}

// unusual is not 0 if any of eight bytes is below the space or above the tilde: then
// the upper bit of a byte of one of the three is set.
func unusual(eight uint64) uint64 {
	const ones = 0x0101_0101_0101_0101
	return (eight | (eight + ones) | (eight - ' '*ones)) & (0x80 * ones)
}
