package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"os"
	"sync/atomic"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
	"github.com/staccato-profiler/staccato/symbolizer"
	"github.com/staccato-profiler/staccato/symbolizer/bpfprog"
	"github.com/staccato-profiler/staccato/symbolizer/debuginfod"
	"github.com/staccato-profiler/staccato/symbolizer/kallsyms"
)

// names names frames, and keeps the kernel's symbols current.
type names struct {
	symbolizer *symbolizer.Symbolizer
	kernel     *staccato.Mapping
	servers    *debuginfod.Client // nil: none are asked for debug files
	code       kernelCode         // made since we began, or removed
	stale      atomic.Bool        // news of the kernel's symbols were missed
	refreshed  time.Time          // when all of them were read again because of that
	modules    string             // that were there when its symbols were read
	programs   *bpfprog.Table     // lines of BPF programs

	from, until uint64 // see during

	// waiting ends when nobody wants to wait for better names any more.
	waiting     context.Context
	stopWaiting context.CancelFunc

	loaded chan struct{} // a BPF program was loaded
	quit   chan struct{} // closed to end readPrograms, and
	closed chan struct{} // closed when it has ended
}

// refreshAfter is how long the kernel's symbols are not read again, since it takes
// 0.1 s: any process can make news get lost, by mapping memory in a loop.
const refreshAfter = time.Minute

func newNames(config NamesConfig, servers Debuginfod) (*names, error) {
	n := &names{
		kernel: &staccato.Mapping{
			Path:    staccato.KernelPath,
			BuildID: kernelBuildID(),
			Start:   kernelStart,
			Limit:   ^uint64(0),
		},
		modules:  kallsyms.Modules(kallsyms.ModulesPath),
		programs: bpfprog.New(bpfprog.Config{}),
		loaded:   make(chan struct{}, 1),
		quit:     make(chan struct{}),
		closed:   make(chan struct{}),
	}
	n.waiting, n.stopWaiting = context.WithCancel(context.Background())
	symbols := config.symbolizer()
	if len(servers.URLs) > 0 {
		var err error
		if n.servers, err = debuginfod.New(servers); err != nil {
			return nil, err
		}
		symbols.Fetcher = n.servers
	}
	n.symbolizer = symbolizer.New(symbols)
	go n.readPrograms()
	return n, nil
}

func (n *names) close() error {
	n.stopWaiting()
	close(n.quit)
	<-n.closed
	if n.servers == nil {
		return nil
	}
	return n.servers.Close()
}

// kernelStart is where the upper half of the address space begins: modules and
// BPF programs lie below the kernel's own text.
const kernelStart = 1 << 63

// during says when the next frames to name were sampled (CLOCK_MONOTONIC, ns).
func (n *names) during(from, until uint64) { n.from, n.until = from, until }

// name names frames. It is for one goroutine.
func (n *names) name(frames []*staccato.Frame) {
	now, modules := time.Now(), kallsyms.Modules(kallsyms.ModulesPath)
	// Only root can load modules, so this needs no limit.
	if modules != n.modules || now.Sub(n.refreshed) >= refreshAfter && n.stale.Swap(false) {
		n.modules, n.refreshed = modules, now
		// A failure leaves frames without names, which is counted and whose
		// reason is shown.
		_ = n.symbolizer.Refresh()
	}
	n.code.name(frames, n.from, n.until)
	n.symbolizer.Symbolize(frames)
	if !n.addLines(frames) {
		// Programs that were there before us are read when they are first
		// sampled. Without the privilege they have names and no lines.
		if n.programs.Refresh() == nil {
			n.addLines(frames)
		}
	}
}

// addLines gives frames in BPF programs their lines of C. It returns false when
// some have none.
func (n *names) addLines(frames []*staccato.Frame) bool {
	all := true
	for _, f := range frames {
		if f.Kind != staccato.KindKernel || len(f.Lines) != 1 || f.Lines[0].Line != 0 {
			continue
		}
		if name := f.Lines[0].Function.SystemName; bpfprog.IsProgram(name) {
			if line, ok := n.programs.Line(name, f.Lookup()); ok {
				f.Lines = []staccato.Line{line}
			} else {
				all = false
			}
		}
	}
	return all
}

// readPrograms reads BPF programs when they are loaded: when their samples are
// read they may be gone.
func (n *names) readPrograms() {
	defer close(n.closed)
	for {
		select {
		case <-n.quit:
			return
		case <-n.loaded:
			// What fails leaves frames with a name and without a line.
			_ = n.programs.Refresh()
		}
	}
}

// filesEvery is how often files that servers have sent are read while others are
// waited for: one that is slow must not keep us from reading those of all others.
const filesEvery = time.Second

// wait waits until all that may give better names is there and read, for most at the
// longest. What again does is to name frames: it has the files read that have come.
func (n *names) wait(most time.Duration, again func()) {
	ctx, cancel := context.WithTimeout(n.waiting, most)
	defer cancel()
	for had := n.fetched(); n.servers != nil; {
		step, cancel := context.WithTimeout(ctx, filesEvery)
		n.servers.Wait(step)
		cancel()
		now := n.fetched()
		if now != had {
			again() // which may ask for other files
		}
		if had = now; ctx.Err() != nil || n.servers.Stats().Waiting == 0 {
			break
		}
	}
	// What is not read in time is told by Unread.
	_ = n.symbolizer.Wait(ctx)
}

// fetched is how many debug files have come from servers.
func (n *names) fetched() uint64 {
	if n.servers == nil {
		return 0
	}
	return n.servers.Stats().Fetched
}

// symbolsChanged takes news of the kernel's symbols; nil says that some were
// missed. Only then are all of them read again, which takes some 0.1 s: what
// the news say is enough to name what they are about.
func (n *names) symbolsChanged(s *sideband.Symbol) {
	if s == nil || !n.code.take(*s) {
		n.stale.Store(true)
	}
	if s == nil || s.BPF && !s.Unregister {
		select {
		case n.loaded <- struct{}{}:
		default: // it will be read with others
		}
	}
}

func (n *names) reason(m *staccato.Mapping) string { return n.symbolizer.Reason(m) }

// kernelBuildID finds the running kernel's build ID among its ELF notes; "" if
// there is none. A note is three 32-bit words (length of name, length of
// content, type), the name and the content, each padded to 4 bytes.
func kernelBuildID() string {
	notes, err := os.ReadFile("/sys/kernel/notes")
	if err != nil {
		return ""
	}
	const gnuBuildID = 3
	for len(notes) >= 12 {
		word := func(i int) int { return int(binary.NativeEndian.Uint32(notes[4*i:])) }
		nameLen, contentLen, kind := word(0), word(1), word(2)
		begin := 12 + (nameLen+3)&^3
		end := begin + (contentLen+3)&^3
		if nameLen < 0 || contentLen < 0 || end > len(notes) || end < begin {
			return ""
		}
		if kind == gnuBuildID && bytes.HasPrefix(notes[12:], []byte("GNU\x00")) {
			return hex.EncodeToString(notes[begin : begin+contentLen])
		}
		notes = notes[end:]
	}
	return ""
}
