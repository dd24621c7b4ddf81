package gopclntab

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// framesOf are the frames of all functions, whose table of sizes is that of lines.
func framesOf(t *testing.T, table *Table) (all []Frame, err error) {
	t.Helper()
	start, limit := table.Range()
	err = table.Frames(start, limit, func(f *Frame) {
		each := *f
		each.Name, each.Pieces = bytes.Clone(f.Name), slices.Clone(f.Pieces)
		all = append(all, each)
	})
	return all, err
}

func TestFrames(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes []byte
		want  []Piece
		err   string
	}{
		{"a frame that comes and goes", []byte{2, 16, 16, 40, 15, 8, 0}, []Piece{{textBase, 0}, {textBase + 16, 8}, {textBase + 56, 0}}, ""},
		{"a size that makes no sense", []byte{2, 16, 5, 48, 0}, []Piece{{textBase, 0}, {textBase + 16, -1}}, ""},
		{"sizes behind the end", []byte{2, 16, 16, 0xff, 0xff, 0xff, 0xff, 0x0f, 16, 16, 0}, []Piece{{textBase, 0}, {textBase + 16, 8}}, ""},
		{"sizes that end early", []byte{2, 16, 0}, []Piece{{textBase, 0}, {textBase + 16, -1}}, ""},
		{"a number that is too long", []byte{2, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, []Piece{{textBase, -1}}, ""},
		{"sizes for no bytes, without end", bytes.Repeat([]byte{2, 0, 1, 0}, 1<<20), nil, "more than 1048576 pieces"},
	} {
		t.Run(test.name, func(t *testing.T) {
			im := newImage()
			im.lines = test.sizes
			table, err := parse(im.withSizes(), 0)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // what was read before is still there
				got, err := framesOf(t, table)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) {
						t.Fatalf("error %v, want %q", err, test.err)
					}
					continue
				}
				if err != nil || len(got) != 1 || string(got[0].Name) != "main.outer" || got[0].Entry != textBase || got[0].Limit != textBase+64 || !slices.Equal(got[0].Pieces, test.want) {
					t.Fatalf("%+v, %v, want %v", got, err, test.want)
				}
			}
		})
	}
}

// withSizes is the file, with the table of lines as that of sizes too.
func (im image) withSizes() []byte {
	b := im.bytes()
	record := bytes.Index(b, []byte{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0})
	b[record+16] = 4
	return b
}

// What a file that was cut short has no more is an error, and it is read anew when it
// is back.
func TestFramesOfCutFile(t *testing.T) {
	content := &cut{ReaderAt: bytes.NewReader(newImage().withSizes())}
	content.size = content.ReaderAt.(*bytes.Reader).Size()
	file, err := elffile.Open(content)
	if err != nil {
		t.Fatal(err)
	}
	table, err := New(file, Config{})
	if err != nil {
		t.Fatal(err)
	}
	content.failed = io.ErrUnexpectedEOF
	if got, err := framesOf(t, table); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%+v, %v", got, err)
	}
	content.failed = nil
	if got, err := framesOf(t, table); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A window has what the file has, wherever it is asked for; and reads far ahead only
// when it is read from front to back.
func TestWindow(t *testing.T) {
	file := make([]byte, 300_001)
	for i := range file {
		file[i] = byte(rand.Uint32())
	}
	in := &counted{ReaderAt: bytes.NewReader(file)}
	var w window
	w.over(in, uint64(len(file)))
	check := func(at, n int) {
		t.Helper()
		got := w.bytes(uint64(at), n)
		if at+n > len(file) || at == len(file) {
			if got != nil {
				t.Fatalf("%d bytes at %d: there are %d", n, at, len(got))
			}
			return
		}
		if len(got) < n || !bytes.Equal(got, file[at:at+len(got)]) {
			t.Fatalf("%d bytes at %d: %d, or others", n, at, len(got))
		}
	}
	for at := 0; at <= len(file); at += 7 {
		check(at, 12)
	}
	if in.bytes > len(file)+len(file)/10 || in.reads > 12 {
		t.Errorf("%d bytes in %d reads, of %d", in.bytes, in.reads, len(file))
	}
	*in = counted{ReaderAt: in.ReaderAt}
	for i := range 100 {
		check((i*7919*4096)%len(file), 12)
	}
	if in.bytes > 100*2*minAhead {
		t.Errorf("%d bytes for 100 places", in.bytes)
	}
	for range 1000 {
		check(rand.IntN(len(file)+10), rand.IntN(maxAhead))
	}
	check(0, maxAhead)
	if w.bytes(^uint64(0), 12) != nil || cap(w.data) > maxAhead {
		t.Errorf("%d bytes are kept", cap(w.data))
	}
}

// counted counts what is read of a file.
type counted struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counted) ReadAt(b []byte, offset int64) (int, error) {
	c.reads, c.bytes = c.reads+1, c.bytes+len(b)
	return c.ReaderAt.ReadAt(b, offset)
}
