package host

import (
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	s, err := parseStat("cpu  100 20 30 4000 50 6 7 80 10 0\ncpu0 1 2 3\n")
	if err != nil {
		t.Fatal(err)
	}
	// Guest time (the ninth) is in user time already.
	if s.Busy != 1630*time.Millisecond || s.Idle != 40500*time.Millisecond || s.Steal != 800*time.Millisecond {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"", "intr 5", "cpu 1 2 3", "cpu a b c d e f g h i j"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func TestParseDiskstats(t *testing.T) {
	got := parseDiskstats("   7 0 loop0 1 0 2 0 0 0 0 0 0 0 0\n 254 0 vda 10 0 20 5 30 0 4096 7 0 9 9 0 0\nshort\n")
	if len(got) != 1 || got["vda"] != 4096*512 {
		t.Errorf("%v", got)
	}
}

func TestSince(t *testing.T) {
	at := time.Now()
	a := Sample{At: at, Busy: time.Second, Idle: 10 * time.Second, Steal: time.Second, Written: map[string]int64{"vda": 100, "vdb": 5}}
	b := Sample{At: at.Add(5 * time.Second), Busy: 4 * time.Second, Idle: 16 * time.Second, Steal: 2 * time.Second, Written: map[string]int64{"vda": 300, "vdb": 5, "vdc": 7}}
	l := b.Since(a)
	if l.Seconds != 5 || l.BusySeconds != 3 || l.StealPercent != 10 {
		t.Errorf("%+v", l)
	}
	if len(l.Written) != 2 || l.Written["vda"] != 200 || l.Written["vdc"] != 7 {
		t.Errorf("%v", l.Written)
	}
	if l := a.Since(a); l.StealPercent != 0 {
		t.Errorf("no time passed: %+v", l)
	}
}

// TestThisMachine: what is read of a real machine makes sense.
func TestThisMachine(t *testing.T) {
	a, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	if a.Busy <= 0 || a.Idle <= 0 {
		t.Errorf("%+v", a)
	}
	m := Describe(t.TempDir())
	if m.CPUs < 1 || m.MemoryMB < 1 || m.Kernel == "" || m.FileSystem == "" || m.Go == "" {
		t.Errorf("%+v", m)
	}
}

// TestActivity: a discard changes the counts, a write does not, and requests in flight show.
func TestActivity(t *testing.T) {
	const rest = "254 0 vda 867667 110071 243206518 1047733 27608597 378144 2031773276 6374096 0 1573908 8064695 333589 110 1666961400 151858 11632529 491007\n"
	wrote := strings.Replace(rest, "27608597", "27608599", 1)
	discarded := strings.Replace(rest, "333589 110 1666961400", "333590 110 1666961408", 1)
	busy := strings.Replace(rest, "6374096 0 ", "6374096 3 ", 1)
	at := func(text string) string { counts, _ := activity(text); return counts }
	if at(rest) != at(wrote) || at(rest) == at(discarded) {
		t.Errorf("%q, %q, %q", at(rest), at(wrote), at(discarded))
	}
	if _, inFlight := activity(rest); inFlight {
		t.Error("in flight at rest")
	}
	if _, inFlight := activity(busy); !inFlight {
		t.Error("nothing in flight with three requests")
	}
}
