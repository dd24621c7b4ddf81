package main

import (
	"context"
	"os"
	"testing"
	"time"
)

// ended says that a context ends soon.
func ended(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// One signal stops, one more aborts; in between one ends what yields to it.
func TestInterrupts(t *testing.T) {
	for _, yields := range []bool{false, true} {
		signals := make(chan os.Signal)
		i := watch(signals, 0)
		signals <- os.Interrupt
		if !ended(i.stop) || ended(i.abort) {
			t.Fatal("the first does not stop, or aborts")
		}
		ctx, end := i.yielding()
		if !yields {
			end()
		}
		signals <- os.Interrupt
		if !ended(ctx) || ended(i.abort) == yields {
			t.Errorf("yields %t, aborted %t", yields, !yields)
		}
		if yields {
			signals <- os.Interrupt
			if !ended(i.abort) {
				t.Error("the one after that does not abort")
			}
		}
		end()
	}
}

// What yields to the first signal knows it, and so does who is to stop.
func TestFirstInterruptYields(t *testing.T) {
	signals := make(chan os.Signal)
	i := watch(signals, time.Hour)
	ctx, end := i.yielding()
	defer end()
	signals <- os.Interrupt
	if !ended(ctx) || !ended(i.stop) {
		t.Error("it is not told")
	}
	signals <- os.Interrupt // the same, by timeout(1)
	if ended(i.abort) {
		t.Error("the same signal aborts")
	}
}
