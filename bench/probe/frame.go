package main

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceFrame builds one Produce v9 request, size prefix included, that carries a batch of n records with values of the given size.
// The same bytes can be sent again and again; correlation patches the id.
func produceFrame(topic string, partition int32, n, size int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch(n, size)
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("probe")).AppendRequest(nil, req, 0)
}

const offCorrelation = 8 // behind size 4, key 2, version 2

func correlation(frame []byte, id uint32) { binary.BigEndian.PutUint32(frame[offCorrelation:], id) }

// batch is a record batch of magic 2 without a producer id.
func batch(n, size int) []byte {
	var records []byte
	value := make([]byte, size)
	for i := range value {
		value[i] = byte('a' + i%26)
	}
	for i := range n {
		var body []byte
		body = append(body, 0)                              // attributes
		body = binary.AppendVarint(body, 0)                 // timestamp delta
		body = binary.AppendVarint(body, int64(i))          // offset delta
		body = binary.AppendVarint(body, -1)                // no key
		body = binary.AppendVarint(body, int64(len(value))) // value
		body = append(body, value...)
		body = binary.AppendVarint(body, 0) // headers
		records = binary.AppendVarint(records, int64(len(body)))
		records = append(records, body...)
	}
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(n), Records: records, FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
