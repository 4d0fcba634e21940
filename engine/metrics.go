package engine

import (
	"sync/atomic"

	"github.com/ringmq/ringmq/engine/kproto"
)

// metrics are the broker's own counters.
type metrics struct {
	requests        [kproto.MaxKey + 1]atomic.Int64 // by api key
	rejected        atomic.Int64                    // requests that closed their connection
	walFull         atomic.Int64                    // times that a produce had to wait for room in the WAL
	producedBatches atomic.Int64
	producedBytes   atomic.Int64
	fetchedBytes    atomic.Int64
}

func (m *metrics) produced(bytes int) {
	m.producedBatches.Add(1)
	m.producedBytes.Add(int64(bytes))
}
