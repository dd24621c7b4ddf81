package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func TestConvert(t *testing.T) {
	const perf = "app 1/2 1.5: 1000 cycles:\n\t12 work+0x1 (/a)\n\t13 main (/a)\n\n"
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write([]byte("main;work 3\n"))
	w.Close()
	for _, test := range []struct {
		name, args, stdin string
		out               string // name of the file; empty: standard output
		want              string // in it
	}{
		{"pprof to folded", "in.pb.gz out.folded", "", "out.folded", "server;main.main;main.(*Server).serve;main.checkPassword;hash.sum 40\n"},
		{"filtered", "--focus hash in.pb.gz out.folded", "", "out.folded", "server;main.main;main.(*Server).serve;main.checkPassword;hash.sum 40\n"},
		{"another value", "--sample-index cpu --focus hash in.pb.gz out.folded", "", "out.folded", "hash.sum 400000000\n"},
		{"pprof to speedscope", "in.pb.gz out.speedscope.json", "", "out.speedscope.json", `"name":"hash.sum"`},
		{"pprof to a page", "in.pb.gz out.html", "", "out.html", "<!doctype html>"},
		{"folded to folded", "- -  --to folded", "b 1\na 1\n", "", "a 1\nb 1\n"},
		{"compressed folded", "- - --to folded", zipped.String(), "", "main;work 3\n"},
		{"perf to folded", "--from perf - out.folded", perf, "out.folded", "app;main;work 1\n"},
		{"perf, found out", "- out.folded", perf, "out.folded", "app;main;work 1\n"},
		{"name and format differ", "--to folded in.pb.gz out.txt", "", "out.txt", "hash.sum 40\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			writeProfile(t, "in.pb.gz", server(1))
			a.stdin = strings.NewReader(test.stdin)
			if code := a.run(append([]string{"convert"}, strings.Fields(test.args)...)); code != 0 {
				t.Fatalf("exit code %d: %s", code, a.err)
			}
			got := a.out.String()
			if test.out != "" {
				content, err := os.ReadFile(test.out)
				if err != nil {
					t.Fatal(err)
				}
				got = string(content)
				if !strings.HasPrefix(a.err.String(), "Saved "+test.out) {
					t.Errorf("stderr: %s", a.err)
				}
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("wrote %s, want %s", got, test.want)
			}
		})
	}
}

// Without a filter, what pprof's format can hold stays: into pprof and back.
func TestConvertKeepsAll(t *testing.T) {
	for _, name := range []string{"out.pb.gz", "out.pb"} {
		a := newTestApp(t)
		in := server(1)
		in.DropFrames, in.Comments = "hash.*", []string{"a comment"}
		writeProfile(t, "in.pb.gz", in)
		if code := a.run([]string{"convert", "in.pb.gz", name}); code != 0 {
			t.Fatal(a.err)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := profile.ParseData(content)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != in.String() || got.DropFrames != in.DropFrames {
			t.Errorf("%s: %s\nwant: %s", name, got, in)
		}
	}
}

// A conversion that fails leaves nothing.
func TestConvertFails(t *testing.T) {
	a := newTestApp(t)
	negative := server(1)
	negative.Sample[0].Value[0] = -1
	writeProfile(t, "in.pb.gz", negative)
	if code := a.run([]string{"convert", "in.pb.gz", "out.folded"}); code != exitFailure || !strings.Contains(a.err.String(), "negative values") {
		t.Errorf("exit code %d: %s", code, a.err)
	}
	if got := files(t); len(got) != 1 {
		t.Errorf("files %q", got)
	}
}
