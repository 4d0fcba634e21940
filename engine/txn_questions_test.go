package engine

import (
	"fmt"
	"testing"

	"github.com/ringmq/ringmq/engine/txn"
)

// A request has each transactional id once, and as many as fit; what is left keeps its order.
func TestQuestionBatches(t *testing.T) {
	var queue questionQueue
	question := func(id string, epoch int16) {
		queue.waiting = append(queue.waiting, &txnQuestion{producer: txn.Producer{ID: id, ProducerEpoch: epoch}})
	}
	for i := range questionBatch {
		question(fmt.Sprint(i), 0)
		question(fmt.Sprint(i), 1)
	}
	question("last", 0)
	for i, want := range []int{questionBatch, questionBatch, 1, 0} {
		batch := queue.take()
		if len(batch) != want {
			t.Fatalf("request %d has %d transactions, want %d", i, len(batch), want)
		}
		ids := make(map[string]bool)
		for _, q := range batch {
			if ids[q.producer.ID] {
				t.Errorf("request %d has %s twice", i, q.producer.ID)
			}
			ids[q.producer.ID] = true
			if want := int16(i); q.producer.ID != "last" && q.producer.ProducerEpoch != want {
				t.Errorf("request %d asks for epoch %d of %s", i, q.producer.ProducerEpoch, q.producer.ID)
			}
		}
	}
}
