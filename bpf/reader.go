package bpf

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// Normalizer gives processes and user frames their meaning. Its methods are
// called from Read.
type Normalizer interface {
	// Process returns the program image that samples carry as (pid,
	// generation). comm is its command name at the time of the sample. Never
	// nil.
	Process(pid uint32, generation uint64, comm string) *staccato.Process
	// Chunk returns the executable behind a chunk and the ELF address of an
	// offset in it. ok is false for a chunk that was never handed out.
	Chunk(chunk, offset uint32) (m *staccato.Mapping, address uint64, ok bool)
	// Address looks up an address that had no mapping when it was sampled. The
	// mapping of Anonymous memory may be nil; its addresses are the process's.
	Address(pid uint32, generation, address uint64) (m *staccato.Mapping, elf uint64, where Where)
	// Unwind walks a stack that the kernel side could not walk, since it did not
	// know the process or its unwind tables yet. truncated says why the stack is
	// not whole, "" when it is. The stack is not to be kept.
	Unwind(pid uint32, generation uint64, stack *UserStack) (frames []UserFrame, truncated string)
}

// UserStack is a thread's registers in user mode and a copy of its stack.
type UserStack struct {
	PC, SP, FP uint64
	RBX        uint64     // amd64
	LR         uint64     // arm64
	General    [16]uint64 // amd64: registers by DWARF's numbers; arm64: the first is x28
	Time       uint64     // of the sample, CLOCK_MONOTONIC, ns
	// Words are the stack from SP on, rounded down to a multiple of 8; on arm64 a
	// word less.
	Words []uint64
	// More is another piece of memory, from address MoreAt on, which frame
	// pointers lead to: mostly of another stack.
	More   []uint64
	MoreAt uint64
}

// UserFrame is a frame that was found in a UserStack.
type UserFrame struct {
	Mapping *staccato.Mapping // nil: in no executable
	// Address is an ELF address of the mapping, or without one an address of
	// the process.
	Address uint64
	Return  bool // see staccato.Frame
}

// Where says what is known of an address of a process.
type Where int

const (
	// Unknown: nothing is known about the process's mappings.
	Unknown Where = iota
	// Unmapped: the mappings are known, and the address lies in none.
	Unmapped
	// Anonymous: in executable memory without a file.
	Anonymous
	// InFile: in an executable.
	InFile
)

// Window is what was sampled between two reads.
type Window struct {
	Samples []staccato.Sample
	// Frames are the distinct frames of Samples, in the order of their Index.
	Frames []*staccato.Frame
	Tally  Tally
	// From and Until are when the samples were taken (CLOCK_MONOTONIC, ns). From
	// is 0 in the first window.
	From, Until uint64
	memory      *stackMemory
	pieces      []stackPiece // that the stacks of Samples are cut from
}

// Free gives back the memory of the stacks, which must not be used any more. The
// next windows need as much.
func (w *Window) Free() {
	w.memory.give(w.pieces)
	w.Samples, w.pieces = nil, nil
}

// banks are the two sets of stack-trace table and log.
type banks struct {
	tableSize, slabs int
	traces           []layoutTrace
	// log maps the first n words of a slab of the log, until unmapLog.
	log     func(slab, n int) ([]uint64, error)
	cursors []layoutLogCursor
}

// Fill says how full the tables are, from 0 to 1 or a little more. It only
// looks at shared memory and may be called at any rate.
func (s *Sampler) Fill() float64 {
	b := s.banks
	bank := int(atomic.LoadUint32(&s.control[0].Bank))
	var traces, words uint64
	for i := range b.slabs {
		c := &b.cursors[bank*b.slabs+i]
		traces += atomic.LoadUint64(&c.Traces)
		words += atomic.LoadUint64(&c.Next)
	}
	// Open addressing with short chains overflows early: full means half full.
	return max(float64(traces)*2/float64(b.tableSize), float64(words)/float64(b.slabs*s.cfg.logWords()))
}

// Read swaps the banks and returns what the other one has collected. before,
// if not nil, is called between the swap and the reading: what it learns is
// newer than any sample in the window.
func (s *Sampler) Read(n Normalizer, kernel *staccato.Mapping, before func() error) (*Window, error) {
	old := atomic.LoadUint32(&s.control[0].Bank)
	atomic.StoreUint32(&s.control[0].Bank, old^1)
	window := atomic.AddUint32(&s.control[0].Window, 1)
	// Programs that have read the old number must end before we look.
	if err := s.grace.wait(); err != nil {
		return nil, err
	}
	s.Tables.graceOver()
	for _, t := range s.tabled {
		t.GraceOver(window)
	}
	if before != nil {
		if err := before(); err != nil {
			return nil, err
		}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil, err
	}
	w := &Window{From: s.read, Until: uint64(now.Nano()), memory: &s.stacks}
	s.read = w.Until
	d := newDecoder(n, kernel, w.memory)
	if err := s.banks.read(int(old), d, w); err != nil {
		return nil, err
	}
	if err := s.takeTally(int(old), &w.Tally); err != nil {
		return nil, err
	}
	w.Tally.CutFrames = d.cut
	w.Samples = append(w.Samples, w.Tally.lossSamples(d)...)
	w.Frames, w.pieces = d.list, d.pieces
	return w, nil
}

// read decodes a bank's traces and empties it.
func (b *banks) read(bank int, d *decoder, w *Window) error {
	log := make([][]uint64, b.slabs)
	traces := uint64(0)
	for i := range log {
		var err error
		traces += b.cursors[bank*b.slabs+i].Traces
		// Beyond its end the cursor of a full slab counts on.
		used := min(b.cursors[bank*b.slabs+i].Next, logSlabWords)
		if log[i], err = b.log(bank*b.slabs+i, int(used)); err != nil {
			return err
		}
		defer unmapLog(log[i])
	}
	w.Samples = make([]staccato.Sample, 0, min(traces, uint64(b.tableSize)))
	for i := range b.traces[bank*b.tableSize : (bank+1)*b.tableSize] {
		t := &b.traces[bank*b.tableSize+i]
		if t.HashLo == 0 {
			continue
		}
		words, err := wordsOf(t, log)
		if err != nil {
			return err
		}
		w.Samples = append(w.Samples, d.sample(t, words))
		if t.Copied > 0 {
			clear(words) // nobody's memory stays here
		}
		*t = layoutTrace{}
	}
	for i := range b.slabs {
		b.cursors[bank*b.slabs+i] = layoutLogCursor{}
	}
	return nil
}

// wordsOf finds a trace's words in the log.
func wordsOf(t *layoutTrace, log [][]uint64) ([]uint64, error) {
	slab, first := int(t.Offset)/logSlabWords, int(t.Offset)%logSlabWords
	n := int(t.N_kernel) + int(t.N_user)
	if t.Copied > 0 {
		n += copyHeadWords + int(t.Copied)
	}
	if t.Count == 0 || slab >= len(log) || first+n > len(log[slab]) {
		return nil, fmt.Errorf("read stack-trace table: torn entry %+v", *t)
	}
	return log[slab][first : first+n], nil
}

// decoder turns words into frames, each distinct one once per read.
type decoder struct {
	n      Normalizer
	kernel *staccato.Mapping
	// kernelFrames (the second: leaves) and files are by word, which for frames in
	// files means the same in every process; frames are the others.
	kernelFrames [2]map[uint64]*staccato.Frame
	files        map[uint64]*staccato.Frame
	frames       map[frameKey]*staccato.Frame
	markers      map[string]*staccato.Frame
	list         []*staccato.Frame // all of them
	unused       []staccato.Frame
	memory       *stackMemory
	pieces       []stackPiece      // of it
	stacks       []*staccato.Frame // rest of the last piece, for the next stacks
	texts        map[comm]string
	cut          uint64 // frames cut off behind a return address that is none
}

func newDecoder(n Normalizer, kernel *staccato.Mapping, memory *stackMemory) *decoder {
	return &decoder{
		n: n, kernel: kernel, memory: memory,
		kernelFrames: [2]map[uint64]*staccato.Frame{make(map[uint64]*staccato.Frame), make(map[uint64]*staccato.Frame)},
		files:        make(map[uint64]*staccato.Frame), frames: make(map[frameKey]*staccato.Frame),
		markers: make(map[string]*staccato.Frame), texts: make(map[comm]string),
	}
}

// frameKey identifies a frame: its word, and for plain addresses the process. Of
// a frame that was unwound here, the word is the address.
type frameKey struct {
	word, generation uint64
	pid              uint32
	leaf             bool              // of frames that were unwound here: no return address
	mapping          *staccato.Mapping // of frames that were unwound here
}

const (
	kernelBit   = 1 << 63
	kindShift   = 60 // WORD_KIND_SHIFT
	flagShift   = 56 // WORD_FLAG_SHIFT
	addressMask = 1<<56 - 1
)

func (d *decoder) sample(t *layoutTrace, words []uint64) staccato.Sample {
	p := d.n.Process(t.Pid, t.Generation, d.text(t.Comm))
	stack := d.newStack(len(words) + 2)
	for i, w := range words[:t.N_kernel] {
		stack = append(stack, d.kernelFrame(w, i == 0))
	}
	if t.KernelCut != 0 {
		stack = append(stack, d.marker(staccato.KindLost, "[truncated: kernel stack]"))
	}
	stop := layoutStop(t.Stop)
	if t.Copied > 0 {
		stack = d.unwind(t, words[t.N_kernel:], stack)
		stop, words = layoutStopSTOP_END, words[:t.N_kernel]
	}
	for i, w := range words[t.N_kernel:] {
		f := d.userFrame(t, w)
		if f == nil {
			// A return address that lies in no code: the walk took something
			// else for a frame. Nothing from here on is true.
			d.cut += uint64(t.N_user) - uint64(i)
			stop = layoutStopSTOP_FP
			break
		}
		stack = append(stack, f)
	}
	switch {
	case stop == layoutStopSTOP_IDLE:
		stack = append(stack, d.marker(staccato.KindIdle, "[idle]"))
	case truncations[stop] != "":
		stack = append(stack, d.marker(staccato.KindLost, "[truncated: "+truncations[stop]+"]"))
	}
	return staccato.Sample{
		Process: p,
		Thread:  staccato.Thread{TID: int(t.Tid), Name: d.text(t.ThreadComm)},
		Stack:   stack,
		Count:   int64(t.Count),
	}
}

const copyHeadWords = 24 // COPY_HEAD_WORDS

// unwind adds the frames of a copied stack.
func (d *decoder) unwind(t *layoutTrace, words []uint64, stack staccato.Stack) staccato.Stack {
	u := UserStack{PC: words[0], SP: words[1], FP: words[2], RBX: words[3], LR: words[4], MoreAt: words[21], Time: words[23]}
	copy(u.General[:], words[5:])
	pieces := words[copyHeadWords:]
	n := min(words[22], uint64(len(pieces)))
	u.Words, u.More = pieces[:n], pieces[n:]
	frames, truncated := d.n.Unwind(t.Pid, t.Generation, &u)
	for _, f := range frames {
		stack = append(stack, d.unwound(t, f))
	}
	if truncated != "" {
		stack = append(stack, d.marker(staccato.KindLost, "[truncated: "+truncated+"]"))
	}
	return stack
}

func (d *decoder) unwound(t *layoutTrace, u UserFrame) *staccato.Frame {
	k := frameKey{word: u.Address, mapping: u.Mapping, leaf: !u.Return}
	if u.Mapping == nil {
		k.pid, k.generation = t.Pid, t.Generation
	}
	f := d.frames[k]
	if f == nil {
		f = d.newFrame(staccato.KindNative, u.Return)
		f.Mapping, f.Address = u.Mapping, u.Address
		d.frames[k] = f
		d.add(f)
	}
	return f
}

// add gives a new frame its place.
func (d *decoder) add(f *staccato.Frame) {
	f.Index = int32(len(d.list))
	d.list = append(d.list, f)
}

func (d *decoder) kernelFrame(address uint64, leaf bool) *staccato.Frame {
	known := d.kernelFrames[0]
	if leaf {
		known = d.kernelFrames[1]
	}
	f := known[address]
	if f == nil {
		f = d.newFrame(staccato.KindKernel, !leaf)
		f.Mapping, f.Address = d.kernel, address
		known[address] = f
		d.add(f)
	}
	return f
}

// userFrame returns nil for a return address that lies in no code.
func (d *decoder) userFrame(t *layoutTrace, word uint64) *staccato.Frame {
	if layoutWordKind(word>>kindShift) == layoutWordKindWORD_CHUNK {
		return d.fileFrame(word)
	}
	k := frameKey{word: word, pid: t.Pid, generation: t.Generation}
	if f, ok := d.frames[k]; ok {
		return f
	}
	f := d.newUserFrame(word)
	address := word & addressMask
	look := address
	if f.Return {
		look--
	}
	m, elf, where := d.n.Address(t.Pid, t.Generation, look)
	f.Address = address
	switch {
	case where == InFile:
		f.Mapping, f.Address = m, elf+(address-look)
	case where == Anonymous:
		f.Mapping = m
	case where == Unmapped && f.Return && word>>flagShift&uint64(layoutWordFlagFLAG_ANON) == 0:
		f = nil
	}
	d.frames[k] = f
	if f != nil {
		d.add(f)
	}
	return f
}

func (d *decoder) fileFrame(word uint64) *staccato.Frame {
	f := d.files[word]
	if f == nil {
		f = d.newUserFrame(word)
		if m, address, ok := d.n.Chunk(uint32(word>>32)&maxChunk, uint32(word)); ok {
			f.Mapping, f.Address = m, address
		}
		d.files[word] = f
		d.add(f)
	}
	return f
}

func (d *decoder) newUserFrame(word uint64) *staccato.Frame {
	return d.newFrame(staccato.KindNative, word>>flagShift&uint64(layoutWordFlagFLAG_RETURN) != 0)
}

// newFrame returns a frame, made together with others.
func (d *decoder) newFrame(kind staccato.Kind, ret bool) *staccato.Frame {
	if len(d.unused) == 0 {
		d.unused = make([]staccato.Frame, 64)
	}
	f := &d.unused[0]
	d.unused = d.unused[1:]
	f.Kind, f.Return = kind, ret
	return f
}

// newStack returns an empty stack with room for n frames, cut from a larger
// piece of memory.
func (d *decoder) newStack(n int) staccato.Stack {
	if len(d.stacks) < n {
		d.stacks = d.memory.take(n)
		d.pieces = append(d.pieces, d.stacks)
	}
	s := d.stacks[:0:n]
	d.stacks = d.stacks[n:]
	return s
}

func (d *decoder) marker(kind staccato.Kind, text string) *staccato.Frame {
	f := d.markers[text]
	if f == nil {
		f = staccato.Marker(kind, text)
		d.markers[text] = f
		d.add(f)
	}
	return f
}

// text makes a string of a command name, each distinct one once per read.
func (d *decoder) text(c comm) string {
	s, known := d.texts[c]
	if !known {
		s = text(c)
		d.texts[c] = s
	}
	return s
}

// comm is a command name as the kernel has it: ended by a zero byte.
type comm = [16] /* COMM_LEN */ int8

// text cuts a C string at its end. Command names may hold anything.
func text(c comm) string {
	var b [len(c)]byte
	for i, x := range c {
		b[i] = byte(x)
	}
	n := bytes.IndexByte(b[:], 0)
	if n < 0 {
		n = len(b)
	}
	return string(bytes.ToValidUTF8(b[:n], []byte("?")))
}
