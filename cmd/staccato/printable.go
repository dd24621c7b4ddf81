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
	const ones = 0x0101_0101_0101_0101
	text, odd := b[at:], uint64(0)
	for ; len(text) >= 8; text = text[8:] {
		// The upper bit of a byte of one of the three is set if any byte is below
		// the space or above the tilde.
		eight := binary.LittleEndian.Uint64(text)
		odd |= eight | (eight + ones) | (eight - ' '*ones)
	}
	if odd&(0x80*ones) == 0 && printable(s[len(s)-len(text):]) == s[len(s)-len(text):] {
		return b
	}
	return append(b[:at], replaceUnprintable(s)...)
}
