package debugfile

import (
	"io/fs"
	"slices"
	"syscall"

	"github.com/staccato-profiler/staccato"
)

// Places are where files that describe an executable were looked for, and what was
// there. Those of a set that was found do not change.
type Places struct {
	mapping *staccato.Mapping
	list    []searched
}

// searched is one of them.
type searched struct {
	root staccato.Root
	path string
	was  identity
}

// identity tells files apart, and states of one; it is zero where there is none.
type identity struct {
	device, inode uint64
	size          int64
	changed       int64 // of content or inode, in nanoseconds
}

// identityOf returns what a root has opened.
func identityOf(content staccato.File) identity {
	id := identity{size: content.Size()}
	f, ok := content.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return id
	}
	info, err := f.Stat()
	if err != nil {
		return id
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id.device, id.inode, id.changed = s.Dev, s.Ino, s.Ctim.Nano()
	}
	return id
}

// add takes note of what a place has.
func (p *Places) add(root staccato.Root, path string, is identity) {
	p.list = append(p.list, searched{root, path, is})
}

// WithObject returns the places and one more, where the split debug information of an
// object was looked for in vain: see [Set.OpenObject].
func (p *Places) WithObject(path string) *Places {
	more := &Places{p.mapping, slices.Clip(p.list)}
	if len(p.mapping.Roots) > 0 {
		more.add(p.mapping.Roots[0], path, identity{})
	}
	return more
}

// News says that a place has a file, and has had none or another. It may be of
// another build.
func (p *Places) News() bool {
	for _, at := range p.list {
		content, err := at.root.Open(at.path)
		if err != nil {
			continue
		}
		is := identityOf(content)
		content.Close() // it was only looked for
		if is != at.was {
			return true
		}
	}
	return false
}

// Size is the memory that the places take, in bytes.
func (p *Places) Size() int64 {
	if p == nil {
		return 0
	}
	size := int64(64)
	for _, at := range p.list {
		size += 80 + int64(len(at.path))
	}
	return size
}
