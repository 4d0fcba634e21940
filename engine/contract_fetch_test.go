package engine_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestFetchRules holds statements 78 to 91.
func TestFetchRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(2)
	id := x.topicID(topic)
	for range 3 {
		x.mustSend(topic, batchOf(numbered(10)...))
	}
	one := func(x *target, offset int64, change func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)) kmsg.FetchResponseTopicPartition {
		req := fetchRequest(12, 0, 1)
		rp := addFetch(req, topic, [16]byte{}, 0, offset, 50<<20)
		if change != nil {
			change(req, rp)
		}
		return ask[*kmsg.FetchResponse](x, req).Topics[0].Partitions[0]
	}
	t.Run("offsets", func(t *testing.T) {
		x := x.at(t)
		for offset, code := range map[int64]kproto.ErrorCode{0: 0, 15: 0, 30: 0, 31: kproto.OffsetOutOfRange, -7: kproto.OffsetOutOfRange} {
			p := one(x, offset, nil)
			wantCode(t, "fetch", p.ErrorCode, code)
			if code != 0 {
				if p.HighWatermark != -1 || p.LastStableOffset != -1 || p.LogStartOffset != -1 || len(p.RecordBatches) > 0 {
					t.Errorf("offset %d: %+v with an error, want -1", offset, p)
				}
				continue
			}
			if p.HighWatermark != 30 || p.LastStableOffset != 30 || p.LogStartOffset != 0 {
				t.Errorf("offset %d: high watermark %d, last stable %d, start %d", offset, p.HighWatermark, p.LastStableOffset, p.LogStartOffset)
			}
			if offset == 30 {
				if len(p.RecordBatches) != 0 {
					t.Errorf("%d bytes at the end of the log", len(p.RecordBatches))
				}
			} else if b := first(t, p.RecordBatches); b.BaseOffset() != offset/10*10 {
				t.Errorf("offset %d: the first batch starts at %d", offset, b.BaseOffset())
			}
		}
	})
	t.Run("aborted transactions", func(t *testing.T) {
		x := x.at(t)
		if p := one(x, 0, nil); p.AbortedTransactions != nil {
			t.Error("read uncommitted: a list, want null")
		}
		p := one(x, 0, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.IsolationLevel = 1 })
		if len(p.AbortedTransactions) != 0 || len(p.RecordBatches) == 0 || p.PreferredReadReplica != -1 {
			t.Errorf("read committed: %d aborted, %d bytes, preferred replica %d", len(p.AbortedTransactions), len(p.RecordBatches), p.PreferredReadReplica)
		}
	})
	t.Run("limits", func(t *testing.T) {
		x := x.at(t)
		all := one(x, 0, nil).RecordBatches
		size := int32(first(t, all).Length())
		if int32(len(all)) != 3*size {
			t.Fatalf("%d bytes, want three batches of %d", len(all), size)
		}
		for _, tc := range []struct {
			name      string
			partition int32
			request   int32
			atLeast   int32
		}{{"none", 0, 50 << 20, 1}, {"one byte", 1, 50 << 20, 1}, {"no room in the response", 50 << 20, 1, 1}, {"two", 2*size + 1, 50 << 20, 2}} {
			p := one(x, 0, func(r *kmsg.FetchRequest, rp *kmsg.FetchRequestTopicPartition) {
				r.MaxBytes, rp.PartitionMaxBytes = tc.request, tc.partition
			})
			// Kafka may add a part of the next batch when there is room.
			if n := int32(len(p.RecordBatches)); n < tc.atLeast*size || n >= (tc.atLeast+1)*size {
				t.Errorf("%s: %d bytes, want %d batches of %d", tc.name, n, tc.atLeast, size)
			}
		}
	})
	t.Run("leader epochs", func(t *testing.T) {
		x := x.at(t)
		current := x.leaderEpoch(topic)
		for epoch, code := range map[int32]kproto.ErrorCode{-1: 0, current: 0, current + 1: kproto.UnknownLeaderEpoch, current - 1: kproto.FencedLeaderEpoch} {
			if epoch == -1 && current == 0 {
				continue
			}
			p := one(x, 0, func(_ *kmsg.FetchRequest, rp *kmsg.FetchRequestTopicPartition) { rp.CurrentLeaderEpoch = epoch })
			wantCode(t, "fetch", p.ErrorCode, code)
		}
		p := one(x, 35, func(_ *kmsg.FetchRequest, rp *kmsg.FetchRequestTopicPartition) { rp.LastFetchedEpoch = current })
		if p.DivergingEpoch.EndOffset != 30 || p.DivergingEpoch.Epoch != current || len(p.RecordBatches) > 0 || p.ErrorCode != 0 {
			t.Errorf("behind the end of epoch %d: diverging %+v, %d bytes, code %d", current, p.DivergingEpoch, len(p.RecordBatches), p.ErrorCode)
		}
	})
	t.Run("unknown topics", func(t *testing.T) {
		x := x.at(t)
		req := fetchRequest(13, 20*time.Second, 1)
		addFetch(req, "", [16]byte{9, 9}, 0, 0, 1<<20)
		wantCode(t, "by id", ask[*kmsg.FetchResponse](x, req).Topics[0].Partitions[0].ErrorCode, kproto.UnknownTopicID)
		req = fetchRequest(12, 20*time.Second, 1)
		addFetch(req, "nope", [16]byte{}, 0, 0, 1<<20)
		addFetch(req, topic, [16]byte{}, 7, 0, 1<<20)
		resp := ask[*kmsg.FetchResponse](x, req)
		wantCode(t, "by name", resp.Topics[0].Partitions[0].ErrorCode, kproto.UnknownTopicOrPartition)
		wantCode(t, "partition", resp.Topics[1].Partitions[0].ErrorCode, kproto.UnknownTopicOrPartition)
	})
	t.Run("an error does not wait", func(t *testing.T) {
		x := x.at(t)
		req := fetchRequest(13, 20*time.Second, 1)
		addFetch(req, "", id, 0, 30, 1<<20)
		addFetch(req, "", id, 1, 99, 1<<20)
		resp := ask[*kmsg.FetchResponse](x, req)
		wantCode(t, "partition 1", resp.Topics[0].Partitions[1].ErrorCode, kproto.OffsetOutOfRange)
	})
	t.Run("waiting", func(t *testing.T) {
		x := x.at(t)
		w := x.dial()
		req := fetchRequest(12, 100*time.Millisecond, 1)
		addFetch(req, topic, [16]byte{}, 1, 0, 1<<20)
		begun := time.Now()
		if p := askOn[*kmsg.FetchResponse](w, req).Topics[0].Partitions[0]; len(p.RecordBatches) > 0 || time.Since(begun) < 90*time.Millisecond {
			t.Errorf("%d bytes after %v, want none after 100 ms", len(p.RecordBatches), time.Since(begun))
		}
		req = fetchRequest(12, 15*time.Second, 1)
		addFetch(req, topic, [16]byte{}, 1, 0, 1<<20)
		w.send(frame(req, 9))
		produce := produceRequest(topic, 1, batchOf("x"))
		produce.Topics[0].Partitions[0].Partition = 1
		ask[*kmsg.ProduceResponse](x, produce)
		if p := w.response(req, 9).(*kmsg.FetchResponse).Topics[0].Partitions[0]; len(p.RecordBatches) == 0 {
			t.Error("woken without records")
		}
	})
	t.Run("the topic goes while a fetch waits", func(t *testing.T) {
		x := x.at(t)
		topic := x.topic(1)
		id := x.topicID(topic)
		w := x.dial()
		req := fetchRequest(13, 15*time.Second, 1)
		addFetch(req, "", id, 0, 0, 1<<20)
		w.send(frame(req, 9))
		begun := time.Now()
		x.delete(topic)
		p := w.response(req, 9).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if time.Since(begun) > 10*time.Second || p.ErrorCode != int16(kproto.UnknownTopicID) && p.ErrorCode != int16(kproto.NotLeaderOrFollower) && p.ErrorCode != int16(kproto.UnknownTopicOrPartition) {
			t.Errorf("%v after %v", kproto.ErrorCode(p.ErrorCode), time.Since(begun))
		}
	})
}

func (x *target) delete(topic string) {
	x.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames, req.TimeoutMillis = 5, []string{topic}, 10000
	if code := ask[*kmsg.DeleteTopicsResponse](x, req).Topics[0].ErrorCode; code != 0 {
		x.t.Fatalf("delete topic %s: %v", topic, kproto.ErrorCode(code))
	}
}

// TestFetchSessions holds statements 96 to 100.
func TestFetchSessions(t *testing.T) {
	x := contract(t)
	topic := x.topic(3)
	id := x.topicID(topic)
	w := x.dial()
	fetch := func(session, epoch int32, partitions ...int32) *kmsg.FetchResponse {
		req := fetchRequest(13, 0, 1)
		req.SessionID, req.SessionEpoch = session, epoch
		for _, p := range partitions {
			addFetch(req, "", id, p, 0, 1<<20)
		}
		return askOn[*kmsg.FetchResponse](w, req)
	}
	listed := func(r *kmsg.FetchResponse) (partitions []int32) {
		for _, rt := range r.Topics {
			for _, p := range rt.Partitions {
				partitions = append(partitions, p.Partition)
			}
		}
		return partitions
	}
	want := func(what string, r *kmsg.FetchResponse, code kproto.ErrorCode, partitions ...int32) {
		t.Helper()
		wantCode(t, what, r.ErrorCode, code)
		if got := listed(r); len(got) != len(partitions) {
			t.Errorf("%s: partitions %v, want %v", what, got, partitions)
		} else {
			for i := range got {
				if got[i] != partitions[i] {
					t.Errorf("%s: partitions %v, want %v", what, got, partitions)
				}
			}
		}
	}
	send := func(partition int32) {
		req := produceRequest(topic, -1, batchOf("x"))
		req.Topics[0].Partitions[0].Partition = partition
		wantCode(t, "produce", ask[*kmsg.ProduceResponse](x, req).Topics[0].Partitions[0].ErrorCode, kproto.None)
	}
	opened := fetch(0, 0, 0, 1)
	want("the first", opened, kproto.None, 0, 1)
	s := opened.SessionID
	if s == 0 {
		t.Fatal("no session was opened")
	}
	want("nothing new", fetch(s, 1), kproto.None)
	send(1)
	want("one partition has records", fetch(s, 2), kproto.None, 1)
	want("it still has: the offset is the request's", fetch(s, 3), kproto.None, 1)
	want("a partition is added", fetch(s, 4, 2), kproto.None, 1, 2)
	req := fetchRequest(13, 0, 1)
	req.SessionID, req.SessionEpoch = s, 5
	forgotten := kmsg.NewFetchRequestForgottenTopic()
	forgotten.TopicID, forgotten.Partitions = id, []int32{1}
	req.ForgottenTopics = append(req.ForgottenTopics, forgotten)
	want("a partition is forgotten", askOn[*kmsg.FetchResponse](w, req), kproto.None)
	send(0)
	send(1)
	send(2)
	want("two have records", fetch(s, 6), kproto.None, 0, 2)
	want("a wrong epoch", fetch(s, 9), kproto.InvalidFetchSessionEpoch)
	want("an unknown session", fetch(s^0x40000000, 1), kproto.FetchSessionIDNotFound)
	byName := fetchRequest(12, 0, 1)
	byName.SessionID, byName.SessionEpoch = s, 7
	want("names in a session of ids", askOn[*kmsg.FetchResponse](w, byName), kproto.FetchSessionTopicIDError)
	want("the right epoch is not used up by that", fetch(s, 7), kproto.None, 0, 2)
	if last := fetch(s, -1, 0); last.SessionID != 0 {
		t.Errorf("after the end of the session its id is %d", last.SessionID)
	}
	want("the session is closed", fetch(s, 8), kproto.FetchSessionIDNotFound)
	again := fetch(0, 0, 0)
	replaced := fetch(again.SessionID, 0, 1)
	want("closed and begun anew", replaced, kproto.None, 1)
	want("the replaced one is gone", fetch(again.SessionID, 1), kproto.FetchSessionIDNotFound)
}

// TestFetchErrorThenClose ends connections whose last fetch was refused, or is waiting, and expects the broker to live.
func TestFetchErrorThenClose(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	for range 20 {
		w := x.dial()
		req := fetchRequest(12, 0, 1)
		req.SessionID, req.SessionEpoch = 4711, 3
		wantCode(t, "fetch", askOn[*kmsg.FetchResponse](w, req).ErrorCode, kproto.FetchSessionIDNotFound)
		waiting := fetchRequest(12, time.Minute, 1)
		addFetch(waiting, topic, [16]byte{}, 0, 0, 1<<20)
		other := x.dial()
		other.send(frame(waiting, 1))
		w.Close()
		other.Close()
	}
	x.mustSend(topic, batchOf("x"))
	if p := x.fetch(topic, 0); len(p.RecordBatches) == 0 {
		t.Fatal("nothing to read")
	}
}

// TestColdBesideHot reads a partition from the object store in the same fetches that always have something from memory.
func TestColdBesideHot(t *testing.T) {
	x := contract(t)
	topic := x.topic(2)
	for range 5 {
		x.mustSend(topic, batchOf(numbered(100)...))
	}
	x.restart() // what partition 0 has is in objects now
	hot := produceRequest(topic, -1, batchOf("hot"))
	hot.Topics[0].Partitions[0].Partition = 1
	wantCode(t, "produce", ask[*kmsg.ProduceResponse](x, hot).Topics[0].Partitions[0].ErrorCode, kproto.None)
	next := int64(0)
	x.eventually("the cold partition is read to its end", func() bool {
		req := fetchRequest(12, 10*time.Second, 1)
		addFetch(req, topic, [16]byte{}, 1, 0, 1<<20)
		addFetch(req, topic, [16]byte{}, 0, next, 1<<20)
		resp := ask[*kmsg.FetchResponse](x, req)
		if p := resp.Topics[0].Partitions[0]; len(p.RecordBatches) == 0 {
			t.Fatalf("the hot partition has nothing: %v", kproto.ErrorCode(p.ErrorCode))
		}
		p := resp.Topics[0].Partitions[1]
		wantCode(t, "cold", p.ErrorCode, kproto.None)
		if err := kproto.SplitBatches(p.RecordBatches, func(b kproto.Batch) error {
			next = b.LastOffset() + 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return next == 500
	})
}
