package bpf

import (
	"sync"

	"github.com/staccato-profiler/staccato"
)

// stackMemory is the memory of the stacks of windows: a megabyte or so each, that
// would be garbage a moment later. It may be used by several goroutines.
type stackMemory struct {
	mu   sync.Mutex
	free []stackPiece
}

type stackPiece = []*staccato.Frame

const (
	stackPieceFrames = 8192 // 64 KiB
	// freePieces are kept at most: 2 MiB.
	freePieces = 32
)

// take returns a piece for at least n frames.
func (m *stackMemory) take(n int) stackPiece {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := len(m.free) - 1; last >= 0 && n <= stackPieceFrames {
		piece := m.free[last]
		m.free = m.free[:last]
		return piece
	}
	return make(stackPiece, max(stackPieceFrames, n))
}

func (m *stackMemory) give(pieces []stackPiece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pieces {
		if len(p) == stackPieceFrames && len(m.free) < freePieces {
			clear(p) // keep no frames alive
			m.free = append(m.free, p)
		}
	}
}
