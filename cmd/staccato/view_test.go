package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// startView serves a profile and returns the address of its pages.
func startView(t *testing.T, a testApp, args ...string) (url string, done chan int) {
	t.Helper()
	if code := a.run([]string{"record", "-a", "-d", "1ms"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	done = make(chan int)
	go func() { done <- a.run(append([]string{"view", "profile.pb.gz"}, args...)) }()
	pattern := regexp.MustCompile(`Serving at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n`)
	waitFor(t, "the address", func() bool {
		match := pattern.FindStringSubmatch(a.out.String())
		if match == nil {
			return false
		}
		url = match[1]
		return true
	})
	return url, done
}

func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// One test: pprof keeps state in variables of its package.
func TestView(t *testing.T) {
	a := newTestApp(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("PATH", "") // no graphviz, no browser
	url, done := startView(t, a)

	for _, test := range []struct {
		page, host string
		status     int
		words      string
	}{
		{"", "", 200, `"main"`}, // leads to the flame graph
		{"flamegraph", "", 200, `"work"`},
		{"top", "", 200, "work"},
		{"flamegraph", "localhost:8080", 200, "work"},
		{"flamegraph", "[::1]:8080", 200, "work"},
		{"flamegraph", "evil.example", 403, "loopback"},
		{"flamegraph", "evil.example:80", 403, "loopback"},
		{"flamegraph", "127.0.0.1.evil.example", 403, "loopback"},
		{"download", "evil.example", 403, "loopback"},
		{"saveconfig?config=mine", "", 404, ""},
		{"deleteconfig?config=mine", "", 404, ""},
		{"graph", "", 501, "graphviz"},
		{"none", "", 404, ""},
	} {
		status, body := get(t, url+test.page, test.host)
		if status != test.status || !strings.Contains(body, test.words) {
			t.Errorf("/%s for host %q: status %d, want %d with %q:\n%.300s", test.page, test.host, status, test.status, test.words, body)
		}
	}

	a.signals <- os.Interrupt
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, a.err)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 0 {
		t.Errorf("left in the home folder: %v, %v", entries, err)
	}
}

// Services have no home folder.
func TestViewWithoutHome(t *testing.T) {
	a := newTestApp(t)
	t.Setenv("HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	url, done := startView(t, a, "--listen", "127.0.0.1:0")
	if status, body := get(t, url+"flamegraph", ""); status != 200 {
		t.Errorf("status %d: %s", status, body)
	}
	a.signals <- os.Interrupt
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, a.err)
	}
}

func TestViewRefuses(t *testing.T) {
	a := newTestApp(t)
	if err := os.WriteFile("text", []byte("no profile"), 0o666); err != nil {
		t.Fatal(err)
	}
	if code := a.run([]string{"record", "-a", "-d", "1ms"}); code != 0 {
		t.Fatal(a.err)
	}
	for _, test := range []struct {
		args  string
		code  int
		words string
	}{
		{"", exitUsage, "accepts 1 arg"},
		{"none.pb.gz", exitFailure, "no such file"},
		{"text", exitFailure, "It must be a pprof file"},
		{".", exitFailure, "read profile"},
		{"profile.pb.gz --listen 0.0.0.0:0", exitUsage, "only loopback addresses"},
		{"profile.pb.gz --listen example.com:80", exitUsage, "only loopback addresses"},
		{"profile.pb.gz --listen :8080", exitUsage, "only loopback addresses"},
		{"profile.pb.gz --listen 8080", exitUsage, "want ADDRESS:PORT"},
		{"profile.pb.gz --listen 127.0.0.1:99999", exitFailure, "serve web pages"},
	} {
		if code := a.run(append([]string{"view"}, strings.Fields(test.args)...)); code != test.code {
			t.Errorf("%s: exit code %d, want %d", test.args, code, test.code)
		}
		if !strings.Contains(a.err.String(), test.words) {
			t.Errorf("%s: stderr misses %q: %s", test.args, test.words, a.err)
		}
	}
}
