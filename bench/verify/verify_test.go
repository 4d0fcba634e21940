package verify

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFindsWhatIsPlanted plants each kind of violation and expects it to be found: a checker that finds nothing proves nothing.
func TestFindsWhatIsPlanted(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	value := func(sequence int64) []byte { return encode(0, sequence, 64, noise) }
	damaged := value(1)
	damaged[40] ^= 1
	type rec struct {
		offset int64
		value  []byte
	}
	tests := []struct {
		name string
		recs []rec
		want string // part of the violation, "" for none
	}{
		{"all is well", []rec{{0, value(0)}, {1, value(1)}, {2, value(2)}}, ""},
		{"an unacknowledged record may be missing", []rec{{0, value(0)}, {1, value(1)}}, ""},
		{"lost", []rec{{0, value(0)}, {2, value(2)}}, "is lost"},
		{"duplicated", []rec{{0, value(0)}, {1, value(1)}, {2, value(1)}}, "and again"},
		{"reordered", []rec{{0, value(0)}, {1, value(2)}, {2, value(1)}}, "after sequence"},
		{"at another offset", []rec{{0, value(0)}, {5, value(1)}}, "was acknowledged at offset 1"},
		{"damaged", []rec{{0, value(0)}, {1, damaged}}, "damaged"},
		{"invented", []rec{{0, value(0)}, {1, value(1)}, {2, value(77)}}, "never sent"},
		{"of another partition", []rec{{0, value(0)}, {1, encode(3, 1, 64, noise)}}, "sent to partition 3"},
		{"at the wrong place and at the right one", []rec{{0, value(0)}, {5, value(1)}, {1, value(1)}}, "and again"},
		{"offsets go back", []rec{{0, value(0)}, {1, value(1)}, {1, value(2)}}, "offset 1 after offset 1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ledger := &partitionLedger{next: 3, acked: map[int64]int64{0: 0, 1: 1}}
			var report Report
			r := newReader(0, ledger, &report)
			for _, x := range tc.recs {
				r.record(x.offset, x.value)
			}
			r.end()
			all := strings.Join(report.Violations, "\n")
			if (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
				t.Fatalf("violations %q, want one with %q", all, tc.want)
			}
		})
	}
}

// TestDuplicates: where they are allowed, a record may be there twice, as long as one of the two is where it was acknowledged.
func TestDuplicates(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	for _, tc := range []struct {
		acked int64 // offset of sequence 1
		want  string
	}{{1, ""}, {2, ""}, {4, "was acknowledged at offset 4"}} {
		ledger := NewLedger(1)
		ledger.AllowDuplicates()
		ledger.parts[0].next, ledger.parts[0].acked = 3, map[int64]int64{0: 0, 1: tc.acked}
		var report Report
		r := newReader(0, &ledger.parts[0], &report)
		for offset, sequence := range []int64{0, 1, 1, 2} {
			r.record(int64(offset), encode(0, sequence, 64, noise))
		}
		r.end()
		if all := strings.Join(report.Violations, "\n"); report.Duplicates != 1 || (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
			t.Errorf("acknowledged at %d: %d duplicates, violations %q, want one with %q", tc.acked, report.Duplicates, all, tc.want)
		}
	}
}

// TestGaps: a gap counts for its partition, also while it lasts.
func TestGaps(t *testing.T) {
	g := NewGaps(2)
	now := time.Now()
	g.begin(now.Add(-10 * time.Second))
	g.acknowledged(0, now.Add(-4*time.Second))
	g.acknowledged(0, now)
	g.acknowledged(1, now.Add(-time.Hour+10*time.Second))
	if got := g.Longest(); got[0] != 6*time.Second || got[1] < time.Hour-10*time.Second {
		t.Errorf("longest %v", got)
	}
	if got := g.Without(now); len(got) != 1 || got[0] != 1 {
		t.Errorf("without: %v", got)
	}
	g.Reset()
	if got := g.Longest(); got[0] > time.Minute || got[1] < 59*time.Minute {
		t.Errorf("after Reset %v", got)
	}
}

// TestTailFindsWhatIsPlanted: what a consumer was served is compared with the log.
func TestTailFindsWhatIsPlanted(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	for _, tc := range []struct {
		name   string
		served []int64 // offsets
		seqs   []int64
		want   string
	}{
		{"all is well", []int64{0, 1, 2}, []int64{0, 1, 2}, ""},
		{"left out", []int64{0, 2}, []int64{0, 2}, "offset 2 follows offset 0"},
		{"again", []int64{0, 1, 1, 2}, []int64{0, 1, 1, 2}, "offset 1 follows offset 1"},
		{"not in the log", []int64{0, 1, 2}, []int64{0, 5, 2}, "was served sequence 5, the log holds 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tail := &Tail{}
			tail.mu.parts = make([]tailPartition, 1)
			for i, offset := range tc.served {
				tail.record(&kgo.Record{Offset: offset, Value: encode(0, tc.seqs[i], 64, noise)})
			}
			var report Report
			r := newReader(0, &partitionLedger{}, &report)
			r.at = map[int64]int64{0: 0, 1: 1, 2: 2}
			if err := tail.compare(t.Context(), []int64{3}, []*reader{r}, &report); err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(report.Violations, "\n"); (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
				t.Errorf("violations %q, want one with %q", all, tc.want)
			}
		})
	}
}
