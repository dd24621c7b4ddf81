// Package browser opens the pages of exporter/html in a real browser. What it
// needs for that stays out of staccato's go.mod.
package browser

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

// call is a frame of a made profile.
type call struct {
	name    string
	kind    staccato.Kind
	file    string // of the mapping
	inlined bool   // into the call before it
	system  string // the linker's name, when it is another one
}

// maker makes profiles like those of the agent.
type maker struct {
	profile   *profile.Profile
	side      *exporter.Side
	mappings  map[string]*profile.Mapping
	functions map[call]*profile.Function
	locations map[string]*profile.Location
}

const period = 10_101_010 // 99 Hz, in nanoseconds

func newMaker() *maker {
	return &maker{
		profile: &profile.Profile{
			SampleType:        []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			DefaultSampleType: "cpu",
			PeriodType:        &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
			Period:            period,
			TimeNanos:         1_790_000_000_000_000_000,
			DurationNanos:     30_000_000_000,
			Comments: []string{
				"host: db-7, Linux 6.12.48, 16 CPUs",
				"command: staccato record -a -d 30 -o profile.html",
				"frequency: asked 99 Hz, achieved 98.7 Hz (cpu-clock)",
				"lost, table full: 12 samples (0.21%)",
				"stacks complete: 99.31%, truncated: 0.69%",
				"stacks named: 96.90%, with an unnamed frame: 3.10%",
			},
		},
		side:      &exporter.Side{},
		mappings:  make(map[string]*profile.Mapping),
		functions: make(map[call]*profile.Function),
		locations: make(map[string]*profile.Location),
	}
}

func (m *maker) input() exporter.Input {
	return exporter.Input{Profile: m.profile, Side: m.side}
}

func (m *maker) mapping(file string) *profile.Mapping {
	if file == "" {
		return nil
	}
	if m.mappings[file] == nil {
		id := uint64(len(m.profile.Mapping) + 1)
		m.mappings[file] = &profile.Mapping{ID: id, File: file, Start: id << 32, Limit: id<<32 + 1<<30, BuildID: fmt.Sprintf("%040x", id)}
		m.profile.Mapping = append(m.profile.Mapping, m.mappings[file])
	}
	return m.mappings[file]
}

func (m *maker) function(c call) *profile.Function {
	if m.functions[c] == nil {
		f := &profile.Function{ID: uint64(len(m.profile.Function) + 1), Name: c.name, SystemName: c.system}
		m.functions[c] = f
		m.profile.Function = append(m.profile.Function, f)
	}
	return m.functions[c]
}

// location is that of a call and what was inlined into it.
func (m *maker) location(calls []call) *profile.Location {
	key := fmt.Sprint(calls)
	if m.locations[key] == nil {
		l := &profile.Location{ID: uint64(len(m.profile.Location) + 1), Mapping: m.mapping(calls[0].file)}
		l.Address = 0x1000 + l.ID
		if l.Mapping != nil {
			l.Address += l.Mapping.Start
		}
		for i := len(calls) - 1; i >= 0; i-- {
			if calls[i].name != "" {
				l.Line = append(l.Line, profile.Line{Function: m.function(calls[i])})
			}
		}
		m.side.Kinds.Set(l.ID, calls[0].kind)
		m.locations[key] = l
		m.profile.Location = append(m.profile.Location, l)
	}
	return m.locations[key]
}

// process is whose samples follow.
type process struct {
	pid, tid           int64
	comm, thread, cont string
}

// add adds samples of a stack, its root first.
func (m *maker) add(p process, count int64, stack ...call) {
	s := &profile.Sample{Value: []int64{count, count * period}, Label: map[string][]string{}, NumLabel: map[string][]int64{}}
	for key, text := range map[string]string{staccato.LabelComm: p.comm, staccato.LabelThreadComm: p.thread, staccato.LabelContainer: p.cont} {
		if text != "" {
			s.Label[key] = []string{text}
		}
	}
	if p.pid != 0 { // losses have none
		s.NumLabel[staccato.LabelPID], s.NumLabel[staccato.LabelTID] = []int64{p.pid}, []int64{p.tid}
	}
	for i := 0; i < len(stack); {
		end := i + 1
		for end < len(stack) && stack[end].inlined {
			end++
		}
		s.Location = append([]*profile.Location{m.location(stack[i:end])}, s.Location...)
		i = end
	}
	m.profile.Sample = append(m.profile.Sample, s)
}

const (
	postgres = "/usr/lib/postgresql/16/bin/postgres"
	libc     = "/usr/lib/x86_64-linux-gnu/libc.so.6"
	server   = "/srv/api/server"
	python   = "/usr/bin/python3.11"
	node     = "/usr/bin/node"
)

func native(file string, names ...string) []call {
	var list []call
	for _, name := range names {
		list = append(list, call{name: name, kind: staccato.KindNative, file: file})
	}
	return list
}

func kernel(names ...string) []call {
	var list []call
	for _, name := range names {
		list = append(list, call{name: name, kind: staccato.KindKernel, file: staccato.KernelPath})
	}
	return list
}

func golang(names ...string) []call {
	var list []call
	for _, name := range names {
		list = append(list, call{name: name, kind: staccato.KindGo, file: server})
	}
	return list
}

func cxx(names ...string) []call {
	var list []call
	for _, name := range names {
		list = append(list, call{name: name, kind: staccato.KindNative, file: node, system: "_ZN" + name})
	}
	return list
}

func of(kind staccato.Kind, file string, names ...string) []call {
	var list []call
	for _, name := range names {
		list = append(list, call{name: name, kind: kind, file: file})
	}
	return list
}

func inline(list []call) []call {
	for i := range list {
		list[i].inlined = true
	}
	return list
}

func join(parts ...[]call) []call {
	var list []call
	for _, part := range parts {
		list = append(list, part...)
	}
	return list
}

// hostile is what names in a profile can be, since anyone can write one.
const hostile = `</script><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`

// host is a profile of a host with programs of every kind.
func host() exporter.Input { return hostWith(1, true) }

// hostWith is host with one function scaled, and one there or not.
func hostWith(sort int64, hashes bool) exporter.Input {
	m := newMaker()
	pg := process{pid: 4242, tid: 4242, comm: "postgres", thread: "postgres", cont: "db-3f9c2ab1"}
	pg2 := process{pid: 4250, tid: 4250, comm: "postgres", thread: "postgres", cont: "db-3f9c2ab1"}
	api := process{pid: 900, tid: 905, comm: "server", thread: "server", cont: "api-77d0"}
	py := process{pid: 1200, tid: 1200, comm: "python3", thread: "python3"}
	js := process{pid: 1300, tid: 1307, comm: "node", thread: "V8 Worker"}

	pgMain := native(postgres, "_start", "main", "PostmasterMain", "ServerLoop", "BackendStartup", "PostgresMain", "exec_simple_query", "PortalRun", "PortalRunSelect", "ExecutorRun", "standard_ExecutorRun", "ExecutePlan", "ExecProcNode")
	for _, p := range []process{pg, pg2} {
		scan := join(pgMain, native(postgres, "ExecSeqScan", "heap_getnextslot", "heapgettup_pagemode"))
		m.add(p, 410, scan...)
		if hashes {
			m.add(p, 260, join(pgMain, native(postgres, "ExecHashJoin", "ExecHashTableInsert", "hash_search_with_hash_value"))...)
		} else {
			m.add(p, 300, join(pgMain, native(postgres, "ExecMergeJoin", "MJCompare", "btint4cmp"))...)
		}
		m.add(p, 190*sort, join(pgMain, native(postgres, "ExecSort", "tuplesort_performsort", "qsort_tuple"), inline(native(postgres, "med3_tuple", "cmp_ssup")))...)
		m.add(p, 120, join(pgMain, native(postgres, "ExecSort", "tuplesort_performsort"), native(libc, "__memmove_avx_unaligned_erms"))...)
		m.add(p, 90, join(scan, native(postgres, "ReadBuffer_common", "mdreadv", "FileReadV"), native(libc, "pread64"), kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64", "__x64_sys_pread64", "vfs_read", "ext4_file_read_iter", "filemap_read", "copy_page_to_iter"))...)
		m.add(p, 41, join(pgMain, native(postgres, ""))...)
	}
	serve := golang("runtime.goexit", "net/http.(*conn).serve", "net/http.serverHandler.ServeHTTP", "main.(*api).list")
	m.add(api, 330, join(serve, golang("encoding/json.Marshal", "encoding/json.structEncoder.encode"), inline(golang("encoding/json.appendString[go.shape.string]")))...)
	m.add(api, 150, join(serve, golang("runtime.mallocgc", "runtime.(*mcache).nextFree"))...)
	m.add(api, 75, join(serve, golang("net.(*conn).Write", "internal/poll.(*FD).Write", "syscall.write"), kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64", "ksys_write", "tcp_sendmsg", "tcp_write_xmit"))...)
	m.add(process{pid: 900, tid: 903, comm: "server", thread: "gc-worker", cont: "api-77d0"}, 140, golang("runtime.goexit", "runtime.gcBgMarkWorker", "runtime.scanobject")...)
	pyMain := join(native(python, "Py_BytesMain", "Py_RunMain"), of("cpython", "", "<module> (report.py)", "main (report.py)", "render (report.py)"))
	m.add(py, 220, join(pyMain, of("cpython", "", "Template.substitute (string.py)"), native(python, "_PyEval_EvalFrameDefault"))...)
	m.add(py, 60, join(pyMain, of("cpython", "", hostile))...)
	jsMain := cxx("node::Start(int, char**)", "node::SpinEventLoopInternal(node::Environment*)", "v8::internal::Execution::Call(v8::internal::Isolate*, v8::internal::Handle<v8::internal::Object>)")
	m.add(js, 240, join(jsMain, of("v8js", "", "handle /srv/app.js:120", "parse /srv/app.js:44"))...)
	m.add(js, 110, join(jsMain, cxx("v8::internal::Heap::CollectGarbage(v8::internal::AllocationSpace)", "v8::internal::Scavenger::ScavengeObject<v8::internal::CompressedHeapObjectSlot>()"))...)
	m.add(js, 25, join(of(staccato.KindLost, "", "[truncated: no unwind table]"), cxx("uv_run"), kernel("ep_poll"))...)
	m.add(process{}, 12, of(staccato.KindLost, "", "[lost: table full]")...)
	return m.input()
}

// many is a profile with n distinct stacks of some 30 frames among 20,000
// functions, whose weights fall off as in real profiles.
func many(n int) exporter.Input {
	r := rand.New(rand.NewPCG(1, 2))
	m := newMaker()
	pool := make([][]call, 20_000)
	for i := range pool {
		kind, file := staccato.KindNative, fmt.Sprintf("/usr/lib/lib%d.so", i%40)
		if i%9 == 0 {
			kind, file = staccato.KindKernel, staccato.KernelPath
		}
		pool[i] = []call{{name: fmt.Sprintf("namespace%d::component%d::function_%d(int, char const*)", i%31, i%211, i), kind: kind, file: file}}
	}
	locations := make([]*profile.Location, len(pool))
	for i := range pool {
		locations[i] = m.location(pool[i])
	}
	// A function calls few others, and most often the same.
	callee := func(caller int) int {
		k := int(12 * r.Float64() * r.Float64())
		return int(uint64(caller*12+k+1)*0x9e3779b97f4a7c15>>32) % len(pool)
	}
	// Each stack goes a part of the way with an earlier one, and then its own.
	stacks := make([][]int, 0, n)
	for i := range n {
		stack := []int{0}
		if i > 0 {
			from := stacks[r.IntN(len(stacks))]
			stack = slices.Clone(from[:1+r.IntN(len(from))])
		}
		for own := 2 + r.IntN(8); own > 0 && len(stack) < 60; own-- {
			stack = append(stack, callee(stack[len(stack)-1]))
		}
		stacks = append(stacks, stack)
	}
	type labels struct {
		text    map[string][]string
		numbers map[string][]int64
	}
	var contexts []labels // shared, as the agent's are
	for i := range 160 {
		pid, thread := int64(1000+i/4), int64(i%4)
		contexts = append(contexts, labels{
			map[string][]string{staccato.LabelComm: {fmt.Sprintf("process-%d", pid%7)}, staccato.LabelThreadComm: {fmt.Sprintf("worker-%d", thread)}},
			map[string][]int64{staccato.LabelPID: {pid}, staccato.LabelTID: {pid*10 + thread}},
		})
	}
	for i, stack := range stacks {
		leafFirst := make([]*profile.Location, len(stack))
		for k, f := range stack {
			leafFirst[len(stack)-1-k] = locations[f]
		}
		count := int64(1 + 50_000/(i+1))
		c := contexts[r.IntN(len(contexts))]
		m.profile.Sample = append(m.profile.Sample, &profile.Sample{Location: leafFirst, Value: []int64{count, count * period}, Label: c.text, NumLabel: c.numbers})
	}
	return m.input()
}
