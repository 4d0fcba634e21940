package txn

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Description is one transactional id as it is now.
type Description struct {
	ID            string
	State         State
	ProducerID    int64
	ProducerEpoch int16
	TimeoutMillis int32
	StartMillis   int64            // of the open transaction, -1: there is none
	Partitions    []TopicPartition // sorted, not to be changed
}

func (t *transaction) describe() Description {
	return Description{t.id, t.state, t.producerID, t.epoch, t.timeoutMillis, t.startMillis, t.partitions}
}

// Describe describes one id. TRANSACTIONAL_ID_NOT_FOUND: nobody uses it.
func (c *Coordinator) Describe(id string) (d Description, code kproto.ErrorCode) {
	s, code := c.shardOf(id)
	if code != kproto.None {
		return d, code
	}
	code = s.serve(func() (kproto.ErrorCode, func()) {
		t := s.ids[id]
		if t == nil || t.epoch < 0 {
			return kproto.TransactionalIDNotFound, nil
		}
		d = t.describe()
		return kproto.None, nil
	})
	return d, code
}

// List describes the ids that this broker coordinates and keep accepts, by id. COORDINATOR_LOAD_IN_PROGRESS: a partition is being loaded.
func (c *Coordinator) List(keep func(d Description, age time.Duration) bool) (out []Description, code kproto.ErrorCode) {
	c.shards.Each(func(s *shard) {
		got := s.serve(func() (kproto.ErrorCode, func()) {
			for _, t := range s.ids {
				age := time.Duration(s.now()-t.startMillis) * time.Millisecond
				if t.startMillis < 0 {
					age = 0
				}
				if d := t.describe(); t.epoch >= 0 && keep(d, age) {
					out = append(out, d)
				}
			}
			return kproto.None, nil
		})
		if got == kproto.CoordinatorLoadInProgress {
			code = got
		}
	})
	if code != kproto.None {
		return nil, code
	}
	slices.SortFunc(out, func(a, b Description) int { return cmp.Compare(a.ID, b.ID) })
	return out, kproto.None
}
