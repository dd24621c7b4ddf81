package workloads

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Compile makes an executable of a source below the folder of this package, as
// Build does, at path out. The environment variables CC and CXX name other
// compilers than gcc and g++.
func Compile(out, source string, flags ...string) error {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return errors.New("find the workloads: this program was built without file names")
	}
	path := filepath.Join(filepath.Dir(here), filepath.FromSlash(source))

	// Debug information lets tests compare with tools that read it. Frame
	// pointers are on; -fomit-frame-pointer among the flags turns them off. Rust's
	// are as its release builds.
	common := append([]string{"-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer", "-pthread"}, flags...)
	var cmd *exec.Cmd
	switch filepath.Ext(source) {
	case ".c":
		cmd = exec.Command(cmp.Or(os.Getenv("CC"), "gcc"), append(common, "-o", out, path)...)
	case ".cc":
		cmd = exec.Command(cmp.Or(os.Getenv("CXX"), "g++"), append(append([]string{"-std=c++17"}, common...), "-o", out, path)...)
	case ".rs":
		cmd = exec.Command("rustc", append([]string{"-O", "-o", out, path}, flags...)...)
	case "":
		cmd = exec.Command("go", append(append([]string{"build", "-o", out}, flags...), ".")...)
		cmd.Dir = path
	default:
		return fmt.Errorf("build %s: how is it compiled?", source)
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", source, err, output)
	}
	return nil
}

// Name is the file name of a workload among prebuilt ones: what is built with
// other flags is another file.
func Name(source string, flags ...string) string {
	name := strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
	for _, f := range flags {
		name += "_" + strings.Trim(strings.ReplaceAll(f, "/", "_"), "-")
	}
	return name
}
