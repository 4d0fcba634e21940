package kproto

import (
	"errors"
	"fmt"
)

// Codec is how the records of a batch are compressed.
type Codec int8

const (
	// CodecProducer is compression.type=producer: batches stay as they came. It never stands in a batch.
	CodecProducer Codec = -1

	CodecNone   Codec = 0
	CodecGzip   Codec = 1
	CodecSnappy Codec = 2
	CodecLZ4    Codec = 3
	CodecZstd   Codec = 4
)

// String is the codec's name in compression.type.
func (c Codec) String() string {
	switch c {
	case CodecProducer:
		return "producer"
	case CodecNone:
		return "uncompressed"
	case CodecGzip:
		return "gzip"
	case CodecSnappy:
		return "snappy"
	case CodecLZ4:
		return "lz4"
	case CodecZstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// ParseCodec reads a value of compression.type.
func ParseCodec(name string) (Codec, bool) {
	for c := CodecProducer; c <= CodecZstd; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return 0, false
}

// ErrTooLarge is matched when records decompress to more than maxDecompressed allows.
var ErrTooLarge = errors.New("kproto: records decompress to too much")

// maxRecordsBytes bounds the records of any batch, decompressed: what a client can send at most in one uncompressed request
// (socket.request.max.bytes).
const maxRecordsBytes = 100 << 20

// maxDecompressed bounds what n compressed bytes of a producer may become. gzip cannot grow by more than 1032 times; a small batch
// may become 4 MiB in any case. Kafka has no such bound; here the memory and the time that a client can cost stay in proportion to
// what it sent. Producers that are told MESSAGE_TOO_LARGE split the batch. Batches in the log have passed this, and may be smaller
// than they were sent, so RecordIter goes by maxRecordsBytes alone.
func maxDecompressed(n int) int { return min(max(1024*n, 4<<20), maxRecordsBytes) }

// decompress appends the decompressed src to dst, which may grow to limit bytes. The result is returned on an error too, since it
// may be memory that dst grew into. Errors match ErrCorruptBatch or ErrTooLarge.
func decompress(dst []byte, c Codec, src []byte, limit int) ([]byte, error) {
	var err error
	switch c {
	case CodecGzip:
		dst, err = gunzip(dst, src, limit)
	case CodecSnappy:
		dst, err = unsnappy(dst, src, limit)
	case CodecLZ4:
		dst, err = unlz4(dst, src, limit)
	case CodecZstd:
		dst, err = unzstd(dst, src, limit)
	default:
		return dst, fmt.Errorf("%w: %s does not exist", ErrCorruptBatch, c)
	}
	switch {
	case err == nil:
		return dst, nil
	case errors.Is(err, ErrTooLarge):
		return dst, fmt.Errorf("%w: %s, %d bytes become more than %d", ErrTooLarge, c, len(src), limit)
	}
	return dst, fmt.Errorf("%w: %s data of %d bytes: %w", ErrCorruptBatch, c, len(src), err)
}

// Decompress returns data that is not of a record batch, decompressed, at most limit bytes; for CodecNone it is src itself. Errors match ErrCorruptBatch or
// ErrTooLarge.
func Decompress(c Codec, src []byte, limit int) ([]byte, error) {
	if c == CodecNone {
		return src, nil
	}
	return decompress(nil, c, src, limit)
}

// Compress is the opposite of Decompress.
func Compress(c Codec, level int, src []byte) []byte { return compress(nil, c, level, src) }

// compress appends the compressed src to dst. level 0 is the codec's default; levels out of range are brought into it.
func compress(dst []byte, c Codec, level int, src []byte) []byte {
	switch c {
	case CodecGzip:
		return gzipTo(dst, src, level)
	case CodecSnappy:
		return snappyTo(dst, src)
	case CodecLZ4:
		return lz4To(dst, src, level)
	case CodecZstd:
		return zstdTo(dst, src, level)
	}
	return append(dst, src...)
}
