package verify

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGroupNotices: a record that nobody was served, an offset that is not committed, one that went back, and a record that is damaged or of another partition.
func TestGroupNotices(t *testing.T) {
	g := &Group{name: "g", gaps: NewGaps(2)}
	g.mu.seen, g.mu.committed = []map[int64]struct{}{{}, {}}, make([]int64, 2)
	ledger, noise := NewLedger(2), rand.New(rand.NewPCG(1, 1))
	for p := range int32(2) {
		ledger.acknowledge(p, ledger.take(p), 0)
	}
	record := func(p int32) *kgo.Record { return &kgo.Record{Partition: p, Value: encode(p, 0, 50, noise)} }
	ends := []int64{1, 1}
	wants := func(want string) {
		t.Helper()
		if got := g.missing(ledger, ends); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("missing %q, want %q", got, want)
		}
	}
	g.served(record(0), time.Now())
	g.told([]int64{1, 0})
	wants("partition 1: the record at offset 0 was not consumed")
	g.served(record(1), time.Now())
	wants("partition 1: committed up to 0 of 1")
	g.told([]int64{1, 1})
	wants("")
	if len(g.mu.faults) != 0 {
		t.Fatalf("%q", g.mu.faults)
	}
	g.told([]int64{0, 1})
	damaged := record(0)
	damaged.Value[30]++
	g.served(damaged, time.Now())
	moved := record(0)
	moved.Partition = 1
	g.served(moved, time.Now())
	if all := strings.Join(g.mu.faults, "\n"); len(g.mu.faults) != 3 || !strings.Contains(all, "partition 0: the committed offset went back from 1 to 0") {
		t.Errorf("%s", all)
	}
}
