package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	shareWorkers = 3
	shareBatch   = 10 // records of a batch
	shareBatches = 12 // batches of a partition before something happens
)

// shareRecord names a record.
type shareRecord struct {
	partition int32
	offset    int64
}

// shareLedger is what is known of the records.
type shareLedger struct {
	mu        sync.Mutex
	sent      map[shareRecord]bool
	accepted  map[shareRecord]bool // at least once, with whatever answer
	confirmed map[shareRecord]int  // with an answer that says so; how many answers there were then
	answers   int
	settled   map[shareRecord]bool // of rounds before
	wrong     []string
}

func newShareLedger() *shareLedger {
	return &shareLedger{sent: make(map[shareRecord]bool), accepted: make(map[shareRecord]bool), confirmed: make(map[shareRecord]int)}
}

// asks returns what who is about to ask has to give to deliver: what is confirmed by now must not come.
func (l *shareLedger) asks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers
}

// confirm notes an answer.
func (l *shareLedger) confirm(list []shareRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers++
	for _, r := range list {
		if l.confirmed[r] == 0 {
			l.confirmed[r] = l.answers
		}
	}
}

// unsettled counts the records of this round that a consumer has accepted, and those that none has.
func (l *shareLedger) unsettled() (accepted, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted) - len(l.settled), len(l.sent) - len(l.accepted)
}

// deliver notes what a consumer got. Nothing that was settled before it began, or confirmed when it asked, may be among it. asked is 0 when that is not known.
func (l *shareLedger) deliver(who string, r shareRecord, deliveries, asked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.confirmed[r]; l.settled[r] || at > 0 && at <= asked {
		l.wrong = append(l.wrong, fmt.Sprintf("%s got %d-%d for the time %d, after it was acknowledged", who, r.partition, r.offset, deliveries))
	}
}

// accept notes that a consumer is about to acknowledge a record.
func (l *shareLedger) accept(r shareRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[r] = true
}

// shareConsumer reads and acknowledges until ctx ends.
type shareConsumer func(ctx context.Context, l *shareLedger)

// release says that a consumer lets a record go: every third, when it is there for the first time.
func release(r shareRecord, deliveries int) bool { return r.offset%3 == 0 && deliveries == 1 }

// byFranz is a consumer of franz-go. An acknowledgement is confirmed when the flush that it was part of has an answer for its partition, and none that is an error.
func (s *shareCluster) byFranz(name string) shareConsumer {
	var mu sync.Mutex
	var asked map[int32]int // answers to acknowledgements since the last flush, by partition
	var failed map[int32]bool
	cl := s.client(s.seeds(), kgo.ShareGroup(shareName), kgo.ConsumeTopics(shareTopic), kgo.ShareMaxRecords(2*shareBatch), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range results {
				asked[r.Partition]++
				failed[r.Partition] = failed[r.Partition] || r.Err != nil
			}
		}))
	return func(ctx context.Context, l *shareLedger) {
		defer cl.Close()
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			mu.Lock()
			asked, failed = make(map[int32]int), make(map[int32]bool)
			mu.Unlock()
			accepted := make(map[int32][]shareRecord)
			fetches.EachRecord(func(r *kgo.Record) {
				at := shareRecord{r.Partition, r.Offset}
				l.deliver(name, at, int(r.DeliveryCount()), 0) // the client may have it for long
				if release(at, int(r.DeliveryCount())) {
					r.Ack(kgo.AckRelease)
					return
				}
				accepted[at.partition] = append(accepted[at.partition], at)
				l.accept(at)
				r.Ack(kgo.AckAccept)
			})
			flush, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := cl.FlushAcks(flush)
			cancel()
			mu.Lock()
			for p, list := range accepted {
				if err == nil && asked[p] > 0 && !failed[p] {
					l.confirm(list)
				}
			}
			mu.Unlock()
		}
	}
}

// work is a consumer by hand of partition 0. It asks both brokers in turn.
func (m *shareHand) work(ctx context.Context, l *shareLedger) {
	for broker := int32(1); ctx.Err() == nil; broker = 3 - broker {
		asked := l.asks()
		got, err := m.tryFetch(broker)
		if err != nil {
			continue // it does not lead the partition, or is not there
		}
		for _, a := range got {
			var list []shareRecord
			for offset := a.FirstOffset; offset <= a.LastOffset; offset++ {
				list = append(list, shareRecord{0, offset})
				l.deliver(m.id, shareRecord{0, offset}, int(a.DeliveryCount), asked)
			}
			if release(list[0], int(a.DeliveryCount)) {
				_ = m.acknowledge(broker, a.FirstOffset, a.LastOffset, shareRelease)
				continue
			}
			for _, r := range list {
				l.accept(r)
			}
			if m.acknowledge(broker, a.FirstOffset, a.LastOffset, shareAccept) == nil {
				l.confirm(list)
			}
		}
	}
}

// shareRound writes records and has consumers read them, while something happens. It returns when all are acknowledged.
func (s *shareCluster) shareRound(l *shareLedger, what string, consumers []shareConsumer, happen func()) {
	s.Helper()
	begun := time.Now()
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var work sync.WaitGroup
	for _, c := range consumers {
		work.Go(func() { c(ctx, l) })
	}
	s.must(nil, s.shareProduce(ctx, l))
	waittest.Until(s, time.Minute, what+": records are acknowledged", func() bool {
		accepted, _ := l.unsettled()
		return accepted > shareBatch
	})
	produced, happened := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			err := s.shareProduce(ctx, l)
			select {
			case <-happened:
			default:
				if err == nil {
					continue
				}
			}
			produced <- err
			return
		}
	}()
	happen()
	close(happened)
	s.must(nil, <-produced)
	waittest.UntilNil(s, 2*time.Minute, what+": all is acknowledged", func() error {
		lag, err := s.lag()
		_, left := l.unsettled() // later: what is done was accepted before
		s.nothingWrong(l)
		switch {
		case err != nil:
			return err
		case lag == 0 && left > 0:
			s.Fatalf("%s: the group has done with everything, but %d records were not acknowledged", what, left)
		case lag > 0 || left > 0:
			return fmt.Errorf("the group is %d behind, %d records were not acknowledged", lag, left)
		}
		return nil
	})
	stop()
	work.Wait()
	s.nothingWrong(l)
	l.settled = maps.Clone(l.sent)
	s.Logf("%s: %d records, %d acknowledgements without a good answer so far; after %s", what, len(l.sent), len(l.accepted)-len(l.confirmed), time.Since(begun).Round(time.Millisecond))
}

func (s *shareCluster) nothingWrong(l *shareLedger) {
	s.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		s.Fatalf("%d records came again:\n%s", len(l.wrong), strings.Join(l.wrong[:min(len(l.wrong), 10)], "\n"))
	}
}

// shareProduce writes some batches.
func (s *shareCluster) shareProduce(ctx context.Context, l *shareLedger) error {
	for range shareBatches {
		for p := range s.partitions {
			var list []*kgo.Record
			for range shareBatch {
				list = append(list, &kgo.Record{Partition: p, Value: []byte("x")})
			}
			results := s.cl.ProduceSync(ctx, list...)
			if err := results.FirstErr(); err != nil {
				return err
			}
			l.mu.Lock()
			for _, r := range results {
				l.sent[shareRecord{p, r.Record.Offset}] = true
			}
			l.mu.Unlock()
		}
	}
	return nil
}

// shareFire moves partitions and kills brokers while consumers read. consumers makes those of a round.
func (s *shareCluster) shareFire(consumers func(what string) []shareConsumer) {
	s.Helper()
	l := newShareLedger()
	round := func(what string, happen func()) {
		s.Helper()
		s.shareRound(l, what, consumers(what), happen)
	}
	round("nothing happens", func() {})
	rounds := 1
	if os.Getenv("RINGMQ_SOAK") != "" {
		rounds = 20
	}
	for range rounds {
		for _, topic := range []string{shareTopic, stateTopic, "__consumer_offsets"} {
			round(topic+" moves", func() {
				for _, to := range []int32{2, 1, 2} {
					s.move(topic, to)
				}
			})
		}
		round("everything moves", func() {
			for _, to := range []int32{1, 2} {
				for _, topic := range []string{stateTopic, shareTopic, "__consumer_offsets"} {
					s.move(topic, to)
				}
			}
		})
		for _, node := range []int{2, 1} {
			round(fmt.Sprint("node ", node, " is killed"), func() { s.again(node) })
			s.move(shareTopic, 1)
			s.move(stateTopic, 1)
		}
	}
	round("in the end", func() {})
}

// TestShareFire: consumers read while partitions go from broker to broker and brokers are killed. Every record is acknowledged in the end, and none whose acknowledgement
// was confirmed comes to who asks later: with franz-go, to a consumer that begins later, because what it has fetched it may have for long.
func TestShareFire(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: a cluster under load, which takes ten seconds")
	}
	t.Run("franz-go", func(t *testing.T) {
		s := startShareCluster(t, 2, 10*time.Second)
		s.shareFire(func(what string) (list []shareConsumer) {
			for i := range shareWorkers {
				list = append(list, s.byFranz(fmt.Sprintf("%s, consumer %d", what, i)))
			}
			return list
		})
	})
	t.Run("by hand", func(t *testing.T) {
		s := startShareCluster(t, 1, 10*time.Second)
		var list []shareConsumer
		for i := range shareWorkers {
			list = append(list, s.hand(fmt.Sprint("consumer ", i)).work)
		}
		s.shareFire(func(string) []shareConsumer { return list })
	})
}
