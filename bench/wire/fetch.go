package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchVersion is the last one that names topics.
const fetchVersion = 12

// Fetcher reads partitions of one topic over one connection, without a group and without fetch sessions.
type Fetcher struct {
	c   *Conn
	req *kmsg.FetchRequest
}

// FetchOptions of a Fetcher.
type FetchOptions struct {
	MaxWaitMillis  int32 // how long the server may wait for data
	MinBytes       int32
	MaxBytes       int32
	PartitionBytes int32
}

// NewFetcher starts at the given offsets, by partition.
func NewFetcher(c *Conn, topic string, next map[int32]int64, o FetchOptions) *Fetcher {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = fetchVersion, -1, o.MaxWaitMillis, o.MinBytes, o.MaxBytes
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for p, off := range next {
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch, fp.LastFetchedEpoch = p, off, o.PartitionBytes, -1, -1
		t.Partitions = append(t.Partitions, fp)
	}
	req.Topics = append(req.Topics, t)
	return &Fetcher{c, req}
}

// Poll sends one Fetch and calls fn for every record of the answer that was asked for, in order. The value is valid during the call.
func (f *Fetcher) Poll(fn func(partition int32, offset int64, value []byte)) error {
	r, err := f.c.Request(f.req)
	if err != nil {
		return err
	}
	resp := r.(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 {
		return fmt.Errorf("wire: fetch: %w", kerr.ErrorForCode(resp.ErrorCode))
	}
	asked := f.req.Topics[0].Partitions
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return fmt.Errorf("wire: fetch partition %d: %w", p.Partition, kerr.ErrorForCode(p.ErrorCode))
			}
			for i := range asked {
				if asked[i].Partition != p.Partition {
					continue
				}
				next, err := Records(p.RecordBatches, asked[i].FetchOffset, func(offset int64, value []byte) { fn(p.Partition, offset, value) })
				if err != nil {
					return fmt.Errorf("wire: fetch partition %d: %w", p.Partition, err)
				}
				asked[i].FetchOffset = next
			}
		}
	}
	return nil
}

// ErrBatch: a record batch cannot be read.
var ErrBatch = errors.New("wire: malformed record batch")

// Records calls fn for every record from offset on in uncompressed batches of magic 2, and returns the offset that follows. A batch that
// is cut off at the end is left for the next fetch, as the protocol has it.
func Records(b []byte, from int64, fn func(offset int64, value []byte)) (next int64, err error) {
	next = from
	for len(b) >= batchHeader {
		length := int64(binary.BigEndian.Uint32(b[offBatchLength:])) + 12
		if length < batchHeader {
			return next, fmt.Errorf("%w: length %d", ErrBatch, length)
		}
		if length > int64(len(b)) {
			return next, nil
		}
		batch := b[:length:length]
		b = b[length:]
		base, last := int64(binary.BigEndian.Uint64(batch)), int64(int32(binary.BigEndian.Uint32(batch[23:])))
		attributes := binary.BigEndian.Uint16(batch[offAttributes:])
		switch {
		case batch[offMagic] != 2:
			return next, fmt.Errorf("%w: magic %d", ErrBatch, batch[offMagic])
		case last < 0:
			return next, fmt.Errorf("%w: last offset delta %d", ErrBatch, last)
		case attributes&7 != 0:
			return next, fmt.Errorf("%w: compressed; this client reads only what it wrote uncompressed", ErrBatch)
		case base+last < next:
			continue
		}
		if attributes&0x20 == 0 { // control batches have no records for us
			if err := records(batch[batchHeader:], int(binary.BigEndian.Uint32(batch[offCount:])), base, next, fn); err != nil {
				return next, err
			}
		}
		next = base + last + 1
	}
	return next, nil
}

func records(b []byte, count int, base, from int64, fn func(offset int64, value []byte)) error {
	for range count {
		size, n := binary.Varint(b)
		if n <= 0 || size < 1 || size > int64(len(b)-n) {
			return fmt.Errorf("%w: record of %d bytes, %d left", ErrBatch, size, len(b)-n)
		}
		rec := b[n : n+int(size)]
		b = b[n+int(size):]
		rec = rec[1:] // attributes
		var fields [3]int64
		for i := range fields { // timestamp delta, offset delta, key length
			v, n := binary.Varint(rec)
			if n <= 0 {
				return fmt.Errorf("%w: truncated record", ErrBatch)
			}
			fields[i], rec = v, rec[n:]
		}
		if key := fields[2]; key > int64(len(rec)) {
			return fmt.Errorf("%w: key of %d bytes, %d left", ErrBatch, key, len(rec))
		} else if key > 0 {
			rec = rec[key:]
		}
		length, n := binary.Varint(rec)
		if n <= 0 || length > int64(len(rec)-n) {
			return fmt.Errorf("%w: value of %d bytes, %d left", ErrBatch, length, len(rec)-n)
		}
		if offset := base + fields[1]; offset >= from {
			fn(offset, rec[n:n+int(max(length, 0))])
		}
	}
	return nil
}
