package index

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config says where index files are kept. The zero value of each field is its
// default.
type Config struct {
	// Directory holds the files, and nothing else should be in it. It is made
	// if there is none, must belong to the user that the program runs as, and
	// be closed to others (mode 0700): who can write there can give false
	// names. Default [DefaultDirectory].
	Directory string
	// Limit is what the files may take together, in bytes; default 512 MiB.
	// Those not used for longest are removed.
	Limit int64
}

// DefaultDirectory is /var/cache/staccato/index for root, and staccato/index in
// the user's cache folder for others.
func DefaultDirectory() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/staccato/index", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "staccato", "index"), nil
}

// Store is a directory of index files. Several processes may use the same. It
// is safe for concurrent use.
type Store struct {
	root  *os.Root
	limit int64

	mu    sync.Mutex
	stats Stats
}

// Stats are the files of a directory, as they were found when it was opened or last
// written to: other processes may change it.
type Stats struct {
	Bytes   int64  // they take
	Evicted uint64 // removed by this Store, for new ones
}

// ErrOverLimit says that an index alone takes more than all may.
var ErrOverLimit = errors.New("exceeds the limit of the directory")

const (
	suffix    = ".v1"
	temporary = ".new-"
	// useEvery is how exactly the time of the last use is known.
	useEvery = time.Minute
	// abandoned is the age at which a file that is being written has been
	// left behind.
	abandoned = time.Hour
)

// Open opens the directory.
func Open(config Config) (*Store, error) {
	if config.Limit == 0 {
		config.Limit = 512 << 20
	}
	if config.Directory == "" {
		var err error
		if config.Directory, err = DefaultDirectory(); err != nil {
			return nil, fmt.Errorf("find directory for index files: %w", err)
		}
	}
	if err := os.MkdirAll(config.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for index files: %w", err)
	}
	root, err := os.OpenRoot(config.Directory)
	if err != nil {
		return nil, fmt.Errorf("open directory for index files: %w", err)
	}
	if err := private(root); err != nil {
		root.Close()
		return nil, fmt.Errorf("directory for index files %s: %w", config.Directory, err)
	}
	s := &Store{root: root, limit: config.Limit}
	_, total, err := s.list("")
	if err != nil {
		root.Close()
		return nil, err
	}
	s.stats.Bytes = total
	return s, nil
}

// Stats returns the present counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// private makes sure that nobody else can change or cut short what is in the
// directory. Files in it are mapped: one cut short would end the program.
func private(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("mode is %#o, want 0700", info.Mode().Perm())
	}
	return owned(info)
}

func owned(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return errors.New("belongs to another user")
	}
	return nil
}

// Close closes the directory. Indexes that were opened stay valid.
func (s *Store) Close() error { return s.root.Close() }

// name returns the file's name for a key.
func name(key string) (string, error) {
	if key == "" || len(key) > maxKey || strings.Trim(key, "0123456789abcdefghijklmnopqrstuvwxyz-") != "" {
		return "", fmt.Errorf("%q is no key of an index file", key)
	}
	return key + suffix, nil
}

// Open opens the index for a key: lower-case letters, digits and hyphens. The
// error is [fs.ErrNotExist] when there is none; any other means that there is
// one that cannot be used, and must be made again.
func (s *Store) Open(key string) (*Index, error) {
	file, err := name(key)
	if err != nil {
		return nil, err
	}
	f, err := s.root.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := owned(info); err != nil {
		return nil, err
	}
	if err := check(f, key, info.Size()); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map index file: %w", err)
	}
	if now := time.Now(); now.Sub(info.ModTime()) > useEvery {
		// A failure makes it go earlier than it should, and no more.
		_ = s.root.Chtimes(file, now, now)
	}
	x := newIndex(data)
	x.close = func() error { return unix.Munmap(data) }
	return x, nil
}

// check checks header and checksum. The file is read, since what is read of a
// mapping counts as the program's memory.
func check(f *os.File, key string, size int64) error {
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	if err := checkHeader(header, key, size); err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	in := io.NewSectionReader(f, atSize, size-atSize)
	if _, err := io.CopyBuffer(sum, in, make([]byte, 128<<10)); err != nil {
		return err
	}
	if sum.Sum32() != checksum(header) {
		return errDamaged
	}
	return nil
}

// Write puts an index file that [Build] made into the directory, and removes
// others that are over the limit. The file appears when it is whole.
func (s *Store) Write(key string, data []byte) error {
	file, err := name(key)
	if err != nil {
		return err
	}
	if int64(len(data)) > s.limit {
		return fmt.Errorf("index file of %d MiB %w", len(data)>>20, ErrOverLimit)
	}
	if err := s.makeRoom(s.limit-int64(len(data)), file); err != nil {
		return err
	}
	part := fmt.Sprintf("%s%s%d-%d", file, temporary, os.Getpid(), time.Now().UnixNano())
	if err := s.write(part, data); err != nil {
		_ = s.root.Remove(part)
		return fmt.Errorf("write index file: %w", err)
	}
	if err := s.root.Rename(part, file); err != nil {
		_ = s.root.Remove(part)
		return fmt.Errorf("write index file: %w", err)
	}
	s.count(func(c *Stats) { c.Bytes += int64(len(data)) })
	return nil
}

func (s *Store) count(do func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(&s.stats)
}

// Remove removes an index file, if there is one. Indexes that were opened stay valid.
func (s *Store) Remove(key string) {
	file, err := name(key)
	if err != nil {
		return
	}
	info, err := s.root.Lstat(file)
	// One that cannot be removed goes when room is needed.
	if err == nil && s.root.Remove(file) == nil {
		s.count(func(c *Stats) { c.Bytes -= info.Size() })
	}
}

func (s *Store) write(file string, data []byte) error {
	f, err := s.root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// list returns the index files but the one of that name, which is about to be replaced,
// and what takes room with those that are being written, in bytes.
func (s *Store) list(replaced string) (kept []fs.FileInfo, total int64, err error) {
	dir, err := s.root.Open(".")
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	infos, err := dir.Readdir(-1)
	if err != nil {
		return nil, 0, fmt.Errorf("list index files: %w", err)
	}
	for _, info := range infos {
		switch {
		case !info.Mode().IsRegular() || info.Name() == replaced:
		case strings.HasSuffix(info.Name(), suffix):
			kept = append(kept, info)
			total += info.Size()
		case strings.Contains(info.Name(), suffix+temporary):
			if time.Since(info.ModTime()) > abandoned {
				_ = s.root.Remove(info.Name()) // by someone else already, maybe
			} else {
				total += info.Size()
			}
		}
	}
	return kept, total, nil
}

// makeRoom removes files until the rest takes at most room bytes, the one not
// used for longest first. The file of that name is about to be replaced.
func (s *Store) makeRoom(room int64, replaced string) error {
	kept, total, err := s.list(replaced)
	if err != nil {
		return err
	}
	evicted := uint64(0)
	defer func() { s.count(func(c *Stats) { c.Bytes, c.Evicted = total, c.Evicted+evicted }) }()
	slices.SortFunc(kept, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range kept {
		if total <= room {
			return nil
		}
		if err := s.root.Remove(info.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old index file: %w", err)
		}
		total -= info.Size()
		evicted++
	}
	return nil
}
