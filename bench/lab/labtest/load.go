package labtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/verify"
)

// LoadOptions says what is produced and consumed.
type LoadOptions struct {
	Topic       string // is created; default "load"
	Partitions  int    // default 12
	Rate        int    // records a second, over all partitions; default 50 for each partition
	RecordBytes int    // default 256
	// NotIdempotent has the producer send without sequence numbers: a record may then be there twice.
	NotIdempotent bool
}

// Load is a producer and a consumer of a topic, both accounted for.
type Load struct {
	Topic  string
	c      *Cluster
	ledger *verify.Ledger
	gaps   *verify.Gaps
	tail   *verify.Tail
	cancel context.CancelFunc
	result chan error
	over   bool
}

// clientOptions have clients give up on an answer soon and try again, so that what is measured is the cluster, not their patience.
func clientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.DialTimeout(time.Second), kgo.ProduceRequestTimeout(2 * time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.RetryTimeout(5 * time.Minute),
		kgo.MaxBufferedRecords(1 << 20), kgo.MetadataMaxAge(5 * time.Second),
		kgo.AlwaysRetryEOF(), // a broker that ends while it starts closes connections that it has not answered yet
	}
}

// StartLoad creates the topic, starts the load and waits until every partition has had an acknowledgement. It runs until Check or the end of
// the test.
func (c *Cluster) StartLoad(o LoadOptions) *Load {
	c.T.Helper()
	o.Topic, o.Partitions, o.RecordBytes = cmp.Or(o.Topic, "load"), cmp.Or(o.Partitions, 12), cmp.Or(o.RecordBytes, 256)
	o.Rate = cmp.Or(o.Rate, 50*o.Partitions)
	if err := verify.CreateTopic(c.T.Context(), c.Seeds(), o.Topic, o.Partitions, nil); err != nil {
		c.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.T.Context())
	l := &Load{Topic: o.Topic, c: c, ledger: verify.NewLedger(o.Partitions), gaps: verify.NewGaps(o.Partitions), cancel: cancel, result: make(chan error, 1)}
	opts := clientOptions()
	if o.NotIdempotent {
		l.ledger.AllowDuplicates()
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	var err error
	if l.tail, err = verify.StartTail(c.Seeds(), o.Topic, o.Partitions, kgo.DialTimeout(time.Second), kgo.RequestTimeoutOverhead(2*time.Second)); err != nil {
		c.T.Fatal(err)
	}
	go func() {
		l.result <- verify.Produce(ctx, verify.Load{
			Seeds: c.Seeds(), Topic: o.Topic, RecordBytes: o.RecordBytes, Rate: o.Rate, Options: opts, Gaps: l.gaps,
		}, l.ledger, time.Minute, nil)
	}()
	c.loads = append(c.loads, l)
	l.awaitAll(time.Minute, time.Now())
	return l
}

// Ledger has what was sent and acknowledged.
func (l *Load) Ledger() *verify.Ledger { return l.ledger }

// Alive fails the test when a producer has ended.
func (c *Cluster) Alive() {
	c.T.Helper()
	for _, l := range c.loads {
		select {
		case err := <-l.result:
			l.over = true
			c.T.Fatalf("the producer of %s ended: %v", l.Topic, err)
		default:
		}
	}
}

// awaitAll waits until every partition has had an acknowledgement after a time.
func (l *Load) awaitAll(limit time.Duration, after time.Time) {
	l.c.T.Helper()
	l.c.Await(limit, fmt.Sprintf("acknowledgement on every partition of %s", l.Topic), func() error {
		if left := l.gaps.Without(after); len(left) > 0 {
			return fmt.Errorf("none on %v", left)
		}
		return nil
	})
}

// Gaps are the longest times without an acknowledgement that producers saw during an event.
type Gaps struct {
	Event string
	// ByPartition is by topic and partition.
	ByPartition map[string][]time.Duration
}

// Longest is the longest gap of all partitions for which the filter says true; nil means all.
func (g Gaps) Longest(filter func(topic string, partition int) bool) (longest time.Duration) {
	for topic, parts := range g.ByPartition {
		for p, gap := range parts {
			if filter == nil || filter(topic, p) {
				longest = max(longest, gap)
			}
		}
	}
	return longest
}

// recovery bounds how long a cluster may take after an event until every partition is acknowledged again.
const recovery = 2 * time.Minute

// Event does something to the cluster while the loads run, waits until every partition of every load is acknowledged again, and returns
// the gaps.
func (c *Cluster) Event(name string, do func()) Gaps {
	c.T.Helper()
	for _, l := range c.loads {
		l.gaps.Reset()
	}
	do()
	done := time.Now()
	g := Gaps{Event: name, ByPartition: map[string][]time.Duration{}}
	for _, l := range c.loads {
		if !l.over {
			l.awaitAll(recovery, done)
			g.ByPartition[l.Topic] = l.gaps.Longest()
		}
	}
	return g
}

// Run lets the loads run.
func (c *Cluster) Run(d time.Duration) {
	c.T.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(min(20*time.Millisecond, time.Until(end))) {
		c.Alive()
	}
}

// Check ends the load and reads everything back: every acknowledged record at its offset, once, in order, and the consumer was served what the
// log holds.
func (l *Load) Check() *verify.Report {
	t := l.c.T
	t.Helper()
	l.cancel()
	l.over = true
	if err := <-l.result; err != nil {
		t.Fatalf("the producer of %s: %v", l.Topic, err)
	}
	sent, acked := l.ledger.Counts()
	if sent != acked {
		t.Errorf("%s: %d records sent, %d acknowledged in the end", l.Topic, sent, acked)
	}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	r, err := verify.Check(ctx, l.c.Seeds(), l.Topic, l.ledger, l.tail)
	if err != nil {
		t.Fatalf("read %s back: %v", l.Topic, err)
	}
	if err := r.Err(); err != nil {
		t.Errorf("%s: %v\n%s", l.Topic, err, strings.Join(r.Violations, "\n"))
	}
	Note(l.c, map[string]any{"topic": l.Topic, "acked": acked, "read": r.Records, "duplicates": r.Duplicates})
	return r
}

// abandon ends what is left of the load.
func (l *Load) abandon() {
	l.cancel()
	if !l.over {
		l.over = true
		<-l.result
	}
	l.tail.Close()
}

// Note logs what was measured, as one line of JSON.
func Note(c *Cluster, values map[string]any) {
	c.T.Helper()
	b, err := json.Marshal(values)
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Logf("measured %s", b)
}
