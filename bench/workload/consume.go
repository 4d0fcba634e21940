package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/checker"
)

// noValue is what a record has that nobody of us can have written.
const noValue = -1

func seenOf(fetches kgo.Fetches) (seen []checker.Seen) {
	fetches.EachRecord(func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			return
		}
		value, err := strconv.ParseInt(string(r.Value), 10, 64)
		if err != nil {
			value = noValue
		}
		seen = append(seen, checker.Seen{Partition: number(r.Topic, r.Partition), Offset: r.Offset, Value: value})
	})
	return seen
}

func isolation(committed bool) kgo.Opt {
	if committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// everything assigns all partitions from an offset on.
func everything(from kgo.Offset) kgo.Opt {
	all := make(map[string]map[int32]kgo.Offset)
	for _, topic := range []string{first, second} {
		all[topic] = make(map[int32]kgo.Offset)
		for p := range int32(partitions) {
			all[topic][p] = from
		}
	}
	return kgo.ConsumePartitions(all)
}

// poll polls once, and notes what came.
func (w *world) poll(ctx context.Context, cl *kgo.Client, op *checker.Op, session *atomic.Int64) {
	w.rec.Invoke(op)
	poll, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := cl.PollFetches(poll)
	op.Outcome, op.Seen, op.Session = checker.OK, seenOf(fetches), session.Load()
	w.rec.Complete(op)
}

// assigned consumes all partitions by itself, and begins at another place now and then.
func (w *world) assigned(ctx context.Context, rng *rand.Rand, committed bool) {
	var session atomic.Int64
	for ctx.Err() == nil {
		from := kgo.NewOffset().AtStart()
		if rng.IntN(2) == 0 {
			from = kgo.NewOffset().AtEnd()
		}
		cl, err := kgo.NewClient(w.options(everything(from), isolation(committed))...)
		if err != nil {
			return
		}
		id := int(w.clients.Add(1))
		session.Store(w.sessions.Add(1))
		for until := time.Now().Add(time.Duration(2+rng.IntN(8)) * time.Second); ctx.Err() == nil && time.Now().Before(until); {
			w.poll(ctx, cl, &checker.Op{Kind: checker.Poll, Client: id, Committed: committed}, &session)
		}
		cl.Close()
	}
}

// subscribed consumes as a member of a group.
func (w *world) subscribed(ctx context.Context) {
	var session atomic.Int64
	renew := func(context.Context, *kgo.Client, map[string][]int32) { session.Store(w.sessions.Add(1)) }
	cl, err := kgo.NewClient(w.options(
		kgo.ConsumerGroup("readers"), kgo.ConsumeTopics(first, second), kgo.SessionTimeout(6*time.Second), isolation(true), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsAssigned(renew), kgo.OnPartitionsRevoked(renew), kgo.OnPartitionsLost(renew))...)
	if err != nil {
		return
	}
	defer cl.CloseAllowingRebalance()
	id := int(w.clients.Add(1))
	for ctx.Err() == nil {
		w.poll(ctx, cl, &checker.Op{Kind: checker.Poll, Client: id, Committed: true}, &session)
		cl.AllowRebalance()
	}
}

// readAll is the final read. It wants every transaction to have ended.
func (w *world) readAll(ctx context.Context, admin *kgo.Client) error {
	adm := kadm.NewClient(admin)
	var ends kadm.ListedOffsets
	for {
		var stable kadm.ListedOffsets
		var err, other error
		ends, err = adm.ListEndOffsets(ctx, first, second)
		stable, other = adm.ListCommittedOffsets(ctx, first, second)
		err = errors.Join(err, other, ends.Error(), stable.Error())
		open := 0
		ends.Each(func(o kadm.ListedOffset) {
			if s, ok := stable.Lookup(o.Topic, o.Partition); !ok || s.Offset != o.Offset {
				open++
			}
		})
		if err == nil && open == 0 {
			break
		}
		wait(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("transactions are open on %d partitions, and do not end: %w", open, errors.Join(err, ctx.Err()))
		}
	}
	for _, committed := range []bool{false, true} {
		if err := w.readTo(ctx, ends, committed); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) readTo(ctx context.Context, ends kadm.ListedOffsets, committed bool) error {
	cl, err := kgo.NewClient(w.options(everything(kgo.NewOffset().AtStart()), isolation(committed), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer cl.Close()
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[number(o.Topic, o.Partition)] = o.Offset
		}
	})
	id, session := int(w.clients.Add(1)), w.sessions.Add(1)
	for len(left) > 0 {
		op := &checker.Op{Kind: checker.Last, Client: id, Committed: committed, Session: session}
		w.rec.Invoke(op)
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("the final read does not get to the ends %v: %w", left, ctx.Err())
		}
		op.Outcome, op.Seen = checker.OK, seenOf(fetches)
		w.rec.Complete(op)
		fetches.EachRecord(func(r *kgo.Record) {
			if p := number(r.Topic, r.Partition); r.Offset+1 >= left[p] {
				delete(left, p)
			}
		})
	}
	return nil
}
