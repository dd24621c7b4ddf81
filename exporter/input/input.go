// Package input reads profiles that anyone may have made, from a file, standard
// input or a URL:
//
//   - pprof's format, compressed or not, and the text formats that came before
//     it, as https://github.com/google/pprof reads them;
//   - folded stacks, see [ParseFolded];
//   - what perf script prints, see [ParsePerfScript].
package input

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// DefaultMaxBytes is the limit of Config.MaxBytes: 1 GiB.
const DefaultMaxBytes = 1 << 30

// Format is what a profile is written in.
type Format int

const (
	// Auto finds the format by looking at the content.
	Auto Format = iota
	// Pprof is pprof's format and those before it.
	Pprof
	// Folded is one line per stack, see ParseFolded.
	Folded
	// Perf is the text that perf script prints.
	Perf
)

var formatNames = []string{"auto", "pprof", "folded", "perf"}

func (f Format) String() string { return formatNames[f] }

// FormatByName returns the format with a name that String gives.
func FormatByName(name string) (Format, error) {
	i := slices.Index(formatNames, name)
	if i < 0 {
		return Auto, fmt.Errorf("no format %q: there are %s", name, strings.Join(formatNames, ", "))
	}
	return Format(i), nil
}

// Config says how to read. The zero value is the default.
type Config struct {
	Format Format
	// Stdin is what the name "-" reads; nil is os.Stdin.
	Stdin io.Reader
	// MaxBytes is how large a profile may be, before and after it is
	// decompressed; 0 is DefaultMaxBytes.
	MaxBytes int64
	// Client asks for URLs; nil is http.DefaultClient.
	Client *http.Client
	// Waiting is called before something that takes a while on purpose: a server
	// that profiles first. It may be nil.
	Waiting func(what string)
}

func (c Config) maxBytes() int64 {
	if c.MaxBytes == 0 {
		return DefaultMaxBytes
	}
	return c.MaxBytes
}

// Read reads the profile that name leads to: "-" is standard input, what begins
// with http:// or https:// a URL, everything else a file. Content that is no
// profile is a [FormatError]; the end of ctx ends waiting for a server.
func Read(ctx context.Context, name string, c Config) (*profile.Profile, error) {
	content, err := c.content(ctx, name)
	if err != nil {
		return nil, err
	}
	p, err := Parse(content, c)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", printableName(name), err)
	}
	return p, nil
}

// IsURL says whether Read asks a server for a profile of this name.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

func (c Config) content(ctx context.Context, name string) ([]byte, error) {
	switch {
	case name == "-":
		stdin := c.Stdin
		if stdin == nil {
			stdin = os.Stdin
		}
		content, err := readBounded(stdin, 0, c.maxBytes())
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return content, nil
	case IsURL(name):
		return c.download(ctx, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	content, err := readBounded(f, info.Size(), c.maxBytes())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}

// readBounded reads all of r, of which size bytes are expected.
func readBounded(r io.Reader, size, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if size > 0 && size <= limit {
		b.Grow(int(size) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("it is larger than %d MiB", limit>>20)
	}
	return b.Bytes(), nil
}

// FormatError says that content is no profile, or a broken one.
type FormatError struct {
	// Format is what the content was read as.
	Format Format
	Err    error
	// Advice is what to do about it, or empty.
	Advice string
}

func (e *FormatError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Parse reads a profile from its content, of which c.Format and c.MaxBytes say
// something.
func Parse(content []byte, c Config) (*profile.Profile, error) {
	content, err := decompress(content, c.maxBytes())
	if err != nil {
		return nil, &FormatError{Format: c.Format, Err: err}
	}
	format := c.Format
	if format == Auto {
		if format, err = detect(content); err != nil {
			return nil, err
		}
	}
	var p *profile.Profile
	switch format {
	case Folded:
		p, err = ParseFolded(bytes.NewReader(content))
	case Perf:
		p, err = ParsePerfScript(bytes.NewReader(content))
	default:
		p, err = parsePprof(content)
	}
	if err != nil {
		return nil, &FormatError{Format: format, Err: err}
	}
	return p, nil
}

func compressed(content []byte) bool { return bytes.HasPrefix(content, []byte{0x1f, 0x8b}) }

func decompress(content []byte, limit int64) ([]byte, error) {
	if !compressed(content) {
		return content, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	// The last four bytes are the size when that is below 4 GiB, but nothing
	// checks them before the end: a false one costs at most this.
	size := int64(0)
	if n := len(content); n >= 4 {
		size = int64(content[n-4]) | int64(content[n-3])<<8 | int64(content[n-2])<<16 | int64(content[n-1])<<24
		size = min(size, 20*int64(n))
	}
	content, err = readBounded(r, size, limit)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if compressed(content) {
		return nil, errors.New("it is compressed twice")
	}
	return content, nil
}

// parsePprof reads content that is not compressed.
func parsePprof(content []byte) (*profile.Profile, error) {
	p, err := profile.ParseData(content)
	if err != nil {
		return nil, err
	}
	if len(p.SampleType) == 0 {
		// Valid for the format, and nothing can be said about it.
		return nil, errors.New("it has no sample types")
	}
	return p, nil
}
