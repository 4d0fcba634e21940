package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/checker"
)

// endTimeout bounds the end of a transaction.
const endTimeout = 10 * time.Second

// newSends makes n sends with values that nobody else has.
func (w *world) newSends(rng *rand.Rand, topic string, n int) []checker.Sent {
	sent := make([]checker.Sent, n)
	for i := range sent {
		sent[i] = checker.Sent{Partition: number(topic, rng.Int32N(partitions)), Value: w.values.Add(1), Outcome: checker.Unknown, Offset: -1}
	}
	return sent
}

// produce sends, waits, and reports whether all is acknowledged. What a client gives up may be written all the same.
func produce(ctx context.Context, cl *kgo.Client, topic string, sent []checker.Sent) (first error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range sent {
		s := &sent[i]
		wg.Add(1)
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: s.Partition % secondTopic, Value: strconv.AppendInt(nil, s.Value, 10)}, func(r *kgo.Record, err error) {
			defer wg.Done()
			if err == nil {
				s.Outcome, s.Offset = checker.OK, r.Offset
				return
			}
			mu.Lock()
			first = err
			mu.Unlock()
		})
	}
	wg.Wait()
	return first
}

// sender sends outside of transactions. After an error it begins anew, as another client: what the last one gave up may be written late.
func (w *world) sender(ctx context.Context, rng *rand.Rand, _ string) {
	for ctx.Err() == nil {
		cl, err := kgo.NewClient(w.options()...)
		if err != nil {
			return
		}
		id := int(w.clients.Add(1))
		for err == nil && ctx.Err() == nil {
			op := &checker.Op{Kind: checker.Send, Client: id, Sent: w.newSends(rng, first, 1+rng.IntN(20))}
			w.rec.Invoke(op)
			if err = produce(ctx, cl, first, op.Sent); err == nil {
				op.Outcome = checker.OK
			} else {
				op.Note = err.Error()
			}
			w.rec.Complete(op)
			wait(ctx, time.Duration(rng.IntN(20))*time.Millisecond)
		}
		cl.Close()
	}
}

// transactor writes in transactions, and aborts some. After an error it begins anew with its transactional id.
func (w *world) transactor(ctx context.Context, rng *rand.Rand, name string) {
	for ctx.Err() == nil {
		cl, err := kgo.NewClient(w.options(kgo.TransactionalID(name), kgo.TransactionTimeout(10*time.Second))...)
		if err != nil {
			return
		}
		id := int(w.clients.Add(1))
		for err == nil && ctx.Err() == nil {
			err = w.transaction(ctx, rng, cl, id)
			wait(ctx, time.Duration(rng.IntN(20))*time.Millisecond)
		}
		cl.Close()
	}
}

func (w *world) transaction(ctx context.Context, rng *rand.Rand, cl *kgo.Client, id int) error {
	topic := first
	if rng.IntN(3) == 0 {
		topic = second
	}
	op := &checker.Op{Kind: checker.Txn, Client: id, Sent: w.newSends(rng, topic, 1+rng.IntN(10))}
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	w.rec.Invoke(op)
	defer w.rec.Complete(op)
	try := kgo.TransactionEndTry(rng.IntN(10) < 7)
	err := produce(ctx, cl, topic, op.Sent)
	if err != nil {
		try = kgo.TryAbort
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	op.Decided = w.rec.Now()
	switch ended := cl.EndTransaction(end, try); {
	case ended != nil:
		op.Note, err = ended.Error(), ended
	case try == kgo.TryCommit:
		op.Outcome = checker.OK
	default:
		op.Outcome = checker.Failed
	}
	return err
}

// copier takes records of the first topic and writes as many to the second, with the offsets in the same transaction.
func (w *world) copier(ctx context.Context, rng *rand.Rand, name string) {
	for ctx.Err() == nil {
		s, err := kgo.NewGroupTransactSession(w.options(
			kgo.TransactionalID(name), kgo.TransactionTimeout(10*time.Second), kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics(first), kgo.SessionTimeout(6*time.Second),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			return
		}
		id := int(w.clients.Add(1))
		for err == nil && ctx.Err() == nil {
			err = w.copy(ctx, rng, s, id)
		}
		s.Close()
	}
}

func (w *world) copy(ctx context.Context, rng *rand.Rand, s *kgo.GroupTransactSession, id int) error {
	fetches := s.PollRecords(ctx, 20)
	if fetches.NumRecords() == 0 {
		return nil
	}
	// Each has an assignment of its own, since after an abort the session goes back.
	op := &checker.Op{Kind: checker.Txn, Client: id, Committed: true, Consumes: true, Session: w.sessions.Add(1), Seen: seenOf(fetches)}
	op.Sent = w.newSends(rng, second, len(op.Seen))
	if err := s.Begin(); err != nil {
		return err
	}
	w.rec.Invoke(op)
	defer w.rec.Complete(op)
	failed := produce(ctx, s.Client(), second, op.Sent)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	op.Decided = w.rec.Now()
	committed, err := s.End(end, kgo.TransactionEndTry(failed == nil && rng.IntN(10) < 8))
	switch {
	case err != nil:
		op.Note = err.Error()
	case committed:
		op.Outcome = checker.OK
	default:
		op.Outcome = checker.Failed
	}
	return err
}
