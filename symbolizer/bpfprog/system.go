package bpfprog

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is where programs come from.
type kernel interface {
	// next returns the ID after id of a program that is loaded, or errNoMore.
	next(id uint32) (uint32, error)
	// read returns the functions of a program that have lines. The error is
	// errGone or errDenied, or another. names keeps strings of type information
	// by ID.
	read(id uint32, names map[uint32][]byte) ([]*function, error)
}

var (
	errNoMore = errors.New("no more programs")
	errGone   = errors.New("the program is gone")
	errDenied = errors.New("no permission to read BPF programs (CAP_SYS_ADMIN)")
)

const (
	// maxLines and maxNames bound what is read of one program, in records and
	// bytes: as many as the kernel takes instructions, and as it takes BTF.
	maxLines     = 1 << 20
	maxNames     = 16 << 20
	maxFunctions = 1024
)

// system is the running kernel. None of these calls make it skip samples, unlike
// those about maps: they are short, and each program is read once.
type system struct{}

func (system) next(id uint32) (uint32, error) {
	attr := struct{ start, next, flags uint32 }{start: id}
	_, err := call(unix.BPF_PROG_GET_NEXT_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errors.Is(err, unix.ENOENT) {
		return 0, errNoMore
	}
	return attr.next, err
}

// programInfo is struct bpf_prog_info of include/uapi/linux/bpf.h as Linux 5.1
// has it; longer ones of later kernels begin with the same.
type programInfo struct {
	_                   [2]uint32 // type, ID
	tag                 [tagLength / 2]byte
	codeLen, _          uint32
	_                   [2]uint64 // instructions
	_                   uint64    // load time
	_                   [2]uint32 // user, number of maps
	_                   uint64    // maps
	_                   [16]byte  // name
	_                   [2]uint32
	_                   [2]uint64
	nrKsyms, nrFuncLens uint32
	ksyms, funcLens     uint64
	btf, _              uint32
	_                   uint64 // function info
	_, nrLines          uint32
	lines, places       uint64
	nrPlaces, lineSize  uint32
	placeSize, nrTags   uint32
	tags                uint64
}

func (system) read(id uint32, names map[uint32][]byte) ([]*function, error) {
	fd, err := open(unix.BPF_PROG_GET_FD_BY_ID, id)
	if err != nil {
		return nil, err
	}
	// Held no longer than needed: the program cannot be unloaded meanwhile.
	defer unix.Close(fd)
	var has programInfo
	if err := info(fd, unsafe.Pointer(&has), unsafe.Sizeof(has)); err != nil {
		return nil, err
	}
	if has.nrLines == 0 || has.nrPlaces != has.nrLines || has.nrLines > maxLines || has.btf == 0 ||
		has.lineSize < lineSize || has.lineSize > 64 || has.placeSize != 8 || has.nrKsyms > maxFunctions {
		return nil, nil // compiled without -g, or not translated to machine code
	}
	r := records{
		id:      id,
		tag:     has.tag,
		starts:  make([]uint64, has.nrKsyms),
		lengths: make([]uint32, has.nrFuncLens),
		tags:    make([]byte, has.nrTags*tagLength/2),
		lines:   make([]byte, has.nrLines*has.lineSize),
		size:    int(has.lineSize),
		places:  make([]uint64, has.nrPlaces),
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	get := programInfo{
		nrKsyms: has.nrKsyms, ksyms: address(&pin, r.starts),
		nrFuncLens: has.nrFuncLens, funcLens: address(&pin, r.lengths),
		nrTags: has.nrTags, tags: address(&pin, r.tags),
		nrLines: has.nrLines, lines: address(&pin, r.lines), lineSize: has.lineSize,
		nrPlaces: has.nrPlaces, places: address(&pin, r.places), placeSize: has.placeSize,
	}
	if err := info(fd, unsafe.Pointer(&get), unsafe.Sizeof(get)); err != nil {
		return nil, err
	}
	if get.ksyms == 0 || get.places == 0 {
		return nil, errDenied // kernel addresses are hidden
	}
	if names[has.btf] == nil {
		if names[has.btf], err = readNames(has.btf); err != nil {
			return nil, err
		}
	}
	return r.functions(names[has.btf])
}

// btfInfo is struct bpf_btf_info.
type btfInfo struct {
	btf      uint64
	size, id uint32
	_        [2]uint64
}

// readNames reads the strings of type information.
func readNames(id uint32) ([]byte, error) {
	fd, err := open(unix.BPF_BTF_GET_FD_BY_ID, id)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var has btfInfo
	if err := info(fd, unsafe.Pointer(&has), unsafe.Sizeof(has)); err != nil {
		return nil, err
	}
	if has.size > maxNames {
		return nil, errors.New("type information is too large")
	}
	content := make([]byte, has.size)
	var pin runtime.Pinner
	defer pin.Unpin()
	get := btfInfo{btf: address(&pin, content), size: has.size}
	if err := info(fd, unsafe.Pointer(&get), unsafe.Sizeof(get)); err != nil {
		return nil, err
	}
	return btfNames(content)
}

// address is where a slice lies, for the kernel to write to; 0 of an empty one.
func address[T any](pin *runtime.Pinner, s []T) uint64 {
	if len(s) == 0 {
		return 0
	}
	pin.Pin(&s[0])
	return uint64(uintptr(unsafe.Pointer(&s[0])))
}

func open(command uintptr, id uint32) (int, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, err := call(command, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case errors.Is(err, unix.ENOENT):
		return -1, errGone
	case errors.Is(err, unix.EPERM):
		return -1, errDenied
	case err != nil:
		return -1, fmt.Errorf("open BPF object %d: %w", id, err)
	}
	return fd, nil
}

func info(fd int, to unsafe.Pointer, size uintptr) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(to)
	attr := struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), uint32(size), uint64(uintptr(to))}
	if _, err := call(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("read about BPF object: %w", err)
	}
	return nil
}

// call is bpf(2), which the Go wrappers have no function for.
func call(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN:
		default:
			return 0, errno
		}
	}
}
