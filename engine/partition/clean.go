package partition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/cleaner"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/s3stream"
)

// markerGrace is the least time that the marker of an aborted transaction stays in the index after the records are gone: readers that found the records where they were
// before, in objects or on their way, have come to an end by then.
const markerGrace = 2 * time.Minute

// Dirt is what log compaction would find in a partition.
type Dirt struct {
	// Start is the log start, Dirty the offset below which everything is clean, To the end of what may be cleaned.
	Start, Dirty, To int64
	// CleanBytes lie below Dirty, DirtyBytes between Dirty and To.
	CleanBytes, DirtyBytes int64
	// Due says that the topic's min.cleanable.dirty.ratio is exceeded, or its max.compaction.lag.ms.
	Due bool
}

// Ratio is the share of dirty bytes.
func (d Dirt) Ratio() float64 {
	if d.DirtyBytes == 0 {
		return 0
	}
	return float64(d.DirtyBytes) / float64(d.CleanBytes+d.DirtyBytes)
}

// dirt remembers the first dirty block, so that looking at a partition that has nothing to clean yet asks no index.
type dirt struct {
	sync.Mutex
	dirty int64 // where it begins
	first s3stream.Block
	known bool
}

// active says which blocks of a log are never cleaned: those of the last segment.bytes, unless they are older than segment.ms (or max.compaction.lag.ms), and those that are
// younger than min.compaction.lag.ms. There are no segment files here, so that what Kafka decides by whole segments is decided by data block.
type active struct {
	old, lagged  int64 // blocks with time stamps above are younger than segment.ms, and than min.compaction.lag.ms
	segmentBytes int64
	after        int64 // bytes from the block on
}

// passes says whether a block may be cleaned, and goes on to the next one.
func (a *active) passes(b s3stream.Block) bool {
	a.after -= b.Bytes
	return (a.after >= a.segmentBytes || b.MaxTimestamp <= a.old) && b.MaxTimestamp <= a.lagged
}

// Dirt says what is to be cleaned. Only what is in objects counts, below the last stable offset. It may read indexes of objects.
func (p *Partition) Dirt(ctx context.Context) (Dirt, error) {
	st, err := p.stream.Stored()
	if err != nil {
		return Dirt{}, fmt.Errorf("partition: %s-%d: %w", p.Topic, p.Index, err)
	}
	d := Dirt{Start: st.Start, Dirty: max(st.Cleaned, st.Start)}
	d.To = d.Dirty
	limit := min(st.End, p.LastStable())
	if limit <= d.Dirty {
		return d, nil
	}
	cfg, now := p.Config(), p.opts.Now()
	a := active{
		old:    now - min(cfg.SegmentMillis, cfg.MaxCompactionLag),
		lagged: now - cfg.MinCompactionLag, segmentBytes: cfg.SegmentBytes, after: p.stream.BytesFrom(d.Dirty),
	}
	d.CleanBytes = p.stream.BytesFrom(d.Start) - a.after
	p.dirt.Lock()
	first, known := p.dirt.first, p.dirt.known && p.dirt.dirty == d.Dirty
	p.dirt.Unlock()
	if try := a; known && !try.passes(first) {
		return d, nil
	}
	known = false
	err = p.stream.StoredBlocks(ctx, d.Dirty, func(b s3stream.Block) bool {
		if !known {
			first, known = b, true
		}
		if b.First >= limit || !a.passes(b) {
			limit = min(limit, max(b.First, d.Dirty))
			return false
		}
		d.To = min(b.Next, limit)
		d.DirtyBytes += b.Bytes
		return true
	})
	if err != nil {
		return d, fmt.Errorf("partition: %s-%d: %w", p.Topic, p.Index, err)
	}
	d.To = limit // over a hole at its end
	p.dirt.Lock()
	p.dirt.dirty, p.dirt.first, p.dirt.known = d.Dirty, first, known
	p.dirt.Unlock()
	late := cfg.MaxCompactionLag < math.MaxInt64 && first.MaxTimestamp < now-cfg.MaxCompactionLag
	d.Due = d.DirtyBytes > 0 && (d.Ratio() > cfg.MinCleanableRatio || late)
	return d, nil
}

// CleanOptions bound a cleaning.
type CleanOptions struct {
	// MapBytes is the memory for the last offsets of keys, and MapLoad how full it may be, between 0 and 1.
	MapBytes int64
	MapLoad  float64
	// Pace, if it is set, is called before n bytes are read from objects or written to them, and may wait.
	Pace func(ctx context.Context, n int64) error
}

// Cleaned is what a cleaning did.
type Cleaned struct {
	From, To int64 // [From, To) was dirty and is clean
	s3stream.Rewritten
	cleaner.Stats
	Passes  int     // one, and another each time the map of keys was full
	MapFull float64 // of the fullest one, 0 to 1
}

// Clean compacts the partition by key up to d.To. An error of a damaged batch matches kproto.ErrCorruptBatch or kproto.ErrTooLarge; others may be gone next time.
func (p *Partition) Clean(ctx context.Context, d Dirt, o CleanOptions) (Cleaned, error) {
	out := Cleaned{From: d.Dirty, To: d.Dirty}
	for out.To < d.To {
		to, err := p.cleanOnce(ctx, d, o, &out)
		if err != nil {
			return out, fmt.Errorf("partition: clean %s-%d: %w", p.Topic, p.Index, err)
		}
		if to <= out.To {
			return out, nil // the newest checkpoint lies before: what is behind it would be replayed
		}
		out.To = to
		out.Passes++
	}
	return out, nil
}

// cleanOnce cleans from out.To on as far as the map of keys reaches, and returns that offset.
func (p *Partition) cleanOnce(ctx context.Context, d Dirt, o CleanOptions, out *Cleaned) (int64, error) {
	state, checkpoint, err := p.stream.StoredCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	from, to := out.To, min(d.To, checkpoint)
	if to <= from {
		return from, nil
	}
	durable, err := abortedIn(state)
	if err != nil {
		return 0, err
	}
	m, err := cleaner.NewOffsetMap(o.MapBytes, to-from, o.MapLoad)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	index := p.abortedBelow(to)
	build := cleaner.NewBuilder(m, from, index)
	full := false
	err = p.stream.ScanStored(ctx, from, to, o.Pace, func(r s3stream.Record) (bool, error) {
		b, err := batchOf(r)
		if err != nil {
			return false, err
		}
		more, err := build.Add(b)
		full = err == nil && !more
		return more, err
	})
	if err != nil {
		return 0, err
	}
	out.MapFull = max(out.MapFull, m.Full())
	if full {
		to = m.End()
	}
	cfg := p.Config()
	now := p.opts.Now()
	filter := cleaner.NewFilter(cleaner.Options{
		Map: m, NowMillis: now, DeleteRetentionMillis: cfg.DeleteRetentionMillis,
		MarkerRetentionMillis: max(cfg.DeleteRetentionMillis, markerGrace.Milliseconds()),
		Index:                 index, Indexed: func(producer, marker int64) bool { return durable[abortedKey{producer, marker}] },
		Producer: func(id int64) (cleaner.Producer, bool) { return p.liveProducer(id, now) }, LogEnd: p.LogEnd(),
	})
	done, err := p.stream.Rewrite(ctx, s3stream.Rewrite{To: to, Editor: batchEditor{filter}, Pace: o.Pace})
	out.add(done, filter.Stats())
	if err != nil {
		return 0, err
	}
	p.forget(filter.Forgettable())
	return to, nil
}

func (c *Cleaned) add(r s3stream.Rewritten, s cleaner.Stats) {
	c.Read, c.Written = c.Read+r.Read, c.Written+r.Written
	c.Replaced, c.New = c.Replaced+r.Replaced, c.New+r.New
	if c.Passes == 0 {
		c.Before, c.Stats = r.Before, s
	}
	c.After = r.After // of the last pass
	c.RecordsKept, c.BatchesKept = s.RecordsKept, s.BatchesKept
}

func batchOf(r s3stream.Record) (kproto.Batch, error) {
	b, err := kproto.FirstBatch(r.Payload)
	if err == nil && (len(b) != len(r.Payload) || b.BaseOffset() != r.First || b.LastOffset() != r.Next-1) {
		err = fmt.Errorf("%w: a batch of %d bytes for offsets %d to %d", kproto.ErrCorruptBatch, len(b), b.BaseOffset(), b.LastOffset())
	}
	if errors.Is(err, kproto.ErrShortBatch) {
		err = fmt.Errorf("%w: %w", kproto.ErrCorruptBatch, err)
	}
	if err != nil {
		err = fmt.Errorf("record of %d bytes for offsets %d to %d: %w", len(r.Payload), r.First, r.Next-1, err)
	}
	return b, err
}

// batchEditor is a Filter as an Editor of a stream.
type batchEditor struct{ *cleaner.Filter }

// Edit implements s3stream.Editor.
func (e batchEditor) Edit(r *s3stream.Record, must bool) (s3stream.Verdict, error) {
	b, err := batchOf(*r)
	if err != nil {
		return s3stream.Keep, err
	}
	verdict, thin, err := e.Batch(b, must)
	switch {
	case err != nil:
		return s3stream.Keep, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
	case verdict == cleaner.Drop:
		return s3stream.Drop, nil
	case verdict == cleaner.Keep:
		return s3stream.Keep, nil
	}
	r.Payload, r.MaxTimestamp = thin, thin.MaxTimestamp()
	if thin.Count() == 0 {
		r.MaxTimestamp = -1 // nothing that a lookup by time could find
	}
	return s3stream.Replace, nil
}

// liveProducer returns a producer that is not expired.
func (p *Partition) liveProducer(id, now int64) (cleaner.Producer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.mu.producers.byID[id]
	if s == nil || s.touched < now-p.opts.ProducerExpiration().Milliseconds() && s.txnFirst < 0 {
		return cleaner.Producer{}, false
	}
	out := cleaner.Producer{Epoch: s.epoch, LastOffset: -1}
	if s.count > 0 {
		out.LastOffset = s.last().lastOffset
	}
	return out, true
}

// abortedBelow lists the aborted transactions of the index that begin below an offset.
func (p *Partition) abortedBelow(to int64) []cleaner.Aborted {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []cleaner.Aborted
	for _, a := range p.mu.txns.aborted {
		if a.first < to {
			out = append(out, cleaner.Aborted{Producer: a.producer, First: a.first, Last: a.last})
		}
	}
	return out
}

type abortedKey struct{ producer, last int64 }

// abortedIn is the index of aborted transactions that a checkpoint holds. Whoever opens the partition next begins with it.
func abortedIn(state []byte) (map[abortedKey]bool, error) {
	if len(state) == 0 {
		return nil, nil
	}
	s, err := decodeCheckpoint(state)
	if err != nil {
		return nil, fmt.Errorf("newest checkpoint: %w", err)
	}
	out := make(map[abortedKey]bool, len(s.txns.aborted))
	for _, a := range s.txns.aborted {
		out[abortedKey{a.producer, a.last}] = true
	}
	return out, nil
}

// forget takes aborted transactions of which nothing is left out of the index.
func (p *Partition) forget(gone []cleaner.Aborted) {
	dead := make(map[abortedKey]bool, len(gone))
	for _, a := range gone {
		dead[abortedKey{a.Producer, a.Last}] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.txns.aborted = slices.DeleteFunc(p.mu.txns.aborted, func(a abortedTxn) bool { return dead[abortedKey{a.producer, a.last}] })
}
