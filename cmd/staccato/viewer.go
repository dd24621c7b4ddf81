package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/html"
)

// viewer makes pages about the profiles of one command line, which are numbered
// from 1.
type viewer struct {
	names    []string
	profiles []*profile.Profile
	// making lets one page be made at a time: each takes memory and a CPU.
	making sync.Mutex
}

//go:embed view.html
var indexSource string

var indexPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("index").Parse(indexSource))
})

// pages serves:
//
//	/                 a list of several profiles, or the page about the only one
//	/N/               the page about profile N
//	/N/pprof/         pprof's pages about it
//	/diff?before=N&after=M
func (v *viewer) pages(stderr io.Writer) (http.Handler, error) {
	mux := http.NewServeMux()
	for i, p := range v.profiles {
		prefix := "/" + strconv.Itoa(i+1)
		pprof, err := pprofPages(p.Copy(), stderr)
		if err != nil {
			return nil, err
		}
		mux.Handle(prefix+"/pprof/", http.StripPrefix(prefix+"/pprof", pprof))
		mux.HandleFunc("GET "+prefix+"/{$}", func(w http.ResponseWriter, r *http.Request) {
			v.page(w, r, func(ctx context.Context, out io.Writer) error {
				return html.Write(ctx, out, exporter.Input{Profile: p})
			})
		})
	}
	mux.HandleFunc("GET /diff", v.diff)
	mux.HandleFunc("GET /{$}", v.index)
	return mux, nil
}

func (v *viewer) index(w http.ResponseWriter, r *http.Request) {
	if len(v.profiles) == 1 {
		http.Redirect(w, r, "/1/", http.StatusFound)
		return
	}
	type entry struct {
		Number int
		Name   string
	}
	var entries []entry
	for i, name := range v.names {
		entries = append(entries, entry{i + 1, name})
	}
	v.page(w, r, func(_ context.Context, out io.Writer) error {
		return indexPage().Execute(out, entries)
	})
}

func (v *viewer) diff(w http.ResponseWriter, r *http.Request) {
	var sides [2]exporter.Input
	for i, name := range []string{"before", "after"} {
		number, err := strconv.Atoi(r.URL.Query().Get(name))
		if err != nil || number < 1 || number > len(v.profiles) {
			http.Error(w, fmt.Sprintf("%s: want the number of a profile, 1 to %d", name, len(v.profiles)), http.StatusBadRequest)
			return
		}
		sides[i] = exporter.Input{Profile: v.profiles[number-1]}
	}
	v.page(w, r, func(ctx context.Context, out io.Writer) error {
		return html.Diff(ctx, out, sides[0], sides[1])
	})
}

// page answers with what make writes, or with its error.
func (v *viewer) page(w http.ResponseWriter, r *http.Request, make func(context.Context, io.Writer) error) {
	v.making.Lock()
	defer v.making.Unlock()
	var out bytes.Buffer
	if err := make(r.Context(), &out); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(out.Bytes())
}
