package process

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// mapsLine is an executable mapping as /proc/PID/maps shows it.
type mapsLine struct {
	start, end, offset uint64 // bytes; end is exclusive
	major, minor       uint32
	inode              uint64
	path               string // "" for memory without a name
}

// mapsText is what was read of one /proc/PID/maps.
type mapsText struct {
	lines     []mapsLine
	beyond    int  // executable mappings left out because of the limit
	malformed int  // lines that are not in the format
	cut       bool // reading stopped before the end
}

// checkEvery is how many lines are read between two looks at the clock.
const checkEvery = 4096

// parseMaps reads the executable mappings from the text of /proc/PID/maps, the
// format of proc_pid_maps(5):
//
//	start-end perms offset major:minor inode      path
//
// with numbers in hex except the inode. It keeps at most limit mappings and
// ends early when stop, asked now and then, says so.
func parseMaps(r io.Reader, limit int, stop func() bool) (mapsText, error) {
	var text mapsText
	// A path has at most 4,096 bytes, each at most four when escaped.
	lines := bufio.NewReaderSize(r, 32<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			text.malformed++
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			line = nil
		}
		if isExecutable(line) {
			if parsed, ok := parseMapsLine(line); !ok {
				text.malformed++
			} else if len(text.lines) >= limit {
				text.beyond++
			} else {
				text.lines = append(text.lines, parsed)
			}
		}
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
		if n%checkEvery == 0 && stop() {
			text.cut = true
			return text, nil
		}
	}
}

// isExecutable looks at the permissions only: most lines need no more.
func isExecutable(line []byte) bool {
	i := bytes.IndexByte(line, ' ')
	return i >= 0 && len(line) > i+4 && line[i+3] == 'x'
}

func parseMapsLine(line []byte) (mapsLine, bool) {
	var fields [5]string
	rest := strings.TrimSuffix(string(line), "\n")
	for i := range fields {
		fields[i], rest, _ = strings.Cut(rest, " ")
	}
	first, last, ranged := strings.Cut(fields[0], "-")
	major, minor, dev := strings.Cut(fields[3], ":")
	ok := ranged && dev
	number := func(text string, base, bits int) uint64 {
		n, err := strconv.ParseUint(text, base, bits)
		ok = ok && err == nil
		return n
	}
	parsed := mapsLine{
		start:  number(first, 16, 64),
		end:    number(last, 16, 64),
		offset: number(fields[2], 16, 64),
		major:  uint32(number(major, 16, 32)),
		minor:  uint32(number(minor, 16, 32)),
		inode:  number(fields[4], 10, 64),
		// The kernel escapes newlines alone. Names do not begin with a space.
		path: strings.ReplaceAll(strings.TrimLeft(rest, " "), `\012`, "\n"),
	}
	return parsed, ok && parsed.start < parsed.end
}
