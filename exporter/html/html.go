// Package html writes profiles as one HTML file that shows them: flame graph,
// table, call tree, search and filters, without any request to anywhere. The
// page is made of the sources in the folder page, as they are; what it shows is
// a compact table of stacks (see encode.go), so that text from a profile never
// becomes part of the HTML.
package html

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/staccato-profiler/staccato/exporter"
)

const (
	// Large is the size of a file in bytes from which on browsers take
	// noticeably long to open it. Callers should say so.
	Large = 5 << 20
	// maxSize is the largest file that is written.
	maxSize = 25 << 20
)

// ErrTooLarge is what [Write] and [Diff] return when the file would be larger
// than 25 MB although all that is small has been merged.
var ErrTooLarge = errors.New("the page would be larger than 25 MB")

//go:embed page
var sources embed.FS

// scripts are the page's scripts in the order in which they are joined: each
// uses only what those before it define, until main.js starts them.
var scripts = []string{
	"dom.js", "data.js", "format.js", "kinds.js", "tree.js", "box.js", "search.js", "diff.js", "state.js", "graph.js",
	"svg.js", "table.js", "calltree.js", "path.js", "header.js", "keys.js", "main.js",
}

// Write writes a page about one profile. Stacks of more than a million
// distinct calls are pruned: frames below 0.01 % become "(other)", which the
// page says. Negative values, which differences of profiles have, are an error.
func Write(ctx context.Context, w io.Writer, in exporter.Input) error {
	return write(ctx, w, []exporter.Input{in})
}

// Diff writes a page that compares two profiles, by the types of values that
// both have. Processes and threads are told apart by their names, since their
// IDs change from run to run.
func Diff(ctx context.Context, w io.Writer, before, after exporter.Input) error {
	return write(ctx, w, []exporter.Input{before, after})
}

// write writes a page about one profile, or about two: before and after.
func write(ctx context.Context, w io.Writer, inputs []exporter.Input) error {
	for _, in := range inputs {
		if err := in.Profile.CheckValid(); err != nil {
			return fmt.Errorf("check profile: %w", err)
		}
	}
	b, err := build(ctx, inputs)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	page, err := readPage()
	if err != nil {
		return err
	}
	data, err := b.smallest(ctx, maxSize-page.size())
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := page.write(w, data); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// smallest returns the encoded profile, compressed and in base64, in at most
// limit bytes. It prunes only as much as is needed.
func (b *builder) smallest(ctx context.Context, limit int) (string, error) {
	shares := []float64{0, 1e-4, 1e-3, 1e-2}
	if len(b.nodes) > maxNodes {
		shares = shares[1:]
	}
	for _, share := range shares {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		text, err := b.compress(share, limit)
		if !errors.Is(err, ErrTooLarge) {
			return text, err
		}
	}
	return "", ErrTooLarge
}

func (b *builder) compress(minShare float64, limit int) (string, error) {
	compressed := limited{limit: base64.StdEncoding.DecodedLen(limit)}
	z, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if err := b.encode(z, minShare); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(compressed.Bytes()), nil
}

// limited is a buffer that takes no more than limit bytes.
type limited struct {
	bytes.Buffer
	limit int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.limit {
		return 0, ErrTooLarge
	}
	return l.Buffer.Write(p)
}

// page is what is the same in every file.
type page struct{ html, style, script string }

func readPage() (*page, error) {
	var p page
	read := func(name string) string {
		// Embedded files are there, or the program would not have been built.
		content, err := sources.ReadFile("page/" + name)
		if err != nil {
			panic(err)
		}
		return string(content)
	}
	p.html, p.style = read("page.html"), read("page.css")
	var b strings.Builder
	b.WriteString("(() => {\n\"use strict\";\n")
	for _, name := range scripts {
		b.WriteString(read(name))
	}
	b.WriteString("})();\n")
	p.script = b.String()
	return &p, nil
}

func (p *page) size() int { return len(p.html) + len(p.style) + len(p.script) + 1024 }

// write writes the page with its style, data and script in the places of
// {{policy}}, {{style}}, {{data}} and {{script}}. The policy lets the browser run
// our script and no other, and lets nothing be loaded from anywhere.
func (p *page) write(w io.Writer, data string) error {
	policy := fmt.Sprintf("default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; img-src data: blob:; base-uri 'none'; form-action 'none'",
		hash(p.script), hash(p.style))
	_, err := strings.NewReplacer(
		"{{policy}}", policy, "{{style}}", p.style, "{{data}}", data, "{{script}}", p.script,
	).WriteString(w, p.html)
	return err
}

// hash is the source expression of Content Security Policy,
// https://www.w3.org/TR/CSP3/#grammardef-hash-source.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}
