package dwarf

const (
	// maxChain is the greatest number of references from one entry to the next
	// that are followed; compilers make three at most.
	maxChain = 8
	// maxFunctions is how many functions are remembered for the entries that
	// refer to them.
	maxFunctions = 1 << 16
)

// function is what the attributes of an entry and of those that it refers to
// say about a function.
type function struct {
	name, linkageName string
	file              string
	line              uint32
	hasLine           bool
}

// attrs are those attributes of a function's entry that tell about the
// function, or where to find more.
type attrs struct {
	name, linkageName, declFile, declLine, next value
}

// take keeps the value if it is one of these.
func (a *attrs) take(name uint16, v value) {
	switch name {
	case attrName:
		a.name = v
	case attrLinkageName, attrMIPSLinkageName:
		a.linkageName = v
	case attrDeclFile:
		a.declFile = v
	case attrDeclLine:
		a.declLine = v
	case attrOrigin, attrSpecification:
		a.next = v
	}
}

// add takes over what is not known yet.
func (n *function) add(u *unit, a *attrs) {
	if n.name == "" && a.name.form != 0 {
		n.name = u.text(a.name)
		u.file.reader.work += uint64(len(n.name))
	}
	if n.linkageName == "" && a.linkageName.form != 0 {
		n.linkageName = u.text(a.linkageName)
		u.file.reader.work += uint64(len(n.linkageName))
	}
	if !n.hasLine && a.declLine.form != 0 {
		n.line, n.hasLine = a.declLine.number32(), true
	}
	if n.file == "" && a.declFile.form != 0 {
		if files := u.fileTable(); files != nil && a.declFile.isConstant() {
			n.file = files.path(a.declFile.number32())
		}
	}
}

// done returns the function.
func (n *function) done() *Function {
	name := n.linkageName
	if name == "" {
		name = n.name
	}
	if n.file == "" {
		n.line = 0
	}
	return &Function{Name: name, File: n.file, Line: n.line}
}

// whole reports whether entries further on have nothing to add.
func (n *function) whole() bool { return n.linkageName != "" && n.file != "" && n.hasLine }

// describe returns the function whose own attributes are a.
func (u *unit) describe(a *attrs) *Function {
	own := a.name.form | a.linkageName.form | a.declFile.form | a.declLine.form
	if own == 0 {
		// All there is, is elsewhere, and many refer to it.
		if a.next.form == 0 {
			return nil
		}
		f, offset := u.reference(a.next)
		return f.functionAt(offset)
	}
	var n function
	n.add(u, a)
	for range maxChain {
		if n.whole() || a.next.form == 0 {
			break
		}
		f, offset := u.reference(a.next)
		if u, a = f.attrsAt(offset); u == nil {
			break
		}
		n.add(u, a)
	}
	return n.done()
}

// functionAt returns the function that the entry at offset is about, nil when
// there is none.
func (f *file) functionAt(offset uint64) *Function {
	if f == nil {
		return nil
	}
	if known, ok := f.functions[offset]; ok {
		return known
	}
	var n function
	at, place := f, offset
	for range maxChain {
		u, a := at.attrsAt(place)
		if u == nil {
			break
		}
		n.add(u, a)
		if n.whole() || a.next.form == 0 {
			break
		}
		if at, place = u.reference(a.next); at == nil {
			break
		}
	}
	var result *Function
	if n != (function{}) {
		result = n.done()
	}
	if len(f.functions) >= maxFunctions {
		clear(f.functions)
	}
	f.functions[offset] = result
	return result
}

// attrsAt reads the entry at offset; the unit is nil when that is not possible.
func (f *file) attrsAt(offset uint64) (*unit, *attrs) {
	if f == nil {
		return nil, nil
	}
	u := f.unitAt(offset)
	if u == nil || u.root() != nil {
		return nil, nil
	}
	table, err := f.abbrevs(u)
	if err != nil {
		return nil, nil
	}
	b, err := f.entry(u, offset)
	if err != nil || !f.reader.spend(32) {
		return nil, nil
	}
	e, ok := table.find(b.uleb())
	if !ok {
		return nil, nil
	}
	a := &attrs{}
	for _, spec := range e.attrs {
		v := b.value(spec, u)
		if b.bad {
			break // an entry longer than what is read: the rest has no names
		}
		a.take(spec.name, v)
	}
	return u, a
}
