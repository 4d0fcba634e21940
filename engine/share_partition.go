package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
)

// sharePartition is a partition that this broker leads, as a share group sees it: its records (package share), what of that is on its way to the share
// coordinator, and who waits for some.
//
//	shareFetch ──► Acquire                     ┌──► Complete ──► who waited is answered
//	shareAck   ──► Acknowledge ──► to write ───┤
//	timer      ──► Expire      ──► to write ───┘    one write at a time
//
// It begins with what the coordinator knows, and ends with the partition's leadership, with the group's last session here, or when the coordinator says that
// somebody else has it.
type sharePartition struct {
	b       *Broker
	key     sharestate.Key
	part    *partition.Partition
	loaded  chan struct{} // closed when the state is read, or cannot be
	loadErr *sharestate.Error

	mu         sync.Mutex // guards everything below
	records    *share.Records
	stateEpoch int32
	fenced     bool                      // not to be used any more
	fetching   bool                      // somebody reads, to acquire what was read
	waiting    map[*shareWaiter]struct{} // who waits for records to become available
	unwritten  []share.Batch             // of changes whose write has not begun
	changes    []shareChange             // that end with the write of these
	writing    bool
	timer      *time.Timer // the next deadline
	expired    atomic.Int64
}

// shareChange waits for a write.
type shareChange struct {
	id   uint64
	done func(*sharestate.Error)
}

// shareWaiter is a fetch that waits. It implements partition.Waiter.
type shareWaiter struct{ wake chan struct{} }

func newShareWaiter() *shareWaiter { return &shareWaiter{make(chan struct{}, 1)} }

// Ready has the fetch look again.
func (w *shareWaiter) Ready() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// load reads the state. Called once, on a goroutine of its own.
func (sp *sharePartition) load() {
	defer close(sp.loaded)
	ctx, cancel := context.WithTimeout(sp.b.serving, 2*shareStateTimeout)
	defer cancel()
	w, err := sp.b.readShare(ctx, sp.key, sp.part.LeaderEpoch)
	if err == nil && w.Start == sharestate.NoStart {
		w.Start, err = sp.begin(ctx)
	}
	if err == nil {
		records, bad := share.New(w.Start, w.Batches)
		if bad != nil {
			err = &sharestate.Error{Code: kproto.UnknownServerError, Message: bad.Error()}
		}
		sp.mu.Lock()
		sp.records, sp.stateEpoch = records, w.StateEpoch
		sp.mu.Unlock()
	}
	if err != nil {
		sp.loadErr = loadError(err)
		sp.b.shares.drop(sp)
		sp.b.log.Debug("state of a share group not read", "group", sp.key.Group, "topic", sp.part.Topic, "partition", sp.key.Partition, "answer", err.Code.String(), "cause", err.Message)
	}
}

// loadError is what a client is told when the share coordinator refuses its leader.
func loadError(err *sharestate.Error) *sharestate.Error {
	switch err.Code {
	case kproto.FencedLeaderEpoch, kproto.FencedStateEpoch:
		return &sharestate.Error{Code: kproto.NotLeaderOrFollower, Message: err.Message}
	case kproto.NotCoordinator, kproto.CoordinatorLoadInProgress, kproto.NetworkException:
		return &sharestate.Error{Code: kproto.CoordinatorNotAvailable, Message: err.Message}
	case kproto.GroupIDNotFound, kproto.UnknownTopicOrPartition, kproto.CoordinatorNotAvailable:
		return err
	}
	return &sharestate.Error{Code: kproto.UnknownServerError, Message: err.Message}
}

// begin is where the group begins to read: nobody has before.
func (sp *sharePartition) begin(ctx context.Context) (int64, *sharestate.Error) {
	reset := sp.b.shareReset(sp.key.Group)
	switch {
	case reset.Earliest:
		return sp.part.LogStart(), nil
	case !reset.ByDuration:
		return sp.part.HighWatermark(), nil
	}
	found, ok, err := sp.part.FirstAtOrAfter(ctx, time.Now().Add(-reset.Back).UnixMilli())
	switch {
	case err != nil:
		return 0, &sharestate.Error{Code: kproto.KafkaStorageError, Message: err.Error()}
	case !ok:
		return sp.part.HighWatermark(), nil
	}
	return found.Offset, nil
}

// wait returns when the state is there, or says why it is not.
func (sp *sharePartition) wait(ctx context.Context) *sharestate.Error {
	select {
	case <-sp.loaded:
		return sp.loadErr
	case <-ctx.Done():
		return &sharestate.Error{Code: kproto.CoordinatorNotAvailable, Message: "The state of the share group is being read."}
	}
}

func (sp *sharePartition) limits() share.Limits { return sp.b.shareLimits(sp.key.Group) }

func nowMillis() int64 { return time.Now().UnixMilli() }

// change begins what fn changes, and calls done when that is durable or has failed; at once when there is nothing to write.
func (sp *sharePartition) change(fn func(r *share.Records) (share.Change, *share.Refusal), done func(*sharestate.Error)) {
	sp.mu.Lock()
	if sp.fenced || sp.records == nil {
		sp.mu.Unlock()
		done(&sharestate.Error{Code: kproto.NotLeaderOrFollower})
		return
	}
	c, refusal := fn(sp.records)
	switch {
	case refusal != nil:
		sp.armLocked()
		sp.mu.Unlock()
		code := kproto.InvalidRecordState
		if refusal.Malformed {
			code = kproto.InvalidRequest
		}
		done(&sharestate.Error{Code: code, Message: refusal.Message})
		return
	case c.ID == 0:
		sp.armLocked() // locks may have been renewed
		sp.mu.Unlock()
		done(nil)
		return
	}
	sp.unwritten = append(sp.unwritten, c.Batches...)
	sp.changes = append(sp.changes, shareChange{c.ID, done})
	sp.writeLocked()
	sp.mu.Unlock()
}

// writeLocked has what is to be written written, by a goroutine that goes on until there is nothing.
func (sp *sharePartition) writeLocked() {
	if !sp.writing {
		sp.writing = true
		sp.b.workers.Go(sp.write)
	}
}

func (sp *sharePartition) write() {
	for {
		sp.mu.Lock()
		if len(sp.unwritten) == 0 {
			sp.writing = false
			sp.mu.Unlock()
			sp.b.shares.settled(sp)
			return
		}
		w := sharestate.Write{
			StateEpoch: sp.stateEpoch, LeaderEpoch: sp.part.LeaderEpoch, Start: sp.records.Start(), Complete: sp.records.Done(), Batches: sp.unwritten,
		}
		changes := sp.changes
		sp.unwritten, sp.changes = nil, nil
		sp.mu.Unlock()
		err := sp.b.writeShare(sp.b.ctx, sp.key, w)
		sp.written(changes, err)
	}
}

// written takes the outcome of a write.
func (sp *sharePartition) written(changes []shareChange, err *sharestate.Error) {
	now, limits := nowMillis(), sp.limits()
	sp.mu.Lock()
	for _, c := range changes {
		sp.records.Complete(c.id, err == nil, now, limits)
	}
	sp.armLocked()
	sp.wakeLocked()
	sp.mu.Unlock()
	if err != nil {
		sp.b.log.Warn("state of a share group not written", "group", sp.key.Group, "topic", sp.part.Topic, "partition", sp.key.Partition, "answer", err.Code.String(), "cause", err.Message)
		switch err.Code {
		case kproto.FencedLeaderEpoch, kproto.FencedStateEpoch, kproto.GroupIDNotFound, kproto.UnknownTopicOrPartition, kproto.InvalidRequest:
			sp.b.shares.drop(sp) // what is here is not what holds
		}
		err = loadError(err)
	}
	for _, c := range changes {
		c.done(err)
	}
}

// armLocked lets the timer run at the next deadline.
func (sp *sharePartition) armLocked() {
	if sp.fenced || sp.records == nil {
		return
	}
	_, at, ok := sp.records.Locks()
	switch {
	case !ok && sp.timer != nil:
		sp.timer.Stop()
	case !ok:
	case sp.timer == nil:
		sp.timer = time.AfterFunc(time.Duration(max(at-nowMillis(), 0))*time.Millisecond, sp.expire)
	default:
		sp.timer.Reset(time.Duration(max(at-nowMillis(), 0)) * time.Millisecond)
	}
}

// expire takes back what members have had for too long.
func (sp *sharePartition) expire() {
	limits := sp.limits()
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.fenced {
		return
	}
	batches := sp.records.Expire(nowMillis(), limits)
	for _, x := range batches {
		sp.b.metrics.shareExpired.Add(x.Last - x.First + 1)
	}
	if len(batches) > 0 {
		sp.unwritten = append(sp.unwritten, batches...)
		sp.writeLocked()
		sp.wakeLocked()
	}
	sp.armLocked()
}

// watch has a fetch told when there may be something for it.
func (sp *sharePartition) watch(w *shareWaiter) {
	sp.mu.Lock()
	if sp.waiting == nil {
		sp.waiting = make(map[*shareWaiter]struct{})
	}
	sp.waiting[w] = struct{}{}
	sp.mu.Unlock()
}

func (sp *sharePartition) unwatch(w *shareWaiter) {
	sp.mu.Lock()
	delete(sp.waiting, w)
	sp.mu.Unlock()
}

func (sp *sharePartition) wakeLocked() {
	for w := range sp.waiting {
		w.Ready()
	}
}

// idle says that nothing is on its way.
func (sp *sharePartition) idle() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return !sp.writing && len(sp.unwritten) == 0
}

// fence ends the use of what is here. What is on its way still ends.
func (sp *sharePartition) fence() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.fenced = true
	if sp.timer != nil {
		sp.timer.Stop()
	}
	sp.wakeLocked()
}
