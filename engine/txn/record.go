package txn

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// State of a transactional id. The numbers are those of the records.
type State int8

// The states that Kafka names.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int8(s))
	}
	return stateNames[s]
}

// TopicPartition is a partition that a transaction has written to.
type TopicPartition struct {
	Topic string
	Index int32
}

func compareTP(a, b TopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

// entry is what the records say of a transactional id. partitions is sorted and never changed in place.
type entry struct {
	producerID int64
	epoch      int16 // -1: no producer has it yet
	previousID int64 // the producer id before the last change, -1: there was none
	nextID     int64 // the producer id, with epoch 0, when the decided transaction is complete; -1: it stays
	// lastEpoch is what the producer had before it was given the epoch, so that it may ask again when it did not get the answer (KIP-360, KIP-890); -1:
	// nobody may. Not in the records.
	lastEpoch     int16
	version       Version // of the transaction
	timeoutMillis int32
	state         State
	partitions    []TopicPartition
	updateMillis  int64
	startMillis   int64 // of the transaction, -1: none yet
}

// Version is a level of the feature transaction.version, and the kind of a transaction.
type Version int16

const (
	// Version0: a producer keeps its epoch, and adds partitions before it writes to them.
	Version0 Version = 0
	// Version1 is Version0, with records that can have tagged fields.
	Version1 Version = 1
	// Version2: every end of a transaction gives the producer a new epoch, and the first write to a partition adds it (KIP-890 part 2).
	Version2 Version = 2
)

// keyVersion is the version of the keys that are known.
const keyVersion = 0

// valueVersion is the version of the records at a level of the feature.
func (v Version) valueVersion() int16 {
	if v >= Version1 {
		return 1
	}
	return 0
}

func appendKey(id string) []byte {
	key := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: id}
	return key.AppendTo(nil)
}

func appendValue(e *entry, level Version) []byte {
	v := kmsg.NewTxnMetadataValue()
	v.Version = level.valueVersion()
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State = e.producerID, e.epoch, e.timeoutMillis, kmsg.TransactionState(e.state)
	v.LastUpdateTimestamp, v.StartTimestamp = e.updateMillis, e.startMillis
	v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion = e.previousID, e.nextID, int16(e.version) // from version 1 on
	if e.state != Empty {                                                                                         // null then, as in Kafka
		v.Topics = []kmsg.TxnMetadataValueTopic{}
	}
	eachTopic(e.partitions, func(topic string, indexes []int32) {
		t := kmsg.NewTxnMetadataValueTopic()
		t.Topic, t.Partitions = topic, indexes
		v.Topics = append(v.Topics, t)
	})
	return v.AppendTo(nil)
}

// eachTopic groups sorted partitions by topic.
func eachTopic(tps []TopicPartition, fn func(topic string, indexes []int32)) {
	for len(tps) > 0 {
		n := 0
		var indexes []int32
		for n < len(tps) && tps[n].Topic == tps[0].Topic {
			indexes = append(indexes, tps[n].Index)
			n++
		}
		fn(tps[0].Topic, indexes)
		tps = tps[n:]
	}
}

// encode makes the batch of one record; a nil entry is a tombstone.
func encode(id string, e *entry, now int64, level Version) []byte {
	var bb kproto.BatchBuilder
	var value []byte
	if e != nil {
		value = appendValue(e, level)
	}
	bb.Add(now, appendKey(id), value, nil)
	return bb.Bytes()
}

// decodeKey returns the id of a record. ok is false for keys of other versions.
func decodeKey(b []byte) (id string, ok bool, err error) {
	if len(b) < 2 {
		return "", false, fmt.Errorf("txn: record key of %d bytes", len(b))
	}
	if binary.BigEndian.Uint16(b) != keyVersion {
		return "", false, nil
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(b); err != nil {
		return "", false, fmt.Errorf("txn: record key: %w", err)
	}
	return k.TransactionalID, true, nil
}

func decodeValue(b []byte) (*entry, error) {
	if len(b) < 2 || binary.BigEndian.Uint16(b) > 1 {
		return nil, fmt.Errorf("txn: record value of %d bytes is of a version that is not known", len(b))
	}
	var v kmsg.TxnMetadataValue
	if err := v.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("txn: record value: %w", err)
	}
	e := &entry{
		producerID: v.ProducerID, epoch: v.ProducerEpoch, previousID: v.PreviousProducerID, nextID: v.NextProducerID, lastEpoch: -1,
		version: Version(v.ClientTransactionVersion), timeoutMillis: v.TimeoutMillis, state: State(v.State), updateMillis: v.LastUpdateTimestamp,
		startMillis: v.StartTimestamp,
	}
	if e.state < Empty || e.state > CompleteAbort {
		return nil, fmt.Errorf("txn: record value with state %d", e.state)
	}
	for _, t := range v.Topics {
		for _, p := range t.Partitions {
			e.partitions = append(e.partitions, TopicPartition{t.Topic, p})
		}
	}
	slices.SortFunc(e.partitions, compareTP)
	return e, nil
}

// StateByName finds a state by the name that clients use.
func StateByName(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}
