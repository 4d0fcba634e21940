package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Group is a consumer group that follows a topic while records are produced to it, and whose members commit what they have consumed. It finds records that none of
// them was served, and committed offsets that go back. That a record is consumed again after a fault is allowed: commits are what the group goes on from.
type Group struct {
	seeds       []string
	name, topic string
	members     []*kgo.Client
	watcher     *kgo.Client
	gaps        *Gaps
	cancel      context.CancelFunc
	done        sync.WaitGroup

	mu struct {
		sync.Mutex
		seen      []map[int64]struct{} // sequences, by partition
		committed []int64              // the highest that the group was told, by partition
		consumed  int64                // records, those that came again included
		faults    []string             // violations, the first ones
	}
}

const (
	// commitTimeout bounds a commit: while it lasts the member takes part in no rebalance. What was not committed is consumed again.
	commitTimeout = 2 * time.Second
	// watchInterval is how often the committed offsets are read.
	watchInterval = 20 * time.Millisecond
)

// StartGroup starts a group of so many members on a topic of n partitions. Its goroutines end with Close.
func StartGroup(seeds []string, topic, name string, n, members int, opts ...kgo.Opt) (*Group, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Group{seeds: seeds, name: name, topic: topic, gaps: NewGaps(n), cancel: cancel}
	g.mu.seen, g.mu.committed = make([]map[int64]struct{}, n), make([]int64, n)
	for p := range g.mu.seen {
		g.mu.seen[p] = map[int64]struct{}{}
	}
	common := append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.AlwaysRetryEOF()}, opts...) // a broker that ends while it starts closes connections that it has not answered yet
	member := append([]kgo.Opt{kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.HeartbeatInterval(300 * time.Millisecond), kgo.SessionTimeout(6 * time.Second), kgo.RebalanceTimeout(10 * time.Second)}, common...)
	for i := range members + 1 {
		o := common
		if i > 0 {
			o = member
		}
		cl, err := kgo.NewClient(o...)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("verify: %w", err)
		}
		if i == 0 {
			g.watcher = cl
		} else {
			g.members = append(g.members, cl)
		}
	}
	g.gaps.begin(time.Now())
	for _, cl := range g.members {
		g.done.Go(func() { g.consume(ctx, cl) })
	}
	g.done.Go(func() { g.watch(ctx) })
	return g, nil
}

// Gaps are the times without a record on a partition: the pauses of its consumption. They mean something while records are produced all the time.
func (g *Group) Gaps() *Gaps { return g.gaps }

// Close ends the group and waits for its goroutines. Closing twice is fine.
func (g *Group) Close() {
	g.cancel()
	g.done.Wait()
	for _, cl := range append(g.members, g.watcher) {
		if cl != nil {
			cl.CloseAllowingRebalance()
		}
	}
}

func (g *Group) fault(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mu.faults) < maxViolations {
		g.mu.faults = append(g.mu.faults, fmt.Sprintf("group %s: "+format, append([]any{g.name}, args...)...))
	}
}

// consume is a member: what it is served, it notes and then commits.
func (g *Group) consume(ctx context.Context, cl *kgo.Client) {
	for {
		fetches := cl.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, p int32, err error) {
			var session *kgo.ErrGroupSession
			if !errors.As(err, &session) { // the member has lost its place, and joins again
				g.fault("partition %d: %v", p, err)
			}
		})
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) { g.served(r, now) })
		commit, cancel := context.WithTimeout(ctx, commitTimeout)
		_ = cl.CommitUncommittedOffsets(commit) // again with the next, or consumed again by whoever has the partition then
		cancel()
		cl.AllowRebalance()
	}
}

// served notes a record.
func (g *Group) served(r *kgo.Record, now time.Time) {
	partition, sequence, err := decode(r.Value)
	if err != nil || partition != r.Partition {
		g.fault("partition %d offset %d: record of partition %d: %v", r.Partition, r.Offset, partition, err)
		return
	}
	g.mu.Lock()
	g.mu.seen[partition][sequence] = struct{}{}
	g.mu.consumed++
	g.mu.Unlock()
	g.gaps.acknowledged(partition, now)
}

// watch reads the committed offsets again and again.
func (g *Group) watch(ctx context.Context) {
	adm := kadm.NewClient(g.watcher)
	for tick := time.NewTicker(watchInterval); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		offsets, err := g.committed(ctx, adm)
		if err != nil {
			continue // the coordinator is away
		}
		g.told(offsets)
	}
}

// told notes what the group was told of its committed offsets.
func (g *Group) told(offsets []int64) {
	for p, o := range offsets {
		g.mu.Lock()
		before := g.mu.committed[p]
		g.mu.committed[p] = max(before, o)
		g.mu.Unlock()
		if o < before {
			g.fault("partition %d: the committed offset went back from %d to %d", p, before, o)
		}
	}
}

// committed asks for the committed offset of each partition, 0 where there is none.
func (g *Group) committed(ctx context.Context, adm *kadm.Client) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	resp, err := adm.FetchOffsets(ctx, g.name)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		return nil, err
	}
	found := make([]int64, len(g.mu.committed))
	resp.Each(func(o kadm.OffsetResponse) {
		if o.Topic == g.topic {
			found[o.Partition] = max(o.At, 0)
		}
	})
	return found, nil
}

// GroupReport is what a group has done.
type GroupReport struct {
	Consumed   int64 // records, those that came again included
	Again      int64 // records that came again
	Violations []string
}

// Check waits until everything that the ledger has as acknowledged was consumed, and everything consumed is committed; then it ends the group. The producer must
// have ended. An error says what the context's end has left missing.
func (g *Group) Check(ctx context.Context, ledger *Ledger) (*GroupReport, error) {
	defer g.Close()
	ends, err := endOffsets(ctx, []kgo.Opt{kgo.SeedBrokers(g.seeds...)}, g.topic, ledger.Partitions())
	if err != nil {
		return nil, err
	}
	for {
		missing := g.missing(ledger, ends)
		if missing == "" {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("verify: group %s: %s: %w", g.name, missing, ctx.Err())
		case <-time.After(watchInterval):
		}
	}
	g.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	report := &GroupReport{Consumed: g.mu.consumed, Violations: g.mu.faults}
	report.Again = report.Consumed
	for _, seen := range g.mu.seen {
		report.Again -= int64(len(seen))
	}
	return report, nil
}

// missing says what was not consumed, or not committed; "" for nothing.
func (g *Group) missing(ledger *Ledger, ends []int64) string {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range ledger.parts {
		for sequence, offset := range ledger.parts[p].acked {
			if _, ok := g.mu.seen[p][sequence]; !ok {
				return fmt.Sprintf("partition %d: the record at offset %d was not consumed", p, offset)
			}
		}
		if g.mu.committed[p] != ends[p] {
			return fmt.Sprintf("partition %d: committed up to %d of %d", p, g.mu.committed[p], ends[p])
		}
	}
	return ""
}
