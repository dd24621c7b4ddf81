package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// maxSource bounds what is read of a source file, in bytes.
const maxSource = 64 << 20

// sources finds the source files that a profile names.
type sources struct{ folders []string }

func newSources(folders string) sources {
	s := sources{folders: filepath.SplitList(folders)}
	if len(s.folders) == 0 {
		s.folders = []string{"."}
	}
	return s
}

// read returns the lines of a file up to number last, ready for a terminal. A
// file that is not where the profile says is looked for in the folders, below
// less and less of its path: profiles come from other machines and builds.
func (s sources) read(file string, last int64) ([]string, error) {
	if file == "" {
		return nil, errors.New("the profile does not name the file")
	}
	candidates := []string{}
	if filepath.IsAbs(file) {
		candidates = append(candidates, file)
	}
	for _, folder := range s.folders {
		for rest := strings.TrimLeft(file, "/"); rest != ""; {
			candidates = append(candidates, filepath.Join(folder, rest))
			_, after, found := strings.Cut(rest, "/")
			if !found {
				break
			}
			rest = after
		}
	}
	for _, candidate := range candidates {
		// Profiles are strangers': a pipe or a device would be waited for.
		info, err := os.Stat(candidate)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		return readLines(candidate, last)
	}
	return nil, fmt.Errorf("%s is not on this machine; --source-path says where to look", printable(file))
}

func readLines(file string, last int64) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	scanner := bufio.NewScanner(io.LimitReader(f, maxSource))
	scanner.Buffer(nil, 1<<20)
	var lines []string
	for int64(len(lines)) < last && scanner.Scan() {
		lines = append(lines, sourceLine(scanner.Text()))
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", printable(file), err)
	}
	return lines, nil
}

// sourceLine makes a line fit for a terminal.
func sourceLine(line string) string {
	var b strings.Builder
	column := 0
	for _, r := range line {
		switch {
		case r == '\t':
			for ok := true; ok; ok = column%4 != 0 {
				b.WriteByte(' ')
				column++
			}
			continue
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
		column++
	}
	return b.String()
}
