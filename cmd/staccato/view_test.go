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
		{"", "", 200, "<!doctype html>"}, // leads to our page
		{"1/", "", 200, "<!doctype html>"},
		{"1/pprof/", "", 200, `"main"`}, // leads to the flame graph
		{"1/pprof/flamegraph", "", 200, `"work"`},
		{"1/pprof/top", "", 200, "work"},
		{"1/pprof/flamegraph", "localhost:8080", 200, "work"},
		{"1/", "[::1]:8080", 200, "<!doctype html>"},
		{"", "evil.example", 403, "loopback"},
		{"1/", "evil.example", 403, "loopback"},
		{"1/pprof/flamegraph", "evil.example:80", 403, "loopback"},
		{"diff?before=1&after=1", "127.0.0.1.evil.example", 403, "loopback"},
		{"1/pprof/download", "evil.example", 403, "loopback"},
		{"1/pprof/saveconfig?config=mine", "", 404, ""},
		{"1/pprof/deleteconfig?config=mine", "", 404, ""},
		{"1/pprof/graph", "", 501, "graphviz"},
		{"none", "", 404, ""},
		{"2/", "", 404, ""},
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
	if status, body := get(t, url+"1/pprof/flamegraph", ""); status != 200 {
		t.Errorf("status %d: %s", status, body)
	}
	a.signals <- os.Interrupt
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, a.err)
	}
}

// Several profiles, each with its own pages, and what changed between any two.
func TestViewSeveral(t *testing.T) {
	a := newTestApp(t)
	t.Setenv("HOME", t.TempDir())
	other := server(1)
	other.Function[0].Name = "only_in_this_one"
	writeProfile(t, "<other>.pb.gz", other)
	url, done := startView(t, a, "<other>.pb.gz")
	for _, test := range []struct {
		page   string
		status int
		words  string
	}{
		{"", 200, `<option value="2" selected>&lt;other&gt;.pb.gz</option>`},
		{"1/", 200, "<!doctype html>"},
		{"2/", 200, "<!doctype html>"},
		{"1/pprof/top", 200, "work"},
		{"2/pprof/top", 200, "only_in_this_one"},
		{"diff?before=1&after=2", 200, "<!doctype html>"},
		{"diff?before=2&after=1", 200, "<!doctype html>"},
		{"diff?before=0&after=1", 400, "before: want the number of a profile, 1 to 2"},
		{"diff?before=1&after=3", 400, "after: want"},
		{"diff?before=1", 400, "after: want"},
		{"3/", 404, ""},
	} {
		status, body := get(t, url+test.page, "")
		if status != test.status || !strings.Contains(body, test.words) {
			t.Errorf("/%s: status %d, want %d with %q:\n%.300s", test.page, status, test.status, test.words, body)
		}
	}
	if _, body := get(t, url+"1/pprof/top", ""); strings.Contains(body, "only_in_this_one") {
		t.Error("one profile is in the pages of the other")
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
		{"", exitUsage, "nothing to view"},
		{strings.Repeat("profile.pb.gz ", 33), exitUsage, "33 profiles: at most 32"},
		{"none.pb.gz", exitFailure, "no such file"},
		{"text", exitFailure, "Profiles are pprof files"},
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
