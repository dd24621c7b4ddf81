package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
)

// NoticeType says what a Notice is about.
type NoticeType uint32

const (
	NoticeFork    = NoticeType(layoutNoticeTypeNOTICE_FORK)
	NoticeExec    = NoticeType(layoutNoticeTypeNOTICE_EXEC)
	NoticeExit    = NoticeType(layoutNoticeTypeNOTICE_EXIT)
	NoticeUnknown = NoticeType(layoutNoticeTypeNOTICE_UNKNOWN)
	NoticeMiss    = NoticeType(layoutNoticeTypeNOTICE_MISS)
)

// Notice is what the kernel side tells at once.
type Notice struct {
	Type       NoticeType
	PID        uint32
	Generation uint64 // program image; see staccato.Process
	Time       uint64 // CLOCK_MONOTONIC, ns
	Address    uint64 // NoticeMiss: the address without a mapping
	Parent     uint32 // NoticeFork
}

// Notices reads what the kernel side tells.
type Notices struct {
	reader *perf.Reader
	record perf.Record
	lost   uint64
}

// noticeBytes is the ring's size per CPU: 256 KiB hold some 3,000 notices.
const noticeBytes = 256 << 10

func openNotices(m *ebpf.Map) (*Notices, error) {
	// Nobody waits for notices: Drain is called at each tick.
	r, err := perf.NewReaderWithOptions(m, noticeBytes, perf.ReaderOptions{Watermark: noticeBytes / 2})
	if err != nil {
		return nil, permission("open notices", err)
	}
	return &Notices{reader: r}, nil
}

// Drain hands over every notice that has arrived, CPU by CPU, each CPU's in
// order of time.
func (n *Notices) Drain(take func(Notice)) error {
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
		var raw layoutNotice
		if len(n.record.RawSample) < int(unsafe.Sizeof(raw)) {
			continue // a record of lost ones
		}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw)), n.record.RawSample)
		take(Notice{NoticeType(raw.Type), raw.Pid, raw.Generation, raw.Time, raw.Address, raw.Parent})
	}
}

// Lost is the number of notices the ring had no room for.
func (n *Notices) Lost() uint64 { return n.lost }

func (n *Notices) close() { n.reader.Close() }
