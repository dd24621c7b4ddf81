package input_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/exporter/input"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// Go's own server, profiling this test.
func TestReadURLOfGo(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	url := serve(t, mux.ServeHTTP)

	var waited string
	config := input.Config{Waiting: func(what string) { waited = what }}
	p, err := input.Read(t.Context(), url+"/debug/pprof/heap", config)
	if err != nil || len(p.SampleType) != 4 || waited != "" {
		t.Fatalf("heap: %v, %v, waiting %q", p, err, waited)
	}
	begin := time.Now()
	p, err = input.Read(t.Context(), url+"/debug/pprof/profile?seconds=1", config)
	if err != nil || p.PeriodType.Type != "cpu" {
		t.Fatalf("profile: %v, %v", p, err)
	}
	if took := time.Since(begin); took < time.Second || !strings.HasSuffix(waited, " profiles for 1s") {
		t.Errorf("took %v, waiting %q", took, waited)
	}
	if p, err = input.Read(t.Context(), url+"/debug/pprof/goroutine?debug=1", config); err != nil || len(p.Sample) == 0 {
		t.Errorf("text: %v, %v", p, err)
	}
}

func TestReadURLErrors(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			w.Write(make([]byte, 2000))
		case "/words":
			http.Error(w, "profiling \x1b[31mis in use", http.StatusInternalServerError)
		case "/page":
			w.Write([]byte("<html>"))
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/waits":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	})
	config := input.Config{MaxBytes: 1000}
	for _, test := range []struct{ path, want string }{
		{"/none", "the server says 404 Not Found: 404 page not found"},
		{"/words", "the server says 500 Internal Server Error: profiling  [31mis in use"},
		{"/large", "larger than"},
		{"/page", "web page"},
		{"/loop", "stopped after 10 redirects"},
		{"/x?seconds=soon", "want a whole number"},
		{"/x?seconds=-1", "want a whole number"},
		{"/x?seconds=3601", "at most 3600"},
	} {
		_, err := input.Read(t.Context(), url+test.path, config)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.path, err, test.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := input.Read(ctx, url+"/waits", config); err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"http://127.0.0.1:1/x", "http://user:secret@127.0.0.1:1/x", "http://user:secret@[::bad/x", "https://"} {
		if _, err := input.Read(t.Context(), name, config); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Profiles that take their time unasked have it.
func TestReadURLDefaultTime(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(compress(t, encoded(t))) })
	var waited string
	config := input.Config{Waiting: func(what string) { waited = what }}
	if _, err := input.Read(t.Context(), url+"/app/debug/pprof/profile", config); err != nil || !strings.HasSuffix(waited, " for 30s") {
		t.Errorf("waiting %q, error %v", waited, err)
	}
}
