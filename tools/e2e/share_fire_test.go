package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	sharePartitions = 2
	shareWorkers    = 3
	shareBatch      = 10 // records of a batch
	shareBatches    = 12 // batches of a partition before something happens
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
	confirmed map[shareRecord]bool // with an answer that says so
	settled   map[shareRecord]bool // of rounds before
	wrong     []string
}

// unsettled counts the records of this round that a consumer has accepted, and those that none has.
func (l *shareLedger) unsettled() (accepted, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted) - len(l.settled), len(l.sent) - len(l.accepted)
}

// deliver notes what a consumer got. What was settled before it began must not be among it.
func (l *shareLedger) deliver(who string, r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := (shareRecord{r.Partition, r.Offset}); l.settled[at] {
		l.wrong = append(l.wrong, fmt.Sprintf("%s got %d-%d for the time %d, after it was acknowledged", who, r.Partition, r.Offset, r.DeliveryCount()))
	}
}

// accept notes that a consumer is about to acknowledge a record.
func (l *shareLedger) accept(r shareRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[r] = true
}

// shareWorker is a consumer of franz-go.
type shareWorker struct {
	name   string
	cl     *kgo.Client
	mu     sync.Mutex
	asked  map[int32]int // answers to acknowledgements since the last flush, by partition
	failed map[int32]error
	ended  chan struct{}
}

func (s *shareCluster) worker(name string) *shareWorker {
	w := &shareWorker{name: name, ended: make(chan struct{})}
	w.cl = s.client(s.seeds(), kgo.ShareGroup(shareName), kgo.ConsumeTopics(shareTopic), kgo.ShareMaxRecords(2*shareBatch), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, r := range results {
				if w.asked[r.Partition]++; r.Err != nil {
					w.failed[r.Partition] = r.Err
				}
			}
		}))
	return w
}

// work reads and acknowledges until ctx ends. Every third record is let go when it is there for the first time. An acknowledgement is confirmed when the flush that it was
// part of has an answer for its partition, and none that is an error.
func (w *shareWorker) work(ctx context.Context, l *shareLedger) {
	defer close(w.ended)
	for ctx.Err() == nil {
		fetches := w.cl.PollFetches(ctx)
		w.mu.Lock()
		w.asked, w.failed = make(map[int32]int), make(map[int32]error)
		w.mu.Unlock()
		var accepted []shareRecord
		fetches.EachRecord(func(r *kgo.Record) {
			l.deliver(w.name, r)
			if r.Offset%3 == 0 && r.DeliveryCount() == 1 {
				r.Ack(kgo.AckRelease)
				return
			}
			at := shareRecord{r.Partition, r.Offset}
			accepted = append(accepted, at)
			l.accept(at)
			r.Ack(kgo.AckAccept)
		})
		flush, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := w.cl.FlushAcks(flush)
		cancel()
		w.mu.Lock()
		l.mu.Lock()
		for _, r := range accepted {
			if err == nil && w.asked[r.partition] > 0 && w.failed[r.partition] == nil {
				l.confirmed[r] = true
			}
		}
		l.mu.Unlock()
		w.mu.Unlock()
	}
}

// round writes records and has new consumers read them, while something happens. It returns when all are acknowledged.
func (s *shareCluster) shareRound(l *shareLedger, what string, happen func()) {
	s.Helper()
	begun := time.Now()
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var workers []*shareWorker
	for i := range shareWorkers {
		w := s.worker(fmt.Sprintf("%s, consumer %d", what, i))
		workers = append(workers, w)
		go w.work(ctx, l)
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
	for _, w := range workers {
		<-w.ended
		w.cl.Close()
	}
	if len(l.wrong) > 0 {
		s.Fatalf("%d records came again:\n%v", len(l.wrong), l.wrong)
	}
	l.settled = maps.Clone(l.sent)
	s.Logf("%s: %d records, %d acknowledgements without a good answer so far; after %s", what, len(l.sent), len(l.accepted)-len(l.confirmed), time.Since(begun).Round(time.Millisecond))
}

// shareProduce writes some batches.
func (s *shareCluster) shareProduce(ctx context.Context, l *shareLedger) error {
	for range shareBatches {
		for p := range int32(sharePartitions) {
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

// TestShareFire: consumers of franz-go read while partitions go from broker to broker and brokers are killed. Every record is acknowledged in the end, and none whose
// acknowledgement was confirmed comes to a consumer that began later.
func TestShareFire(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: a cluster under load, which takes ten seconds")
	}
	s := startShareCluster(t, sharePartitions, 10*time.Second)
	l := &shareLedger{sent: make(map[shareRecord]bool), accepted: make(map[shareRecord]bool), confirmed: make(map[shareRecord]bool)}
	s.shareRound(l, "nothing happens", func() {})
	rounds := 1
	if os.Getenv("RINGMQ_SOAK") != "" {
		rounds = 20
	}
	for range rounds {
		for _, topic := range []string{shareTopic, stateTopic, "__consumer_offsets"} {
			s.shareRound(l, topic+" moves", func() {
				for _, to := range []int32{2, 1, 2} {
					s.move(topic, to)
				}
			})
		}
		s.shareRound(l, "everything moves", func() {
			for _, to := range []int32{1, 2} {
				for _, topic := range []string{stateTopic, shareTopic, "__consumer_offsets"} {
					s.move(topic, to)
				}
			}
		})
		for _, node := range []int{2, 1} {
			s.shareRound(l, fmt.Sprint("node ", node, " is killed"), func() { s.again(node) })
			s.move(shareTopic, 1)
			s.move(stateTopic, 1)
		}
	}
	s.shareRound(l, "in the end", func() {})
}
