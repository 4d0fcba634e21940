package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/s3stream"
)

// Fetch (key 1), versions 4 to 18.
//
//	v5 log start offset   v7 fetch sessions (KIP-227)   v9 current leader epoch   v11 rack (answered with -1: the leader serves)
//	v12 flexible, diverging epoch   v13 topic ids   v16 node endpoints (KIP-951)   v17, v18 follower fields, ignored
//
// Runs on the connection's event loop. Batches that lie in the log cache are referenced, not copied; a fetch that finds too little
// watches its partitions and runs again when one of them moves or its time is up. Partitions whose data lies only in the object
// store are read by a worker, and never hold back those that are in memory. Different from Kafka: whole batches only, and a response
// is capped (fetchResponseBytes, and by what all responses together may still take) so that consumers that stop reading pin little memory.

const (
	// fetchResponseBytes caps the record bytes of one response beside fetch.max.bytes; a single larger batch still goes out.
	fetchResponseBytes = 8 << 20
	// fetchRoomShare is the part of the room for responses, 1/n, that one of them takes at most. Without it a thousand consumers that ask once and never
	// read would get a thousand full responses before the first of them is closed for it.
	fetchRoomShare = 8
)

// fetchOp is one Fetch request from its decoding to its answer. Pooled. Owned by the connection's goroutine, but for what a cold
// read hands over under mu.
type fetchOp struct {
	broker *Broker
	conn   *connState
	resp   *netpoll.Response
	header kproto.RequestHeader

	request  kproto.FetchRequest // names alias the frame and are not used after begin
	session  *fetchSession       // nil: sessionless
	full     bool                // a full response: every partition is in it
	parts    []fetchPart
	slices   []s3stream.Slice // what the response references, in order of parts
	bytes    int
	wanted   int // bytes that the response may have by its request and our limits
	maxBytes int // the same, and by the room that there was when reading began
	minBytes int
	deadline time.Time
	timer    *time.Timer
	meter    *quota.Client // what a quota counts, see quotas.go; nil when nothing counts
	began    time.Time
	spent    time.Duration
	watching bool

	scheduled atomic.Bool // a run on the connection's goroutine is under way
	run       func()      // runs op on the connection's goroutine; made once

	// Whoever takes op out of conn.fetch ends it. A cold read and the end of the connection meet under mu.
	mu        sync.Mutex
	cold      bool               // a worker reads from the object store
	interrupt context.CancelFunc // ends that read; see hotWaiter
	stray     bool               // a timer or a scheduled run may still come: not to be reused
}

// fetchPart is one partition of a fetch.
type fetchPart struct {
	topic    string
	topicID  [16]byte
	index    int32
	offset   int64
	maxBytes int32
	epoch    int32 // leader epoch that the client believes in, -1 unknown
	fetched  int32 // epoch of the last record that the client has, -1 unknown
	state    *sessionPartition
	part     *partition.Partition
	code     kproto.ErrorCode
	position partition.Position
	diverged struct {
		epoch int32
		end   int64
	}
	named        bool // the response names it
	first, count int  // slices
	bytes        int
	cold         bool
	moved        bool // another leadership began while the fetch waited
	pending      bool // the partition is on its way to another leader: nothing to be said of it now
	watch        partition.Watch
}

var fetchOps sync.Pool

func newFetchOp() *fetchOp {
	if op, ok := fetchOps.Get().(*fetchOp); ok {
		return op
	}
	op := new(fetchOp)
	op.run = op.runOnLoop
	return op
}

func (b *Broker) fetch(st *connState, header kproto.RequestHeader, body []byte) netpoll.Verdict {
	op := newFetchOp()
	op.broker, op.conn, op.header = b, st, header
	op.header.ClientID = nil
	if err := op.request.Decode(header.Version, body); err != nil {
		op.recycle()
		return b.reject(st.conn, "malformed Fetch request", err)
	}
	op.meter = b.metered(st, header.ClientID)
	op.resp = st.conn.Begin()
	st.begin()
	st.fetch.Store(op)
	if code := op.begin(); code != kproto.None {
		st.fetch.Store(nil)
		op.answerError(code)
		return netpoll.Next
	}
	op.evaluate()
	op.advance(false)
	return netpoll.Next
}

// begin resolves the session and lists the partitions to read.
func (op *fetchOp) begin() kproto.ErrorCode {
	r := &op.request
	op.wanted = min(int(max(r.MaxBytes, 0)), op.broker.cfg.Fetch.MaxBytes, fetchResponseBytes)
	op.boundByQuota()
	op.minBytes = min(int(max(r.MinBytes, 0)), op.wanted)
	op.deadline = time.Now().Add(time.Duration(max(r.MaxWaitMillis, 0)) * time.Millisecond)
	session, full, code := op.broker.fetches.resolve(op)
	if code != kproto.None {
		return code
	}
	op.session, op.full = session, full
	op.parts = op.parts[:0]
	if session != nil {
		op.parts = session.appendParts(op.parts)
		return kproto.None
	}
	for ti := range r.Topics {
		t := &r.Topics[ti]
		name := ""
		if op.header.Version < 13 {
			name = op.broker.topicString(t.Name)
		}
		for i := t.First; i < t.First+t.Count; i++ {
			rp := &r.Partitions[i]
			op.parts = append(op.parts, fetchPart{topic: name, topicID: t.ID, index: rp.Index, offset: rp.FetchOffset, maxBytes: rp.MaxBytes, epoch: rp.CurrentLeaderEpoch, fetched: rp.LastFetchedEpoch})
		}
	}
	return kproto.None
}

// measure sets maxBytes by the room that all responses have left. Without any, one batch still goes out (Kafka's rule for batches above the limit), so that
// those who read get on.
func (op *fetchOp) measure() {
	room := op.conn.conn.OutboundRoom() - op.broker.coldBytes.Load()
	op.maxBytes = int(min(int64(op.wanted), max(room, 0)/fetchRoomShare))
}

// evaluate reads every partition from memory, anew.
func (op *fetchOp) evaluate() {
	op.releaseSlices()
	op.measure()
	for i := range op.parts {
		f := &op.parts[i]
		op.locate(f)
		f.first, f.count, f.bytes, f.cold = len(op.slices), 0, 0, false
		if f.code != kproto.None || f.pending {
			continue
		}
		var err error
		want := min(int(f.maxBytes), op.maxBytes-op.bytes)
		if want <= 0 && op.bytes > 0 || f.diverged.epoch >= 0 {
			f.position = partition.Position{HighWatermark: f.part.HighWatermark(), LastStable: f.part.LastStable(), LogStart: f.part.LogStart()}
			continue
		}
		op.slices, f.position, f.code, err = f.part.Read(op.slices, f.offset, max(want, 0), op.bytes == 0, op.committed())
		f.cold = errors.Is(err, partition.ErrCold)
		op.count(f)
	}
}

// committed says that the reader wants no open and skips aborted transactions.
func (op *fetchOp) committed() bool { return op.request.Isolation == readCommitted }

func (op *fetchOp) count(f *fetchPart) {
	f.count = len(op.slices) - f.first
	for _, s := range op.slices[f.first:] {
		f.bytes += len(s.Data)
	}
	op.bytes += f.bytes
}

// locate finds the partition and checks what the client believes of its leader.
func (op *fetchOp) locate(f *fetchPart) {
	f.position = partition.Position{HighWatermark: -1, LastStable: -1, LogStart: -1}
	f.diverged.epoch, f.diverged.end = -1, -1
	f.pending = false
	if op.broker.authorizer != nil && !op.mayFetch(f) {
		f.code = kproto.TopicAuthorizationFailed
		return
	}
	if f.part == nil || f.part.Resigned() {
		if f.part != nil && op.broker.isHeld([]byte(f.topic), f.topicID, op.header.Version >= 13, f.index) {
			f.code, f.pending = kproto.None, true
			f.position = partition.Position{HighWatermark: f.part.HighWatermark(), LastStable: f.part.LastStable(), LogStart: f.part.LogStart()}
			return
		}
		f.moved = f.part != nil
		f.part, f.code = op.broker.partitionByName(f.topic, f.topicID, op.header.Version >= 13, f.index)
		if f.code != kproto.None {
			return
		}
	}
	f.code = f.part.CheckEpoch(f.epoch)
	if f.code != kproto.None || f.fetched < 0 {
		return
	}
	if epoch, end := f.part.EndOffsetForEpoch(f.fetched); epoch >= 0 && (epoch < f.fetched || end < f.offset) {
		f.diverged.epoch, f.diverged.end = epoch, end
	}
}

// ready says whether the response may go out now.
func (op *fetchOp) ready() bool {
	if op.bytes >= op.minBytes || op.bytes > 0 && op.bytes >= op.maxBytes || len(op.parts) == 0 || op.request.MaxWaitMillis <= 0 || op.broker.closing.Load() {
		return true
	}
	for i := range op.parts {
		if f := &op.parts[i]; f.code != kproto.None || f.diverged.epoch >= 0 || f.moved {
			return true
		}
	}
	return false
}

// advance answers, or has cold partitions read, or waits.
func (op *fetchOp) advance(timeUp bool) {
	cold := op.coldParts() > 0 && !timeUp
	ready := op.ready() || timeUp || !time.Now().Before(op.deadline)
	switch {
	case cold && (op.bytes == 0 || !ready):
		op.resting()
		op.readCold()
	case cold && op.bytes < op.maxBytes:
		op.addCold()
	case ready:
		op.prefetchCold()
		op.conn.fetch.Store(nil)
		op.answer()
	case !op.watching:
		op.wait()
	}
}

// wait parks the fetch until a partition moves or the time is up.
func (op *fetchOp) wait() {
	op.resting()
	op.watching = true
	op.scheduled.Store(false)
	for i := range op.parts {
		if f := &op.parts[i]; f.part != nil {
			f.part.Watch(&f.watch, op)
		}
	}
	if op.timer == nil {
		op.timer = time.AfterFunc(time.Until(op.deadline), op.Ready)
	} else {
		op.timer.Reset(time.Until(op.deadline))
	}
	for i := range op.parts { // what moved between the read and the watch
		if f := &op.parts[i]; f.part != nil && f.part.HighWatermark() != f.position.HighWatermark {
			op.Ready()
			return
		}
	}
}

// Ready implements partition.Waiter and is the timer's function: run again, on the connection's goroutine, once.
func (op *fetchOp) Ready() {
	if op.scheduled.CompareAndSwap(false, true) {
		op.conn.conn.Execute(op.run)
	}
}

func (op *fetchOp) runOnLoop() {
	if !op.watching {
		return // answered meanwhile, or reading from the object store
	}
	op.scheduled.Store(false)
	op.serving()
	op.evaluate()
	op.advance(!time.Now().Before(op.deadline))
}

func (op *fetchOp) unwatch() {
	if !op.watching {
		return
	}
	op.watching = false
	if !op.timer.Stop() {
		op.stray = true
	}
	for i := range op.parts {
		op.parts[i].watch.Unwatch()
	}
}

// closeFetch ends what a closed connection was waiting for. Runs on the connection's goroutine.
func (st *connState) closeFetch() {
	op := st.fetch.Load()
	if op == nil {
		return
	}
	op.mu.Lock()
	mine := st.fetch.CompareAndSwap(op, nil)
	cold := op.cold
	op.mu.Unlock()
	if mine && !cold {
		op.unwatch()
		op.finish(false)
	}
}
