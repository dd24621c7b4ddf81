package process

import (
	"strings"
	"testing"
)

func TestContainerID(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	other := strings.Repeat("f", 64)
	task := "7f3c8a2b9d1e4f5061728394a5b6c7d8"
	for _, test := range []struct{ name, text, want string }{
		{"none", "0::/user.slice/user-0.slice/session-1.scope\n", ""},
		{"root", "0::/\n", ""},
		{"empty", "", ""},
		{"docker, systemd", "0::/system.slice/docker-" + id + ".scope\n", id},
		{"docker, cgroupfs", "0::/docker/" + id, id},
		{"docker, cgroup v1", "12:cpu,cpuacct:/docker/" + id + "\n11:memory:/docker/" + id + "\n", id},
		{"docker in docker", "0::/docker/" + other + "/docker/" + id + "\n", id},
		{"docker, below its scope", "0::/system.slice/docker-" + id + ".scope/init.scope\n", id},
		{"kubepods, containerd, systemd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-" + id + ".scope\n", id},
		{"kubepods, cri-o", "0::/kubepods.slice/kubepods-pod2c48913c.slice/crio-" + id + ".scope\n", id},
		{"kubepods, cgroupfs", "0::/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/" + id + "\n", id},
		{"kubepods, colons", "0::/system.slice/containerd.service/kubepods-besteffort-pod2c48.slice:cri-containerd:" + id + "\n", id},
		{"podman", "0::/machine.slice/libpod-" + id + ".scope/container\n", id},
		{"podman, rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope\n", id},
		{"podman's monitor", "0::/machine.slice/libpod-conmon-" + id + ".scope\n", ""},
		{"cri-o's monitor", "0::/kubepods.slice/crio-conmon-" + id + ".scope\n", ""},
		{"ECS on EC2", "9:perf_event:/ecs/" + task + "/" + id + "\n", id},
		{"ECS on Fargate", "4:cpu:/ecs/" + task + "/" + task + "-1234567890\n", task + "-1234567890"},
		{"looks like Fargate elsewhere", "0::/system.slice/" + task + "-1234567890\n", ""},
		{"seen from inside a cgroup namespace", "0::/../cri-containerd-" + id + ".scope\n", id},
		{"63 digits", "0::/docker/" + id[1:] + "\n", ""},
		{"upper case", "0::/docker/" + strings.ToUpper(id) + "\n", ""},
		{"not in the format", id + "\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := containerID(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
