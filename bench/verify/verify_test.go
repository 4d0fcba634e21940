package verify

import (
	"math/rand/v2"
	"strings"
	"testing"
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
