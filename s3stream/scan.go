package s3stream

import (
	"context"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/s3stream/object"
)

// scanBatch is how many records in memory are taken at a time, so that tail.mu is held only shortly.
const scanBatch = 256

// scan calls fn for each record of [from, to), in order, from wherever it lies. The payload is valid only during the call.
func (s *Storage) scan(ctx context.Context, t *tail, from, to int64, fn func(Record) error) error {
	for attempt := 0; from < to; {
		next, err := s.scanOnce(ctx, t, from, to, fn)
		if err == nil && next <= from {
			err = fmt.Errorf("%w: nothing of stream %d at offset %d", errMoved, t.id, from)
		}
		if next > from {
			from, attempt = next, 0
		}
		if err == nil {
			continue
		}
		if attempt++; !moved(err) || attempt > resolveAttempts {
			return err
		}
		select {
		case <-time.After(resolvePause << attempt):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// scanOnce scans from one place and returns how far it came.
func (s *Storage) scanOnce(ctx context.Context, t *tail, from, to int64, fn func(Record) error) (int64, error) {
	if next, err := s.scanMemory(t, from, to, fn); next > from || err != nil {
		return next, err
	}
	if block, ok := t.onDevice(from); ok {
		d, err := s.deviceBlock(ctx, block)
		if err != nil {
			return from, err
		}
		for _, r := range d.from(t.id, from) {
			if r.next > to {
				break
			}
			if err := fn(Record{First: r.first, Next: r.next, MaxTimestamp: r.maxTimestamp, Payload: d.payload[r.start:r.end:r.end]}); err != nil {
				return from, err
			}
			from = r.next
		}
		return from, nil
	}
	o, rd, i, err := s.locate(ctx, t.id, from)
	if err != nil {
		return from, err
	}
	if rd == nil {
		return min(o.Ranges[0].End, to), nil
	}
	b, _, err := s.block(ctx, o.ID, rd, i, runBytes)
	if err != nil {
		return from, err
	}
	if b.Entry.First >= to {
		return to, nil
	}
	b.Records(func(c object.Cursor) bool {
		if c.Next <= from {
			return true
		}
		if c.Next > to {
			err = fmt.Errorf("%w: stream %d: record for offsets %d to %d in object %d crosses %d", object.ErrCorrupt, t.id, c.First, c.Next, o.ID, to)
			return false
		}
		if err = fn(Record{First: c.First, Next: c.Next, MaxTimestamp: c.MaxTimestamp, Payload: b.Payload[c.Start:c.End:c.End]}); err == nil {
			from = c.Next
		}
		return err == nil
	})
	return max(from, min(b.Entry.Next, to)), err
}

// scanMemory scans records that are in memory, at most scanBatch of them.
func (s *Storage) scanMemory(t *tail, from, to int64, fn func(Record) error) (int64, error) {
	var es []entry
	t.mu.Lock()
	for i := t.findPart(from); i < len(t.mu.parts) && len(es) < scanBatch; i++ {
		p, at := t.mu.parts[i], from
		if len(es) > 0 {
			at = es[len(es)-1].next
		}
		if p.start > at {
			break
		}
		stop := false
		p.each(at, func(e *entry) bool {
			stop = e.mem == nil || e.next > to || len(es) == scanBatch
			if !stop {
				e.mem.Ref()
				es = append(es, *e)
			}
			return !stop
		})
		if stop {
			break
		}
	}
	t.mu.Unlock()
	var err error
	for _, e := range es {
		if err == nil {
			if err = fn(Record{First: e.first, Next: e.next, MaxTimestamp: e.maxTimestamp, Payload: e.data}); err == nil {
				from = e.next
			}
		}
		e.mem.Unref()
	}
	return from, err
}
