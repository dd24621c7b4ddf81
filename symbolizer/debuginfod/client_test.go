package debuginfod

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
)

const someID = "0123456789abcdef0123456789abcdef01234567"

// image makes an ELF file with a build ID and some more bytes.
func image(t testing.TB, buildID string, more int) []byte {
	t.Helper()
	id, err := hex.DecodeString(buildID)
	if err != nil {
		t.Fatal(err)
	}
	var note bytes.Buffer
	names := "\x00.note.gnu.build-id\x00.shstrtab\x00"
	write := func(w io.Writer, parts ...any) {
		for _, part := range parts {
			if err := binary.Write(w, binary.LittleEndian, part); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(&note, []uint32{4, uint32(len(id)), 3}, []byte("GNU\x00"), id)
	text, at := uint64(64+note.Len()), uint64(64+note.Len()+len(names))
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Shoff: at, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	write(&b, h, note.Bytes(), []byte(names), []elf.Section64{{},
		{Name: 1, Type: uint32(elf.SHT_NOTE), Off: 64, Size: uint64(note.Len())},
		{Name: 20, Type: uint32(elf.SHT_STRTAB), Off: text, Size: uint64(len(names))}}, make([]byte, more))
	return b.Bytes()
}

func newClient(t testing.TB, config Config) *Client {
	t.Helper()
	if config.CacheDir == "" {
		config.CacheDir = t.TempDir()
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(config.CacheDir, "*.tmp"))
		if err != nil || len(left) > 0 {
			t.Errorf("left are %q, %v", left, err)
		}
	})
	return c
}

// fetch waits for an answer, and returns the content or the error.
func fetch(t testing.TB, c *Client, id string) ([]byte, error) {
	t.Helper()
	called := make(chan struct{})
	f, err := c.Fetch(id, func() { close(called) })
	if errors.Is(err, debugfile.ErrPending) {
		select {
		case <-called:
		case <-time.After(20 * time.Second):
			t.Fatal("no answer")
		}
		f, err = c.Fetch(id, func() { t.Error("called, although there was an answer") })
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b, nil
}

// serve answers every request.
func serve(t testing.TB, handle http.HandlerFunc) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestFetch(t *testing.T) {
	want := image(t, someID, 5000)
	var path, agent, size string
	url, asked := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path, agent, size = r.URL.Path, r.UserAgent(), r.Header.Get("X-DEBUGINFOD-MAXSIZE")
		w.Write(want)
	})
	dir := filepath.Join(t.TempDir(), "not", "there")
	c := newClient(t, Config{URLs: []string{url + "/"}, CacheDir: dir, UserAgent: "staccato/1.2", MaxSize: 10_000})
	begun := time.Now()
	got, err := fetch(t, c, someID)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if path != "/buildid/"+someID+"/debuginfo" || agent != "staccato/1.2" || size != "10000" {
		t.Errorf("asked for %s by %s, at most %s bytes", path, agent, size)
	}
	c.Wait(t.Context())
	if s := c.Stats(); s != (Stats{Fetched: 1, Bytes: uint64(len(want))}) {
		t.Errorf("%+v", s)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info.Mode(), err)
	}
	// From the folder, also by another client, and with its time of use.
	old := begun.Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, someID+".debug"), old, old); err != nil {
		t.Fatal(err)
	}
	again := newClient(t, Config{URLs: []string{url}, CacheDir: dir})
	if got, err := fetch(t, again, someID); err != nil || !bytes.Equal(got, want) || asked.Load() != 1 {
		t.Errorf("%d bytes, %v, asked %d times", len(got), err, asked.Load())
	}
	if info, err := os.Stat(filepath.Join(dir, someID+".debug")); err != nil || info.ModTime().Before(begun.Add(-time.Second)) {
		t.Errorf("last used at %v, %v", info.ModTime(), err)
	}
}

// What goes wrong is a reason and never a file, and is not tried again at once.
func TestFaults(t *testing.T) {
	good := image(t, someID, 1000)
	send := func(b []byte) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.Write(b) } }
	secure := httptest.NewTLSServer(send(good))
	t.Cleanup(secure.Close)
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}
	file := filepath.Join(t.TempDir(), "good")
	if err := os.WriteFile(file, good, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"not there", http.NotFound, fs.ErrNotExist.Error()},
		{"another build ID", send(image(t, strings.Repeat("ab", 20), 10)), `is of another build, with build ID "abab`},
		{"no build ID", send(image(t, "", 10)), `is of another build, with build ID ""`},
		{"no ELF file", send([]byte("<html>sorry</html>")), "not an ELF file"},
		{"nothing", send(nil), "not an ELF file"},
		{"error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "the answer is 503"},
		{"too large", send(image(t, someID, 200_000)), "more than 0 MiB"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(good); err != nil {
					return
				}
			}
		}, "more than 0 MiB"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			w.Write(good)
		}, "unexpected EOF"},
		{"silent", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "sent less than 100 KiB in 300ms"},
		{"slow", func(w http.ResponseWriter, r *http.Request) {
			for i := range good {
				if _, err := w.Write(good[i : i+1]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, "sent less than 100 KiB in 300ms"},
		{"to a file", redirect("file://" + file), "redirect to file:// refused"},
		{"to FTP", redirect("ftp://localhost/x"), "redirect to ftp:// refused"},
		{"in a circle", func(w http.ResponseWriter, r *http.Request) { redirect(r.URL.Path)(w, r) }, "more than 5 redirects"},
		{"to a server without trust", redirect(secure.URL), "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, asked := serve(t, test.handle)
			config := Config{URLs: []string{url}, MaxSize: 100_000}
			if strings.HasPrefix(test.want, "sent less") {
				config.Timeout = 300 * time.Millisecond
			}
			c := newClient(t, config)
			_, err := fetch(t, c, someID)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			n := asked.Load()
			if _, again := fetch(t, c, someID); again == nil || again.Error() != err.Error() || asked.Load() != n {
				t.Errorf("the second time, error is %v; asked %d and %d times", again, n, asked.Load())
			}
			c.Wait(t.Context())
			if s := c.Stats(); s.Fetched != 0 || s.Absent+s.Failed != 1 || (s.Absent == 1) != (test.name == "not there") {
				t.Errorf("%+v", s)
			}
			if entries, err := os.ReadDir(c.config.CacheDir); err != nil || len(entries) > 0 {
				t.Errorf("left are %v, %v", entries, err)
			}
		})
	}
}

func TestMaxTime(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write(make([]byte, 50<<10))
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	c := newClient(t, Config{URLs: []string{url}, MaxTime: 400 * time.Millisecond})
	if _, err := fetch(t, c, someID); err == nil || !strings.Contains(err.Error(), "took more than 400ms") {
		t.Errorf("error is %v", err)
	}
}

// The first server that has the file gives it; one that is down does not
// matter.
func TestServers(t *testing.T) {
	want := image(t, someID, 10)
	empty, _ := serve(t, http.NotFound)
	full, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(want) })
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	c := newClient(t, Config{URLs: []string{down.URL, empty, full}})
	if got, err := fetch(t, c, someID); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c = newClient(t, Config{URLs: []string{down.URL, empty}})
	if _, err := fetch(t, c, someID); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error is %v", err)
	}
}

// Answers that were negative are asked for again after their time.
func TestAnswersExpire(t *testing.T) {
	url, asked := serve(t, http.NotFound)
	c := newClient(t, Config{URLs: []string{url}})
	fetch(t, c, someID)
	c.mu.Lock()
	a := c.answers[someID]
	if left := time.Until(a.until); left < absentFor-time.Minute || left > absentFor {
		t.Errorf("the answer is kept for %v", left)
	}
	a.until = time.Now().Add(-time.Second)
	c.answers[someID] = a
	c.mu.Unlock()
	if fetch(t, c, someID); asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// Many who ask for one file get it from one download.
func TestOneDownload(t *testing.T) {
	want := image(t, someID, 10)
	begin := make(chan struct{})
	url, asked := serve(t, func(w http.ResponseWriter, _ *http.Request) { <-begin; w.Write(want) })
	c := newClient(t, Config{URLs: []string{url}})
	var called atomic.Int64
	for range 10 {
		if _, err := c.Fetch(someID, func() { called.Add(1) }); !errors.Is(err, debugfile.ErrPending) {
			t.Errorf("error is %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c.Wait(ctx)
	if called.Load() != 0 || c.Stats().Waiting != 1 {
		t.Errorf("%d were called, %+v", called.Load(), c.Stats())
	}
	close(begin)
	c.Wait(t.Context()) // until they know
	if called.Load() != 10 || asked.Load() != 1 || c.Stats().Waiting != 0 {
		t.Errorf("%d were called, asked %d times", called.Load(), asked.Load())
	}
	c.Wait(t.Context()) // for nothing
}

// Anyone can make up build IDs, and odd ones.
func TestBadBuildIDs(t *testing.T) {
	url, asked := serve(t, http.NotFound)
	c := newClient(t, Config{URLs: []string{url}})
	for _, id := range []string{"", "../../etc/passwd", "01234", "0123", strings.Repeat("00", 65), "0123456g89"} {
		if _, err := c.Fetch(id, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error is %v", id, err)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestTooManyWait(t *testing.T) {
	url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := newClient(t, Config{URLs: []string{url}})
	refused := 0
	for i := range maxWaiting + 100 {
		if _, err := c.Fetch(fmt.Sprintf("%040x", i), func() {}); !errors.Is(err, debugfile.ErrPending) {
			refused++
		}
	}
	if refused < 90 || refused > 100 {
		t.Errorf("%d were refused", refused)
	}
}

func TestCacheIsBounded(t *testing.T) {
	const size = 10_000
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		id := strings.Split(r.URL.Path, "/")[2]
		w.Write(image(t, id, size))
	})
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, make([]byte, 10*size), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	for name, when := range map[string]time.Time{someID + ".debug.17.tmp": old, someID + ".debug.18.tmp": time.Now()} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o600), os.Chtimes(filepath.Join(dir, name), when, when)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Config{URLs: []string{url}, CacheDir: dir, CacheSize: 35_000})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := func(i int) string { return fmt.Sprintf("%040x", i) }
	for i := range 3 {
		if _, err := fetch(t, c, id(i)); err != nil {
			t.Fatal(err)
		}
		when := old.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, id(i)+".debug"), when, when); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := c.Fetch(id(0), nil) // used: now 1 is the oldest
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	for i := 3; i < 5; i++ {
		if _, err := fetch(t, c, id(i)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{
		"foreign": true, someID + ".debug.17.tmp": false, someID + ".debug.18.tmp": true,
		id(0) + ".debug": true, id(1) + ".debug": false, id(2) + ".debug": false, id(3) + ".debug": true, id(4) + ".debug": true,
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A folder that strangers can write to has no way out of it.
func TestCacheOfStrangers(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, image(t, someID, 0), 0o600), os.Symlink(secret, filepath.Join(dir, someID+".debug"))); err != nil {
		t.Fatal(err)
	}
	url, _ := serve(t, http.NotFound)
	c := newClient(t, Config{URLs: []string{url}, CacheDir: dir})
	if _, err := c.Fetch(someID, func() {}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("error is %v", err)
	}
}

// Close ends what is going on.
func TestClose(t *testing.T) {
	url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c, err := New(Config{URLs: []string{url}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c.Fetch(someID, func() { t.Error("called") })
	time.Sleep(50 * time.Millisecond)
	begun := time.Now()
	if err := c.Close(); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("closed after %v: %v", time.Since(begun), err)
	}
}

func TestEnvironment(t *testing.T) {
	environment := map[string]string{
		"DEBUGINFOD_URLS": " http://a.example/x  https://b.example ", "DEBUGINFOD_CACHE_PATH": "/cache",
		"DEBUGINFOD_MAXSIZE": "1000", "DEBUGINFOD_MAXTIME": "7", "DEBUGINFOD_TIMEOUT": "8",
	}
	get := func(name string) string { return environment[name] }
	c, err := Config{}.FromEnvironment(get)
	if err != nil || len(c.URLs) != 2 || c.URLs[1] != "https://b.example" || c.CacheDir != "/cache" || c.MaxSize != 1000 ||
		c.MaxTime != 7*time.Second || c.Timeout != 8*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = Config{URLs: []string{"http://c"}, CacheDir: "/other", MaxSize: 1, MaxTime: 1, Timeout: 1}.FromEnvironment(get)
	if err != nil || len(c.URLs) != 1 || c.CacheDir != "/other" || c.MaxSize != 1 || c.MaxTime != 1 || c.Timeout != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	environment["DEBUGINFOD_MAXSIZE"] = "-1"
	environment["DEBUGINFOD_TIMEOUT"] = "soon"
	if _, err := (Config{}).FromEnvironment(get); err == nil || !strings.Contains(err.Error(), `DEBUGINFOD_MAXSIZE: "-1"`) || !strings.Contains(err.Error(), `DEBUGINFOD_TIMEOUT: "soon"`) {
		t.Errorf("error is %v", err)
	}
	for _, url := range []string{"file:///usr", "ftp://x", "example.org", "http://", "http://[", ""} {
		if c, err := New(Config{URLs: []string{url}, CacheDir: t.TempDir()}); err == nil {
			c.Close()
			t.Errorf("no error for %q", url)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no error without a server")
	}
}
