package agent

import (
	"os"
	"path/filepath"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// hostAttributes describe the machine, by OpenTelemetry's conventions.
func hostAttributes() []attribute.KeyValue {
	list := []attribute.KeyValue{semconv.OSTypeLinux}
	if host, err := os.Hostname(); err == nil {
		list = append(list, semconv.HostName(host))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		list = append(list, semconv.OSVersion(unix.ByteSliceToString(u.Release[:])))
	}
	return list
}

// processAttributes describe processes, by PID.
func processAttributes(procs map[int]*staccato.Process) map[int64][]attribute.KeyValue {
	all := make(map[int64][]attribute.KeyValue, len(procs))
	for pid, p := range procs {
		list := []attribute.KeyValue{semconv.ProcessPID(pid)}
		switch {
		case p.Executable != "":
			list = append(list, semconv.ProcessExecutablePath(p.Executable), semconv.ProcessExecutableName(filepath.Base(p.Executable)))
		case p.Name != "":
			list = append(list, semconv.ProcessExecutableName(p.Name))
		}
		if p.Container != "" {
			list = append(list, semconv.ContainerID(p.Container))
		}
		all[int64(pid)] = list
	}
	return all
}
