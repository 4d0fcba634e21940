package record

import (
	"fmt"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// batchFormat is the first byte of every batch.
const batchFormat = 1

// Origin says which controller wrote a batch: its node id, the raft term in which it was active, and a number that grows by one per
// batch within the term.
type Origin struct {
	Node int32
	Term int64
	Seq  int64
}

// Batch is a sequence of records that are applied as a whole: the data of one raft entry.
type Batch struct {
	Origin  Origin
	Records []Record
}

// AppendBatch appends the binary form of a batch.
func AppendBatch(dst []byte, b Batch) []byte {
	dst = append(dst, batchFormat)
	dst = appendInts(dst, int64(b.Origin.Node), b.Origin.Term, b.Origin.Seq)
	dst = wire.AppendUvarint(dst, uint64(len(b.Records)))
	for _, r := range b.Records {
		dst = Append(dst, r)
	}
	return dst
}

// minRecordBytes is the least that one encoded record takes.
const minRecordBytes = 3

// ReadOrigin decodes only the origin of a batch.
func ReadOrigin(b []byte) (Origin, error) {
	o, _, err := readHeader(b)
	return o, err
}

func readHeader(b []byte) (Origin, *wire.Reader, error) {
	d := wire.NewReader(b)
	format := d.Byte()
	if d.Err() == nil && format != batchFormat {
		return Origin{}, nil, fmt.Errorf("%w: batch format %d, this program knows %d", ErrUnknown, format, batchFormat)
	}
	o := Origin{Node: d.Int32(), Term: d.Varint(), Seq: d.Varint()}
	if err := d.Err(); err != nil {
		return Origin{}, nil, fmt.Errorf("%w: batch header: %w", ErrCorrupt, err)
	}
	return o, d, nil
}

// ReadBatch decodes a batch, which has to fill b. The records do not alias b. Errors match ErrCorrupt or ErrUnknown.
func ReadBatch(b []byte) (Batch, error) {
	o, d, err := readHeader(b)
	if err != nil {
		return Batch{}, err
	}
	n := d.Count(minRecordBytes)
	if err := d.Err(); err != nil {
		return Batch{}, fmt.Errorf("%w: batch: %w", ErrCorrupt, err)
	}
	batch := Batch{Origin: o, Records: make([]Record, n)}
	rest := d.Rest()
	for i := range batch.Records {
		r, size, err := Read(rest)
		if err != nil {
			return Batch{}, fmt.Errorf("record %d of %d: %w", i, n, err)
		}
		batch.Records[i] = r
		rest = rest[size:]
	}
	if len(rest) != 0 {
		return Batch{}, fmt.Errorf("%w: %d bytes after the last record of a batch", ErrCorrupt, len(rest))
	}
	return batch, nil
}
