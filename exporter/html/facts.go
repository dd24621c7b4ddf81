package html

import (
	"strings"

	"github.com/google/pprof/profile"
)

// facts are what the head of the page says about a profile.
type facts struct {
	Command   string `json:"command,omitempty"`
	Host      string `json:"host,omitempty"`
	Kernel    string `json:"kernel,omitempty"`
	CPUs      string `json:"cpus,omitempty"`
	Frequency string `json:"frequency,omitempty"` // asked and achieved
	// Lost has a line for each cause.
	Lost     []string `json:"lost,omitempty"`
	Complete string   `json:"complete,omitempty"`
	Named    string   `json:"named,omitempty"`
	// Comments are those that say something else.
	Comments []string `json:"comments,omitempty"`

	Time     int64 `json:"time,omitempty"`     // begin, milliseconds since 1970
	Duration int64 `json:"duration,omitempty"` // nanoseconds
	Period   int64 `json:"period,omitempty"`
	// PeriodType and PeriodUnit say what Period counts.
	PeriodType string `json:"periodType,omitempty"`
	PeriodUnit string `json:"periodUnit,omitempty"`
}

// maxComments bounds what is shown of a stranger's file.
const maxComments = 50

// factsOf takes a profile's comments apart, which agent writes as "key: value".
func factsOf(p *profile.Profile) facts {
	f := facts{Time: p.TimeNanos / 1e6, Duration: p.DurationNanos, Period: p.Period}
	if p.PeriodType != nil {
		f.PeriodType, f.PeriodUnit = clean(p.PeriodType.Type), clean(p.PeriodType.Unit)
	}
	for _, comment := range p.Comments {
		comment = clean(comment)
		key, value, _ := strings.Cut(comment, ": ")
		switch key {
		case "host":
			f.host(value)
		case "command":
			f.Command = value
		case "frequency":
			f.Frequency = value
		case "stacks complete":
			f.Complete, _, _ = strings.Cut(value, ",")
		case "stacks named":
			f.Named, _, _ = strings.Cut(value, ",")
		default:
			list := &f.Comments
			if strings.HasPrefix(key, "lost") {
				list = &f.Lost
			}
			if len(*list) < maxComments {
				*list = append(*list, comment)
			}
		}
	}
	return f
}

// host takes "NAME, Linux RELEASE, N CPUs" apart; what looks otherwise is a name.
func (f *facts) host(value string) {
	parts := strings.Split(value, ", ")
	if len(parts) != 3 {
		f.Host = value
		return
	}
	f.Host, f.Kernel, f.CPUs = parts[0], parts[1], strings.TrimSuffix(strings.TrimSuffix(parts[2], " CPUs"), " CPU")
}
