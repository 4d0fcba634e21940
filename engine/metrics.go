package engine

import (
	"sync/atomic"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
)

// metrics are the broker's own counters.
type metrics struct {
	requests        [kproto.MaxKey + 1]atomic.Int64 // by api key
	rejected        atomic.Int64                    // requests that closed their connection
	walFull         atomic.Int64                    // times that a produce had to wait for room in the WAL
	producedBatches atomic.Int64
	producedBytes   atomic.Int64
	fetchedBytes    atomic.Int64

	shareAcquired atomic.Int64    // records that members of share groups have got
	shareExpired  atomic.Int64    // that were taken back because their time was up
	shareAcks     [5]atomic.Int64 // acknowledgements of records, by type
}

// countAcks counts acknowledgements that are durable.
func (m *metrics) countAcks(list []share.Ack) {
	for _, a := range list {
		if len(a.Types) == 1 {
			m.shareAcks[a.Types[0]].Add(a.Last - a.First + 1)
			continue
		}
		for _, kind := range a.Types {
			m.shareAcks[kind].Add(1)
		}
	}
}

func (m *metrics) produced(bytes int) {
	m.producedBatches.Add(1)
	m.producedBytes.Add(int64(bytes))
}
