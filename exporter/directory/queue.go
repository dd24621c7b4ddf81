package directory

import (
	"fmt"
	"maps"
	"time"
)

// run writes what is queued until Shutdown.
func (e *Exporter) run() {
	defer close(e.written)
	for p := range e.waiting {
		warning, err := e.folder.save(p, time.Now())
		e.publish(warning)
		e.settle(p.count, err)
	}
}

// publish makes the state of the folder readable for others. A warning is a
// problem despite which profiles are written.
func (e *Exporter) publish(warning error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Files, e.stats.Bytes = int64(len(e.folder.files)), e.folder.bytes
	maps.Copy(e.stats.Deleted, e.folder.deleted)
	if warning == nil {
		e.warned = ""
	} else if text := warning.Error(); text != e.warned {
		e.warned = text
		e.config.Logger.Warn("Old profiles cannot be deleted.", "directory", e.config.Path, "error", warning)
	}
}

// settle counts what became of a profile that was waiting.
func (e *Exporter) settle(c Count, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.abandoned {
		return
	}
	e.stats.Waiting.subtract(c)
	if err != nil {
		e.lose(err, c)
		return
	}
	e.stats.Written.add(c)
	if e.stats.LastError != nil {
		e.stats.LastError = nil
		e.config.Logger.Info("Profiles are written again.", "directory", e.config.Path)
	}
}

// lose counts a profile as lost. The caller holds the lock.
func (e *Exporter) lose(err error, c Count) {
	e.stats.lose(reasonOf(err), c)
	e.failed(err)
}

// failed logs a failure unless it is the one of the last time. The caller
// holds the lock, or nobody else has the exporter yet.
func (e *Exporter) failed(err error) {
	err = fmt.Errorf("write profiles to %s: %w", e.config.Path, err)
	if last := e.stats.LastError; last == nil || last.Error() != err.Error() {
		e.config.Logger.Warn("Profiles cannot be written to the directory.", "error", err)
	}
	e.stats.LastError = err
}
