package agent

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// A function that has no symbol, since it was inlined, is in the profile with
// its share and its lines; also of a recording that ends at once.
func TestInlined(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "inlining"), `
static inline __attribute__((always_inline)) unsigned long squeeze(unsigned long n)
{
	for (int i = 0; i < 1000; i++)
		n = n * 31 + (n >> 7);
	return n;
}
int main(void)
{
	for (volatile unsigned long n = 1;;)
		n = squeeze(n);
}`)
	p := run(t, path)
	names := NamesConfig{IndexDirectory: filepath.Join(t.TempDir(), "index"), Wait: time.Minute}
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}, Names: names}, func() { time.Sleep(time.Second) })
	if len(prof.Summary.Unread) > 0 || prof.Summary.NoIndex != nil {
		t.Errorf("unread %q, %v", prof.Summary.Unread, prof.Summary.NoIndex)
	}
	var all, inlined, lines int64
	for _, s := range ofPIDs(prof, p.pid()).Profile.Sample {
		all += s.Value[0]
		for _, l := range s.Location {
			i := slices.IndexFunc(l.Line, func(line profile.Line) bool { return line.Function.Name == "squeeze" })
			if i < 0 || i+1 >= len(l.Line) || l.Line[i+1].Function.Name != "main" {
				continue
			}
			inlined += s.Value[0]
			if l.Line[i].Line > 0 && l.Line[i+1].Line > l.Line[i].Line && l.Line[i].Function.StartLine > 0 {
				lines += s.Value[0]
			}
		}
	}
	t.Logf("of %d samples %d in the inlined function, %d with lines", all, inlined, lines)
	if all < 100 || inlined*100 < 95*all || lines != inlined {
		t.Errorf("of %d samples %d in the inlined function, %d with lines", all, inlined, lines)
	}
}
