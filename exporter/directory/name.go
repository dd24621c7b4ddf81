package directory

import (
	"crypto/rand"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const (
	timeLayout = "20060102T150405Z"
	// maxPerSecond bounds the files whose windows start in one second.
	maxPerSecond = 9999
)

var (
	finalName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^staccato-([0-9]{8}T[0-9]{6}Z)(?:-([1-9][0-9]{0,3}))?\.pb\.gz$`)
	})
	// Unfinished files are hidden, and do not end in .gz.
	unfinishedName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\.staccato-[A-Z2-7]{26,}\.tmp$`)
	})
)

// name is a file's name, parsed: when the window began, in UTC and whole
// seconds, and which one of that second it is, from 1.
type name struct {
	start  time.Time
	number int
}

// String is staccato-20060102T150405Z.pb.gz for the first file of a second,
// staccato-20060102T150405Z-2.pb.gz for the next.
func (n name) String() string {
	text := "staccato-" + n.start.UTC().Format(timeLayout)
	if n.number > 1 {
		text += "-" + strconv.Itoa(n.number)
	}
	return text + ".pb.gz"
}

func (n name) compare(other name) int {
	if c := n.start.Compare(other.start); c != 0 {
		return c
	}
	return n.number - other.number
}

// parseName takes only what String would have written: what it takes may be
// deleted.
func parseName(text string) (n name, ok bool) {
	parts := finalName().FindStringSubmatch(text)
	if parts == nil {
		return name{}, false
	}
	start, err := time.Parse(timeLayout, parts[1])
	if err != nil {
		return name{}, false
	}
	n = name{start, 1}
	if parts[2] != "" {
		if n.number, err = strconv.Atoi(parts[2]); err != nil {
			return name{}, false
		}
	}
	return n, n.String() == text
}

// unfinished is a name for a file while it is written, which nobody else has.
func unfinished() string { return ".staccato-" + rand.Text() + ".tmp" }

func isUnfinished(text string) bool { return unfinishedName().MatchString(text) }
