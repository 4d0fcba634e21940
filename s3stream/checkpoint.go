package s3stream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

const (
	// stateRun is how many checkpoints of an object are fetched together: after a restart many streams are opened whose newest object is the same.
	stateRun = 64
	// stateRunBytes is the most that they may have together; otherwise each is fetched alone.
	stateRunBytes = 1 << 20
)

// checkpoint loads the newest state of a stream's owner: from the object with the highest end offset. nil and 0 when there is none.
func (s *Storage) checkpoint(ctx context.Context, id StreamID, end int64) (state []byte, offset int64, err error) {
	for attempt := 0; ; attempt++ {
		objs := s.meta.Objects(nil, id, max(end-1, 0), 16)
		if len(objs) == 0 {
			return nil, 0, nil
		}
		o := objs[len(objs)-1]
		state, offset, err = s.checkpointIn(ctx, id, o)
		if err == nil || !errors.Is(err, objstore.ErrNotFound) || attempt == resolveAttempts {
			return state, offset, err
		}
		s.indexes.drop(o.ID)
	}
}

// checkpointIn loads the state of a stream's owner from an object.
func (s *Storage) checkpointIn(ctx context.Context, id StreamID, o ObjectInfo) ([]byte, int64, error) {
	rd, err := s.indexes.get(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	all := rd.Index().Checkpoints
	i, ok := slices.BinarySearchFunc(all, int64(id), func(e object.CheckpointEntry, id int64) int { return cmp.Compare(e.Stream, id) })
	if !ok {
		return nil, 0, nil
	}
	state, err := s.state(ctx, o.ID, rd, i)
	if err == nil && state == nil {
		state = []byte{}
	}
	return state, all[i].Offset, err
}

// state returns checkpoint i of an object, with its neighbours through the block cache when they are small. The bytes are the caller's.
func (s *Storage) state(ctx context.Context, id ObjectID, rd *object.Reader, i int) ([]byte, error) {
	all := rd.Index().Checkpoints
	first := i / stateRun * stateRun
	run := all[first:min(first+stateRun, len(all))]
	var size int64
	for _, e := range run {
		size += int64(e.Size)
	}
	if len(run) == 1 || size > stateRunBytes {
		return rd.ReadCheckpoint(ctx, all[i])
	}
	key := blockKey{id, -1 - int64(first)} // blocks of data have numbers from 0 on
	for {
		b, ok := s.blocks.get(key)
		if !ok {
			bs := s.blocks.claim(key, 1, false, func(int) int64 { return size })
			if len(bs) == 0 {
				continue
			}
			b = bs[0]
			if !s.spawn(func() {
				ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
				defer cancel()
				var err error
				bs[0].states, err = rd.ReadCheckpoints(ctx, run)
				s.blocks.finish(bs, err)
			}) {
				s.blocks.finish(bs, ErrClosed)
			}
		}
		if err := b.wait(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return rd.ReadCheckpoint(ctx, all[i]) // a damaged neighbour is no reason to fail, and somebody else's attempt neither
		}
		return bytes.Clone(b.states[i-first]), nil
	}
}
