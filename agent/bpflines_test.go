package agent

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const burnSource = "../symbolizer/bpfprog/testdata/burn.bpf.c"

// burnPrograms compiles programs of different kinds that use time, and loads
// them.
func burnPrograms(t *testing.T) map[string]*ebpf.Program {
	t.Helper()
	object := filepath.Join(t.TempDir(), "burn.o")
	if out, err := exec.Command("clang-19", "-g", "-O2", "-target", "bpf", "-c", burnSource, "-o", object).CombinedOutput(); err != nil {
		t.Fatalf("clang-19: %v: %s", err, out)
	}
	collection, err := ebpf.LoadCollection(object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(collection.Close)
	return collection.Programs
}

// sendSocket sends packets to a socket whose filter is the program, for as long
// as it is told.
func sendSocket(t *testing.T, program *ebpf.Program) func(until time.Time) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	if err := unix.SetsockoptInt(pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program.FD()); err != nil {
		t.Fatal(err)
	}
	return func(until time.Time) {
		packet := make([]byte, 64)
		for time.Now().Before(until) {
			unix.Write(pair[0], packet)
			unix.Read(pair[1], packet)
		}
	}
}

// inNetNamespace runs f on a thread with a network of its own.
func inNetNamespace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with f
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// sendXDP sends packets through a veth pair of which one end has the program.
func sendXDP(t *testing.T, program *ebpf.Program) func(until time.Time) {
	return func(until time.Time) {
		inNetNamespace(t, func() {
			for _, args := range []string{"link add burn0 type veth peer name burn1", "link set burn0 up", "link set burn1 up", "addr add 10.9.8.1/24 broadcast + dev burn0"} {
				if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
					t.Errorf("ip %s: %v: %s", args, err, out)
					return
				}
			}
			device, err := net.InterfaceByName("burn1")
			if err != nil {
				t.Error(err)
				return
			}
			attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: device.Index, Flags: link.XDPGenericMode})
			if err != nil {
				t.Error(err)
				return
			}
			defer attached.Close()
			socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(socket)
			if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
				t.Error(err)
			}
			to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 9, 8, 255}}
			for time.Now().Before(until) {
				if err := unix.Sendto(socket, make([]byte, 64), 0, to); err != nil {
					t.Errorf("send: %v", err)
					return
				}
			}
		})
	}
}

// enterTracepoint makes system calls, each of which runs the program.
func enterTracepoint(t *testing.T, program *ebpf.Program) func(until time.Time) {
	return func(until time.Time) {
		attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
		if err != nil {
			t.Error(err)
			return
		}
		defer attached.Close()
		for time.Now().Before(until) {
			for range 100 {
				unix.Getppid()
			}
		}
	}
}

// Programs that use time show their C file and hot line.
func TestBPFLines(t *testing.T) {
	source, err := os.ReadFile(burnSource)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(source), "// hot line")
	hot := int64(strings.Count(before, "\n") + 1)
	for name, load := range map[string]func(*testing.T, *ebpf.Program) func(time.Time){
		"burn_socket": sendSocket, "burn_xdp": sendXDP, "burn_raw_tp": enterTracepoint,
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/loaded first=%t", name, first), func(t *testing.T) {
				var burn func(time.Time)
				if first {
					burn = load(t, burnPrograms(t)[name])
				}
				prof := record(t, Config{Frequency: 999}, func() {
					if !first {
						burn = load(t, burnPrograms(t)[name])
					}
					burn(time.Now().Add(time.Second))
				})
				checkHotLine(t, prof, name, hot)
			})
		}
	}
}

// While a program at a classic tracepoint or a perf event runs, the kernel runs
// no other perf_event program on that CPU, or no interrupt comes: its time cannot
// be sampled by anyone who samples with such programs. It is accounted for all
// the same: as lost, or in the function of the kernel that runs it.
func TestBPFThatKeepsOthersOut(t *testing.T) {
	for name, burn := range map[string]func(*testing.T, *ebpf.Program, time.Time){
		"burn_tracepoint": func(t *testing.T, program *ebpf.Program, until time.Time) {
			attached, err := link.Tracepoint("raw_syscalls", "sys_enter", program, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer attached.Close()
			for time.Now().Before(until) {
				unix.Getppid()
			}
		},
		"burn_perf": func(t *testing.T, program *ebpf.Program, until time.Time) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			attr := unix.PerfEventAttr{
				Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_PAGE_FAULTS, Sample: 1,
				Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			}
			event, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(event)
			if err := unix.IoctlSetInt(event, unix.PERF_EVENT_IOC_SET_BPF, program.FD()); err != nil {
				t.Fatal(err)
			}
			memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(memory)
			for time.Now().Before(until) {
				unix.Madvise(memory, unix.MADV_DONTNEED)
				for i := 0; i < len(memory); i += 4096 {
					memory[i] = 1
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			counting, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
			if err != nil {
				t.Fatal(err)
			}
			defer counting.Close()
			program := burnPrograms(t)[name]
			prof := record(t, Config{Frequency: 999}, func() { burn(t, program, time.Now().Add(time.Second)) })
			lost := int64(prof.Summary.Lost["not sampled"])
			var around int64 // samples as soon as interrupts are possible again
			for _, s := range ofPIDs(prof, os.Getpid()).Profile.Sample {
				if strings.HasPrefix(functions(s)[0], "perf_swevent") {
					around += s.Value[0]
				}
			}
			stats, err := program.Stats()
			if err != nil {
				t.Fatal(err)
			}
			due := int64(999 * stats.Runtime.Seconds())
			t.Logf("%d samples due in the program; %d right behind it, %d not sampled", due, around, lost)
			if due < 50 || (lost+around)*10 < due*8 {
				t.Errorf("%d samples due in the program; %d right behind it, %d not sampled", due, around, lost)
				logStacks(t, ofPIDs(prof, os.Getpid()), 8)
			}
		})
	}
}

// checkHotLine fails unless most samples of a BPF program are in the hot line
// of its subprogram burn.
func checkHotLine(t *testing.T, prof *Profile, name string, hot int64) {
	t.Helper()
	var all, named, hotAll int64
	seen := map[string]int64{}
	for _, s := range prof.Profile.Sample {
		in := functions(s)
		if len(in) < 2 || !strings.HasSuffix(in[0], "_burn") || !strings.HasSuffix(in[1], "_"+name) {
			continue
		}
		all += s.Value[0]
		inner, outer := s.Location[0].Line[0], s.Location[1].Line[0]
		seen[fmt.Sprintf("%s:%d from %s:%d", inner.Function.Filename, inner.Line, outer.Function.Filename, outer.Line)] += s.Value[0]
		if path.Base(inner.Function.Filename) != "burn.bpf.c" || path.Base(outer.Function.Filename) != "burn.bpf.c" || outer.Line == 0 {
			continue
		}
		named += s.Value[0]
		if inner.Line == hot {
			hotAll += s.Value[0]
		}
	}
	t.Logf("%d samples, %d with lines, %d of them in the hot line: %v", all, named, hotAll, seen)
	if all < 200 || named != all || hotAll*2 < all {
		t.Errorf("%d samples, %d with lines, %d of them in the hot line %d: %v", all, named, hotAll, hot, seen)
	}
}
