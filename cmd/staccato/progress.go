package main

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/staccato-profiler/staccato/agent"
)

// progress is a line on a terminal that is rewritten in place.
type progress struct {
	w     io.Writer
	width int // columns, 0 when not known
	shown bool
}

// show writes how far a recording is; of is the duration asked for, 0 when
// there is none.
func (p *progress) show(s agent.Status, of time.Duration) { p.write(progressLine(s, of)) }

func (p *progress) write(line string) {
	// A line that wraps could not be rewritten.
	if p.width > 0 && utf8.RuneCountInString(line) >= p.width {
		line = string([]rune(line)[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	p.shown = true
}

func (p *progress) erase() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func progressLine(s agent.Status, of time.Duration) string {
	elapsed := clock(s.Elapsed)
	if of > 0 {
		elapsed += " of " + clock(of)
	}
	line := fmt.Sprintf(" %s   %s samples   %.1f CPUs busy   lost %s",
		elapsed, thousands(s.Samples), s.BusyCPUs, thousands(s.Lost))
	if s.Elapsed > 0 {
		line += fmt.Sprintf("   profiler %.1f%% of one CPU", 100*s.ProfilerCPU.Seconds()/s.Elapsed.Seconds())
	}
	return line
}

// awaitedLine says what names the end of a recording waits for, "" when for none. The
// way out comes first, since terminals can be narrow.
func awaitedLine(s agent.Status) string {
	const without = " (Ctrl-C: save without): "
	switch {
	case s.Reading != "":
		return " Reading debug information" + without + plural(1+s.Waiting+s.Asked, "file") + " left, " + printable(path.Base(s.Reading))
	case s.Asked > 0:
		return " Waiting for debug files of servers" + without + strconv.Itoa(s.Asked) + " left"
	}
	return ""
}

// clock writes minutes and seconds as 01:05, or 1:01:05 from an hour on.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// fileSize writes a number of bytes with a decimal unit.
func fileSize(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.0f KB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// shortDuration writes a duration as 30 s, 1m30s or 250 ms.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
