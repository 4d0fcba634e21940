package s3stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/wal"
)

// A stream goes from one node to another without waiting for the object store:
//
//	HandOver on the owner           no more appends; what was appended becomes durable; what is in no object is told
//	TakeOverStream on the next one  its own WAL gets that, durably; then the metadata makes it the owner
//	Disown on the old one           when the metadata shows the new owner: the tail is dropped, and leaves the WAL with its segment
//
// A crash of either before the metadata knows the new owner leaves everything with the old one. What the next one has of the stream by then
// is void: its recovery drops records of streams that it does not own, and a later attempt puts a note in front of its records.

// Handover is what a node has of a stream that is in no object.
type Handover struct {
	Node  int32 // who hands over
	Epoch int64 // at which it owns the stream
	// The records are [From, Next). A trimmed stream may begin behind From.
	From, Next int64
	// State of the owner at Next; nil: it has none to give, and everything behind the stored checkpoint is replayed.
	Checkpoint []byte
}

// Source is the node that has a stream, as the one that takes it over sees it.
type Source interface {
	// HandOver has the other node resign. Asked again, it says the same, but that more may be in objects.
	HandOver(ctx context.Context) (Handover, error)
	// Records returns records of the handover from offset on, at least one, in order. The payloads belong to the caller.
	Records(ctx context.Context, from int64) ([]Record, error)
}

var (
	// ErrOpening: the stream is in the middle of OpenStream. Try again.
	ErrOpening = errors.New("s3stream: the stream is being opened")
	errEnough  = errors.New("s3stream: enough records")
)

// PendingBytes is how many payload bytes of a stream are in no object yet, as far as this node has them. 0 for a stream that it does not know.
func (s *Storage) PendingBytes(id StreamID) (n int64) {
	s.streams.Lock()
	t := s.streams.tails[id]
	s.streams.Unlock()
	if t == nil {
		return 0
	}
	info, ok := s.meta.Stream(id)
	if !ok {
		return 0
	}
	rest, _ := t.ranges(info.End)
	for _, r := range rest {
		n += r.Bytes
	}
	return n
}

// HandOver ends the stream on this node, its owner by the metadata, for another one: appends are refused from now on, those under way become durable
// before it returns. It may be called again, and for a stream that was found in the WAL and not opened since. Reads go on. Errors: ErrFenced (owned by somebody
// else), ErrNotFound, ErrOpening, ErrDataLoss, ErrFailed.
//
// A crash changes nothing: the stream belongs to this node, and whoever opens it again here has all of it.
func (s *Storage) HandOver(ctx context.Context, id StreamID) (Handover, error) {
	fail := func(err error) (Handover, error) {
		return Handover{}, fmt.Errorf("s3stream: hand over stream %d: %w", id, err)
	}
	info, ok := s.meta.Stream(id)
	switch {
	case s.failure.Load() != nil:
		return fail(s.failedError())
	case !ok || info.Deleted:
		return fail(ErrNotFound)
	case info.Node != s.opts.NodeID:
		return fail(fmt.Errorf("%w: it belongs to node %d at epoch %d", ErrFenced, info.Node, info.Epoch))
	}
	h := Handover{Node: info.Node, Epoch: info.Epoch}
	t := s.tail(id)
	t.mu.Lock()
	st := t.mu.stream
	var err error
	switch {
	case t.mu.opening:
		err = ErrOpening
	case t.mu.dropped:
		err = ErrNotFound
	case st == nil:
		h.Next, err = t.settleLocked(info.Start, info.End)
	case st.epoch != info.Epoch || streamState(st.state.Load()) == streamFenced:
		err = fmt.Errorf("%w: it is open here at epoch %d, the metadata has %d", ErrFenced, st.epoch, info.Epoch)
	default:
		if streamState(st.state.Load()) == streamOpen {
			st.state.Store(int32(streamClosing))
		}
		h.Next = t.mu.end
	}
	t.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	if st != nil {
		if err := s.settled(ctx, st, h.Next); err != nil {
			return fail(err)
		}
		if st.owner != nil {
			offset, state := st.owner.Checkpoint()
			if offset != h.Next {
				return fail(fmt.Errorf("BUG: its owner is at offset %d, the stream ends at %d", offset, h.Next))
			}
			h.Checkpoint = append([]byte{}, state...)
		}
	}
	// Uploads go on: what has been committed meanwhile need not be handed over.
	if info, ok = s.meta.Stream(id); !ok || info.Deleted {
		return fail(ErrNotFound)
	}
	t.mu.Lock()
	if i := t.findPart(info.End); i < len(t.mu.parts) {
		h.From = max(info.End, t.mu.parts[i].start)
	} else if h.From = h.Next; info.End < h.Next && info.Start < h.Next {
		err = &DataLossError{Stream: id, Expected: info.End, Found: h.Next}
	}
	t.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	return h, nil
}

// HandedOver returns records of a stream that this node has handed over, from offset from up to offset to, about maxBytes of them and at least one.
func (s *Storage) HandedOver(ctx context.Context, id StreamID, from, to int64, maxBytes int) ([]Record, error) {
	s.streams.Lock()
	t := s.streams.tails[id]
	s.streams.Unlock()
	if t == nil {
		return nil, fmt.Errorf("%w: stream %d has been handed over", ErrFenced, id)
	}
	var out []Record
	err := s.scan(ctx, t, from, to, func(r Record) error {
		if len(out) > 0 && maxBytes < len(r.Payload) {
			return errEnough
		}
		maxBytes -= len(r.Payload)
		r.Payload = slices.Clone(r.Payload)
		out = append(out, r)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("s3stream: hand over stream %d from offset %d: %w", id, from, err)
	}
	return out, nil
}

// TakeOverStream is OpenStream for a stream that another node owns: source hands it over. Errors as there; besides, what source fails with. It may be
// repeated with the same epoch after any error, and must be after one that leaves open whether the metadata has made this node the
// owner: until then the tail is kept and waits.
func (s *Storage) TakeOverStream(ctx context.Context, id StreamID, epoch int64, owner Owner, replay Replay, source Source) (*Stream, Opened, error) {
	return s.openFrom(ctx, id, epoch, owner, replay, source)
}

// taking is what a tail knows of a stream that is being taken over. It is guarded by tail.mu.
type taking struct {
	epoch int64
	// asked: everything is in the WAL, and the metadata was asked to make this node the owner. The tail must be kept until it is known whether it did.
	asked bool
	Handover
}

// takeOver brings the tail of a stream into this node's WAL and makes the node its owner.
func (s *Storage) takeOver(ctx context.Context, t *tail, epoch int64, source Source) (StreamInfo, *Handover, error) {
	t.mu.Lock()
	take := t.mu.taking
	if take == nil || take.epoch != epoch || !take.asked {
		take = &taking{epoch: epoch}
		t.mu.taking = take
	}
	t.mu.Unlock()
	if !take.asked {
		h, err := source.HandOver(ctx)
		if err != nil {
			return StreamInfo{}, nil, err
		}
		if err := s.take(ctx, t, epoch, h, source); err != nil {
			return StreamInfo{}, nil, err
		}
		t.mu.Lock()
		take.Handover, take.asked = h, true
		t.mu.Unlock()
	}
	info, err := s.meta.TakeOverStream(ctx, t.id, epoch, take.Node, take.Epoch)
	if errors.Is(err, ErrNotClosed) {
		// Whoever handed it over has opened it again, at an epoch above: this handover will never be granted, however often it is still asked for.
		t.mu.Lock()
		take.asked = false
		t.mu.Unlock()
	}
	if err != nil {
		return StreamInfo{}, nil, err
	}
	if info.End > take.Next {
		return StreamInfo{}, nil, fmt.Errorf("BUG: stream %d ends at %d in objects, node %d has handed it over up to %d", t.id, info.End, take.Node, take.Next)
	}
	return info, &take.Handover, nil
}

// take appends the records of a handover to the WAL, behind a note that voids what is there of the stream, and waits until all of it is durable.
func (s *Storage) take(ctx context.Context, t *tail, epoch int64, h Handover, source Source) error {
	c := &takeNote{done: make(chan struct{})}
	c.left.Store(1)
	add := func(head header, payload []byte) error {
		head.stream, head.epoch = t.id, epoch
		head.put(&c.head, payload)
		c.left.Add(1)
		s.turn.RLock()
		t.mu.Lock()
		e, err := s.log.Append(c, c.head[:], payload)
		switch {
		case err != nil:
			c.left.Add(-1)
			err = s.appendError(err)
		case head.kind == kindVoid:
			e.Mem.Unref()
			t.voidLocked()
			t.mu.end, t.mu.epoch, t.mu.lost = -1, epoch, nil
		default:
			s.addLocked(t, s.active, &head, e, time.Time{})
		}
		t.mu.Unlock()
		s.turn.RUnlock()
		if err == nil && head.kind != kindVoid {
			s.appended(e.Pos)
		}
		return err
	}
	if err := add(header{kind: kindVoid}, nil); err != nil {
		return err
	}
	for at := h.From; at < h.Next; {
		rs, err := source.Records(ctx, at)
		if err != nil {
			return err
		}
		for _, r := range rs {
			if r.First != at && (at != h.From || r.First > at) || r.Next <= r.First || r.Next > h.Next {
				return fmt.Errorf("s3stream: node %d hands over a record of stream %d for offsets %d to %d at offset %d of [%d, %d)",
					h.Node, t.id, r.First, r.Next, at, h.From, h.Next)
			}
			if err := add(header{kind: kindData, first: r.First, next: r.Next, maxTimestamp: r.MaxTimestamp}, r.Payload); err != nil {
				return err
			}
			at = r.Next
		}
		if len(rs) == 0 {
			return fmt.Errorf("s3stream: node %d hands over nothing of stream %d at offset %d of [%d, %d)", h.Node, t.id, at, h.From, h.Next)
		}
	}
	c.finish()
	select {
	case <-c.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if p := c.err.Load(); p != nil {
		return s.appendError(*p)
	}
	return nil
}

// takeNote is the completion of all records of a handover.
type takeNote struct {
	head [headerSize]byte // of the record that is being appended
	left atomic.Int64     // records that are not durable yet, plus one while records are added
	err  atomic.Pointer[error]
	done chan struct{}
}

func (c *takeNote) Durable(_ wal.Position, err error) {
	if err != nil {
		c.err.CompareAndSwap(nil, &err)
	}
	c.finish()
}

func (c *takeNote) finish() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// takesLocked reports whether records of that epoch are of a take-over whose outcome is open. tail.mu is held.
func (t *tail) takesLocked(epoch int64) bool {
	return t.mu.taking != nil && t.mu.taking.epoch == epoch && (t.mu.opening || t.mu.taking.asked)
}

// Disown drops what this node has of a stream that belongs to another node by the metadata: it was handed over, or was not taken over after all. It does nothing
// while the stream is being opened. The caller has seen in the metadata that no take-over of this node can succeed any more.
//
// After a crash the WAL still has the records; recovery drops them, because the stream is somebody else's.
func (s *Storage) Disown(id StreamID) {
	info, ok := s.meta.Stream(id)
	if !ok || info.Deleted || info.Node == s.opts.NodeID {
		return
	}
	s.streams.Lock()
	t := s.streams.tails[id]
	if t == nil {
		s.streams.Unlock()
		return
	}
	t.mu.Lock()
	if t.mu.opening {
		t.mu.Unlock()
		s.streams.Unlock()
		return
	}
	delete(s.streams.tails, id)
	if t.mu.stream != nil {
		t.mu.stream.fenceLocked()
	}
	t.dropLocked()
	t.mu.Unlock()
	s.streams.Unlock()
	s.dropped()
}
