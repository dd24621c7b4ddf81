package demangle

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var names = []struct{ mangled, want string }{
	{"main", "main"},
	{"_start", "_start"},
	{"_Z3fooi", "foo"},
	{"_Z3fooi.isra.0", "foo"},
	{"_Z3fooi.cold", "foo"},
	{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"},
	{"_ZN5space3boxINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE3getEv",
		"space::box<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >::get"},
	{"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()"},
	{"_ZNK3fooplERKS_", "foo::operator+"},
	{"_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"},
	{"_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE",
		"<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop"},
	{"_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"},
	{"_ZNdamaged", "_ZNdamaged"},
	{"_R", "_R"},
	{"", ""},
}

func TestName(t *testing.T) {
	for _, test := range names {
		if got := Name(test.mangled); got != test.want {
			t.Errorf("Name(%q) = %q, want %q", test.mangled, got, test.want)
		}
	}
}

// TestAgainstLLVM compares the names in the C++ runtime library with
// llvm-cxxfilt's.
func TestAgainstLLVM(t *testing.T) {
	filter, err := exec.LookPath("llvm-cxxfilt-19")
	if err != nil {
		t.Fatal("llvm-cxxfilt-19 is missing: install it with apt-get install llvm-19")
	}
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
	cmd := exec.Command(filter, "--no-params")
	cmd.Stdin = strings.NewReader(strings.Join(mangled, "\n"))
	out, err = cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(want) != len(mangled) || len(want) < 1000 {
		t.Fatalf("%d names, %d answers", len(mangled), len(want))
	}
	equal := 0
	for i, m := range mangled {
		// Both styles of writing nested template arguments are in use.
		if strings.ReplaceAll(Name(m), " >", ">") == strings.ReplaceAll(want[i], " >", ">") {
			equal++
		} else if i-equal < 10 {
			t.Logf("%s is %q, llvm-cxxfilt says %q", m, Name(m), want[i])
		}
	}
	t.Logf("%d of %d equal", equal, len(want))
	if equal*100 < len(want)*99 {
		t.Errorf("%d of %d names are equal, want 99 %%", equal, len(want))
	}
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
	for _, name := range hostile() {
		start := time.Now()
		got := Name(name)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%.30q took %v", name, took)
		}
		if len(got) > max(len(name), 1<<maxDemangled) {
			t.Errorf("%.30q has %d bytes", name, len(got))
		}
	}
}

func FuzzName(f *testing.F) {
	for _, test := range names {
		f.Add(test.mangled)
	}
	for _, name := range hostile() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		start := time.Now()
		got := Name(name)
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
		Name(names[i%len(names)].mangled)
	}
}
