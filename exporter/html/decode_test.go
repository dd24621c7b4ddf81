package html

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	encoding "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// decoded is what data.js makes of the data in a page, by another program.
type decoded struct {
	header  header
	strings []string
	// frames are "name@binary:kind", with "~" in front if inlined.
	frames []string
	nodes  []node // with positions in frames
	rows   []prunedRow
}

var dataElement = regexp.MustCompile(`<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>`)

func decodePage(page []byte) (*decoded, error) {
	found := dataElement.FindSubmatch(page)
	if found == nil {
		return nil, fmt.Errorf("no data in the page")
	}
	compressed, err := base64.StdEncoding.DecodeString(string(found[1]))
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	return decode(content)
}

func decode(content []byte) (d *decoded, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode: %v", r)
		}
	}()
	number := func() int {
		n, size := encoding.Uvarint(content)
		if size <= 0 {
			panic("a number is cut off")
		}
		content = content[size:]
		return int(n)
	}
	numbers := func(n int) []int {
		list := make([]int, n)
		for i := range list {
			list[i] = number()
		}
		return list
	}
	text := func(n int) string {
		s := string(content[:n])
		content = content[n:]
		return s
	}

	d = new(decoded)
	if err := json.Unmarshal([]byte(text(number())), &d.header); err != nil {
		return nil, err
	}
	h := &d.header
	for _, n := range numbers(h.Strings) {
		d.strings = append(d.strings, text(n))
	}
	binaries := numbers(2 * h.Binaries)
	names, where, _ := numbers(h.Functions), numbers(h.Functions), numbers(h.Functions)
	functions, kinds := numbers(h.Frames), numbers(h.Frames)
	for i, f := range functions {
		frame := d.strings[names[f]] + "@" + d.strings[binaries[2*where[f]]] + ":" + h.Kinds[kinds[i]/2]
		if kinds[i]%2 == 1 {
			frame = "~" + frame
		}
		d.frames = append(d.frames, frame)
	}
	d.nodes = []node{{}}
	up, frames := numbers(h.Nodes-1), numbers(h.Nodes-1)
	for i, levels := range up {
		parent := uint32(i)
		for range levels {
			parent = d.nodes[parent].parent
		}
		d.nodes = append(d.nodes, node{parent, uint32(frames[i])})
	}
	at := 0
	for _, n := range numbers(h.Rows) {
		at += n
		d.rows = append(d.rows, prunedRow{node: uint32(at)})
	}
	for i, n := range numbers(h.Rows) {
		d.rows[i].context = uint32(n)
	}
	for _, c := range h.Columns {
		if c.Of >= 0 {
			for i := range d.rows {
				d.rows[i].values = append(d.rows[i].values, d.rows[i].values[c.Of]*c.Factor)
			}
			continue
		}
		for i, n := range numbers(h.Rows) {
			d.rows[i].values = append(d.rows[i].values, int64(n))
		}
	}
	if len(content) > 0 {
		return nil, fmt.Errorf("%d bytes are left", len(content))
	}
	return d, nil
}

// stacks are the rows as "context|root;…;leaf", with their values.
func (d *decoded) stacks() map[string][]int64 {
	all := make(map[string][]int64)
	for _, r := range d.rows {
		var frames []string
		for n := r.node; n != 0; n = d.nodes[n].parent {
			frames = append([]string{d.frames[d.nodes[n].frame]}, frames...)
		}
		all[strings.Join(d.header.Contexts[r.context][:], ",")+"|"+strings.Join(frames, ";")] = r.values
	}
	return all
}

// totals are the sums of the columns.
func (d *decoded) totals() []int64 {
	list := make([]int64, len(d.header.Columns))
	for _, r := range d.rows {
		for c, v := range r.values {
			list[c] += v
		}
	}
	return list
}
