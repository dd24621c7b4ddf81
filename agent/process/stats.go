package process

import "maps"

// Stats are what a table holds, and counts since it was made.
type Stats struct {
	Images, Retired, Executables, OpenFiles, Chunks, Mappings int // now

	Scans     uint64 // readings of /proc/PID/maps
	Discarded uint64 // scans thrown away because of an exec meanwhile
	Deferred  uint64 // misses that were not looked into so soon after the last
	// LookupsDeferred counts mappings whose files were not looked for at once,
	// because their process maps too often.
	LookupsDeferred uint64
	Uploads         uint64 // calls of SetProcess
	// UploadErrors counts those that failed; the process has no entries then.
	UploadErrors uint64

	// What did not fit: images, executable ranges, executables or chunks.
	ImagesBeyond, MappingsBeyond, ExecutablesBeyond uint64
	// ScansFailed counts scans of live processes that could not be done.
	ScansFailed uint64
	// ScansCut counts scans that took too long and ended early.
	ScansCut uint64
	// MapsMalformed counts lines of /proc/PID/maps that were not understood.
	MapsMalformed uint64
	// FilesReleased counts files closed to keep to Config.MaxOpenFiles.
	FilesReleased uint64
	// Refused counts mappings whose file could not be had, by Mapping.Reason.
	Refused map[string]uint64
	// HeldBack is how often processes of a user were not looked into, since too much
	// was spent on that user.
	HeldBack map[uint32]uint64
}

// Stats returns a copy.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Images, s.Retired = len(t.live), len(t.retired)
	s.Executables, s.OpenFiles = t.executables.len(), int(t.executables.open.Load())
	s.Chunks = t.executables.tabled.used() + t.executables.tableless.used()
	s.Mappings = t.mappings
	s.ExecutablesBeyond = t.executables.tooMany
	s.FilesReleased = t.executables.forcedOut
	s.HeldBack = t.users.Held()
	s.Refused = maps.Clone(t.executables.counts)
	return s
}
