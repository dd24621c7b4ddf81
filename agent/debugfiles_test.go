package agent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stripped separates a program into one without symbols, and the debug file,
// whose path below /usr/lib/debug it returns.
func stripped(t *testing.T, path string) (debug, place string) {
	t.Helper()
	debug = path + ".debug"
	for _, args := range [][]string{
		{"objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", path, debug},
		{"strip", "--strip-all", path},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	out, err := exec.Command("readelf", "-n", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(out), "Build ID: ")
	if !ok {
		t.Fatalf("readelf knows no build ID: %s", out)
	}
	id, _, _ := strings.Cut(after, "\n")
	return debug, filepath.Join(".build-id", id[:2], id[2:]+".debug")
}

// A program in another mount namespace with a root of its own, where its debug
// file is, has ended before anyone asks for names.
func TestDebugFileOfContainer(t *testing.T) {
	dir := publicDir(t)
	path := compileC(t, filepath.Join(dir, "program"), "BURN(in_container)\nint main(void) { in_container(60); return 0; }", "-static", "-Wl,--build-id")
	debug, place := stripped(t, path)
	// Our own root has nothing, and another container's has a file of another
	// build in that place.
	twin := compileC(t, filepath.Join(dir, "twin"), "BURN(in_twin)\nint main(void) { in_twin(60); return 0; }", "-static", "-Wl,--build-id")
	begin := func(debug string) target {
		p := run(t, "unshare", "--mount", "/bin/sh", "-c",
			`mount -t tmpfs none /mnt && cp "$0" /mnt/program && mkdir -p "$(dirname "/mnt/usr/lib/debug/$2")" && cp "$1" "/mnt/usr/lib/debug/$2" && exec chroot /mnt /program`,
			path, debug, place)
		waitName(t, p.pid(), "program")
		return p
	}
	right, wrong := begin(debug), begin(twin)
	prof := record(t, Config{Frequency: 999}, func() {
		time.Sleep(time.Second)
		for _, p := range []target{right, wrong} {
			p.Process.Kill()
			p.Wait()
		}
	})
	onlyIn(t, prof, right.pid(), "in_container", "in_twin")
	of := ofPIDs(prof, wrong.pid())
	if n := weight(of, "in_container") + weight(of, "in_twin"); n > 0 || byPID(of)[wrong.pid()] < 50 {
		t.Errorf("%d of %d samples are named by a debug file of another build", n, byPID(of)[wrong.pid()])
	}
	told := false
	for _, u := range prof.Summary.Unnamed {
		told = told || strings.HasSuffix(u.Path, "/program") && strings.Contains(u.Reason, "/usr/lib/debug/"+place+" is of another build")
	}
	if !told {
		t.Errorf("unnamed: %+v", prof.Summary.Unnamed)
	}
}

// A debug file arrives from a server when all samples have been taken.
func TestDebugFileOfServer(t *testing.T) {
	dir := publicDir(t)
	path := compileC(t, filepath.Join(dir, "program"), "BURN(from_server)\nint main(void) { from_server(60); return 0; }", "-static", "-Wl,--build-id")
	debug, place := stripped(t, path)
	content, err := os.ReadFile(debug)
	if err := errors.Join(err, os.Remove(debug)); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(place, ".build-id/"), "/", ""), ".debug")
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/buildid/"+id+"/debuginfo" {
			http.NotFound(w, r)
			return
		}
		<-end
		time.Sleep(300 * time.Millisecond)
		w.Write(content)
	}))
	defer server.Close()
	p := run(t, path)
	config := Config{
		Frequency: 999, Target: Target{PIDs: []int{p.pid()}}, Window: 200 * time.Millisecond, Names: NamesConfig{Wait: 20 * time.Second},
		Debuginfod: Debuginfod{URLs: []string{server.URL}, CacheDir: t.TempDir()},
	}
	prof := record(t, config, func() {
		time.Sleep(time.Second)
		unix.Kill(p.pid(), unix.SIGKILL)
		close(end)
	})
	if _, err := os.Stat(filepath.Join(config.Debuginfod.CacheDir, id+".debug")); err != nil {
		t.Error(err)
	}
	onlyIn(t, prof, p.pid(), "from_server")
	if prof.Summary.Named < 0.9 {
		t.Errorf("a share of %.3f is named: %+v", prof.Summary.Named, prof.Summary.Unnamed)
	}
}
