package object

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Target is an object that Split makes: the blocks of one stream that do not lie wholly before Start, and its checkpoint.
type Target struct {
	Key    string
	Stream int64
	Start  int64
}

// Split writes parts of a stream-set object into an object for each stream. targets must be in ascending order of stream, and the source must have
// blocks of each. The results are in the order of the targets. After an error some of the objects may exist; unless the caller
// commits them they are garbage like any other.
//
// What Compose would copy within the store is copied; the rest of the source is read once, in large requests, however many streams it holds. At
// most Options.Parallel objects are being finished while the next one is filled.
func Split(ctx context.Context, b objstore.Bucket, source *Reader, o Options, targets []Target) ([]Result, error) {
	if err := o.withDefaults().validate(); err != nil {
		return nil, err
	}
	s := splitter{bucket: b, source: source, opt: o.withDefaults(), results: make([]Result, len(targets))}
	steps := make([]step, len(targets)) // one for each target; copied means by Compose
	for i, t := range targets {
		if i > 0 && t.Stream <= targets[i-1].Stream {
			return nil, fmt.Errorf("%w: target of stream %d follows one of stream %d", ErrInvalid, t.Stream, targets[i-1].Stream)
		}
		runs, err := runsOf([]Piece{{source, t.Stream, t.Start, math.MaxInt64}})
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 {
			return nil, fmt.Errorf("%w: %s has nothing of stream %d from offset %d on", ErrInvalid, source.key, t.Stream, t.Start)
		}
		steps[i] = runs[0] // the blocks of a stream are neighbours
		steps[i].copied = worthCopying(steps[i].blocks, s.opt)
	}
	states, err := s.readStates(ctx, targets)
	if err != nil {
		return nil, err
	}
	chunks := newPrefetcher(ctx, chunksOf(steps))
	defer chunks.stop()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.opt.Parallel)
	for i, t := range targets {
		if steps[i].copied {
			group.Go(func() (err error) {
				s.results[i], err = Merge(groupCtx, b, t.Key, o, t.Stream, t.Start, []*Reader{source})
				return err
			})
			continue
		}
		w, err := s.fill(groupCtx, chunks, steps[i], t.Key, states[i])
		if err != nil {
			if first := group.Wait(); first != nil { // it may be what cancelled the context
				err = first
			}
			return nil, err
		}
		group.Go(func() (err error) {
			s.results[i], err = w.Finish()
			s.results[i].Read = BlocksSize(steps[i].blocks)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return s.results, nil
}

type splitter struct {
	bucket  objstore.Bucket
	source  *Reader
	opt     Options
	results []Result // of the targets; each is written by one goroutine
}

// readStates reads the checkpoints of the targets; nil where there is none.
func (s *splitter) readStates(ctx context.Context, targets []Target) ([]*checkpoint, error) {
	states := make([]*checkpoint, len(targets))
	var entries []CheckpointEntry
	var of []int
	for i, t := range targets {
		if e, ok := s.source.index.Checkpoint(t.Stream); ok {
			entries, of = append(entries, e), append(of, i)
		}
	}
	found, err := s.source.ReadCheckpoints(ctx, entries)
	if err != nil {
		return nil, err
	}
	for j, e := range entries {
		states[of[j]] = &checkpoint{e.Stream, e.Offset, found[j]}
	}
	return states, nil
}

// fill reads the blocks of a target into a Writer that only needs its Finish.
func (s *splitter) fill(ctx context.Context, chunks *prefetcher, st step, key string, state *checkpoint) (*Writer, error) {
	w, err := NewWriter(ctx, s.bucket, key, s.opt)
	if err != nil {
		return nil, err
	}
	if state != nil {
		w.states = []checkpoint{*state}
	}
	for range st.blocks {
		block, err := chunks.next()
		if err == nil {
			err = appendBlock(w, block)
		}
		if err != nil {
			w.Abort()
			return nil, err
		}
	}
	return w, nil
}
