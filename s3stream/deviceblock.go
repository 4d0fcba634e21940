package s3stream

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/ringmq/ringmq/wal"
)

// deviceBlock is a block that was read back from the WAL device: its data records by stream, payloads of a stream back to back.
type deviceBlock struct {
	records []deviceRecord // by stream, then offset
	payload []byte
}

type deviceRecord struct {
	header
	start, end int // of its payload
}

// readDevice reads a WAL block back.
func (s *Storage) readDevice(ctx context.Context, block wal.Position) (*deviceBlock, error) {
	var found []deviceRecord
	var raw []byte
	err := s.log.ReadBlock(ctx, block, func(e wal.Entry) error {
		h, payload, err := decodeRecord(e.Data)
		if err != nil {
			return err
		}
		found = append(found, deviceRecord{h, len(raw), len(raw) + len(payload)})
		raw = append(raw, payload...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b deviceRecord) int { return cmp.Compare(a.stream, b.stream) })
	d := &deviceBlock{records: make([]deviceRecord, 0, len(found)), payload: make([]byte, 0, len(raw))}
	for _, r := range found {
		// A record that does not continue its stream, or a note, makes void what stands before it (see recovery).
		for n := len(d.records); n > 0 && d.records[n-1].stream == r.stream && (r.kind == kindVoid || d.records[n-1].next > r.first); n-- {
			d.payload = d.payload[:d.records[n-1].start]
			d.records = d.records[:n-1]
		}
		if r.kind != kindData {
			continue
		}
		at := len(d.payload)
		d.payload = append(d.payload, raw[r.start:r.end]...)
		r.start, r.end = at, len(d.payload)
		d.records = append(d.records, r)
	}
	return d, nil
}

// bytes is what the block costs in the cache.
func (d *deviceBlock) bytes() int64 { return int64(cap(d.payload)) + int64(cap(d.records))*72 }

// from returns the records of a stream from the one that holds offset on.
func (d *deviceBlock) from(id StreamID, offset int64) []deviceRecord {
	i := sort.Search(len(d.records), func(i int) bool {
		r := &d.records[i]
		return r.stream > id || r.stream == id && r.next > offset
	})
	j := i
	for j < len(d.records) && d.records[j].stream == id {
		j++
	}
	return d.records[i:j]
}

// cut is object.Block.Cut for a block of the WAL.
func (d *deviceBlock) cut(id StreamID, from, limit int64, maxBytes int, atLeastOne bool) (data []byte, first, next int64) {
	rs := d.from(id, from)
	n := 0
	for n < len(rs) && rs[n].next <= limit && (rs[n].end-rs[0].start <= maxBytes || n == 0 && atLeastOne) {
		n++
	}
	if n == 0 {
		return nil, 0, 0
	}
	return d.payload[rs[0].start:rs[n-1].end:rs[n-1].end], rs[0].first, rs[n-1].next
}
