package object

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Options configures a Writer and Compose. The zero value means the defaults.
type Options struct {
	// BlockBytes closes a data block once it holds that much payload. Default 512 KiB, 1 to MaxPayloadBytes. A larger record gets a block of its own.
	BlockBytes int
	// PartBytes is the least size of a part of a multipart upload, except the last one; an object that stays below it is
	// stored by a single Put. Parts end between records. Default 16 MiB, 5 MiB to 3 GiB.
	PartBytes int
	// Parallel bounds the parts in flight. Default 4.
	Parallel int
	// HedgeAfter is how long a part (or the only Put) may take before it is sent a second time at the same time; the first answer wins. At most
	// one is hedged at a time. Choose more than what PartBytes usually take, such as the 99th percentile. Default 5 s, negative for never.
	HedgeAfter time.Duration
}

func (o Options) withDefaults() Options {
	if o.BlockBytes == 0 {
		o.BlockBytes = 512 << 10
	}
	if o.PartBytes == 0 {
		o.PartBytes = 16 << 20
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if o.HedgeAfter == 0 {
		o.HedgeAfter = 5 * time.Second
	}
	return o
}

// maxPartBytes leaves room for the record that ends a part, and for the least part behind it.
const maxPartBytes = objstore.MaxPartBytes - 2*MaxPayloadBytes

func (o Options) validate() error {
	if o.BlockBytes < 1 || o.BlockBytes > MaxPayloadBytes {
		return fmt.Errorf("%w: BlockBytes %d, want 1 to %d", ErrInvalid, o.BlockBytes, MaxPayloadBytes)
	}
	if o.PartBytes < objstore.MinPartBytes || o.PartBytes > maxPartBytes {
		return fmt.Errorf("%w: PartBytes %d, want %d to %d", ErrInvalid, o.PartBytes, objstore.MinPartBytes, int64(maxPartBytes))
	}
	if o.Parallel < 1 || o.Parallel > objstore.MaxParts {
		return fmt.Errorf("%w: Parallel %d, want 1 to %d", ErrInvalid, o.Parallel, objstore.MaxParts)
	}
	return nil
}

// Writer writes one object. Nothing of it is visible in the bucket before Finish returns nil. Its methods belong to one goroutine. Every
// Writer must be ended by Finish or Abort.
//
// It copies no payload: it hashes them and hands them to the bucket. So it holds at most Parallel parts in flight and one being
// filled, and Append waits when the store is slower than the caller.
type Writer struct {
	up       *uploader
	opt      Options
	index    Index
	block    blockBuilder
	position int64 // in the object: where the open block begins
	closed   bool

	part      [][]byte // of the part being filled
	partBytes int64
	partMem   []Releaser
	// ahead is how many bytes of payload are sure to come before the next copied part, which the part before it must end at. A full
	// part is sent only while enough is ahead for another one of legal size.
	ahead int64

	states []checkpoint
}

type checkpoint struct {
	stream, offset int64
	state          []byte
}

// NewWriter begins the object key. ctx governs the whole write. Nothing is sent before the first part is full.
func NewWriter(ctx context.Context, b objstore.Bucket, key string, o Options) (*Writer, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Writer{up: newUploader(ctx, b, key, o), opt: o, ahead: math.MaxInt64}, nil
}

// Append adds a record. Streams must come in ascending order of id, and the records of a stream in ascending order of offset. It may wait
// for a part in flight. After an error other than ErrInvalid the object cannot be finished: call Abort.
func (w *Writer) Append(r Record) error {
	if err := w.check(&r); err != nil {
		release(r.Mem)
		return err
	}
	if w.block.entry.Records > 0 && !w.block.fits(&r, w.opt.BlockBytes) {
		w.closeBlock()
	}
	if w.partBytes >= int64(w.opt.PartBytes) && w.ahead >= objstore.MinPartBytes {
		if err := w.sendPart(); err != nil {
			release(r.Mem)
			return err
		}
	}
	w.block.add(&r)
	if len(r.Payload) > 0 {
		w.part = append(w.part, r.Payload)
		w.partBytes += int64(len(r.Payload))
		w.ahead -= int64(len(r.Payload)) // of an endless supply when nothing is copied
	}
	if r.Mem != nil {
		w.partMem = append(w.partMem, r.Mem)
	}
	return nil
}

func (w *Writer) check(r *Record) error {
	if w.closed {
		return ErrClosed
	}
	if r.First < 0 || r.Next <= r.First || r.Next-r.First > 1<<32-1 {
		return fmt.Errorf("%w: record of stream %d covers offsets %d to %d", ErrInvalid, r.Stream, r.First, r.Next)
	}
	if len(r.Payload) > MaxPayloadBytes {
		return fmt.Errorf("%w: record of stream %d at offset %d has %d bytes, at most %d", ErrInvalid, r.Stream, r.First, len(r.Payload), MaxPayloadBytes)
	}
	last := w.block.entry
	if last.Records == 0 {
		if n := len(w.index.Blocks); n > 0 {
			last = w.index.Blocks[n-1]
		} else {
			return nil
		}
	}
	if r.Stream < last.Stream || r.Stream == last.Stream && r.First < last.Next {
		return fmt.Errorf("%w: record of stream %d at offset %d after stream %d up to offset %d", ErrInvalid, r.Stream, r.First, last.Stream, last.Next)
	}
	return nil
}

// Checkpoint adds the opaque state of a stream as it is after all records below offset. At most one per stream, in any order,
// also for streams without records. state is borrowed until Finish or Abort returns.
func (w *Writer) Checkpoint(stream, offset int64, state []byte) error {
	if w.closed {
		return ErrClosed
	}
	if offset < 0 || len(state) > MaxStateBytes {
		return fmt.Errorf("%w: checkpoint of stream %d at offset %d with %d bytes, at most %d", ErrInvalid, stream, offset, len(state), MaxStateBytes)
	}
	w.states = append(w.states, checkpoint{stream, offset, state})
	return nil
}

// Size is the number of bytes of data so far: what has been sent and what waits.
func (w *Writer) Size() int64 {
	return w.position + w.block.payload + int64(len(w.block.table))
}

// closeBlock ends the open block and puts its record table behind its payload.
func (w *Writer) closeBlock() {
	e, table := w.block.finish()
	e.Position = w.position
	w.position += int64(e.Size)
	w.index.Blocks = append(w.index.Blocks, e)
	w.part = append(w.part, table)
	w.partBytes += int64(len(table))
}

// copyBlocks adds whole blocks, neighbours in the object src, by a copy within the store.
// REQUIRES: the blocks have at least objstore.MinPartBytes, and the part being filled as many or none.
func (w *Writer) copyBlocks(src string, entries []BlockEntry) error {
	if w.block.entry.Records > 0 {
		w.closeBlock()
	}
	if w.partBytes > 0 {
		if err := w.sendPart(); err != nil {
			return err
		}
	}
	from, size := entries[0].Position, BlocksSize(entries)
	for _, e := range entries {
		e.Position = w.position
		w.position += int64(e.Size)
		w.index.Blocks = append(w.index.Blocks, e)
	}
	for size > 0 {
		n := min(size, copyPartBytes)
		if rest := size - n; rest > 0 && rest < objstore.MinPartBytes {
			n -= objstore.MinPartBytes
		}
		if err := w.up.copy(src, from, n); err != nil {
			return err
		}
		from, size = from+n, size-n
	}
	return nil
}

// copyPartBytes bounds one copy within the store, so that it ends within the timeout of a call.
const copyPartBytes = 256 << 20

func (w *Writer) sendPart() error {
	part, mem := w.part, w.partMem
	w.part, w.partBytes, w.partMem = nil, 0, nil
	return w.up.send(part, func() { releaseAll(mem) })
}

// Finish writes the rest and makes the object visible. After an error the object is not there, unless the error came from the very
// last request and its answer was lost; writing the same object again is harmless.
func (w *Writer) Finish() (Result, error) {
	if w.closed {
		return Result{}, ErrClosed
	}
	w.closed = true
	defer func() { releaseAll(w.partMem) }()
	if w.block.entry.Records > 0 {
		w.closeBlock()
	}
	tail, size, err := finishIndex(&w.index, w.states)
	if err != nil {
		w.up.abort()
		return Result{}, err
	}
	if err := w.up.finish(append(w.part, tail...)); err != nil {
		return Result{}, err
	}
	return w.up.result(&w.index, size), nil
}

// Abort gives up the object. After Finish it does nothing.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	w.up.abort()
	releaseAll(w.partMem)
}

// finishIndex adds the checkpoints to x and returns all bytes that follow the data blocks, and the size of the object.
func finishIndex(x *Index, states []checkpoint) ([][]byte, int64, error) {
	slices.SortFunc(states, func(a, b checkpoint) int { return compareInt64(a.stream, b.stream) })
	pos := x.DataBytes()
	var buf []byte
	for i, c := range states {
		if i > 0 && states[i-1].stream == c.stream {
			return nil, 0, fmt.Errorf("%w: two checkpoints of stream %d", ErrInvalid, c.stream)
		}
		n := len(buf)
		buf = appendCheckpoint(buf, c.stream, c.offset, c.state)
		e := CheckpointEntry{Stream: c.stream, Offset: c.offset, Position: pos, Size: int32(len(buf) - n)}
		pos += int64(e.Size)
		x.Checkpoints = append(x.Checkpoints, e)
	}
	if n := x.encodedSize(); n > MaxIndexBytes {
		return nil, 0, fmt.Errorf("%w: an index of %d bytes, at most %d", ErrInvalid, n, MaxIndexBytes)
	}
	n := len(buf)
	buf = appendIndex(buf, x)
	size := pos + int64(len(buf)-n) + footerSize
	buf = appendFooter(buf, footer{indexPosition: pos, indexSize: int32(len(buf) - n), objectSize: size})
	return [][]byte{buf}, size, nil
}

func (u *uploader) result(x *Index, size int64) Result {
	return Result{Key: u.key, Size: size, Ranges: x.Ranges(), Index: x, Parts: u.requests, Copied: u.copied, Written: u.written, Hedged: int(u.hedged.Load())}
}

func release(m Releaser) {
	if m != nil {
		m.Unref()
	}
}

func releaseAll(mem []Releaser) {
	for _, m := range mem {
		m.Unref()
	}
}
