package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/ring"
)

// NoticeType says what a Notice is about.
type NoticeType uint32

const (
	NoticeFork    = NoticeType(layoutNoticeTypeNOTICE_FORK)
	NoticeExec    = NoticeType(layoutNoticeTypeNOTICE_EXEC)
	NoticeExit    = NoticeType(layoutNoticeTypeNOTICE_EXIT)
	NoticeUnknown = NoticeType(layoutNoticeTypeNOTICE_UNKNOWN)
	NoticeMiss    = NoticeType(layoutNoticeTypeNOTICE_MISS)
	NoticeTable   = NoticeType(layoutNoticeTypeNOTICE_TABLE)
)

// Notice is what the kernel side tells at once.
type Notice struct {
	Type       NoticeType
	PID        uint32
	Generation uint64 // program image; see staccato.Process
	Time       uint64 // CLOCK_MONOTONIC, ns
	Address    uint64 // NoticeMiss: the address without a mapping
	Chunk      uint32 // NoticeTable: the chunk whose unwind table is wanted
	Parent     uint32 // NoticeFork
}

// Notices reads what the kernel side tells: an event for each CPU, into which
// the programs that run there write.
type Notices struct {
	events *ebpf.Map
	reader *perf.Reader // nil while rings are used
	record perf.Record
	// rings are read in its place when a CPU is offline that has a lower number
	// than one that is online: the library's reader (ebpf v0.22) then gives the
	// CPUs each other's events, and the kernel refuses what programs write.
	rings     *ring.Set
	left      []Notice // read when CPUs came or went
	told      *uint64  // changes around each notice; in shared memory
	seen      uint64   // told, when the rings were read the last time
	lost      uint64
	malformed uint64
}

// noticeBytes is the ring's size per CPU: 256 KiB hold some 3,000 notices.
const noticeBytes = 256 << 10

func openNotices(events *ebpf.Map, told *uint64, cpus []int) (*Notices, error) {
	n := &Notices{events: events, told: told, rings: ring.NewSet(noticeBytes/os.Getpagesize(), func(cpu int) (int, error) {
		return openOutput(events, cpu)
	})}
	if err := n.sync(cpus); err != nil {
		return nil, errors.Join(Permission("open notices", err), n.close())
	}
	return n, nil
}

// openOutput opens the event that programs on a CPU write to, and gives it to
// them.
func openOutput(events *ebpf.Map, cpu int) (int, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config:      unix.PERF_COUNT_SW_BPF_OUTPUT,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      1,
		// Nobody waits for notices: Drain is called at each tick.
		Bits:   unix.PerfBitWatermark,
		Wakeup: noticeBytes / 2,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	if err := events.Put(uint32(cpu), uint32(fd)); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// sync follows CPUs that came or went. What they had to tell is kept; what they
// tell during the call may be lost.
func (n *Notices) sync(cpus []int) error {
	keep := func(x Notice) { n.left = append(n.left, x) }
	if n.reader != nil {
		if err := errors.Join(n.drainReader(keep), n.reader.Close()); err != nil {
			return err
		}
		n.reader = nil
	}
	if !withoutHoles(cpus) {
		return n.rings.Sync(cpus, func(_ int, gone *ring.Ring) { n.collect(gone, keep) })
	}
	if err := n.rings.Sync(nil, func(_ int, gone *ring.Ring) { n.collect(gone, keep) }); err != nil {
		return err
	}
	var err error
	// Nobody waits for notices: Drain is called at each tick.
	n.reader, err = perf.NewReaderWithOptions(n.events, noticeBytes, perf.ReaderOptions{Watermark: noticeBytes / 2})
	return err
}

// withoutHoles says whether the CPUs, in order, are those from 0 on.
func withoutHoles(cpus []int) bool { return len(cpus) > 0 && cpus[len(cpus)-1] == len(cpus)-1 }

// Drain hands over every notice that has arrived, CPU by CPU, each CPU's in
// order of time.
func (n *Notices) Drain(take func(Notice)) error {
	for _, x := range n.left {
		take(x)
	}
	n.left = n.left[:0]
	// Reading takes four system calls, which is much for nothing.
	told := atomic.LoadUint64(n.told)
	if told == n.seen {
		return nil
	}
	n.seen = told
	if n.reader != nil {
		return n.drainReader(take)
	}
	n.rings.Each(func(_ int, from *ring.Ring) { n.collect(from, take) })
	return nil
}

func (n *Notices) drainReader(take func(Notice)) error {
	if err := n.reader.Flush(); err != nil {
		return fmt.Errorf("read notices: %w", err)
	}
	for {
		err := n.reader.ReadInto(&n.record)
		if errors.Is(err, perf.ErrFlushed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read notices: %w", err)
		}
		n.lost += n.record.LostSamples
		if len(n.record.RawSample) > 0 { // else a record of lost ones
			n.decode(n.record.RawSample, take)
		}
	}
}

// decode takes a notice as the program wrote it.
func (n *Notices) decode(raw []byte, take func(Notice)) {
	var x layoutNotice
	size := int(unsafe.Sizeof(x))
	if len(raw) < size {
		n.malformed++
		return
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&x)), size), raw)
	notice := Notice{Type: NoticeType(x.Type), PID: x.Pid, Generation: x.Generation, Time: x.Time, Parent: x.Parent}
	if notice.Type == NoticeTable {
		notice.Chunk = uint32(x.Address >> 12)
	} else {
		notice.Address = x.Address
	}
	take(notice)
}

// collect reads a ring of our own.
func (n *Notices) collect(from *ring.Ring, take func(Notice)) {
	err := from.Consume(from.Head(), func(raw []byte) bool {
		word := binary.NativeEndian
		body := raw[ring.HeaderSize:]
		switch word.Uint32(raw) {
		case unix.PERF_RECORD_LOST: // u64 event ID, u64 number
			if len(body) >= 16 {
				n.lost += word.Uint64(body[8:])
			}
		case unix.PERF_RECORD_SAMPLE: // u32 length, what the program wrote
			n.decode(body[min(4, len(body)):], take)
		default:
			n.malformed++
		}
		return true
	})
	if err != nil {
		n.malformed++
	}
}

// Lost is the number of notices the rings had no room for, or did not hold as
// they should.
func (n *Notices) Lost() uint64 { return n.lost + n.malformed }

func (n *Notices) close() error {
	err := n.rings.Close()
	if n.reader != nil {
		err = errors.Join(err, n.reader.Close())
	}
	return err
}
