package symbolizers

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Classes of addresses that two symbolizers were asked about.
const (
	Same = "the same"
	// Alias: all but the outermost name is the same, and there are symbols with
	// both at the same address.
	Alias = "another name of the outermost function"
	// SymbolOnly: there is no debugging information, and llvm-symbolizer prints
	// the compilation that the symbol comes from as file.
	SymbolOnly = "symbol only"
	// Folded: the linker has put the code of several functions, with different
	// inlined calls, at the same address, and the two chose differently.
	Folded = "functions folded into one"
	// These are wrong.
	Depth  = "another number of inlined calls"
	Inner  = "another inlined call"
	Outer  = "another outermost function"
	Places = "another file, line or column"
)

// Difference is an address that two symbolizers name differently.
type Difference struct {
	Address      uint64
	Ours, Theirs []Frame
}

func (d Difference) String() string {
	return fmt.Sprintf("%#x\nours   %v\ntheirs %v", d.Address, d.Ours, d.Theirs)
}

// Comparison says how many addresses are in which class, with an example.
type Comparison struct {
	Count   map[string]int
	Example map[string]Difference
}

// Wrong is the number of addresses that are not the same for a good reason.
func (c Comparison) Wrong() int {
	return c.Count[Depth] + c.Count[Inner] + c.Count[Outer] + c.Count[Places]
}

// Compare classes addresses. symbols are those of the file.
func Compare(symbols []Symbol, addresses []uint64, ours, theirs [][]Frame) (Comparison, error) {
	c := Comparison{Count: make(map[string]int), Example: make(map[string]Difference)}
	if len(ours) != len(addresses) || len(theirs) != len(addresses) {
		return c, fmt.Errorf("compare %d addresses: we name %d, they name %d", len(addresses), len(ours), len(theirs))
	}
	starts := make(map[string]map[uint64]bool)
	for _, s := range symbols {
		name := Plain(s.Name)
		if starts[name] == nil {
			starts[name] = make(map[uint64]bool)
		}
		starts[name][s.Start] = true
	}
	aliases := func(a, b string) bool {
		for start := range starts[a] {
			if starts[b][start] {
				return true
			}
		}
		return false
	}
	for i, address := range addresses {
		class := classOf(ours[i], theirs[i], aliases)
		c.Count[class]++
		if c.Count[class] == 1 {
			c.Example[class] = Difference{address, ours[i], theirs[i]}
		}
	}
	return c, nil
}

// Outermost is only the name of the function that the others were inlined into, for
// where a symbolizer has found no more than a symbol.
func Outermost(frames []Frame) []Frame {
	return []Frame{{Function: frames[len(frames)-1].Function}}
}

func classOf(ours, theirs []Frame, aliases func(a, b string) bool) string {
	class := classOfChain(ours, theirs, aliases)
	if class == Depth || class == Inner || class == Places {
		a, b := Plain(ours[len(ours)-1].Function), Plain(theirs[len(theirs)-1].Function)
		if a != b && aliases(a, b) {
			return Folded
		}
	}
	return class
}

func classOfChain(ours, theirs []Frame, aliases func(a, b string) bool) string {
	if len(ours) != len(theirs) {
		return Depth
	}
	last := len(ours) - 1
	place := ""
	for i := range ours {
		a, b := ours[i], theirs[i]
		if Plain(a.Function) != Plain(b.Function) && i < last {
			return Inner
		}
		if cleaned(a.File) != cleaned(b.File) || a.Line != b.Line || a.Column != b.Column {
			if i == last && a.File == "" && a.Line == 0 && b.Line == 0 {
				place = SymbolOnly
			} else {
				place = Places
			}
		}
	}
	if last < 0 {
		return Same
	}
	a, b := Plain(ours[last].Function), Plain(theirs[last].Function)
	switch {
	case a != b && !aliases(a, b):
		return Outer
	case place != "":
		return place
	case a != b:
		return Alias
	}
	return Same
}

// suffix is what compilers append to the name of a part or variant of a
// function.
var suffix = regexp.MustCompile(`(\.(isra|part|constprop|cold|lto_priv|llvm|[0-9]+))+$`)

// plain is a name without symbol version and suffix.
// Plain returns a symbol's name without version, and without what compilers append
// for a part or variant of a function.
func Plain(name string) string {
	name, _, _ = strings.Cut(name, "@")
	return suffix.ReplaceAllString(name, "")
}

func cleaned(file string) string {
	if file == "" {
		return ""
	}
	return path.Clean(file)
}
