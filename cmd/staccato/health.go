package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// missedIntervals is how many windows in a row may be late before the
	// agent counts as hanging.
	missedIntervals = 3
	// leastLimit is for short intervals: reading takes longer on a busy host.
	leastLimit = 10 * time.Second
)

// health is what /healthz answers from.
type health struct {
	limit time.Duration // without a window

	mu      sync.Mutex
	lastCut time.Time // or when sampling began; zero before
	cutErr  error     // of the last cut
	// losing says why profiles do not arrive, one line for each destination
	// that loses them; works says that there is one that does not.
	losing []string
	works  bool
}

func newHealth(interval time.Duration) *health {
	return &health{limit: max(missedIntervals*interval, leastLimit), works: true}
}

// started begins to expect windows.
func (h *health) started() { h.cut(nil) }

// cut takes the result of the last attempt to cut a window.
func (h *health) cut(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutErr = err
	if err == nil {
		h.lastCut = time.Now()
	}
}

// exported takes what became of the windows so far.
func (h *health) exported(list []*destination) {
	var losing []string
	for _, d := range list {
		if err := d.losing(); err != nil {
			losing = append(losing, fmt.Sprintf("%s: %v", d.name, err))
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.losing, h.works = losing, len(losing) < len(list)
}

// check returns whether the agent does its work, and the reason if it does
// not, or what is wrong although it does.
func (h *health) check(now time.Time) (ok bool, reasons []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch since := now.Sub(h.lastCut); {
	case h.lastCut.IsZero():
		return false, []string{"sampling has not begun"}
	case h.cutErr != nil:
		return false, []string{fmt.Sprintf("read samples: %v", h.cutErr)}
	case since > h.limit:
		return false, []string{fmt.Sprintf("no samples have been read for %v", since.Round(time.Second))}
	}
	return h.works, h.losing
}

func (h *health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	ok, lines := h.check(time.Now())
	if !ok {
		http.Error(w, strings.Join(lines, "\n"), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, strings.Join(append([]string{"ok"}, lines...), "\n")+"\n")
}
