package demangle

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var names = []struct{ mangled, simple, full string }{
	{"main", "main", "main"},
	{"_start", "_start", "_start"},
	{"_Z3fooi", "foo", "foo(int)"},
	{"_Z3fooi.isra.0", "foo", "foo(int) [clone .isra.0]"},
	{"_Z3fooi.cold", "foo", "foo(int) [clone .cold]"},
	{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector::push_back",
		"std::vector<int, std::allocator<int> >::push_back(int const&)"},
	{"_ZN5space3boxINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE3getEv", "space::box::get",
		"space::box<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >::get()"},
	{"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()", "main::{lambda(int)#1}::operator()(int) const"},
	{"_ZNK3fooplERKS_", "foo::operator+", "foo::operator+(foo const&) const"},
	{"_ZStltIiEbRKSt6vectorIiSaIiEES3_", "std::operator<",
		"bool std::operator< <int>(std::vector<int, std::allocator<int> > const&, std::vector<int, std::allocator<int> > const)"},
	{"_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write", "core::fmt::write"},
	{"_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE",
		"<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop", "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop"},
	{"_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function", "foo::example_function"},
	{"_RINvNtC3std3mem8align_ofjEC3foo", "std::mem::align_of", "std::mem::align_of::<usize>"},
	{"_RNvMs_NtCskwGfYPst2Cb_3foo3barINtB4_3BazjE3run", "<foo::bar::Baz>::run", "<foo::bar::Baz<usize>>::run"},
	{"_ZNdamaged", "_ZNdamaged", "_ZNdamaged"},
	{"_R", "_R", "_R"},
	{"", "", ""},
}

func TestName(t *testing.T) {
	for _, test := range names {
		for style, want := range map[Style]string{
			None: test.mangled, Simple: test.simple, "": test.simple, Full: test.full,
		} {
			if got := style.Name(test.mangled); got != want {
				t.Errorf("%q.Name(%q) = %q, want %q", style, test.mangled, got, want)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, style := range []Style{"", None, Simple, Full} {
		if err := style.Check(); err != nil {
			t.Errorf("%q: %v", style, err)
		}
	}
	if err := Style("pretty").Check(); err == nil || err.Error() != "demangle pretty: want none, simple or full" {
		t.Errorf("error is %v", err)
	}
}

// TestAgainstLLVM compares the names in the C++ runtime library with
// llvm-cxxfilt's: full ones, and what is left of those without parameters when
// all that is in angle brackets is cut out.
func TestAgainstLLVM(t *testing.T) {
	mangled := libraryNames(t)
	for _, test := range []struct {
		style     Style
		flags     []string
		normalize func(string) string
	}{
		// Both ways of writing nested template arguments are in use.
		{Full, nil, func(name string) string { return strings.ReplaceAll(name, " >", ">") }},
		{Simple, []string{"--no-params"}, cutBrackets},
	} {
		want := llvmNames(t, mangled, test.flags...)
		equal := 0
		for i, m := range mangled {
			got := test.style.Name(m)
			if test.style == Full {
				got = test.normalize(got)
			}
			if got == test.normalize(want[i]) {
				equal++
			} else if i-equal < 10 {
				t.Logf("%s is %q, llvm-cxxfilt says %q", m, got, want[i])
			}
		}
		t.Logf("%s: %d of %d equal", test.style, equal, len(want))
		if equal*100 < len(want)*99 {
			t.Errorf("%s: %d of %d names are equal, want 99 %%", test.style, equal, len(want))
		}
	}
}

// libraryNames are the C++ functions that the C++ runtime library exports.
func libraryNames(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("g++", "-print-file-name=libstdc++.so.6").Output()
	if err != nil {
		t.Fatalf("g++ is missing: install it with apt-get install g++: %v", err)
	}
	symbols, err := exec.Command("nm", "-D", "--defined-only", "--without-symbol-versions", strings.TrimSpace(string(out))).Output()
	if err != nil {
		t.Fatalf("run nm (of binutils): %v", err)
	}
	var mangled []string
	for in := bufio.NewScanner(bytes.NewReader(symbols)); in.Scan(); {
		if f := strings.Fields(in.Text()); len(f) == 3 && strings.ToUpper(f[1]) != "V" && strings.HasPrefix(f[2], "_ZN") {
			mangled = append(mangled, f[2])
		}
	}
	if len(mangled) < 1000 {
		t.Fatalf("%d names", len(mangled))
	}
	return mangled
}

func llvmNames(t *testing.T, mangled []string, flags ...string) []string {
	t.Helper()
	filter, err := exec.LookPath("llvm-cxxfilt-19")
	if err != nil {
		t.Fatal("llvm-cxxfilt-19 is missing: install it with apt-get install llvm-19")
	}
	cmd := exec.Command(filter, flags...)
	cmd.Stdin = strings.NewReader(strings.Join(mangled, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(names) != len(mangled) {
		t.Fatalf("%d names, %d answers", len(mangled), len(names))
	}
	return names
}

// cutBrackets removes template arguments, but not the angle brackets of
// operators.
func cutBrackets(name string) string {
	var out strings.Builder
	depth := 0
	for i := 0; i < len(name); i++ {
		rest := name[i:]
		if depth == 0 {
			if operator := operatorAt(rest); operator != "" {
				out.WriteString(operator)
				i += len(operator) - 1
				if strings.HasPrefix(name[i+1:], " <") {
					i++ // the space before the operator's template arguments
				}
				continue
			}
		}
		switch {
		case rest[0] == '<':
			depth++
		case rest[0] == '>' && depth > 0:
			depth--
		case depth == 0:
			out.WriteByte(rest[0])
		}
	}
	return out.String()
}

func operatorAt(text string) string {
	for _, sign := range []string{"<=>", "<<=", ">>=", "<<", ">>", "<=", ">=", "->*", "->", "<", ">"} {
		if strings.HasPrefix(text, "operator"+sign) {
			return "operator" + sign
		}
	}
	return ""
}

// hostile are names that grow without bound in a demangler without limits.
func hostile() []string {
	grow := "_Z1fSt4pairIiiE"
	for i := range 26 {
		grow += "St4pairIS" + string(rune('0'+i%10)) + "_S" + string(rune('0'+i%10)) + "_E"
	}
	return []string{
		grow,
		"_Z" + strings.Repeat("N", 4000),
		"_Z1f" + strings.Repeat("P", 4000) + "i",
		"_Z1f" + strings.Repeat("F", 4000),
		"_Z1fI" + strings.Repeat("J", 4000),
		"_Z" + strings.Repeat("1aI", 1300),
		"_RNv" + strings.Repeat("Nv", 2000),
		"_R" + strings.Repeat("I", 4000),
		"_RYC" + strings.Repeat("B_", 2000),
		"_Z1a" + strings.Repeat("x", 1<<20),
	}
}

func TestHostile(t *testing.T) {
	for _, style := range []Style{Simple, Full} {
		for _, name := range hostile() {
			start := time.Now()
			got := style.Name(name)
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: %.30q took %v", style, name, took)
			}
			if len(got) > max(len(name), 1<<maxDemangled) {
				t.Errorf("%s: %.30q has %d bytes", style, name, len(got))
			}
		}
	}
}

func FuzzName(f *testing.F) {
	for _, test := range names {
		f.Add(test.mangled, false)
		f.Add(test.mangled, true)
	}
	for _, name := range hostile() {
		f.Add(name, false)
		f.Add(name, true)
	}
	f.Fuzz(func(t *testing.T, name string, full bool) {
		style := Simple
		if full {
			style = Full
		}
		start := time.Now()
		got := style.Name(name)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
		if got != name && len(got) > 1<<maxDemangled {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

func BenchmarkName(b *testing.B) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		Simple.Name(names[i%len(names)].mangled)
	}
}
