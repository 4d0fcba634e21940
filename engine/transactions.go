package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/txn"
	"github.com/ringmq/ringmq/s3stream"
)

// The broker's side of transactions: the coordinator (package txn) decides, __transaction_state remembers, partitions keep what is open (package
// partition), groups keep offsets back until the marker (package group).

// newTxnCoordinator makes the coordinator; partitions of __transaction_state are loaded as this broker opens them.
func (b *Broker) newTxnCoordinator() *txn.Coordinator {
	p := b.cfg.Producer
	partitions := p.TransactionTopicPartitions
	if t := b.node.Image().Topic(transactionsTopic); t != nil && int(partitions) != len(t.Partitions) {
		b.log.Warn("transaction.state.log.num.partitions has no effect on the existing topic", "topic", transactionsTopic, "configured", partitions, "partitions", len(t.Partitions))
		partitions = int32(len(t.Partitions))
	}
	return txn.New(txn.Options{
		NumPartitions: partitions, MaxTimeout: p.TransactionMaxTimeout, Expiration: p.TransactionalIDExpiration, WriteMarkers: b.writeMarkers,
		NewID:   func(ctx context.Context) (int64, kproto.ErrorCode) { return b.producerIDs.take(ctx, b) },
		Version: b.transactionVersion, Logger: b.log,
	})
}

// loadTransactions makes the coordinator serve the ids of a partition of __transaction_state that has just been opened.
func (b *Broker) loadTransactions(p *partition.Partition) error {
	unread, err := b.replayInto(p, func(replay func(yield yieldRecord) error) error {
		return b.txns.Load(p.Index, p.LeaderEpoch, txnLog{b, p}, func(yield func(key, value []byte, timestamp int64) error) error { return replay(yield) })
	}, nil)
	switch {
	case unread != nil:
		return fmt.Errorf("engine: load transactions: %w", unread)
	case err != nil && !errors.Is(err, txn.ErrClosed):
		b.log.Error("transactions not loaded: the coordinator does not serve them", "topic", p.Topic, "partition", p.Index, "cause", err)
	}
	return nil
}

// txnLog appends the coordinator's records to a partition.
type txnLog struct {
	b *Broker
	p *partition.Partition
}

// roomWait is how long a record of the coordinator waits for room in the WAL: less than clients wait for the answer that depends on it.
const roomWait = 15 * time.Second

// Append implements txn.Log. When the WAL is full the batch waits for room, as what producers send does: refused, the first batch of a transaction would be too.
func (l txnLog) Append(batch []byte, done func(error)) {
	if l.offer(batch, done) {
		return
	}
	l.b.workers.Go(func() {
		ctx, cancel := context.WithTimeout(l.b.serving, roomWait)
		defer cancel()
		for {
			room := l.b.parked.next()
			if l.offer(batch, done) {
				return
			}
			select {
			case <-room:
			case <-ctx.Done():
				done(errLogFull)
				return
			}
		}
	})
}

// offer gives a batch to the partition; false: there is no room for it.
func (l txnLog) offer(batch []byte, done func(error)) bool {
	a := l.p.AppendInternal(batch, partition.NotVerified, doneFunc(func(err error) {
		if errors.Is(err, s3stream.ErrFenced) || errors.Is(err, s3stream.ErrClosed) {
			err = fmt.Errorf("%w: %w", txn.ErrNotCoordinator, err)
		}
		done(err)
	}))
	switch {
	case a.Full:
		return false
	case a.Code == kproto.NotLeaderOrFollower:
		done(txn.ErrNotCoordinator)
	case a.Code != kproto.None:
		done(fmt.Errorf("engine: append to %s-%d: %s %s", l.p.Topic, l.p.Index, a.Code, a.Message))
	}
	return true
}

// doneFunc is a function as an s3stream.Done.
type doneFunc func(error)

func (f doneFunc) Appended(err error) { f(err) }

// heldRecords are the records of transactions that have not ended yet, while a partition of __consumer_offsets is replayed.
type heldRecords map[int64][]heldRecord

type heldRecord struct {
	key, value []byte
	timestamp  int64
}

func (h *heldRecords) add(producer int64, r *kproto.Record) {
	if *h == nil {
		*h = make(heldRecords)
	}
	(*h)[producer] = append((*h)[producer], heldRecord{bytes.Clone(r.Key), bytes.Clone(r.Value), r.Timestamp})
}

// end takes a control batch.
func (h *heldRecords) end(batch kproto.Batch, yield yieldRecord) error {
	m, ok := partition.ParseMarker(batch)
	if !ok {
		return nil
	}
	records := (*h)[m.ProducerID]
	delete(*h, m.ProducerID)
	for _, r := range records {
		if !m.Commit {
			break
		}
		if err := yield(r.key, r.value, r.timestamp); err != nil {
			return err
		}
	}
	return nil
}

// open lists what is left.
func (h *heldRecords) open() (out []group.OpenRecord) {
	for producer, records := range *h {
		for _, r := range records {
			out = append(out, group.OpenRecord{ProducerID: producer, Key: r.key, Value: r.value})
		}
	}
	return out
}

func encodeTxnOffsets(records []group.Record, producerID int64, epoch int16) []byte {
	var builder kproto.BatchBuilder
	builder.SetProducer(producerID, epoch, -1, true)
	for i := range records {
		builder.Add(records[i].Timestamp, records[i].Key, records[i].Value, nil)
	}
	return builder.Bytes()
}

// Pauses between the attempts to write the markers of a transaction.
const (
	markerRetryMin = 10 * time.Millisecond
	markerRetryMax = time.Second
)

var errCoordinatorFenced = errors.New("engine: a partition has seen a newer transaction coordinator")

// writeMarkers implements txn.Options.WriteMarkers.
func (b *Broker) writeMarkers(ctx context.Context, m txn.Markers) error {
	rest, delay := m.Partitions, markerRetryMin
	for {
		var err error
		if rest, err = b.writeMarkersOnce(ctx, m, rest); err != nil || len(rest) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, markerRetryMax)
	}
}

// writeMarkersOnce tells the leader of each partition, all at the same time, and returns the partitions that have no marker yet.
func (b *Broker) writeMarkersOnce(ctx context.Context, m txn.Markers, tps []txn.TopicPartition) (rest []txn.TopicPartition, err error) {
	img := b.node.Image()
	byLeader := make(map[int32][]txn.TopicPartition)
	for _, tp := range tps {
		t := img.Topic(tp.Topic)
		if t == nil || int(tp.Index) >= len(t.Partitions) {
			continue // deleted
		}
		leader := t.Partitions[tp.Index].Leader
		byLeader[leader] = append(byLeader[leader], tp)
	}
	type outcome struct {
		tp   txn.TopicPartition
		code kproto.ErrorCode
	}
	outcomes, asked := make(chan outcome, len(tps)), 0
	take := func(tp txn.TopicPartition, code kproto.ErrorCode) { outcomes <- outcome{tp, code} }
	for leader, tps := range byLeader {
		asked += len(tps)
		if leader != b.cfg.NodeID && leader >= 0 {
			b.workers.Go(func() { b.sendMarkers(ctx, leader, m, tps, take) })
			continue
		}
		for _, tp := range tps { // without a leader: NOT_LEADER_OR_FOLLOWER, and again later
			b.appendMarker(tp, marker(m), func(code kproto.ErrorCode) { take(tp, code) })
		}
	}
	for ; asked > 0; asked-- {
		var o outcome
		select {
		case o = <-outcomes:
		case <-ctx.Done():
			return rest, ctx.Err()
		}
		switch o.code {
		case kproto.None:
		case kproto.TransactionCoordinatorFenced:
			err = errCoordinatorFenced
		case kproto.InvalidProducerEpoch:
			b.log.Warn("transaction marker not needed: a newer instance of the producer has written", "topic", o.tp.Topic, "partition", o.tp.Index, "producer", m.ProducerID)
		default:
			rest = append(rest, o.tp)
		}
	}
	return rest, err
}

func marker(m txn.Markers) partition.Marker {
	return partition.Marker{
		ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch, Commit: m.Commit, Bumped: m.Version >= txn.Version2,
	}
}

// appendMarker ends a transaction on a partition that this broker leads, and in the groups that it coordinates. done is called when that is durable.
func (b *Broker) appendMarker(tp txn.TopicPartition, m partition.Marker, done func(kproto.ErrorCode)) {
	p, code := b.partitionByName(tp.Topic, [16]byte{}, false, tp.Index)
	if code != kproto.None {
		done(code)
		return
	}
	a := p.AppendMarker(m, doneFunc(func(err error) {
		switch {
		case err == nil:
			if tp.Topic == offsetsTopic {
				b.groups.EndTxn(tp.Index, m.ProducerID, m.Commit)
			}
			done(kproto.None)
		case errors.Is(err, s3stream.ErrFenced), errors.Is(err, s3stream.ErrClosed):
			done(kproto.NotLeaderOrFollower)
		default:
			done(kproto.KafkaStorageError)
		}
	}))
	switch {
	case a.Full:
		done(kproto.NotEnoughReplicas) // coordinators try again
	case a.Code != kproto.None:
		done(a.Code)
	}
}

// sendMarkers has another broker write markers.
func (b *Broker) sendMarkers(ctx context.Context, leader int32, m txn.Markers, tps []txn.TopicPartition, take func(txn.TopicPartition, kproto.ErrorCode)) {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 2
	rm := kmsg.NewWriteTxnMarkersRequestMarker()
	rm.TransactionVersion = int8(m.Version)
	rm.ProducerID, rm.ProducerEpoch, rm.Committed, rm.CoordinatorEpoch = m.ProducerID, m.ProducerEpoch, m.Commit, m.CoordinatorEpoch
	byTopic := make(map[string]int)
	for _, tp := range tps {
		i, ok := byTopic[tp.Topic]
		if !ok {
			i = len(rm.Topics)
			byTopic[tp.Topic] = i
			rm.Topics = append(rm.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: tp.Topic})
		}
		rm.Topics[i].Partitions = append(rm.Topics[i].Partitions, tp.Index)
	}
	req.Markers = append(req.Markers, rm)
	codes := make(map[txn.TopicPartition]kproto.ErrorCode)
	answer, err := b.askBroker(ctx, leader, req)
	if err == nil {
		for _, am := range answer.(*kmsg.WriteTxnMarkersResponse).Markers {
			for _, at := range am.Topics {
				for _, ap := range at.Partitions {
					codes[txn.TopicPartition{Topic: at.Topic, Index: ap.Partition}] = kproto.ErrorCode(ap.ErrorCode)
				}
			}
		}
	} else if ctx.Err() == nil {
		b.log.Debug("transaction markers not sent", "broker", leader, "cause", err)
	}
	for _, tp := range tps {
		code, ok := codes[tp]
		if !ok {
			code = kproto.UnknownServerError
		}
		take(tp, code)
	}
}

// fencedCode is a code as a version knows it: those before PRODUCER_FENCED say INVALID_PRODUCER_EPOCH.
func fencedCode(code kproto.ErrorCode, knows bool) int16 {
	if code == kproto.ProducerFenced && !knows {
		code = kproto.InvalidProducerEpoch
	}
	return int16(code)
}
