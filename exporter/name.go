package exporter

import (
	"fmt"
	"path"

	"github.com/google/pprof/profile"
)

// UnnamedFrame is what formats of names alone call a location that no symbol
// source knew: executable+0xADDRESS.
func UnnamedFrame(l *profile.Location) string {
	if l.Mapping == nil || l.Mapping.File == "" {
		return fmt.Sprintf("0x%x", l.Address)
	}
	return fmt.Sprintf("%s+0x%x", path.Base(l.Mapping.File), l.Address)
}
