// Package index keeps what the debugging information and symbols of an
// executable say about its code, in a form that is small and quick to look up:
// one file per executable, made once.
//
// A file has a header and six parts, one after the other. Numbers are
// little-endian; "varint" is that of encoding/binary.
//
//	header     magic, version, checksum, sizes, and the key that the file is for
//	blocks     per 16 entries: the address of the first, relative to the
//	           header's base, and where in the next part they begin; 8 bytes
//	entries    per range of addresses with the same answer: address, node,
//	           file, line and column; see block.go
//	nodes      per function or inlined call: the function, the node that it is
//	           inlined into, where it is called; varints
//	functions  12 bytes: name, file and line of the declaration
//	files      4 bytes: the path
//	strings    length as varint, bytes
//
// A name or path is its place in the strings, a file and a function is its
// number, and a node is its place in the nodes plus 1. 0 is none, for all but
// functions.
package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// version is that of the format, and of what is put into files. Files of another
// one are made again.
const version = 3

const (
	magic      = "staccato names\x00\x00"
	headerSize = 256
	// Offsets in the header.
	atVersion  = 16
	atChecksum = 20 // CRC-32C of everything after it
	atSize     = 24 // of the file
	atBase     = 32
	atParts    = 40 // six sizes
	atMissed   = 64 // in the strings: why not all could be read,
	atPath     = 68 // and the path of the file that was not there
	atKey      = 72 // length in one byte, and the key
	maxKey     = headerSize - atKey - 1

	blockSize     = 8
	functionSize  = 12
	fileEntrySize = 4

	// maxDepth is how many inlined calls may be in each other.
	maxDepth = 512
)

var errDamaged = errors.New("damaged index file")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// part numbers the parts.
type part int

const (
	blocks part = iota
	entries
	nodes
	functions
	files
	texts
	parts
)

// seal fills in the header of a whole file.
func seal(file []byte, key string, base uint64, sizes [parts]int, missed, path uint32) {
	le := binary.LittleEndian
	copy(file, magic)
	le.PutUint32(file[atVersion:], version)
	le.PutUint64(file[atSize:], uint64(len(file)))
	le.PutUint64(file[atBase:], base)
	for i, size := range sizes {
		le.PutUint32(file[atParts+4*i:], uint32(size))
	}
	le.PutUint32(file[atMissed:], missed)
	le.PutUint32(file[atPath:], path)
	file[atKey] = byte(len(key))
	copy(file[atKey+1:], key)
	le.PutUint32(file[atChecksum:], crc32.Checksum(file[atSize:], castagnoli))
}

// checksum returns what a header says that the sum over the rest is.
func checksum(header []byte) uint32 { return binary.LittleEndian.Uint32(header[atChecksum:]) }

// checkHeader checks all of a header but its checksum; size is the file's.
func checkHeader(header []byte, key string, size int64) error {
	le := binary.LittleEndian
	if len(header) < headerSize || string(header[:len(magic)]) != magic {
		return errors.New("not an index file")
	}
	if v := le.Uint32(header[atVersion:]); v != version {
		return fmt.Errorf("index file of version %d", v)
	}
	n := int(header[atKey])
	if n > maxKey || string(header[atKey+1:atKey+1+n]) != key {
		return errors.New("index file of something else")
	}
	sum := int64(headerSize)
	for i := range parts {
		sum += int64(le.Uint32(header[atParts+4*i:]))
	}
	if sum != size || le.Uint64(header[atSize:]) != uint64(size) {
		return errDamaged
	}
	return nil
}
