package s3stream

import (
	"fmt"
	"testing"
	"time"
)

// TestGroupSets: which stream-set objects are compacted together. Sets are written size or size:hours old, oldest first.
func TestGroupSets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	set := func(megabytes int64, hours int) ObjectInfo {
		return ObjectInfo{Size: megabytes << 20, Committed: now.Add(-time.Duration(hours) * time.Hour)}
	}
	many := func(n int, o ObjectInfo) (all []ObjectInfo) {
		for range n {
			all = append(all, o)
		}
		return all
	}
	for name, c := range map[string]struct {
		options Options
		sets    []ObjectInfo
		force   bool
		want    string
	}{
		"too few young ones":               {sets: many(7, set(1, 0)), want: "[]"},
		"young ones":                       {sets: many(9, set(1, 0)), want: "[9]"},
		"few, and all are wanted":          {sets: many(2, set(1, 0)), force: true, want: "[2 split]"},
		"old ones, however few":            {sets: append(many(2, set(1, 2)), many(3, set(1, 1))...), want: "[2 split]"},
		"older than the default":           {options: Options{ForceSplitAge: 5 * time.Hour}, sets: many(3, set(1, 4)), want: "[]"},
		"younger than the default":         {options: Options{ForceSplitAge: 30 * time.Minute}, sets: many(3, set(1, 1)), want: "[3 split]"},
		"more than one step takes":         {sets: many(210, set(1, 3)), want: "[100 split 100 split 10 split]"},
		"the same with steps of fewer":     {options: Options{CompactMaxSets: 8}, sets: many(20, set(1, 3)), want: "[8 split 8 split 4 split]"},
		"young ones in steps of fewer":     {options: Options{CompactMaxSets: 8}, sets: many(20, set(1, 0)), want: "[8 8]"},
		"more bytes than one step takes":   {options: Options{CompactCacheBytes: 50 << 20}, sets: many(10, set(20, 3)), want: "[2 split 2 split 2 split 2 split 2 split]"},
		"a large one in front of the rest": {sets: append([]ObjectInfo{set(100, 0)}, many(8, set(1, 0))...), want: "[8]"},
	} {
		c.options.Now = func() time.Time { return now }
		s := &Storage{opts: c.options.withDefaults()}
		got := []string{}
		for _, g := range s.groupSets(c.sets, c.force) {
			line := fmt.Sprint(len(g.objects))
			if g.split {
				line += " split"
			}
			got = append(got, line)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
