// Package demangle turns the linker's names of C++ and Rust functions into
// what their programmers wrote.
package demangle

import (
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

// Name returns the function's name with namespaces and template arguments but
// without parameters, return type, Rust's hash, and what compilers append to
// name a part or variant of a function (".isra.0", ".cold"):
//
//	_ZNSt6vectorIiSaIiEE9push_backERKi  →  std::vector<int, std::allocator<int> >::push_back
//	_ZN4core3fmt5write17h0123456789abcdefE  →  core::fmt::write
//
// Names that are not mangled, are damaged, or exceed the limits come back as
// they are.
func Name(mangled string) string {
	if len(mangled) > maxMangled || !isMangled(mangled) {
		return mangled
	}
	name, err := library.ToString(mangled, library.NoParams, library.NoEnclosingParams, library.MaxLength(maxDemangled))
	if err != nil || name == "" {
		return mangled
	}
	return name
}

// isMangled reports whether the name has the start of C++ names (Itanium ABI,
// section 5.1) or of Rust's v0 names (RFC 2603). Rust's legacy names are C++
// names.
func isMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R")
}
