package engine

import (
	"context"
	"errors"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
)

// Cold reads: partitions of a fetch whose next batch lies only in the object store (or on the WAL's device). A worker reads them, so that
// they never hold back those that are in memory:
//
//   - When the partitions in memory have nothing, the worker reads for as long as it takes, but stops as soon as one of them gets something.
//     What it was waiting for is fetched into the block cache all the same, and found there by the next fetch.
//   - When they have something, the worker gets coldGrace: what the block cache holds goes out with this response, so that a cold partition
//     makes progress beside one that always has data; the rest is being fetched for the next.
//
// While op.cold is set the operation belongs to the worker; the end of the connection leaves it alone.

const (
	// coldReadTimeout bounds one cold read; the client asks again.
	coldReadTimeout = 25 * time.Second
	// coldGrace is how long data in memory waits for what is not: enough for the block cache, not for an object store.
	coldGrace = time.Millisecond
)

// hotWaiter ends a cold read when a partition that had nothing in memory gets something.
type hotWaiter fetchOp

// Ready implements partition.Waiter.
func (w *hotWaiter) Ready() { w.interrupt() }

func (op *fetchOp) coldParts() (n int) {
	for i := range op.parts {
		if op.parts[i].cold {
			n++
		}
	}
	return n
}

func (op *fetchOp) setCold(cold bool) {
	op.mu.Lock()
	op.cold = cold
	op.mu.Unlock()
}

// readCold hands the fetch to a worker, for as long as no partition in memory has anything.
func (op *fetchOp) readCold() {
	op.unwatch()
	ctx, cancel := context.WithTimeout(op.broker.serving, coldReadTimeout)
	op.interrupt = cancel
	op.setCold(true)
	for i := range op.parts {
		if f := &op.parts[i]; f.code == kproto.None && !f.cold {
			f.part.Watch(&f.watch, (*hotWaiter)(op))
			if f.part.HighWatermark() != f.position.HighWatermark { // moved between the read and the watch
				cancel()
			}
		}
	}
	op.broker.coldReads.GoContext(ctx, func() {
		release := op.reserveCold()
		op.readColdParts(ctx, false)
		for i := range op.parts {
			op.parts[i].watch.Unwatch()
		}
		cancel()
		op.rereadHot()
		op.endCold()
		release()
	})
}

// addCold adds what the block cache has of the cold partitions, and answers.
func (op *fetchOp) addCold() {
	op.unwatch()
	op.setCold(true)
	if op.broker.coldReads.TryGo(func() {
		ctx, cancel := context.WithTimeout(op.broker.serving, coldGrace)
		release := op.reserveCold()
		op.readColdParts(ctx, true)
		cancel()
		op.endCold()
		release()
	}) {
		return
	}
	op.setCold(false)
	op.prefetchCold()
	op.conn.fetch.Store(nil)
	op.answer()
}

// reserveCold takes room for what is about to be read: until it is sent, the room for responses does not know of it, and the workers together would
// take more than there is. The result gives it back; the operation may be gone then.
func (op *fetchOp) reserveCold() (release func()) {
	op.measure() // it may have waited for a worker
	b, n := op.broker, int64(max(op.maxBytes-op.bytes, 0))
	b.coldBytes.Add(n)
	return func() { b.coldBytes.Add(-n) }
}

// readColdParts reads the cold partitions, one after the other. brief: it is no failure when the time is up.
func (op *fetchOp) readColdParts(ctx context.Context, brief bool) {
	for i := range op.parts {
		f := &op.parts[i]
		if !f.cold {
			continue
		}
		if op.bytes > 0 && op.bytes >= op.maxBytes {
			op.prefetch(f)
			continue
		}
		want := min(int(f.maxBytes), op.maxBytes-op.bytes)
		slices, position, code, err := f.part.ReadCold(ctx, f.offset, max(want, 0), op.bytes == 0, op.committed())
		f.position, f.code = position, code
		if err != nil && (brief || errors.Is(ctx.Err(), context.Canceled)) && ctx.Err() != nil {
			f.code = kproto.None // nothing yet; it is on its way into the block cache
			op.prefetch(f)
			continue
		}
		if err != nil && op.broker.coldErrors.allow() {
			op.broker.log.Error("read from the object store failed", "topic", f.topic, "partition", f.index, "offset", f.offset, "cause", err)
		}
		f.first = len(op.slices)
		op.slices = append(op.slices, slices...)
		op.count(f)
	}
}

// rereadHot takes along what the partitions in memory got while the worker read.
func (op *fetchOp) rereadHot() {
	for i := range op.parts {
		f := &op.parts[i]
		want := min(int(f.maxBytes), op.maxBytes-op.bytes)
		if f.cold || f.count > 0 || f.code != kproto.None || want <= 0 && op.bytes > 0 {
			continue
		}
		f.first = len(op.slices)
		var err error
		op.slices, f.position, f.code, err = f.part.Read(op.slices, f.offset, max(want, 0), op.bytes == 0, op.committed())
		if errors.Is(err, partition.ErrCold) {
			continue // evicted meanwhile; the next fetch reads it
		}
		op.count(f)
	}
}

// endCold answers, or ends the operation if its connection is gone.
func (op *fetchOp) endCold() {
	op.mu.Lock()
	op.cold = false
	mine := op.conn.fetch.CompareAndSwap(op, nil)
	op.mu.Unlock()
	if mine {
		op.answer()
	} else {
		op.finish(false)
	}
}

// prefetchCold starts to read what this response leaves out because it is not in memory, for the next one.
func (op *fetchOp) prefetchCold() {
	for i := range op.parts {
		if f := &op.parts[i]; f.cold {
			op.prefetch(f)
		}
	}
}

// prefetch has a cold partition fetched into the block cache, unless room for responses is short: then it would be read for those who do not read.
func (op *fetchOp) prefetch(f *fetchPart) {
	if op.maxBytes == op.wanted {
		f.part.Prefetch(f.offset, int(f.maxBytes))
	}
}
