package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

func compareInt64(a, b int64) int { return cmp.Compare(a, b) }

// Reader reads one object. It holds the index in memory and no connection; it needs no Close. Safe for any goroutine.
type Reader struct {
	bucket objstore.Bucket
	key    string
	size   int64
	index  *Index
}

// Open reads the index of an object. size is the object's size in bytes, as the metadata knows it; negative asks the bucket. It
// costs one request when the index fits the guess that is read from the object's end, two otherwise (and one more for the size).
func Open(ctx context.Context, b objstore.Bucket, key string, size int64) (*Reader, error) {
	if size < 0 {
		info, err := b.Head(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("object: open %s: %w", key, err)
		}
		size = info.Size
	}
	r := &Reader{bucket: b, key: key, size: size}
	if err := r.readIndex(ctx); err != nil {
		return nil, r.wrap(err)
	}
	return r, nil
}

// tailGuess is how much of the end of an object to read in the hope that it holds the index: 16 KiB (340 entries), and 1/2048 of the object, five
// times what blocks of 512 KiB need.
func tailGuess(size int64) int64 { return min(size, max(16<<10, size/2048)) }

func (r *Reader) readIndex(ctx context.Context) error {
	if r.size < footerSize+indexHeadSize+checksumSize {
		return &CorruptError{Reason: fmt.Sprintf("%d bytes are too few for an object", r.size)}
	}
	tail := make([]byte, tailGuess(r.size))
	if err := r.bucket.GetRange(ctx, r.key, r.size-int64(len(tail)), tail); err != nil {
		return err
	}
	f, err := decodeFooter(tail[len(tail)-footerSize:], r.size)
	if err != nil {
		return err
	}
	index := tail[:len(tail)-footerSize]
	if missing := int(f.indexSize) - len(index); missing <= 0 {
		index = index[-missing:]
	} else {
		whole := make([]byte, f.indexSize)
		if err := r.bucket.GetRange(ctx, r.key, f.indexPosition, whole[:missing]); err != nil {
			return err
		}
		copy(whole[missing:], index)
		index = whole
	}
	r.index, err = decodeIndex(index, f.indexPosition)
	return err
}

// wrap names the object in err.
func (r *Reader) wrap(err error) error {
	var c *CorruptError
	if errors.As(err, &c) {
		c.Key = r.key
		return err
	}
	return fmt.Errorf("object: %s: %w", r.key, err)
}

// Key returns the object's key.
func (r *Reader) Key() string { return r.key }

// Size returns the object's size in bytes.
func (r *Reader) Size() int64 { return r.size }

// Index returns the object's index. Read-only.
func (r *Reader) Index() *Index { return r.index }

// ReadBlock reads and verifies the data block of entry e of the index. It reads into buf when its capacity suffices, else into new
// memory; the Block shares that memory.
func (r *Reader) ReadBlock(ctx context.Context, e BlockEntry, buf []byte) (Block, error) {
	p := grow(buf, int64(e.Size))
	if err := r.bucket.GetRange(ctx, r.key, e.Position, p); err != nil {
		return Block{}, r.wrap(err)
	}
	b, err := decodeBlock(e, p)
	if err != nil {
		return Block{}, r.wrap(err)
	}
	return b, nil
}

// ReadBlocks reads several data blocks with one request, for readahead: entries must be neighbours in the index, in order. The Blocks are appended
// to dst and share buf, or new memory when its capacity does not suffice (BlocksSize says how much it takes).
func (r *Reader) ReadBlocks(ctx context.Context, dst []Block, entries []BlockEntry, buf []byte) ([]Block, error) {
	if len(entries) == 0 {
		return dst, nil
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Position != entries[i-1].Position+int64(entries[i-1].Size) {
			return dst, fmt.Errorf("%w: blocks at %d and %d are no neighbours", ErrInvalid, entries[i-1].Position, entries[i].Position)
		}
	}
	p := grow(buf, BlocksSize(entries))
	if err := r.bucket.GetRange(ctx, r.key, entries[0].Position, p); err != nil {
		return dst, r.wrap(err)
	}
	for _, e := range entries {
		b, err := decodeBlock(e, p[:e.Size:e.Size])
		if err != nil {
			return dst, r.wrap(err)
		}
		dst, p = append(dst, b), p[e.Size:]
	}
	return dst, nil
}

// BlocksSize is the number of bytes of the blocks in the object.
func BlocksSize(entries []BlockEntry) int64 {
	var n int64
	for _, e := range entries {
		n += int64(e.Size)
	}
	return n
}

// ReadCheckpoint reads and verifies the checkpoint of entry e of the index. The state is the caller's.
func (r *Reader) ReadCheckpoint(ctx context.Context, e CheckpointEntry) ([]byte, error) {
	p := make([]byte, e.Size)
	if err := r.bucket.GetRange(ctx, r.key, e.Position, p); err != nil {
		return nil, r.wrap(err)
	}
	state, err := checkpointOf(e, p)
	if err != nil {
		return nil, r.wrap(err)
	}
	return state, nil
}

// ReadCheckpoints reads several checkpoints, given in the order of the index, and returns their states in that order. Neighbours
// are read with one request. States of one request share memory.
func (r *Reader) ReadCheckpoints(ctx context.Context, entries []CheckpointEntry) ([][]byte, error) {
	states := make([][]byte, 0, len(entries))
	for len(entries) > 0 {
		n, size := 1, int64(entries[0].Size)
		for n < len(entries) && entries[n].Position == entries[0].Position+size && size+int64(entries[n].Size) <= chunkBytes {
			size += int64(entries[n].Size)
			n++
		}
		p := make([]byte, size)
		if err := r.bucket.GetRange(ctx, r.key, entries[0].Position, p); err != nil {
			return nil, r.wrap(err)
		}
		for _, e := range entries[:n] {
			state, err := checkpointOf(e, p[:e.Size:e.Size])
			if err != nil {
				return nil, r.wrap(err)
			}
			states, p = append(states, state), p[e.Size:]
		}
		entries = entries[n:]
	}
	return states, nil
}

func checkpointOf(e CheckpointEntry, p []byte) ([]byte, error) {
	stream, offset, state, err := decodeCheckpoint(p)
	if err == nil && (stream != e.Stream || offset != e.Offset) {
		err = &CorruptError{Reason: fmt.Sprintf("checkpoint of stream %d at offset %d, the index says stream %d at offset %d", stream, offset, e.Stream, e.Offset)}
	}
	return state, at(err, e.Position)
}

func grow(buf []byte, n int64) []byte {
	if int64(cap(buf)) >= n {
		return buf[:n]
	}
	return make([]byte, n)
}
