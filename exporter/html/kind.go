package html

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
)

// Kinds that only the page knows. Those of package staccato, and of
// interpreters, go into the page as they are.
const (
	kindCPlusPlus = "c++"
	kindJIT       = "jit"
	kindOther     = "other" // what was too small to keep
)

// languages are the kinds of code by its source file's extension.
var languages = map[string]string{
	".go": string(staccato.KindGo), ".py": "cpython", ".rb": "ruby", ".php": "php", ".pl": "perl", ".pm": "perl", ".lua": "lua",
	".js": "v8js", ".mjs": "v8js", ".ts": "v8js", ".java": "jvm", ".kt": "jvm", ".scala": "jvm", ".cs": "dotnet",
	".cc": kindCPlusPlus, ".cpp": kindCPlusPlus, ".cxx": kindCPlusPlus, ".hpp": kindCPlusPlus,
}

// kindOf says what made a line of a location: what the profiler said if it said
// something, and else what names and files look like.
func kindOf(known staccato.Kind, loc *profile.Location, f *profile.Function) string {
	switch known {
	case "":
	case staccato.KindNative:
		if isCPlusPlus(f) {
			return kindCPlusPlus
		}
		return string(known)
	default:
		return string(known)
	}

	name, file, mapped := "", "", ""
	if f != nil {
		name, file = f.Name, f.Filename
	}
	if loc.Mapping != nil {
		mapped = loc.Mapping.File
	}
	switch {
	case strings.HasPrefix(name, "[lost: "), strings.HasPrefix(name, "[truncated: "):
		return string(staccato.KindLost)
	case name == "[idle]":
		return string(staccato.KindIdle)
	case isKernel(mapped), strings.HasSuffix(name, "_[k]"):
		return string(staccato.KindKernel)
	case strings.HasSuffix(name, "_[j]"):
		return kindJIT
	}
	if kind := languages[path.Ext(file)]; kind != "" {
		return kind
	}
	switch {
	case isCPlusPlus(f):
		return kindCPlusPlus
	case isGenerated(mapped):
		return kindJIT
	}
	return string(staccato.KindNative)
}

// isKernel says whether perf or pprof use the name for the kernel or a part of it.
func isKernel(file string) bool {
	return strings.HasPrefix(file, "[kernel") || strings.HasPrefix(file, "[guest.kernel") || strings.HasSuffix(file, ".ko") ||
		strings.HasPrefix(path.Base(file), "vmlinux") || strings.HasPrefix(file, "bpf_prog_")
}

// isGenerated says whether code without a file of its own was mapped there.
func isGenerated(file string) bool {
	base := path.Base(file)
	return strings.HasPrefix(file, "//anon") || strings.HasPrefix(file, "[anon") || strings.HasPrefix(base, "jitted-") ||
		strings.HasPrefix(base, "perf-") && strings.HasSuffix(base, ".map")
}

// rustHash ends Rust's old linker names, but for what LLVM may add.
var rustHash = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`17h[0-9a-f]{16}E($|\.)`)
})

// isCPlusPlus says whether a function's linker name is of the Itanium C++ ABI.
// Rust's old names are of the same form.
func isCPlusPlus(f *profile.Function) bool {
	return f != nil && strings.HasPrefix(f.SystemName, "_Z") && !rustHash().MatchString(f.SystemName)
}
