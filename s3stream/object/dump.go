package object

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// DumpOptions says how much Dump prints.
type DumpOptions struct {
	// Records prints a line for each record, too.
	Records bool
}

// Dump prints what an object holds and verifies all of it. It goes on past damage: without a readable index it searches the object for
// data blocks and checkpoints. It returns an error that wraps ErrCorrupt when anything was damaged, after printing everything.
func Dump(ctx context.Context, out io.Writer, b objstore.Bucket, key string, o DumpOptions) error {
	info, err := b.Head(ctx, key)
	if err != nil {
		return fmt.Errorf("object: dump of %s: %w", key, err)
	}
	d := dumper{ctx: ctx, w: bufio.NewWriter(out), r: &Reader{bucket: b, key: key, size: info.Size}, opt: o}
	d.printf("object %s: %d bytes\n", key, info.Size)
	err = d.r.readIndex(ctx)
	var corrupt *CorruptError
	switch {
	case err == nil:
		d.indexed()
	case errors.As(err, &corrupt):
		d.damaged("at %d: %s; searching for blocks", corrupt.Position, corrupt.Reason)
		err = d.search()
	}
	if flushErr := d.w.Flush(); err == nil {
		err = flushErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("object: dump of %s: %w", key, err)
	case d.err != nil:
		return fmt.Errorf("object: dump of %s: %w", key, d.err)
	case d.damages > 0:
		return fmt.Errorf("%w: %s has %d damaged places", ErrCorrupt, key, d.damages)
	}
	return nil
}

type dumper struct {
	ctx     context.Context
	w       *bufio.Writer
	r       *Reader
	opt     DumpOptions
	damages int
	err     error // the first one of the bucket
	buf     []byte
}

// printf needs no error: the buffer keeps the first one for Flush.
func (d *dumper) printf(format string, args ...any) { fmt.Fprintf(d.w, format, args...) }

func (d *dumper) damaged(format string, args ...any) {
	d.damages++
	d.printf("DAMAGED "+format+"\n", args...)
}

// indexed prints an object whose index is readable.
func (d *dumper) indexed() {
	x := d.r.index
	d.printf("index at %d: %d data blocks in %d bytes, %d checkpoints\n", x.end(), len(x.Blocks), x.DataBytes(), len(x.Checkpoints))
	for _, r := range x.Ranges() {
		d.printf("stream %d: offsets %d to %d, %d records, %d bytes of payload, max timestamp %s\n",
			r.Stream, r.Start, r.End, r.Records, r.Bytes, timestamp(r.MaxTimestamp))
	}
	for _, e := range x.Blocks {
		p := d.read(e.Position, int64(e.Size), "data block")
		if p == nil {
			continue
		}
		b, err := decodeBlock(e, p)
		if err != nil {
			d.damaged("%v (the index says stream %d, offsets %d to %d, %d records, %d bytes)", reason(err), e.Stream, e.First, e.Next, e.Records, e.Size)
			continue
		}
		d.block(b)
	}
	for _, e := range x.Checkpoints {
		p := d.read(e.Position, int64(e.Size), "checkpoint")
		if p == nil {
			continue
		}
		state, err := checkpointOf(e, p)
		if err != nil {
			d.damaged("%v (the index says stream %d at offset %d, %d bytes)", reason(err), e.Stream, e.Offset, e.Size)
			continue
		}
		d.checkpoint(e, state)
	}
}

func reason(err error) string {
	var c *CorruptError
	if errors.As(err, &c) {
		return fmt.Sprintf("at %d: %s", c.Position, c.Reason)
	}
	return err.Error()
}

// read returns nil, and notes why, when the store does not deliver.
func (d *dumper) read(pos, n int64, what string) []byte {
	d.buf = grow(d.buf, n)
	if err := d.r.bucket.GetRange(d.ctx, d.r.key, pos, d.buf); err != nil {
		d.printf("UNREADABLE at %d: %s of %d bytes: %v\n", pos, what, n, err)
		if d.err == nil {
			d.err = err
		}
		return nil
	}
	return d.buf
}

func (d *dumper) block(b Block) {
	e := b.Entry
	d.printf("block at %d: stream %d, offsets %d to %d, %d records, %d bytes, max timestamp %s\n",
		e.Position, e.Stream, e.First, e.Next, e.Records, e.Size, timestamp(e.MaxTimestamp))
	if !d.opt.Records {
		return
	}
	b.Records(func(c Cursor) bool {
		d.printf("  record at %d: offsets %d to %d, %d bytes, max timestamp %s\n",
			e.Position+int64(c.Start), c.First, c.Next, c.End-c.Start, timestamp(c.MaxTimestamp))
		return true
	})
}

func (d *dumper) checkpoint(e CheckpointEntry, state []byte) {
	d.printf("checkpoint at %d: stream %d at offset %d, %d bytes of state\n", e.Position, e.Stream, e.Offset, len(state))
}

func timestamp(ms int64) string {
	if ms < 0 || ms > 1<<47 {
		return fmt.Sprint(ms)
	}
	return fmt.Sprintf("%d (%s)", ms, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// searchBytes is how much of an object is searched at a time.
const searchBytes = 4 << 20

// search looks for the magics of blocks and prints what is whole. Bytes of payload that look like a magic fail the checksum.
func (d *dumper) search() error {
	var window []byte
	for pos := int64(0); pos < d.r.size; {
		n := min(searchBytes, d.r.size-pos)
		window = grow(window, n)
		if err := d.r.bucket.GetRange(d.ctx, d.r.key, pos, window); err != nil {
			return err
		}
		for i := 0; i < len(window); {
			j := bytes.Index(window[i:], []byte("RMQ"))
			if j < 0 {
				break
			}
			i += j
			d.candidate(pos + int64(i))
			i++
		}
		if pos += n; pos < d.r.size {
			pos -= 2 // a magic may lie across the end of the window
		}
	}
	return nil
}

// candidate prints the block or checkpoint whose magic is at pos, if there is one.
func (d *dumper) candidate(pos int64) {
	var head [blockTrailerSize]byte
	if d.r.size-pos < blockTrailerSize || d.r.bucket.GetRange(d.ctx, d.r.key, pos, head[:]) != nil {
		return
	}
	switch le.Uint32(head[:]) {
	case blockMagic:
		size := int64(le.Uint32(head[24:])) + int64(le.Uint32(head[4:]))*recordEntrySize + blockTrailerSize
		start := pos + blockTrailerSize - size
		if start < 0 || size > MaxBlockBytes {
			return
		}
		if p := d.read(start, size, "data block"); p != nil {
			if b, err := decodeBlockAlone(p); err == nil {
				b.Entry.Position = start
				d.block(b)
			}
		}
	case checkpointMagic:
		size := checkpointHeadSize + int64(le.Uint32(head[24:])) + checksumSize
		if size > d.r.size-pos || size > MaxStateBytes {
			return
		}
		if p := d.read(pos, size, "checkpoint"); p != nil {
			if stream, offset, state, err := decodeCheckpoint(p); err == nil {
				d.checkpoint(CheckpointEntry{Stream: stream, Offset: offset, Position: pos}, state)
			}
		}
	}
}
