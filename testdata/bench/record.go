package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/google/pprof/profile"
)

// recording is a workload's profile and what it says of itself.
type recording struct {
	own     map[string]float64 // what it printed, by function
	samples map[string]int64   // with that function on the stack
	all     int64              // samples of the workload
	cpu     float64            // seconds, by the profile
}

// of is the number of samples with one of the workload's functions.
func (r *recording) of() (n int64) {
	for _, k := range r.samples {
		n += k
	}
	return n
}

// record runs a workload below staccato record.
func (b *bench) record(hz int, args ...string) (*recording, error) {
	file := b.path("profile.pb.gz")
	cmd := exec.Command(b.path("staccato"), append([]string{"record", "-F", strconv.Itoa(hz), "-o", file, "--"}, args...)...)
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("record: %w: %s", err, words.Bytes())
	}
	r := &recording{own: make(map[string]float64), samples: make(map[string]int64)}
	if err := json.Unmarshal(out, &r.own); err != nil {
		return nil, fmt.Errorf("%s printed %q: %w", args[0], out, err)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, err
	}
	for _, s := range p.Sample {
		r.all += s.Value[0]
		r.cpu += float64(s.Value[1]) / 1e9
		if name := r.function(s); name != "" {
			r.samples[name] += s.Value[0]
		}
	}
	return r, nil
}

// function returns which of the workload's functions, of which none calls
// another, is on a stack.
func (r *recording) function(s *profile.Sample) string {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if _, ok := r.own[line.Function.Name]; ok {
				return line.Function.Name
			}
		}
	}
	return ""
}
