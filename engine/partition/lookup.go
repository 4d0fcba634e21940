package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// TimedOffset is a record's place and its timestamp in ms.
type TimedOffset struct {
	Offset    int64
	Timestamp int64
}

// FirstAtOrAfter finds the first record whose timestamp is at least the given one. It may read the object store.
func (p *Partition) FirstAtOrAfter(ctx context.Context, timestamp int64) (TimedOffset, bool, error) {
	judge := func(t int64, _ TimedOffset, _ bool) (take, stop bool) { return t >= timestamp, t >= timestamp }
	for from := int64(0); ; {
		extent, ok, err := p.stream.FirstAtOrAfter(ctx, timestamp, from)
		if err != nil || !ok || extent.First >= p.HighWatermark() {
			return TimedOffset{}, false, err
		}
		found, ok, err := p.search(ctx, extent, judge)
		if err != nil || ok {
			return found, ok, err
		}
		from = extent.Next // the log start lies inside the batch, behind the record that the index meant
	}
}

// MaxTimestamp finds the record with the largest timestamp, the first one of several. It may read the object store.
func (p *Partition) MaxTimestamp(ctx context.Context) (TimedOffset, bool, error) {
	extent, ok, err := p.stream.MaxTimestamp(ctx)
	if err != nil || !ok || extent.First >= p.HighWatermark() {
		return TimedOffset{}, false, err
	}
	return p.search(ctx, extent, func(t int64, best TimedOffset, found bool) (take, stop bool) {
		return !found || t > best.Timestamp, false
	})
}

// search walks the records of an extent; judge says whether to take one and whether that ends the search.
func (p *Partition) search(ctx context.Context, extent s3stream.Extent, judge func(t int64, best TimedOffset, found bool) (take, stop bool)) (best TimedOffset, found bool, err error) {
	start := p.LogStart()
	var it kproto.RecordIter
	defer it.Close()
	err = p.Scan(ctx, max(extent.First, start), min(extent.Next, p.HighWatermark()), func(b kproto.Batch) error {
		if b.Count() == 0 { // emptied by log compaction
			return nil
		}
		if config.TimestampType(b.TimestampType()) == config.LogAppendTime {
			if take, stop := judge(b.MaxTimestamp(), best, found); take {
				best, found = TimedOffset{max(b.BaseOffset(), start), b.MaxTimestamp()}, true
				if stop {
					return errStop
				}
			}
			return nil
		}
		if err := it.Reset(b); err != nil {
			return fmt.Errorf("partition: %s-%d: batch at offset %d: %w", p.Topic, p.Index, b.BaseOffset(), err)
		}
		for it.Next() {
			r := it.Record()
			if r.Offset < start {
				continue
			}
			if take, stop := judge(r.Timestamp, best, found); take {
				best, found = TimedOffset{r.Offset, r.Timestamp}, true
				if stop {
					return errStop
				}
			}
		}
		return it.Err()
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return best, found, err
}

var errStop = errors.New("partition: scan stopped")

// scanBytes is how much Scan reads at a time.
const scanBytes = 1 << 20

// Scan hands every batch that covers offsets of [from, to) to fn, in order; batches are valid during the call. It may read the
// object store, and ends with fn's first error.
func (p *Partition) Scan(ctx context.Context, from, to int64, fn func(kproto.Batch) error) error {
	var slices []s3stream.Slice
	for from < to {
		var err error
		slices, err = p.stream.Read(slices[:0], from, to, scanBytes, true)
		if errors.Is(err, ErrCold) {
			slices, err = p.stream.ReadCold(ctx, from, to, scanBytes, true)
		}
		if err != nil {
			return fmt.Errorf("partition: read %s-%d from offset %d: %w", p.Topic, p.Index, from, err)
		}
		if len(slices) == 0 {
			return nil // log compaction has left nothing up to there
		}
		next := from
		for i := range slices {
			if err == nil {
				err = kproto.SplitBatches(slices[i].Data, fn)
			}
			next = slices[i].Next
			slices[i].Mem.Unref()
		}
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// Prefetch starts to read what a later ReadCold will ask for.
func (p *Partition) Prefetch(offset int64, maxBytes int) { p.stream.Prefetch(offset, maxBytes) }
