package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// repeatEvery is how often the same message is logged at most.
const repeatEvery = time.Minute

// quietHandler passes on each message (its text, whatever its attributes) once
// in repeatEvery, and then says how often it was left out in between. A problem
// that lasts would otherwise fill the log with itself.
type quietHandler struct {
	slog.Handler
	seen *seenMessages // shared with the handlers that WithAttrs makes
}

type seenMessages struct {
	mu       sync.Mutex
	messages map[string]*seenMessage
}

type seenMessage struct {
	last    time.Time
	leftOut int
}

func newQuietHandler(h slog.Handler) slog.Handler {
	// Messages are constants of the program, so there are few.
	return quietHandler{h, &seenMessages{messages: make(map[string]*seenMessage)}}
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	h.seen.mu.Lock()
	m := h.seen.messages[r.Message]
	if m == nil {
		m = new(seenMessage)
		h.seen.messages[r.Message] = m
	} else if r.Time.Sub(m.last) < repeatEvery {
		m.leftOut++
		h.seen.mu.Unlock()
		return nil
	}
	leftOut := m.leftOut
	m.last, m.leftOut = r.Time, 0
	h.seen.mu.Unlock()

	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs), h.seen}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.seen}
}
