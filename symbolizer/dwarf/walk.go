package dwarf

import "fmt"

// maxDepth is the deepest nesting of entries that is followed.
const maxDepth = 1 << 12

// noScope is for entries that lie in no function with code.
const noScope = -1

// read fills r.unit.
func (r *Reader) read(u *unit) error {
	data, err := u.file.info.bytes(u.entries, u.limit-u.entries, &r.infoBuffer)
	if err != nil {
		return err
	}
	if r.Memory() > r.limit {
		return ErrTooLarge
	}
	root := buffer{data: data}
	if err := u.readRoot(&root); err != nil {
		return err
	}
	if u.partial {
		return nil
	}
	if err := r.readEntries(u, data); err != nil {
		return err
	}
	if err := r.readLines(u); err != nil {
		return err
	}
	if r.work > r.maxWork {
		return fmt.Errorf("debugging information refers to itself too often")
	}
	return nil
}

// readEntries reads the functions of a unit whose entries are data, or lie in
// another file.
func (r *Reader) readEntries(u *unit, data []byte) error {
	r.current = nil
	if u.split.name == "" {
		return r.walk(u, buffer{data: data})
	}
	rest, closer, err := r.rest(u)
	if closer != nil {
		defer closer.Close() // it is only read
	}
	if err != nil {
		return err
	}
	if rest == nil {
		r.current = nil
		return r.walk(u, buffer{data: data})
	}
	if data, err = rest.file.info.bytes(rest.entries, rest.limit-rest.entries, &r.infoBuffer); err != nil {
		return err
	}
	if r.Memory() > r.limit {
		return ErrTooLarge
	}
	return r.walk(rest, buffer{data: data})
}

// walk finds the functions of a unit.
func (r *Reader) walk(u *unit, b buffer) error {
	table, err := u.file.abbrevs(u)
	if err != nil {
		return err
	}
	around := append(r.scopes[:0], noScope) // scopes of the entries that the next one is in
	defer func() { r.scopes = around }()
	for b.at < len(b.data) {
		code := b.uleb()
		if code == 0 {
			around = around[:len(around)-1]
			if len(around) <= 1 {
				break
			}
			continue
		}
		e, ok := table.find(code)
		if !ok {
			return malformed("entry", u.entries+uint64(b.at))
		}
		scope := around[len(around)-1]
		switch e.tag {
		case tagSubprogram, tagInlinedSubroutine:
			if scope, err = r.scope(u, &b, e, scope); err != nil {
				return err
			}
		case tagArrayType, tagEnumerationType, tagSubroutineType:
			if sibling := b.entry(e, u); sibling > u.entries && e.children {
				// There is no code in them.
				if at := sibling - u.entries; at > uint64(b.at) && at <= uint64(len(b.data)) {
					b.at = int(at)
					continue
				}
			}
		default:
			if e.size >= 0 {
				b.skip(uint64(e.size))
			} else {
				b.entry(e, u)
			}
		}
		if b.bad {
			return malformed("entry", u.entries)
		}
		if e.children {
			if len(around) >= maxDepth {
				return malformed("nesting", u.entries+uint64(b.at))
			}
			around = append(around, scope)
		} else if len(around) == 1 {
			break // the root has no children
		}
	}
	return nil
}

// entry skips an entry's attributes and returns where its sibling is, 0 when
// it does not say.
func (b *buffer) entry(e abbrev, u *unit) (sibling uint64) {
	for _, a := range e.attrs {
		v := b.value(a, u)
		if a.name == attrSibling {
			if f, offset := u.reference(v); f == u.file {
				sibling = offset
			}
		}
	}
	return sibling
}

// scope reads the entry of a function, or of a call inlined into the scope
// parent, and returns its scope; that is noScope when it has no code.
func (r *Reader) scope(u *unit, b *buffer, e abbrev, parent int32) (int32, error) {
	var a attrs
	var low, high, ranges value
	s := Scope{Parent: parent, FirstRange: int32(len(r.unit.Ranges))}
	for _, spec := range e.attrs {
		v := b.value(spec, u)
		switch spec.name {
		case attrLow:
			low = v
		case attrHigh:
			high = v
		case attrRanges:
			ranges = v
		case attrCallFile:
			s.CallFile = v.number32()
		case attrCallLine:
			s.CallLine = v.number32()
		case attrCallColumn:
			s.CallColumn = v.number32()
		default:
			a.take(spec.name, v)
		}
	}
	if e.tag == tagSubprogram {
		s.Parent = noScope
	} else if parent == noScope {
		return noScope, nil
	}
	switch {
	case ranges.form != 0:
		r.readRanges(u, ranges)
	case high.form != 0:
		start, ok := u.address(low)
		limit, isAddress := u.address(high)
		if !isAddress {
			limit = start + high.number
		}
		if ok {
			r.addRange(start, limit)
		}
	}
	s.LimitRange = int32(len(r.unit.Ranges))
	if s.FirstRange == s.LimitRange {
		if e.tag == tagSubprogram {
			return noScope, nil
		}
		return parent, nil // what is in it may have code
	}
	s.Function = u.describe(&a)
	if s.Function == nil {
		s.Function = &Function{}
	}
	if int64(len(r.unit.Scopes))*scopeBytes+int64(len(r.unit.Ranges))*rangeBytes > r.limit/4 {
		return noScope, ErrTooLarge
	}
	r.unit.Scopes = append(r.unit.Scopes, s)
	return int32(len(r.unit.Scopes) - 1), nil
}

// addRange adds a range of the present scope.
func (r *Reader) addRange(start, limit uint64) {
	if limit <= start {
		return
	}
	if code, ok := r.inCode(start, limit); ok {
		r.unit.Ranges = append(r.unit.Ranges, code)
	}
}
