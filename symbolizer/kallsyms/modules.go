package kallsyms

import (
	"os"
	"strings"
)

// ModulesPath is the file that a running kernel lists its modules in. Kernels
// without modules have no such file.
const ModulesPath = "/proc/modules"

// Modules returns the names and addresses of the modules in a file, usually
// [ModulesPath], as a text that differs when modules came, went or moved; "" when
// there are none or the file cannot be read. A line of it, by proc_modules(5), is
// name, size, number of users, users, state and address; users come and go.
func Modules(path string) string {
	list, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var text strings.Builder
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) >= 6 {
			text.WriteString(f[0] + " " + f[1] + " " + f[5] + "\n")
		}
	}
	return text.String()
}
