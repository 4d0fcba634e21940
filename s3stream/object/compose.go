package object

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Piece is a part of one stream in one object. Data blocks that overlap [Start, End) are taken whole, the others left out.
// The stream's checkpoint in Source counts even when no block does.
type Piece struct {
	Source     *Reader
	Stream     int64
	Start, End int64
}

// Compose writes one object out of pieces of others, in the order of the pieces: streams ascending, offsets ascending, no overlap.
// Of each stream it takes along the checkpoint with the highest offset among its pieces.
//
// Runs of blocks of at least 5 MiB whose blocks are not too small are copied within the store; what they hold is not read here. All other blocks are read,
// verified, and their records packed into new blocks of Options.BlockBytes. Memory, outside the Go heap: what a Writer holds, and two chunks of at most
// 8 MiB (or one block, if that is larger) being read.
func Compose(ctx context.Context, b objstore.Bucket, key string, o Options, pieces []Piece) (Result, error) {
	w, err := NewWriter(ctx, b, key, o)
	if err != nil {
		return Result{}, err
	}
	var memory chunkMemory
	defer memory.close() // the writer has let go of it: it is closed first
	defer w.Abort()
	read, err := compose(ctx, w, &memory, pieces)
	if err != nil {
		return Result{}, err
	}
	res, err := w.Finish()
	res.Read = read
	return res, err
}

// Merge writes the blocks of one stream in sources, given in order of their offsets, into one stream object. Blocks that lie wholly before start are left out.
func Merge(ctx context.Context, b objstore.Bucket, key string, o Options, stream, start int64, sources []*Reader) (Result, error) {
	pieces := make([]Piece, len(sources))
	for i, s := range sources {
		pieces[i] = Piece{Source: s, Stream: stream, Start: start, End: math.MaxInt64}
	}
	return Compose(ctx, b, key, o, pieces)
}

func compose(ctx context.Context, w *Writer, memory *chunkMemory, pieces []Piece) (read int64, err error) {
	steps, err := plan(pieces, w.opt)
	if err != nil {
		return 0, err
	}
	chunks := newPrefetcher(ctx, memory, chunksOf(steps))
	defer chunks.stop()
	for _, s := range steps {
		if s.copied {
			if err := w.copyBlocks(s.source.key, s.blocks); err != nil {
				return 0, err
			}
			continue
		}
		w.ahead = s.ahead
		for range s.blocks {
			block, err := chunks.next()
			if err != nil {
				return 0, err
			}
			read += int64(block.Entry.Size)
			if err := appendBlock(w, block, chunks.current); err != nil {
				return 0, err
			}
		}
	}
	states, n, err := newestCheckpoints(ctx, pieces)
	w.states = states
	return read + n, err
}

// appendBlock appends the records of a block, whose bytes lie in mem.
func appendBlock(w *Writer, b Block, mem *chunkBuffer) (err error) {
	b.Records(func(c Cursor) bool {
		mem.ref()
		err = w.Append(Record{
			Stream: b.Entry.Stream, First: c.First, Next: c.Next, MaxTimestamp: c.MaxTimestamp, Payload: b.Payload[c.Start:c.End:c.End], Mem: mem,
		})
		return err == nil
	})
	return err
}

// step is a run of blocks that are neighbours in one source, to be read or to be copied.
type step struct {
	source *Reader
	blocks []BlockEntry
	copied bool
	ahead  int64 // when read: payload bytes from this step on to the next copied one
}

// plan decides which blocks are copied. A multipart upload wants every part but the last to have 5 MiB: so a copied run must have
// that much, and what is read between two copied runs too, for which it may take blocks from the second one.
func plan(pieces []Piece, o Options) ([]step, error) {
	runs, err := runsOf(pieces)
	if err != nil {
		return nil, err
	}
	var steps []step
	pending := int64(0) // payload bytes to be read since the last copy
	for _, run := range runs {
		if !worthCopying(run.blocks, o) {
			pending += payloadBytes(run.blocks)
			steps = append(steps, run)
			continue
		}
		head := 0
		for head < len(run.blocks) && pending > 0 && pending < objstore.MinPartBytes {
			pending += run.blocks[head].PayloadBytes()
			head++
		}
		if head > 0 {
			steps = append(steps, step{source: run.source, blocks: run.blocks[:head]})
		}
		if rest := run.blocks[head:]; BlocksSize(rest) >= objstore.MinPartBytes {
			steps = append(steps, step{source: run.source, blocks: rest, copied: true})
			pending = 0
		} else if len(rest) > 0 {
			steps = append(steps, step{source: run.source, blocks: rest})
			pending += payloadBytes(rest)
		}
	}
	ahead := int64(math.MaxInt64) // behind the last copy nothing is short
	for i := len(steps) - 1; i >= 0; i-- {
		switch s := &steps[i]; {
		case s.copied:
			ahead = 0
		case ahead == math.MaxInt64:
			s.ahead = ahead
		default:
			ahead += payloadBytes(s.blocks)
			s.ahead = ahead
		}
	}
	return steps, nil
}

// worthCopying reports whether a run of blocks is large enough to be a part, and its blocks are large enough to leave them as they are: a
// reader pays a request per block when it jumps, and an index entry in any case.
func worthCopying(blocks []BlockEntry, o Options) bool {
	size := BlocksSize(blocks)
	return size >= objstore.MinPartBytes && size/int64(len(blocks)) >= int64(o.BlockBytes)/4
}

func payloadBytes(blocks []BlockEntry) (n int64) {
	for _, e := range blocks {
		n += e.PayloadBytes()
	}
	return n
}

// runsOf returns the blocks of the pieces as runs of neighbours.
func runsOf(pieces []Piece) ([]step, error) {
	var runs []step
	var last BlockEntry
	for i, p := range pieces {
		if i > 0 && p.Stream < pieces[i-1].Stream {
			return nil, fmt.Errorf("%w: a piece of stream %d follows one of stream %d", ErrInvalid, p.Stream, pieces[i-1].Stream)
		}
		blocks, _ := p.Source.index.Stream(p.Stream)
		for len(blocks) > 0 && blocks[0].Next <= p.Start {
			blocks = blocks[1:]
		}
		for len(blocks) > 0 && blocks[len(blocks)-1].First >= p.End {
			blocks = blocks[:len(blocks)-1]
		}
		if len(blocks) == 0 {
			continue
		}
		if last.Size > 0 && last.Stream == p.Stream && blocks[0].First < last.Next {
			return nil, fmt.Errorf("%w: stream %d: a block of %s begins at offset %d, before the end %d of the block before it",
				ErrInvalid, p.Stream, p.Source.key, blocks[0].First, last.Next)
		}
		if n := len(runs); n > 0 && runs[n-1].source == p.Source && last.Position+int64(last.Size) == blocks[0].Position {
			runs[n-1].blocks = append(runs[n-1].blocks, blocks...)
		} else {
			runs = append(runs, step{source: p.Source, blocks: slices.Clone(blocks)}) // a clone, for the append above
		}
		last = blocks[len(blocks)-1]
	}
	return runs, nil
}

// newestCheckpoints reads the newest checkpoint of each stream of the pieces.
func newestCheckpoints(ctx context.Context, pieces []Piece) (states []checkpoint, read int64, err error) {
	type found struct {
		source *Reader
		entry  CheckpointEntry
	}
	newest := make(map[int64]found)
	for _, p := range pieces {
		e, ok := p.Source.index.Checkpoint(p.Stream)
		if have, any := newest[p.Stream]; ok && (!any || e.Offset >= have.entry.Offset) {
			newest[p.Stream] = found{p.Source, e}
		}
	}
	bySource := make(map[*Reader][]CheckpointEntry)
	for _, f := range newest {
		bySource[f.source] = append(bySource[f.source], f.entry)
	}
	for source, entries := range bySource {
		slices.SortFunc(entries, func(a, b CheckpointEntry) int { return cmp.Compare(a.Stream, b.Stream) })
		found, err := source.ReadCheckpoints(ctx, entries)
		if err != nil {
			return nil, read, err
		}
		for i, e := range entries {
			states = append(states, checkpoint{e.Stream, e.Offset, found[i]})
			read += int64(e.Size)
		}
	}
	return states, read, nil
}

// chunk is a run of neighbouring blocks that one request reads.
type chunk struct {
	source *Reader
	blocks []BlockEntry
}

// chunkBytes is the size of a read unless a single block is larger.
const chunkBytes = 8 << 20

// chunksOf cuts the steps that are read into chunks, joining steps that are neighbours.
func chunksOf(steps []step) []chunk {
	var chunks []chunk
	size := int64(0)
	var last BlockEntry
	for _, s := range steps {
		if s.copied {
			continue
		}
		for _, e := range s.blocks {
			n := len(chunks)
			if n > 0 && chunks[n-1].source == s.source && last.Position+int64(last.Size) == e.Position && size+int64(e.Size) <= chunkBytes {
				c := &chunks[n-1]
				c.blocks = append(c.blocks, e)
				size += int64(e.Size)
			} else {
				chunks = append(chunks, chunk{source: s.source, blocks: []BlockEntry{e}})
				size = int64(e.Size)
			}
			last = e
		}
	}
	return chunks
}

// prefetcher reads chunks ahead of their use, one at a time, and hands out their blocks in order.
type prefetcher struct {
	ctx     context.Context
	cancel  context.CancelFunc
	memory  *chunkMemory
	done    sync.WaitGroup
	results chan result
	blocks  []Block
	current *chunkBuffer // that the last block of next lies in; nil before the first
}

type result struct {
	blocks []Block
	memory *chunkBuffer // the receiver's reference; nil with an error
	err    error
}

func newPrefetcher(ctx context.Context, memory *chunkMemory, chunks []chunk) *prefetcher {
	ctx, cancel := context.WithCancel(ctx)
	p := &prefetcher{ctx: ctx, cancel: cancel, memory: memory, results: make(chan result)}
	p.done.Go(func() {
		defer close(p.results)
		for _, c := range chunks {
			r := p.read(c)
			select {
			case p.results <- r:
			case <-ctx.Done():
				if r.memory != nil {
					r.memory.Unref()
				}
				return
			}
			if r.err != nil {
				return
			}
		}
	})
	return p
}

func (p *prefetcher) read(c chunk) result {
	mem, err := p.memory.get(BlocksSize(c.blocks))
	if err != nil {
		return result{err: err}
	}
	blocks, err := c.source.ReadBlocks(p.ctx, nil, c.blocks, mem.bytes)
	if err != nil {
		mem.Unref()
		return result{err: err}
	}
	return result{blocks: blocks, memory: mem}
}

// next returns the next block, which lies in current. REQUIRES: there is one.
func (p *prefetcher) next() (Block, error) {
	if len(p.blocks) == 0 {
		r, ok := <-p.results
		if !ok {
			r.err = fmt.Errorf("object: reading ahead: %w", context.Cause(p.ctx))
		}
		if r.err != nil {
			return Block{}, r.err
		}
		p.drop()
		p.blocks, p.current = r.blocks, r.memory
	}
	b := p.blocks[0]
	p.blocks = p.blocks[1:]
	return b, nil
}

// drop gives up the reference on current.
func (p *prefetcher) drop() {
	if p.current != nil {
		p.current.Unref()
		p.current = nil
	}
}

func (p *prefetcher) stop() {
	p.cancel()
	p.done.Wait()
	p.drop()
}
