package otlp

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// mappingAttributes returns the attributes of an executable, none when nothing
// identifies it. The build IDs come first: every mapping must have at least
// one of them. A file that has none and was not read is told apart by its
// path: the hash is then that of the path and not of the content, so it
// matches no file but is the same on all hosts.
func (d *dictionary) mappingAttributes(m *profile.Mapping) []int32 {
	hash := d.side.Hashes[m.ID]
	if hash == "" && m.BuildID == "" {
		if m.File == "" {
			return nil
		}
		hash = pathHash(m.File)
	}
	var list []int32
	switch {
	case m.BuildID == "":
	case strings.Contains(m.BuildID, "/"): // only Go's own has parts
		list = append(list, d.stringAttribute(string(semconv.ProcessExecutableBuildIDGoKey), m.BuildID))
	default:
		list = append(list, d.stringAttribute(string(semconv.ProcessExecutableBuildIDGNUKey), m.BuildID))
	}
	if hash != "" {
		list = append(list, d.stringAttribute(string(semconv.ProcessExecutableBuildIDHtlhashKey), hash))
	}
	for _, flag := range []struct {
		key attribute.Key
		set bool
	}{
		{semconv.PprofMappingHasFunctionsKey, m.HasFunctions},
		{semconv.PprofMappingHasFilenamesKey, m.HasFilenames},
		{semconv.PprofMappingHasLineNumbersKey, m.HasLineNumbers},
		{semconv.PprofMappingHasInlineFramesKey, m.HasInlineFrames},
	} {
		if flag.set {
			list = append(list, d.trueAttribute(string(flag.key)))
		}
	}
	return list
}

// pathHash has the form of an executable hash: 32 hex digits.
func pathHash(path string) string {
	sum := sha256.Sum256([]byte("path:" + path))
	return hex.EncodeToString(sum[:16])
}

// frameTypes are the values of profile.frame.type that are registered. Kinds
// that have none, such as markers of lost samples, get no attribute.
var frameTypes = map[string]bool{
	semconv.ProfileFrameTypeKernel.Value.AsString():  true,
	semconv.ProfileFrameTypeNative.Value.AsString():  true,
	semconv.ProfileFrameTypeGo.Value.AsString():      true,
	semconv.ProfileFrameTypeRust.Value.AsString():    true,
	semconv.ProfileFrameTypeCpython.Value.AsString(): true,
	semconv.ProfileFrameTypeJVM.Value.AsString():     true,
	semconv.ProfileFrameTypeV8JS.Value.AsString():    true,
	semconv.ProfileFrameTypeRuby.Value.AsString():    true,
	semconv.ProfileFrameTypePHP.Value.AsString():     true,
	semconv.ProfileFrameTypePerl.Value.AsString():    true,
	semconv.ProfileFrameTypeDotnet.Value.AsString():  true,
	semconv.ProfileFrameTypeBeam.Value.AsString():    true,
	semconv.ProfileFrameTypeLuajit.Value.AsString():  true,
}

func (d *dictionary) locationAttributes(l *profile.Location) []int32 {
	d.few = d.few[:0]
	if kind := string(d.side.Kinds.Of(l.ID)); frameTypes[kind] {
		d.few = append(d.few, d.stringAttribute(string(semconv.ProfileFrameTypeKey), kind))
	}
	if l.IsFolded {
		d.few = append(d.few, d.trueAttribute(string(semconv.PprofLocationIsFoldedKey)))
	}
	return d.few
}
