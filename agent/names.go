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
	"github.com/staccato-profiler/staccato/symbolizer/debuginfod"
)

// names names frames, and keeps the kernel's symbols current.
type names struct {
	symbolizer *symbolizer.Symbolizer
	kernel     *staccato.Mapping
	servers    *debuginfod.Client // nil: none are asked for debug files
	code       kernelCode         // made since we began, or removed
	stale      atomic.Bool        // news of the kernel's symbols were missed
	refreshed  time.Time          // when all of them were read again because of that
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
	}
	symbols := config.symbolizer()
	if len(servers.URLs) > 0 {
		var err error
		if n.servers, err = debuginfod.New(servers); err != nil {
			return nil, err
		}
		symbols.Fetcher = n.servers
	}
	n.symbolizer = symbolizer.New(symbols)
	return n, nil
}

func (n *names) close() error {
	if n.servers == nil {
		return nil
	}
	return n.servers.Close()
}

// await waits for the debug files that were asked for, for some time.
func (n *names) await(most time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	n.servers.Wait(ctx)
}

// kernelStart is where the upper half of the address space begins: modules and
// BPF programs lie below the kernel's own text.
const kernelStart = 1 << 63

func (n *names) name(frames []*staccato.Frame) {
	now := time.Now()
	if now.Sub(n.refreshed) >= refreshAfter && n.stale.Swap(false) {
		n.refreshed = now
		// A failure leaves frames without names, which is counted and whose
		// reason is shown.
		_ = n.symbolizer.Refresh()
	}
	n.code.name(frames, now)
	n.symbolizer.Symbolize(frames)
}

// wait waits for debugging information that is being read, but not longer than
// limit, and returns how many executables' is missing.
func (n *names) wait(limit time.Duration) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if n.symbolizer.Wait(ctx) == nil {
		return 0
	}
	stats := n.symbolizer.Stats()
	if stats.Reading == "" {
		return 0
	}
	return 1 + stats.Waiting
}

// symbolsChanged takes news of the kernel's symbols; nil says that some were
// missed. Only then are all of them read again, which takes some 0.1 s: what
// the news say is enough to name what they are about.
func (n *names) symbolsChanged(s *sideband.Symbol) {
	if s == nil || !n.code.take(*s, time.Now()) {
		n.stale.Store(true)
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
