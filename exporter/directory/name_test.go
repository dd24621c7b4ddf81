package directory

import (
	"slices"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 789, time.FixedZone("east", 3600))
	if got, want := (name{at, 1}).String(), "staccato-20260203T030506Z.pb.gz"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
	for _, test := range []struct {
		text   string
		number int // 0: not one of ours
	}{
		{"staccato-20260203T040506Z.pb.gz", 1},
		{"staccato-20260203T040506Z-2.pb.gz", 2},
		{"staccato-20260203T040506Z-9999.pb.gz", 9999},
		{"staccato-20260203T040506Z-1.pb.gz", 0},
		{"staccato-20260203T040506Z-0.pb.gz", 0},
		{"staccato-20260203T040506Z-02.pb.gz", 0},
		{"staccato-20260203T040506Z-10000.pb.gz", 0},
		{"staccato-20260203T040506Z.pb.gz.old", 0},
		{"staccato-20260203T040506Z.pb.gz\n", 0},
		{"staccato-20260203T040506Z.pb", 0},
		{"staccato-20260203T040506.pb.gz", 0},
		{"staccato-20260230T040506Z.pb.gz", 0}, // February 30
		{"staccato-20260203T240506Z.pb.gz", 0},
		{"staccato-20260203T040506Z", 0},
		{"Staccato-20260203T040506Z.pb.gz", 0},
		{"my-staccato-20260203T040506Z.pb.gz", 0},
		{".staccato-20260203T040506Z.pb.gz.tmp", 0},
		{"profile.pb.gz", 0},
		{"", 0},
	} {
		n, ok := parseName(test.text)
		if ok != (test.number > 0) || ok && n.number != test.number {
			t.Errorf("%q: number %d, %v; want %d", test.text, n.number, ok, test.number)
		}
	}
	for text, want := range map[string]bool{
		unfinished(): true,
		".staccato-ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp":     true,
		".staccato-ABCDEFGHIJKLMNOPQRSTUVWXY.tmp":      false, // too short
		".staccato-abcdefghijklmnopqrstuvwxyz.tmp":     false,
		"staccato-ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp":      false,
		".staccato-ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp.old": false,
		".staccato-20260203T040506Z.pb.gz.tmp":         false,
		".profile.pb.gz.tmp":                           false,
	} {
		if got := isUnfinished(text); got != want {
			t.Errorf("unfinished %q: %v, want %v", text, got, want)
		}
	}
}

func TestNamesSortByTime(t *testing.T) {
	first := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	want := []name{{first, 1}, {first, 2}, {first, 10}, {first.Add(time.Second), 1}}
	got := []name{want[3], want[2], want[0], want[1]}
	slices.SortFunc(got, name.compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted %v, want %v", got, want)
	}
}

// A name that is taken for one of ours, and could be deleted, is exactly one
// that we would write.
func FuzzName(f *testing.F) {
	f.Add("staccato-20260203T040506Z.pb.gz")
	f.Add("staccato-20260203T040506Z-2.pb.gz")
	f.Add("staccato-20260203T040506Z-02.pb.gz")
	f.Add("staccato-20260229T235960Z.pb.gz")
	f.Add("staccato-00000101T000000Z.pb.gz")
	f.Fuzz(func(t *testing.T, text string) {
		if n, ok := parseName(text); ok && (n.String() != text || n.number < 1 || n.number > maxPerSecond) {
			t.Errorf("%q is taken for %+v", text, n)
		}
	})
}
