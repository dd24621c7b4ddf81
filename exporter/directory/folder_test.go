package directory

import (
	"os"
	"testing"
	"time"
)

// The list is read anew when the directory's time says so, and now and then
// though it does not.
func TestRelists(t *testing.T) {
	dir := t.TempDir()
	f := folder{path: dir, maxBytes: DefaultMaxBytes, maxAge: DefaultMaxAge, maxFiles: maxFiles, deleted: map[Limit]int64{}}
	now := time.Now()
	look := func(after time.Duration, want int) {
		t.Helper()
		if warning, err := f.look(now.Add(after)); warning != nil || err != nil {
			t.Fatal(warning, err)
		}
		if len(f.files) != want {
			t.Errorf("after %v: %d files, want %d", after, len(f.files), want)
		}
	}
	look(0, 0)
	makeFile(t, dir, nameAt(now), 10)
	if err := os.Chtimes(dir, time.Time{}, f.seen.ModTime()); err != nil {
		t.Fatal(err)
	}
	look(relistAfter-1, 0)
	look(relistAfter, 1)
	makeFile(t, dir, nameAt(now.Add(time.Second)), 10)
	look(relistAfter, 2)
}
