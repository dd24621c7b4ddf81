package main

import (
	"bufio"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/staccato-profiler/staccato/agent"
)

// system is the root folder of a system, "/" or in tests another, which tells
// what would give frames their names there. No program is run for that.
type system string

// fix says what to do about frames without names; "" when nothing is known to
// help.
func (s system) fix(u agent.UnnamedIn) string {
	switch {
	case u.Program != "":
		return fixGenerated(path.Base(u.Program))
	case u.Path == "" || strings.HasPrefix(u.Path, "["):
		return ""
	case u.Reason != "" && !needsFile(u.Reason):
		return "" // something is wrong with the files that are there
	case u.BuildID == "":
		return "build it with symbols, and with a build ID (-Wl,--build-id)"
	}
	if s.buildID(u.Path) == u.BuildID { // and not in a container
		if install := s.install(u); install != "" {
			return install + ", or --debuginfod"
		}
	}
	return "do not strip it, or --debuginfod"
}

// needsFile says that a reason is only that there are no files with symbols.
func needsFile(reason string) bool {
	for part := range strings.SplitSeq(reason, "; ") {
		switch part {
		case "no symbols", "no debug file found", "no build ID to find a debug file by":
		default:
			return false
		}
	}
	return true
}

// fixGenerated says how a program can be made to list its code.
func fixGenerated(program string) string {
	switch {
	case program == "node" || program == "nodejs":
		return "node --perf-basic-prof"
	case strings.HasPrefix(program, "python"):
		return "python -X perf (3.12 or later)"
	case program == "java":
		return "jcmd PID Compiler.perfmap, and java -XX:+PreserveFramePointer"
	}
	return ""
}

// install is the command that installs an executable's debugging symbols.
func (s system) install(u agent.UnnamedIn) string {
	switch family := s.family(); {
	case slices.Contains(family, "debian"), slices.Contains(family, "ubuntu"):
		if p := s.debianPackage(u.Path); p != "" {
			return "apt install " + debugPackage(p)
		}
	case slices.Contains(family, "fedora"), slices.Contains(family, "rhel"):
		return "dnf --enablerepo='*debug*' install /usr/lib/debug/.build-id/" + u.BuildID[:2] + "/" + u.BuildID[2:] + ".debug"
	}
	return ""
}

// family is what the system and its relatives are called, by os-release(5).
func (s system) family() (names []string) {
	f, err := os.Open(filepath.Join(string(s), "etc/os-release"))
	if err != nil {
		return nil
	}
	defer f.Close()
	for in := bufio.NewScanner(io.LimitReader(f, 64<<10)); in.Scan(); {
		key, value, _ := strings.Cut(in.Text(), "=")
		if key == "ID" || key == "ID_LIKE" {
			names = append(names, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	return names
}

// debianPackage finds the package that a file is of, in the lists of files that
// dpkg keeps; "" when it is of none.
func (s system) debianPackage(file string) string {
	// Folders like /lib are links to those in /usr, and packages name either.
	others := []string{file, strings.TrimPrefix(file, "/usr"), "/usr" + file}
	lists, err := filepath.Glob(filepath.Join(string(s), "var/lib/dpkg/info/*.list"))
	if err != nil {
		return ""
	}
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		text := "\n" + string(content)
		if slices.ContainsFunc(others, func(name string) bool { return strings.Contains(text, "\n"+name+"\n") }) {
			name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
			return name
		}
	}
	return ""
}

// debugPackage is the package with the debugging symbols of another. Most are
// made automatically, and are in an archive of their own.
func debugPackage(name string) string {
	switch {
	case name == "libc6":
		return "libc6-dbg"
	case strings.HasPrefix(name, "libpython3.") || strings.HasPrefix(name, "python3."):
		version, _, _ := strings.Cut(strings.TrimPrefix(name, "lib"), "-")
		return version + "-dbg"
	}
	return name + "-dbgsym (of the archive for debugging symbols)"
}

// buildID is that of a file of the system, "" when it has none.
func (s system) buildID(file string) string {
	f, err := elf.Open(filepath.Join(string(s), file))
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".note.gnu.build-id")
	const head = 16 // sizes, type, "GNU"
	if section == nil || section.Size < head || section.Size > 1<<10 {
		return ""
	}
	note, err := section.Data()
	if err != nil {
		return ""
	}
	return hex.EncodeToString(note[head:])
}
