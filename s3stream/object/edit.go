package object

import (
	"context"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Verdict is what becomes of a record.
type Verdict uint8

const (
	Keep    Verdict = iota // it stays as it is
	Replace                // it has been given another payload
	Drop                   // it goes, and leaves a hole
)

// Edit writes one object out of pieces of others, as Compose does, but record by record: edit says what becomes of each. For Replace it has set the
// record's Payload, to memory that nobody changes any more, and its MaxTimestamp; of any other verdict it leaves the record alone. A payload that edit is given is
// valid only during the call. At least one record must be left. Memory: as Compose, and what edit makes, until it is sent.
func Edit(ctx context.Context, b objstore.Bucket, key string, o Options, pieces []Piece, edit func(*Record) (Verdict, error)) (Result, error) {
	w, err := NewWriter(ctx, b, key, o)
	if err != nil {
		return Result{}, err
	}
	var memory chunkMemory
	defer memory.close() // the writer has let go of it: it is closed first
	defer w.Abort()
	read, err := eachRecord(ctx, &memory, pieces, func(r Record, mem *chunkBuffer) (more bool, err error) {
		verdict, err := edit(&r)
		if err != nil || verdict == Drop {
			return err == nil, err
		}
		if verdict == Keep {
			mem.ref()
			r.Mem = mem
		}
		err = w.Append(r)
		return err == nil, err
	})
	if err != nil {
		return Result{}, err
	}
	states, n, err := newestCheckpoints(ctx, pieces)
	if err != nil {
		return Result{}, err
	}
	w.states = states
	res, err := w.Finish()
	res.Read = read + n
	return res, err
}

// Scan calls fn for each record of the pieces, in order, until it returns false or an error. The payload is valid only during the call. It returns the
// bytes read.
func Scan(ctx context.Context, pieces []Piece, fn func(Record) (more bool, err error)) (read int64, err error) {
	var memory chunkMemory
	defer memory.close()
	return eachRecord(ctx, &memory, pieces, func(r Record, _ *chunkBuffer) (bool, error) { return fn(r) })
}

// eachRecord reads the blocks of pieces ahead of their use and calls fn for each record, whose payload lies in mem.
func eachRecord(ctx context.Context, memory *chunkMemory, pieces []Piece, fn func(r Record, mem *chunkBuffer) (more bool, err error)) (read int64, err error) {
	runs, err := runsOf(pieces)
	if err != nil {
		return 0, err
	}
	chunks := newPrefetcher(ctx, memory, chunksOf(runs))
	defer chunks.stop()
	for _, run := range runs {
		for range run.blocks {
			block, err := chunks.next()
			if err != nil {
				return read, err
			}
			read += int64(block.Entry.Size)
			more := true
			block.Records(func(c Cursor) bool {
				more, err = fn(Record{
					Stream: block.Entry.Stream, First: c.First, Next: c.Next, MaxTimestamp: c.MaxTimestamp, Payload: block.Payload[c.Start:c.End:c.End],
				}, chunks.current)
				return more && err == nil
			})
			if err != nil || !more {
				return read, err
			}
		}
	}
	return read, nil
}
