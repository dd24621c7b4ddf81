package agent

import (
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent/merge"
)

// comments are the lines that pprof shows above a profile.
func (p *Profiler) comments(s *Summary, complete []merge.Completeness) []string {
	var u unix.Utsname
	release := "?"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	list := []string{
		fmt.Sprintf("host: %s, Linux %s, %d CPUs", host, release, p.sampler.CPUs()),
		fmt.Sprintf("command: %s", strings.Join(os.Args, " ")),
		fmt.Sprintf("frequency: asked %d Hz, achieved %.1f Hz (%s)", s.Frequency, s.Achieved, p.sampler.EventKind()),
	}
	for _, name := range sortedKeys(s.Lost) {
		list = append(list, fmt.Sprintf("lost, %s: %d samples (%s)", name, s.Lost[name], percent(float64(s.Lost[name]), float64(s.Samples+s.lostTotal()))))
	}
	if len(s.Lost) == 0 {
		list = append(list, "lost: 0 samples")
	}
	if s.Estimated != "" {
		list = append(list, "lost, not sampled, is an estimate: "+s.Estimated)
	}
	if s.Late > 0 {
		list = append(list, fmt.Sprintf("timer late: about %d firings (%s) did not come, as when a virtual CPU is paused", s.Late,
			percent(float64(s.Late), float64(s.Entries+s.Late))))
	}
	list = append(list, fmt.Sprintf("stacks complete: %s, truncated: %s", percent(s.Complete, 1), percent(1-s.Complete, 1)))
	list = append(list, incomplete(complete)...)
	list = append(list, fmt.Sprintf("stacks named: %s, with an unnamed frame: %s", percent(s.Named, 1), percent(1-s.Named, 1)))
	for _, f := range s.TableFaults {
		list = append(list, fmt.Sprintf("no or not all unwind tables, %s: %s", printable(f.Path), printable(f.Reason)))
	}
	if s.TableFaultsBeyond > 0 {
		list = append(list, fmt.Sprintf("no or not all unwind tables: and %d more", s.TableFaultsBeyond))
	}
	return list
}

// printable makes text for a terminal of what files of strangers say.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// incompleteNames is how many names of processes the comments tell of.
const incompleteNames = 5

// incomplete says of the processes with most truncated stacks how many these are,
// and why.
func incomplete(complete []merge.Completeness) (list []string) {
	for _, c := range complete[:min(incompleteNames, len(complete))] {
		if c.Complete == c.Samples {
			break // and so have those that follow
		}
		name := printable(c.Name)
		if c.PID != 0 {
			name += fmt.Sprintf(" (PID %d)", c.PID)
		}
		var causes []string
		for _, cause := range sortedKeys(c.Truncated) {
			causes = append(causes, fmt.Sprintf("%s %d", cause, c.Truncated[cause]))
		}
		list = append(list, fmt.Sprintf("stacks complete, %s: %s of %d samples; truncated: %s",
			name, percent(float64(c.Complete), float64(c.Samples)), c.Samples, strings.Join(causes, ", ")))
	}
	return list
}

func percent(part, all float64) string {
	if all == 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", 100*part/all)
}
