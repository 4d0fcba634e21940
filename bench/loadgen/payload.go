package loadgen

import (
	"encoding/binary"
	"math/rand/v2"
)

// A value begins with magic 4, producer 4, sequence 8, due time 8 (nanoseconds of the run's clock), big endian; noise follows.
const (
	headerBytes = 24
	magic       = 0x52514c47
)

// stamp is what a value says of its record.
type stamp struct {
	producer uint32
	sequence uint64 // per producer and partition, from 0
	due      int64
}

func (s stamp) put(value []byte) {
	binary.BigEndian.PutUint32(value, magic)
	binary.BigEndian.PutUint32(value[4:], s.producer)
	binary.BigEndian.PutUint64(value[8:], s.sequence)
	binary.BigEndian.PutUint64(value[16:], uint64(s.due))
}

// stampOf reads a value; ok is false for one that is not ours.
func stampOf(value []byte) (s stamp, ok bool) {
	if len(value) < headerBytes || binary.BigEndian.Uint32(value) != magic {
		return stamp{}, false
	}
	return stamp{binary.BigEndian.Uint32(value[4:]), binary.BigEndian.Uint64(value[8:]), int64(binary.BigEndian.Uint64(value[16:]))}, true
}

// noise returns values to send: a pool, because making random bytes for each record would cost more than sending them.
func noise(o Options, seed uint64) [][]byte {
	random := rand.New(rand.NewPCG(seed, 1))
	n := o.PoolSize
	if n == 0 {
		n = min(256, max(1, 4<<20/o.RecordBytes))
	}
	pool := make([][]byte, n)
	for i := range pool {
		pool[i] = make([]byte, o.RecordBytes)
		for j := headerBytes; j < headerBytes+int(float64(o.RecordBytes-headerBytes)*o.RandomRatio); j++ {
			pool[i][j] = byte(random.Uint32())
		}
	}
	return pool
}
