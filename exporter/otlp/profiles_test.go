package otlp

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

// ownProfile returns a profile as staccato's agent makes them: two processes
// with a kernel mapping, inlined calls and labels, and a marker of lost
// samples that belongs to no process. Its samples add up to 60.
func ownProfile() exporter.Input {
	program := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x9000, Offset: 0x1000, File: "/usr/bin/app", BuildID: "0a0b0c", HasFunctions: true, HasInlineFrames: true}
	kernel := &profile.Mapping{ID: 2, Start: 0xffff800000000000, Limit: 0xffffffffffffffff, File: staccato.KernelPath, HasFunctions: true}
	unread := &profile.Mapping{ID: 3, File: "/memfd:code (deleted)"}
	inner := &profile.Function{ID: 1, Name: "ns::inner(int)", SystemName: "_ZN2ns5innerEi", Filename: "a.cc", StartLine: 3}
	outer := &profile.Function{ID: 2, Name: "main", SystemName: "main", Filename: "a.cc", StartLine: 10}
	read := &profile.Function{ID: 3, Name: "ksys_read", SystemName: "ksys_read"}
	lost := &profile.Function{ID: 4, Name: "[lost: table full]"}
	inlined := &profile.Location{ID: 1, Mapping: program, Address: 0x1234, Line: []profile.Line{{Function: inner, Line: 4, Column: 7}, {Function: outer, Line: 12}}}
	inKernel := &profile.Location{ID: 2, Mapping: kernel, Address: 0xffffffff81000000, Line: []profile.Line{{Function: read}}}
	unnamed := &profile.Location{ID: 3, Mapping: unread, Address: 0x42}
	marker := &profile.Location{ID: 4, Line: []profile.Line{{Function: lost}}}
	same := &profile.Location{ID: 5, Mapping: program, Address: 0x1234, Line: inlined.Line} // as 1

	sample := func(n int64, pid int64, comm, thread string, stack ...*profile.Location) *profile.Sample {
		s := &profile.Sample{Location: stack, Value: []int64{n, n * 1e7}}
		if pid != 0 {
			s.Label = map[string][]string{staccato.LabelComm: {comm}, staccato.LabelThreadComm: {thread}, staccato.LabelContainer: {"c0ffee"}}
			s.NumLabel = map[string][]int64{staccato.LabelPID: {pid}, staccato.LabelTID: {pid + 1}}
			s.NumUnit = map[string][]string{staccato.LabelPID: {""}, staccato.LabelTID: {""}}
		}
		return s
	}
	return exporter.Input{
		Profile: &profile.Profile{
			SampleType:    []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			PeriodType:    &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
			Period:        1e7,
			TimeNanos:     time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixNano(),
			DurationNanos: int64(5 * time.Second),
			Comments:      []string{"host h", "achieved 99 Hz"},
			Mapping:       []*profile.Mapping{program, kernel, unread},
			Function:      []*profile.Function{inner, outer, read, lost},
			Location:      []*profile.Location{inlined, inKernel, unnamed, marker, same},
			Sample: []*profile.Sample{
				sample(10, 42, "app", "worker", inKernel, inlined),
				sample(20, 42, "app", "worker", inKernel, same), // the same stack again
				sample(5, 42, "app", "main", unnamed, inlined),
				sample(15, 7, "sh", "sh", inlined),
				sample(0, 9, "idle", "idle", inlined),
				sample(10, 0, "", "", marker),
			},
		},
		Side: &exporter.Side{
			Kinds:  exporter.Kinds{1: staccato.KindNative, 2: staccato.KindKernel, 3: staccato.KindNative, 4: staccato.KindLost, 5: staccato.KindNative},
			Hashes: map[uint64]string{1: "00112233445566778899aabbccddeeff"},
			Host:   []attribute.KeyValue{semconv.HostName("h"), semconv.ServiceName("from host")},
			Processes: map[int64][]attribute.KeyValue{
				42: {semconv.ProcessPID(42), semconv.ProcessExecutablePath("/usr/bin/app"), semconv.ServiceName("app")},
			},
		},
	}
}

// goProfiles returns profiles that Go's runtime made of this process.
func goProfiles(t testing.TB) map[string]*profile.Profile {
	t.Helper()
	profiles := map[string]*profile.Profile{}
	var buffer bytes.Buffer
	if err := pprof.StartCPUProfile(&buffer); err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	pprof.Do(t.Context(), pprof.Labels("part", "busy"), func(context.Context) {
		for start, sum := time.Now(), 0; time.Since(start) < 300*time.Millisecond; sum++ {
			mutex.Lock()
			_ = fmt.Sprint(sum)
			mutex.Unlock()
		}
	})
	pprof.StopCPUProfile()
	profiles["cpu"] = parse(t, buffer.Bytes())
	for _, name := range []string{"heap", "mutex", "goroutine"} {
		buffer.Reset()
		if err := pprof.Lookup(name).WriteTo(&buffer, 0); err != nil {
			t.Fatal(err)
		}
		profiles[name] = parse(t, buffer.Bytes())
	}
	return profiles
}

func parse(t testing.TB, data []byte) *profile.Profile {
	t.Helper()
	p, err := profile.ParseData(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// largeProfile returns a profile like ownProfile's with that many stacks of
// that depth, in 20 processes of 4 threads each. Every sample counts 1.
func largeProfile(stacks, depth int) exporter.Input {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x9000000, File: "/usr/bin/large", BuildID: "abcdef"}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7,
		TimeNanos: 1, DurationNanos: 5e9, Mapping: []*profile.Mapping{m},
	}
	side := &exporter.Side{Processes: map[int64][]attribute.KeyValue{}}
	for i := range stacks {
		id := uint64(i + 1)
		f := &profile.Function{ID: id, Name: fmt.Sprintf("namespace::component%d::function(int, char const*)", i), Filename: fmt.Sprintf("/src/component%d.cc", i/10)}
		f.SystemName = f.Name
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{ID: id, Mapping: m, Address: 0x1000 + 16*id, Line: []profile.Line{{Function: f, Line: int64(i)}}})
		side.Kinds.Set(id, staccato.KindNative)
	}
	for i := range stacks {
		stack := make([]*profile.Location, depth)
		for k := range stack {
			stack[k] = p.Location[(i*31+k*k*7)%stacks]
		}
		stack[0] = p.Location[i]
		pid := int64(100 + i%20)
		s := &profile.Sample{
			Location: stack, Value: []int64{1, 1e7},
			Label:    map[string][]string{staccato.LabelComm: {"large"}, staccato.LabelThreadComm: {fmt.Sprint("worker-", i%4)}},
			NumLabel: map[string][]int64{staccato.LabelPID: {pid}},
		}
		if i >= 20 { // threads share the maps, as they do in what an agent makes
			s.Label, s.NumLabel = p.Sample[i-20].Label, p.Sample[i-20].NumLabel
		}
		p.Sample = append(p.Sample, s)
		side.Processes[pid] = []attribute.KeyValue{semconv.ProcessPID(int(pid)), semconv.ProcessExecutableName("large")}
	}
	return exporter.Input{Profile: p, Side: side}
}
