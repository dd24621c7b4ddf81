package process

import (
	"regexp"
	"strings"
	"sync"
)

// Names that container runtimes give the cgroup of a container. The ID is the
// last group.
//
//	docker-ID.scope, crio-ID.scope, cri-containerd-ID.scope, libpod-ID.scope
//	kubepods-burstable-podUID.slice:cri-containerd:ID
//	ID (docker and kubepods with the cgroupfs driver)
//	TASK-NUMBER (Amazon ECS on Fargate)
//
// "conmon" is the runtime's own monitor of a container, not the container.
var (
	containerName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[a-z][a-z0-9_.-]*[:-])*([0-9a-f]{64})(?:\.scope)?$`)
	})
	fargateName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([0-9a-f]{32}-[0-9]{1,20})$`)
	})
)

// containerID finds the ID of the innermost container in the text of
// /proc/PID/cgroup, "" when there is none. The text has lines
// "hierarchy:controllers:path".
func containerID(text string) string {
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(line, ":")
		_, path, ok := strings.Cut(strings.TrimRight(rest, "\n"), ":")
		if !ok {
			continue
		}
		names := strings.Split(path, "/")
		for i := len(names) - 1; i >= 0; i-- {
			name := names[i]
			// A systemd slice may be joined to the rest by a colon.
			if at := strings.LastIndex(name, ".slice:"); at >= 0 {
				name = name[at+len(".slice:"):]
			}
			if strings.Contains(name, "conmon") {
				break
			}
			if m := containerName().FindStringSubmatch(name); m != nil {
				return m[1]
			}
			if m := fargateName().FindStringSubmatch(name); m != nil && strings.Contains(path, "/ecs/") {
				return m[1]
			}
		}
	}
	return ""
}
