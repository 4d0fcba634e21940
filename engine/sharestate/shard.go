package sharestate

import (
	"errors"
	"math"
	"sync"

	"github.com/ringmq/ringmq/engine/kproto"
)

// shard is the states of one partition of __share_group_state, for one term of leadership.
type shard struct {
	opts      *Options
	partition int32
	epoch     int32 // leader epoch
	log       Log

	mu      sync.Mutex // guards everything below, and the slots
	serving bool
	closed  bool
	slots   map[Key]*slot
}

// slot is the place of a state.
type slot struct {
	state
	exists     bool  // false while the first record is on its way
	updates    int   // since the snapshot
	snapshotAt int64 // offset of the snapshot; MaxInt64: there is none
	// writing is closed when the record that is on its way has its outcome; nil when there is none.
	writing chan struct{}
}

// record is what a turn writes.
type record struct {
	kind  int16
	state *state // of a snapshot: all of it, of an update: what changes. nil: the state is removed
}

func newShard(opts *Options, partition, epoch int32, log Log) *shard {
	return &shard{opts: opts, partition: partition, epoch: epoch, log: log, slots: make(map[Key]*slot)}
}

func (s *shard) load(replay Replay) error {
	slots := make(map[Key]*slot)
	broken := 0
	var first error
	err := replay(func(offset int64, key, value []byte) error {
		if s.ended() {
			return ErrNotCoordinator
		}
		k, kind, known, err := decodeKey(key)
		if err == nil && known {
			var st *state
			if value != nil {
				st, err = decodeValue(kind, value)
			}
			if err == nil {
				apply(slots, k, record{kind, st}, offset)
			}
		}
		if err != nil {
			if broken++; first == nil {
				first = err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if broken > 0 {
		s.opts.Logger.Error("share group state: unreadable records left out", "partition", s.partition, "records", broken, "first", first)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrNotCoordinator
	}
	s.slots, s.serving = slots, true
	if len(slots) > 0 {
		s.opts.Logger.Info("share group state: partition loaded", "partition", s.partition, "epoch", s.epoch, "states", len(slots))
	}
	return nil
}

func (s *shard) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// apply makes the slots what a record says.
func apply(slots map[Key]*slot, k Key, r record, offset int64) {
	at := slots[k]
	switch {
	case r.state == nil:
		delete(slots, k)
		return
	case at == nil:
		at = &slot{snapshotAt: math.MaxInt64}
		slots[k] = at
	}
	if r.kind == kindSnapshot {
		at.state, at.updates, at.snapshotAt = *r.state, 0, offset
	} else {
		at.state = at.merged(r.state)
		at.updates++
		if at.snapshotAt == math.MaxInt64 { // a log that lost its snapshot
			at.snapshotAt = offset
		}
	}
	at.exists = true
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed, s.serving = true, false
	s.mu.Unlock()
}

// update makes a change of one state: plan decides, under the lock, on the state as it is (nil: there is none), and returns the record to write, or nil.
// update returns when that is durable, or has failed.
func (s *shard) update(k Key, plan func(at *state, updates int) (*record, *Error)) *Error {
	for {
		s.mu.Lock()
		if !s.serving {
			defer s.mu.Unlock()
			if s.closed {
				return refuse(kproto.NotCoordinator, "")
			}
			return refuse(kproto.CoordinatorLoadInProgress, "")
		}
		at := s.slots[k]
		if at == nil || at.writing == nil {
			return s.write(k, at, plan)
		}
		wait := at.writing
		s.mu.Unlock()
		<-wait
	}
}

// write is update when nothing is on its way. It is called with the lock, and releases it.
func (s *shard) write(k Key, at *slot, plan func(at *state, updates int) (*record, *Error)) *Error {
	var r *record
	var err *Error
	if at == nil {
		r, err = plan(nil, 0)
	} else {
		r, err = plan(&at.state, at.updates)
	}
	if err != nil || r == nil {
		s.mu.Unlock()
		return err
	}
	if at == nil {
		at = &slot{snapshotAt: math.MaxInt64}
		s.slots[k] = at
	}
	done := make(chan struct{})
	at.writing = done
	s.mu.Unlock()

	var value []byte
	switch {
	case r.state == nil:
	case r.kind == kindSnapshot:
		value = appendSnapshot(nil, r.state)
	default:
		value = appendUpdate(nil, r.state)
	}
	outcome := make(chan error, 1)
	offset := s.log.Append(appendKey(nil, r.kind, k), value, s.opts.Now().UnixMilli(), func(err error) { outcome <- err })
	failed := <-outcome

	s.mu.Lock()
	defer s.mu.Unlock()
	at.writing = nil
	close(done)
	switch {
	case s.closed || errors.Is(failed, ErrNotCoordinator):
		return refuse(kproto.NotCoordinator, "")
	case failed != nil:
		if !at.exists {
			delete(s.slots, k)
		}
		return refuse(kproto.CoordinatorNotAvailable, failed.Error())
	}
	apply(s.slots, k, *r, offset)
	return nil
}

// view calls fn with a state that is durable, nil if there is none.
func (s *shard) view(k Key, fn func(at *state)) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch at := s.slots[k]; {
	case s.closed:
		return refuse(kproto.NotCoordinator, "")
	case !s.serving:
		return refuse(kproto.CoordinatorLoadInProgress, "")
	case at == nil || !at.exists:
		fn(nil)
	default:
		fn(&at.state)
	}
	return nil
}
