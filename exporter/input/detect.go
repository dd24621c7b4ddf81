package input

import (
	"bytes"
	"errors"
	"regexp"
	"sync"
	"unicode/utf8"
)

// lookAt is how much of the content tells text from pprof's format.
const lookAt = 4096

var (
	// Of pprof's formats before it became a protocol buffer, the first lines.
	oldPprof = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(--- ?[a-z]+|[a-z]+ profile:|heap_v2/|format = )`)
	})
	// A folded stack ends in a space and a number.
	foldedLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\S.*\s-?[0-9]+$`)
	})
)

// detect finds the format of content that is not compressed.
func detect(content []byte) (Format, error) {
	switch {
	case len(content) == 0:
		return 0, &FormatError{Err: errors.New("it is empty")}
	case bytes.HasPrefix(content, []byte("PERFILE2")), bytes.HasPrefix(content, []byte("2ELIFREP")):
		return 0, &FormatError{
			Err:    errors.New("it is a file of perf record, which only perf can read"),
			Advice: "Convert it:  perf script -i FILE | staccato convert - profile.pb.gz",
		}
	}
	start := content[:min(len(content), lookAt)]
	if !isText(start) {
		return Pprof, nil
	}
	line := firstLine(start)
	switch {
	case oldPprof().Match(line):
		return Pprof, nil
	case perfHeader().Match(line):
		return Perf, nil
	case foldedLine().Match(line):
		return Folded, nil
	case bytes.HasPrefix(line, []byte("{")), bytes.HasPrefix(line, []byte("[")):
		return 0, &FormatError{Err: errors.New("it is JSON, which is no format that is read here")}
	case bytes.HasPrefix(line, []byte("<")):
		return 0, &FormatError{Err: errors.New("it is a web page, not a profile")}
	}
	return Pprof, nil
}

// isText says whether these are the first bytes of text. A pprof file begins
// with a field's number and length, and has bytes like these all over.
func isText(b []byte) bool {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 && len(b)-i >= utf8.UTFMax {
			return false
		}
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
		i += size
	}
	return true
}

// firstLine is the first that is neither empty nor a comment.
func firstLine(text []byte) []byte {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) > 0 && line[0] != '#' {
			return line
		}
	}
	return nil
}
