package agent

import (
	"slices"
	"strings"

	"github.com/staccato-profiler/staccato"
)

// TableFault says why an executable's code is unwound without the tables that its
// file should have, or without some of them.
type TableFault struct {
	Path, Reason string
}

// tableFaults are the faults since the start, in the order in which they were
// found. Files are made by strangers: only so many are kept.
type tableFaults struct {
	list   []TableFault
	beyond uint64
}

const (
	maxTableFaults = 64
	maxFaultText   = 512 // bytes of a reason
)

func (f *tableFaults) add(m *staccato.Mapping, err error) {
	// Several errors are one per line.
	reason := strings.ReplaceAll(err.Error(), "\n", "; ")
	if len(reason) > maxFaultText {
		reason = strings.ToValidUTF8(reason[:maxFaultText], "") + "…"
	}
	// One reason for each file is enough: its other chunks have the same.
	if slices.ContainsFunc(f.list, func(known TableFault) bool { return known.Path == m.Path }) {
		return
	}
	if len(f.list) == maxTableFaults {
		f.beyond++
		return
	}
	f.list = append(f.list, TableFault{m.Path, reason})
}
