package kraft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// applier turns committed entries into images and tells everybody who waits. apply and install belong to one goroutine.
type applier struct {
	ctl     *controller  // nil without the controller role
	renamed func(*Image) // told before an image is published that names other members, or other addresses of theirs; may be nil
	image   atomic.Pointer[Image]
	// fromRaft is the last entry that raft has handed over to be applied: up to there the log on this node's disk is what was committed. An image that was
	// observed may be ahead of it.
	fromRaft atomic.Int64

	waiters struct {
		sync.Mutex
		changed chan struct{} // closed at the next change, nil when nobody waits
	}
	subs *subscribers
}

func newApplier(ctl *controller, first *Image) *applier {
	a := &applier{ctl: ctl, subs: newSubscribers(first)}
	a.image.Store(first)
	a.fromRaft.Store(first.Offset())
	go a.subs.run()
	return a
}

// machine is the apply loop of a voter, step by step. It belongs to one goroutine.
type machine struct {
	applier     *applier
	ctl         *controller
	respond     func(*raftpb.Message)                     // delivers the responses of a storage message
	conf        *raftpb.ConfState                         // the members of the image that raft knows
	reconfigure func(conf *raftpb.ConfState, index int64) // makes conf raft's configuration from the entry at index on, and that durable
	applied     func(bytes int64)                         // told how much of raft's log was applied; may be nil
	installed   func()                                    // told that the image is that of a snapshot from raft; may be nil
	snapshot    func()                                    // takes a snapshot
	heard       func(*logPiece)                           // tells raft what others say is committed
	term        int64                                     // of which this node is the leader, and whose first entry is not applied yet
}

func (m *machine) step(it applyItem) error {
	switch {
	case it.role != nil:
		m.term = 0
		m.ctl.deactivate()
		if it.role.leader {
			m.term = it.role.term
		}
	case it.install != nil:
		m.applier.fromRaft.Store(it.install.Offset())
		m.applier.install(it.install)
		m.conf = nil // raft has taken its own from the snapshot
		if m.installed != nil {
			m.installed()
		}
	case it.observed != nil:
		// Raft's own log follows later, and finds that the image has it already.
		if it.observed.image != nil {
			m.applier.install(it.observed.image)
		}
		done, err := m.applier.apply(it.observed.entries)
		if err != nil {
			return err
		}
		finishAll(done)
		m.heard(it.observed)
	case it.snapshot:
		m.snapshot()
	default:
		if err := m.apply(it.msg); err != nil {
			return err
		}
	}
	// The first entry of its term in the image means that everything before it is there too.
	if img := m.applier.image.Load(); m.term > 0 && img.Term() == m.term {
		m.ctl.activate(m.term, img)
		m.term = 0
	}
	return nil
}

// apply carries out what raft has committed. Raft's configuration follows before it hears that the entries are applied, and before anybody who
// could ask for the next change hears it.
func (m *machine) apply(msg *raftpb.Message) error {
	ents, err := entriesOf(msg.GetEntries())
	if err != nil {
		return err
	}
	if n := len(ents); n > 0 {
		m.applier.fromRaft.Store(ents[n-1].index)
	}
	done, err := m.applier.apply(ents)
	if err != nil {
		return err
	}
	img := m.applier.image.Load()
	// An image that was observed is ahead of raft's log, which has to come as far before raft may know.
	if n := len(ents); n > 0 && ents[n-1].index >= img.Offset() {
		if conf := confOf(img, nil); len(conf.Voters) > 0 && !sameConf(conf, m.conf) {
			m.reconfigure(conf, img.Offset())
			m.conf = conf
		}
	}
	m.respond(msg)
	finishAll(done)
	if m.applied != nil {
		bytes := int64(0)
		for _, e := range ents {
			bytes += int64(len(e.data))
		}
		m.applied(bytes)
	}
	return nil
}

func finishAll(done []*pending) {
	for _, p := range done {
		p.finish(nil)
	}
}

// entry is one committed entry of the log; data is empty for those that raft itself appends.
type entry struct {
	index, term int64
	data        []byte
}

func entriesOf(ents []*raftpb.Entry) ([]entry, error) {
	out := make([]entry, len(ents))
	for i, e := range ents {
		data := e.GetData()
		switch e.GetType() {
		case raftpb.EntryNormal:
		case raftpb.EntryConfChangeV2:
			var change raftpb.ConfChangeV2
			if err := proto.Unmarshal(data, &change); err != nil {
				return nil, fmt.Errorf("kraft: entry %d: change of members: %w: %w", e.GetIndex(), record.ErrCorrupt, err)
			}
			data = change.GetContext()
		default:
			return nil, fmt.Errorf("kraft: entry %d has raft type %v: %w", e.GetIndex(), e.GetType(), record.ErrUnknown)
		}
		out[i] = entry{index: int64(e.GetIndex()), term: int64(e.GetTerm()), data: data}
	}
	return out, nil
}

// apply makes the image follow the entries, in order. Entries that are in the image already are skipped. An error is final: the image of this node
// would differ from everybody else's. The result is the proposals of this node among them, which the caller finishes.
func (a *applier) apply(ents []entry) (done []*pending, err error) {
	prev := a.image.Load()
	next, delta := prev, &Delta{}
	var b *image.Builder // on next, for entries that the controller of this node did not make
	var last entry       // applied to b
	build := func() {
		if b != nil {
			img, d := b.Build(last.index, last.term)
			next, b = img, nil
			delta.Merge(d)
		}
	}
	at := prev.Offset()
	for _, e := range ents {
		if e.index <= at {
			continue
		}
		if e.index != at+1 {
			return nil, fmt.Errorf("kraft: entry %d follows %d", e.index, at)
		}
		at = e.index
		if p := a.made(e); p != nil {
			build()
			next = p.image
			delta.Merge(p.delta)
			done = append(done, p)
			continue
		}
		if b == nil {
			b = next.Edit()
		}
		if err := applyBatch(b, e); err != nil {
			return nil, err
		}
		last = e
	}
	build()
	if next != prev {
		a.publish(prev, next, delta)
	}
	return done, nil
}

// made returns the image that the controller of this node made when it proposed the entry, if it did.
func (a *applier) made(e entry) *pending {
	if a.ctl == nil || len(e.data) == 0 {
		return nil
	}
	return a.ctl.made(e)
}

func applyBatch(b *image.Builder, e entry) error {
	if len(e.data) == 0 {
		return nil
	}
	batch, err := record.ReadBatch(e.data)
	if err != nil {
		return fmt.Errorf("kraft: entry %d: %w", e.index, err)
	}
	for _, r := range batch.Records {
		if err := b.Apply(r); err != nil {
			return fmt.Errorf("kraft: entry %d: %w", e.index, err)
		}
	}
	return nil
}

// logged is how much of an image is in the log of this node's disk, too.
func (a *applier) logged(img *Image) int64 { return min(img.Offset(), a.fromRaft.Load()) }

// install replaces the image by that of a snapshot, if it is newer.
func (a *applier) install(img *Image) {
	if prev := a.image.Load(); img.Offset() > prev.Offset() {
		a.publish(prev, img, &Delta{Full: true})
	}
}

func (a *applier) publish(prev, next *Image, delta *Delta) {
	if a.renamed != nil {
		a.renamed(next)
	}
	a.image.Store(next)
	a.waiters.Lock()
	if a.waiters.changed != nil {
		close(a.waiters.changed)
		a.waiters.changed = nil
	}
	a.waiters.Unlock()
	a.subs.push(prev, next, delta)
}

// changed returns a channel that is closed when the image is not img any more.
func (a *applier) changed(img *Image) <-chan struct{} {
	a.waiters.Lock()
	defer a.waiters.Unlock()
	if a.waiters.changed == nil {
		a.waiters.changed = make(chan struct{})
	}
	ch := a.waiters.changed
	if a.image.Load() != img {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return ch
}

// wait returns when the image satisfies ok.
func (a *applier) wait(ctx context.Context, done <-chan struct{}, ok func(*Image) bool) error {
	for {
		img := a.image.Load()
		if ok(img) {
			return nil
		}
		select {
		case <-a.changed(img):
		case <-ctx.Done():
			return timeoutOf(ctx)
		case <-done:
			return ErrClosed
		}
	}
}

// timeoutOf is the error for a context that has ended: ErrTimeout for a deadline, wrapped with the context's own.
func timeoutOf(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrTimeout
	}
	return fmt.Errorf("%w: %w", ErrTimeout, err)
}
