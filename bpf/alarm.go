package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// alarm waits for the kernel side to say that a bank fills up with copies of
// stacks.
type alarm struct {
	reader *ringbuf.Reader
	rings  chan struct{}
	ended  chan struct{}
}

func openAlarm(m *ebpf.Map) (*alarm, error) {
	reader, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, fmt.Errorf("open alarms: %w", err)
	}
	a := &alarm{reader: reader, rings: make(chan struct{}, 1), ended: make(chan struct{})}
	go a.wait()
	return a, nil
}

// wait ends with close.
func (a *alarm) wait() {
	defer close(a.ended)
	var r ringbuf.Record
	for {
		err := a.reader.ReadInto(&r)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		select {
		case a.rings <- struct{}{}:
		default: // it rings already
		}
		if err != nil {
			return // and so there are no more: banks are read by the clock
		}
	}
}

func (a *alarm) close() error {
	err := a.reader.Close()
	<-a.ended
	return err
}

// Filling receives when copies of stacks fill the active bank: it should be read.
func (s *Sampler) Filling() <-chan struct{} { return s.alarm.rings }
