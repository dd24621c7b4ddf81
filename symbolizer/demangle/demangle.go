// Package demangle turns the linker's names of C++ and Rust functions into
// what their programmers wrote.
package demangle

import (
	"fmt"
	"strings"

	library "github.com/ianlancetaylor/demangle"
)

const (
	// maxMangled is the longest name demangled, in bytes. The library recurses
	// into a name about as deep as it is long.
	maxMangled = 4 << 10
	// maxDemangled is the longest result, as a power of 2. Mangled names refer
	// back to their parts, so a short one can stand for a huge one.
	maxDemangled = 14
)

// Style says how much of a name is shown. "" is [Simple].
type Style string

const (
	// None leaves names as the linker has them.
	None Style = "none"
	// Simple is the function with its namespaces and classes, without template
	// arguments, parameters, return type, Rust's hash, and what compilers append
	// to name a part or variant of a function (".isra.0", ".cold"), as pprof
	// shows names:
	//
	//	_ZNSt6vectorIiSaIiEE9push_backERKi  →  std::vector::push_back
	//	_ZN4core3fmt5write17h0123456789abcdefE  →  core::fmt::write
	Simple Style = "simple"
	// Full is all of it, as c++filt shows names:
	//
	//	_ZNSt6vectorIiSaIiEE9push_backERKi  →
	//	    std::vector<int, std::allocator<int> >::push_back(int const&)
	Full Style = "full"
)

// Check returns an error when there is no such style.
func (s Style) Check() error {
	switch s {
	case "", None, Simple, Full:
		return nil
	}
	return fmt.Errorf("demangle %s: want none, simple or full", s)
}

var (
	limit   = library.MaxLength(maxDemangled)
	simple  = []library.Option{library.NoParams, library.NoEnclosingParams, library.NoTemplateParams, limit}
	fullest = []library.Option{limit}
)

// Name returns the linker's name in this style. Names that are not mangled, are
// damaged, or exceed the limits come back as they are. Behind a name may be
// "@plt", which stays.
func (s Style) Name(mangled string) string {
	if name, stub := strings.CutSuffix(mangled, "@plt"); stub {
		return s.Name(name) + "@plt"
	}
	if s == None || len(mangled) > maxMangled || !isMangled(mangled) {
		return mangled
	}
	options := simple
	if s == Full {
		options = fullest
	}
	name, err := library.ToString(mangled, options...)
	if err != nil || name == "" {
		return mangled
	}
	if s != Full && strings.HasPrefix(mangled, "_R") {
		name = noArguments.Replace(name)
	}
	return name
}

// noArguments removes the brackets that the library leaves in Rust's names.
var noArguments = strings.NewReplacer("::<>", "", "<>", "")

// isMangled reports whether the name has the start of C++ names (Itanium ABI,
// section 5.1) or of Rust's v0 names (RFC 2603). Rust's legacy names are C++
// names.
func isMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R")
}
