package kraft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// applier turns committed entries into images and tells everybody who waits. apply and install belong to one goroutine.
type applier struct {
	ctl   *controller // nil without the controller role
	image atomic.Pointer[Image]

	waiters struct {
		sync.Mutex
		changed chan struct{} // closed at the next change, nil when nobody waits
	}
	subs *subscribers
}

func newApplier(ctl *controller, first *Image) *applier {
	a := &applier{ctl: ctl, subs: newSubscribers(first)}
	a.image.Store(first)
	go a.subs.run()
	return a
}

// machine is the apply loop of a voter, step by step. It belongs to one goroutine.
type machine struct {
	applier *applier
	ctl     *controller
	respond func(*raftpb.Message)             // delivers the responses of a storage message
	applied func(bytes int64, installed bool) // may be nil
	term    int64                             // of which this node is the leader, and whose first entry is not applied yet
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
		m.applier.install(it.install)
		if m.applied != nil {
			m.applied(0, true)
		}
	default:
		ents, err := entriesOf(it.msg.GetEntries())
		if err == nil {
			err = m.applier.apply(ents)
		}
		if err != nil {
			return err
		}
		m.respond(it.msg)
		if m.applied != nil {
			bytes := int64(0)
			for _, e := range ents {
				bytes += int64(len(e.data))
			}
			m.applied(bytes, false)
		}
	}
	// The first entry of its term in the image means that everything before it is there too.
	if img := m.applier.image.Load(); m.term > 0 && img.Term() == m.term {
		m.ctl.activate(m.term, img)
		m.term = 0
	}
	return nil
}

// entry is one committed entry of the log; data is empty for those that raft itself appends.
type entry struct {
	index, term int64
	data        []byte
}

func entriesOf(ents []*raftpb.Entry) ([]entry, error) {
	out := make([]entry, len(ents))
	for i, e := range ents {
		if e.GetType() != raftpb.EntryNormal {
			return nil, fmt.Errorf("kraft: entry %d has raft type %v: %w", e.GetIndex(), e.GetType(), record.ErrUnknown)
		}
		out[i] = entry{index: int64(e.GetIndex()), term: int64(e.GetTerm()), data: e.GetData()}
	}
	return out, nil
}

// apply makes the image follow the entries, in order. Entries that are in the image already are skipped. An error is final: the image of this node
// would differ from everybody else's.
func (a *applier) apply(ents []entry) error {
	prev := a.image.Load()
	next, delta := prev, &Delta{}
	var done []*pending
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
			return fmt.Errorf("kraft: entry %d follows %d", e.index, at)
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
			return err
		}
		last = e
	}
	build()
	if next == prev {
		return nil
	}
	a.publish(prev, next, delta)
	for _, p := range done {
		p.finish(nil)
	}
	return nil
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

// install replaces the image by that of a snapshot, if it is newer.
func (a *applier) install(img *Image) {
	if prev := a.image.Load(); img.Offset() > prev.Offset() {
		a.publish(prev, img, &Delta{Full: true})
	}
}

func (a *applier) publish(prev, next *Image, delta *Delta) {
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
