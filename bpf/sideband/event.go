package sideband

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bits of perf_event_attr that x/sys has no names for.
const (
	bitKsymbol = 1 << 29 // Linux 5.0
	bitBuildID = 1 << 34 // Linux 5.12
)

const (
	// everyEvent is for records to be told in order of time, and nobody to be woken.
	everyEvent = unix.PerfBitSampleIDAll | unix.PerfBitUseClockID | unix.PerfBitWatermark
	// processBits are what every supported kernel knows. Without mmap_data the
	// kernel writes records for executable mappings only. Forks and exits come with
	// mmap or comm, without a bit of their own.
	processBits = unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec | everyEvent
	symbolBits  = bitKsymbol | everyEvent
)

// openEvent opens a side-band event of a CPU, for all processes.
func openEvent(cpu int, bits uint64) (int, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config:      unix.PERF_COUNT_SW_DUMMY,
		Sample_type: sampleType,
		Bits:        bits,
		Clockid:     unix.CLOCK_MONOTONIC,
		// The kernel lowers this to the ring's size: nobody waits for the
		// event, so nobody is to be woken.
		Wakeup: 1<<32 - 1,
	}
	for {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// probe finds the optional bits that the running kernel accepts: it answers
// EINVAL to those it does not know.
func probe(cpu int, noBuildID bool) (uint64, error) {
	for _, optional := range []uint64{bitKsymbol | bitBuildID, bitKsymbol, 0} {
		if noBuildID && optional&bitBuildID != 0 {
			continue
		}
		fd, err := openEvent(cpu, processBits|optional)
		if errors.Is(err, unix.EINVAL) && optional != 0 {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("open side-band event on CPU %d: %w", cpu, err)
		}
		return optional, unix.Close(fd)
	}
	panic("unreachable")
}
