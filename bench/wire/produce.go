package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Offsets within a record batch of magic 2.
const (
	offBatchLength = 8
	offMagic       = 16
	offCRC         = 17
	offAttributes  = 21
	offFirstTime   = 27
	offCount       = 57
	batchHeader    = 61
)

// Batch builds record batches. It keeps its buffers: a batch is valid until the next Reset.
type Batch struct {
	b     []byte
	body  []byte
	count int
}

// Reset empties the batch. Records will have the given creation time.
func (b *Batch) Reset(created time.Time) {
	b.b = append(b.b[:0], make([]byte, batchHeader)...)
	b.count = 0
	h := b.b
	h[offMagic] = 2
	binary.BigEndian.PutUint32(h[12:], ^uint32(0)) // partition leader epoch: the broker's business
	ms := uint64(created.UnixMilli())
	binary.BigEndian.PutUint64(h[offFirstTime:], ms)
	binary.BigEndian.PutUint64(h[offFirstTime+8:], ms)
	binary.BigEndian.PutUint64(h[43:], ^uint64(0)) // no producer id
	binary.BigEndian.PutUint16(h[51:], ^uint16(0)) // no producer epoch
	binary.BigEndian.PutUint32(h[53:], ^uint32(0)) // no sequence
}

// Add appends a record without a key.
func (b *Batch) Add(value []byte) {
	body := append(b.body[:0], 0)                       // attributes
	body = binary.AppendVarint(body, 0)                 // timestamp delta
	body = binary.AppendVarint(body, int64(b.count))    // offset delta
	body = binary.AppendVarint(body, -1)                // no key
	body = binary.AppendVarint(body, int64(len(value))) // value follows
	b.body = body
	b.b = binary.AppendVarint(b.b, int64(len(body)+len(value)+1))
	b.b = append(b.b, body...)
	b.b = append(b.b, value...)
	b.b = append(b.b, 0) // headers
	b.count++
}

// Len is the number of records.
func (b *Batch) Len() int { return b.count }

// Size is the number of bytes so far.
func (b *Batch) Size() int { return len(b.b) }

// Bytes completes the batch.
//
// REQUIRES: at least one record.
func (b *Batch) Bytes() []byte {
	h := b.b
	binary.BigEndian.PutUint32(h[offBatchLength:], uint32(len(h)-12))
	binary.BigEndian.PutUint32(h[23:], uint32(b.count-1)) // last offset delta
	binary.BigEndian.PutUint32(h[offCount:], uint32(b.count))
	binary.BigEndian.PutUint32(h[offCRC:], crc32.Checksum(h[offAttributes:], castagnoli))
	return h
}

// produceVersion is flexible and still names topics, so that every broker of the last years serves it.
const produceVersion = 9

// offCorrelation is where a request's correlation id stands: behind size 4, key 2, version 2.
const offCorrelation = 8

// ProduceFrame appends a whole Produce request for one batch, size prefix included.
func ProduceFrame(dst []byte, client, topic string, partition int32, acks int16, batch []byte) []byte {
	return produceFrame(dst, client, topic, partition, partition+1, acks, batch)
}

// ProduceFrameAll is ProduceFrame with the same batch for each of the first partitions of the topic.
func ProduceFrameAll(dst []byte, client, topic string, partitions int, acks int16, batch []byte) []byte {
	return produceFrame(dst, client, topic, 0, int32(partitions), acks, batch)
}

func produceFrame(dst []byte, client, topic string, first, end int32, acks int16, batch []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)                                  // size
	dst = binary.BigEndian.AppendUint16(dst, uint16(kmsg.Produce)) // key
	dst = binary.BigEndian.AppendUint16(dst, produceVersion)       // version
	dst = binary.BigEndian.AppendUint32(dst, 0)                    // correlation id
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(client)))  //
	dst = append(append(dst, client...), 0)                        // client id, no tags
	dst = append(dst, 0)                                           // no transactional id
	dst = binary.BigEndian.AppendUint16(dst, uint16(acks))         //
	dst = binary.BigEndian.AppendUint32(dst, 30_000)               // timeout, ms
	dst = append(dst, 2)                                           // one topic
	dst = binary.AppendUvarint(dst, uint64(len(topic)+1))          //
	dst = append(dst, topic...)                                    //
	dst = binary.AppendUvarint(dst, uint64(end-first+1))           // its partitions
	for p := first; p < end; p++ {
		dst = binary.BigEndian.AppendUint32(dst, uint32(p))
		dst = binary.AppendUvarint(dst, uint64(len(batch)+1))
		dst = append(append(dst, batch...), 0) // no tags
	}
	dst = append(dst, 0, 0) // tags of topic, request
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// SetCorrelation patches the id of a frame.
func SetCorrelation(frame []byte, id int32) {
	binary.BigEndian.PutUint32(frame[offCorrelation:], uint32(id))
}

// ReceiveProduced reads the answer to a ProduceFrame with the given correlation id. An error code of the server is an error of kerr.
func (c *Conn) ReceiveProduced(id int32) error {
	return c.ReceiveProducedAll(id, 1)
}

// ReceiveProducedAll is ReceiveProduced for an answer with a number of partitions.
func (c *Conn) ReceiveProducedAll(id int32, partitions int) error {
	got, body, err := c.Receive()
	if err != nil {
		return err
	}
	if got != id {
		return fmt.Errorf("wire: produce: answer %d, want %d", got, id)
	}
	if partitions != 1 {
		return producedAll(body, partitions)
	}
	// tags 1, topics 1 (one), name, partitions 1 (one), index 4, error code 2
	if len(body) < 3 || body[0] != 0 || body[1] != 2 {
		return fmt.Errorf("wire: produce: malformed answer of %d bytes", len(body))
	}
	name, n := binary.Uvarint(body[2:])
	at := 2 + n + int(name) - 1 + 1 + 4
	if n <= 0 || name == 0 || name > 250 || len(body) < at+2 {
		return fmt.Errorf("wire: produce: malformed answer of %d bytes", len(body))
	}
	if code := int16(binary.BigEndian.Uint16(body[at:])); code != 0 {
		return fmt.Errorf("wire: produce: %w", kerr.ErrorForCode(code))
	}
	return nil
}

// producedAll reads an answer with many partitions, for which speed does not matter.
func producedAll(body []byte, partitions int) error {
	var resp kmsg.ProduceResponse
	resp.Version = produceVersion
	if len(body) < 1 || body[0] != 0 {
		return fmt.Errorf("wire: produce: malformed answer of %d bytes", len(body))
	}
	if err := resp.ReadFrom(body[1:]); err != nil {
		return fmt.Errorf("wire: produce: malformed answer of %d bytes: %w", len(body), err)
	}
	n := 0
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if n++; p.ErrorCode != 0 {
				return fmt.Errorf("wire: produce: partition %d: %w", p.Partition, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if n != partitions {
		return fmt.Errorf("wire: produce: answer about %d partitions, want %d", n, partitions)
	}
	return nil
}
