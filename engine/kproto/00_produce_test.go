package kproto

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func ptr[T any](v T) *T { return &v }

func produceRequest(version int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.TransactionID, req.Acks, req.TimeoutMillis = version, ptr("tx"), -1, 1500
	for i := range 3 {
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = fmt.Sprintf("topic-%d", i), [16]byte{byte(i + 1), 15: 9}
		if version >= 13 {
			topic.Topic = ""
		} else {
			topic.TopicID = [16]byte{}
		}
		for p := range i { // the first topic has none
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition = int32(10*i + p)
			part.Records = []byte(fmt.Sprintf("records of %d-%d", i, p))
			if p == 1 {
				part.Records = nil
			}
			if version >= 9 {
				part.UnknownTags.Set(5, []byte("later"))
			}
			topic.Partitions = append(topic.Partitions, part)
		}
		if version >= 9 {
			topic.UnknownTags.Set(200, nil)
		}
		req.Topics = append(req.Topics, topic)
	}
	if version >= 9 {
		req.UnknownTags.Set(3, []byte{1, 2, 3})
	}
	return req
}

// checkProduceRequest compares what we decoded with what kmsg says, empty topics aside.
func checkProduceRequest(t *testing.T, got *ProduceRequest, want *kmsg.ProduceRequest) {
	t.Helper()
	if (got.TransactionalID == nil) != (want.TransactionID == nil) || want.TransactionID != nil && string(got.TransactionalID) != *want.TransactionID ||
		got.Acks != want.Acks || got.TimeoutMillis != want.TimeoutMillis {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	ti, pi := 0, 0
	for _, wt := range want.Topics {
		if len(wt.Partitions) == 0 {
			continue
		}
		if ti >= len(got.Topics) {
			t.Fatalf("topic %d is missing", ti)
		}
		gt := got.Topics[ti]
		if string(gt.Name) != wt.Topic || gt.ID != wt.TopicID || gt.First != pi || gt.Count != len(wt.Partitions) {
			t.Fatalf("topic %d: got %+v, want %+v", ti, gt, wt)
		}
		for _, wp := range wt.Partitions {
			gp := got.Partitions[pi]
			if gp.Topic != ti || gp.Index != wp.Partition || (gp.Records == nil) != (wp.Records == nil) || !bytes.Equal(gp.Records, wp.Records) {
				t.Fatalf("partition %d: got %+v, want %+v", pi, gp, wp)
			}
			pi++
		}
		ti++
	}
	if ti != len(got.Topics) || pi != len(got.Partitions) {
		t.Fatalf("%d topics and %d partitions, want %d and %d", len(got.Topics), len(got.Partitions), ti, pi)
	}
}

func TestProduceRequest(t *testing.T) {
	var got ProduceRequest // one for all: nothing may stay from the one before
	for version := int16(3); version <= 13; version++ {
		want := produceRequest(version)
		body := want.AppendTo(nil)
		if err := got.Decode(version, body); err != nil {
			t.Fatalf("v%d: %v", version, err)
		}
		checkProduceRequest(t, &got, want)

		want.TransactionID, want.Topics = nil, want.Topics[:2]
		body = want.AppendTo(nil)
		if err := got.Decode(version, body); err != nil {
			t.Fatalf("v%d: %v", version, err)
		}
		checkProduceRequest(t, &got, want)

		for n := range body { // no prefix is a whole request
			if err := got.Decode(version, body[:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("v%d, %d of %d bytes: %v", version, n, len(body), err)
			}
		}
	}
	for _, version := range []int16{-1, 0, 2, 14} {
		if err := got.Decode(version, produceRequest(3).AppendTo(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("v%d: %v", version, err)
		}
	}
}

func TestProduceRequestClone(t *testing.T) {
	var r, clone ProduceRequest
	for _, version := range []int16{13, 9, 3} {
		body := produceRequest(version).AppendTo(nil)
		if err := r.Decode(version, body); err != nil {
			t.Fatal(err)
		}
		r.CloneInto(&clone)
		clear(body) // the frame is gone
		want := produceRequest(version)
		for i := range want.Topics {
			for j := range want.Topics[i].Partitions {
				want.Topics[i].Partitions[j].Records = nil
			}
		}
		checkProduceRequest(t, &clone, want)
	}
	*(&r) = ProduceRequest{}
	r.CloneInto(&clone)
	if len(clone.Topics) != 0 || len(clone.Partitions) != 0 || clone.TransactionalID != nil {
		t.Errorf("clone of nothing: %+v", clone)
	}
}

func TestProduceResponse(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		var req ProduceRequest
		if err := req.Decode(version, produceRequest(version).AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		results := []ProduceResult{
			{BaseOffset: 100, LogAppendTime: 5, LogStartOffset: 3, LeaderID: -1, LeaderEpoch: -1},
			FailedProduce(NotLeaderOrFollower, ""),
			FailedProduce(InvalidRecord, "bad batch"),
		}
		results[1].LeaderID, results[1].LeaderEpoch = 2, 7
		results[2].RecordErrors = []RecordError{{BatchIndex: 1, Message: "no key"}, {BatchIndex: 4}}
		endpoints := []NodeEndpoint{{ID: 2, Host: "b2", Port: 9092, Rack: "r"}, {ID: 3, Host: "b3", Port: 9093}}

		for _, ends := range [][]NodeEndpoint{nil, endpoints} {
			var got kmsg.ProduceResponse
			got.Version = version
			out := AppendProduceResponse([]byte("head"), version, &req, results, ends, 11)
			if err := got.ReadFrom(out[4:]); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			if again := got.AppendTo([]byte("head")); !bytes.Equal(again, out) {
				t.Fatalf("v%d: kmsg writes\n%x, we write\n%x", version, again, out)
			}
			if len(got.Topics) != 2 || got.ThrottleMillis != 11 {
				t.Fatalf("v%d: %+v", version, got)
			}
			first, moved, bad := got.Topics[0].Partitions[0], got.Topics[1].Partitions[0], got.Topics[1].Partitions[1]
			if version < 13 && (got.Topics[0].Topic != "topic-1" || got.Topics[1].Topic != "topic-2") || version >= 13 && got.Topics[1].TopicID != [16]byte{3, 15: 9} {
				t.Errorf("v%d: topics %+v", version, got.Topics)
			}
			if first.Partition != 10 || first.ErrorCode != 0 || first.BaseOffset != 100 || first.LogAppendTime != 5 || version >= 5 && first.LogStartOffset != 3 {
				t.Errorf("v%d: %+v", version, first)
			}
			if moved.Partition != 20 || moved.ErrorCode != 6 || moved.BaseOffset != -1 || (moved.CurrentLeader.LeaderID == 2) != (version >= 10) {
				t.Errorf("v%d: %+v", version, moved)
			}
			if bad.ErrorCode != 87 || version >= 8 && (*bad.ErrorMessage != "bad batch" || len(bad.ErrorRecords) != 2 || *bad.ErrorRecords[0].ErrorMessage != "no key" ||
				bad.ErrorRecords[1].ErrorMessage != nil || bad.ErrorRecords[1].RelativeOffset != 4) {
				t.Errorf("v%d: %+v", version, bad)
			}
			if version >= 10 && len(got.Brokers) != len(ends) || version < 10 && len(got.Brokers) != 0 {
				t.Errorf("v%d: brokers %+v", version, got.Brokers)
			}
			if version >= 10 && ends != nil && !reflect.DeepEqual(got.Brokers[0].Rack, ptr("r")) {
				t.Errorf("v%d: brokers %+v", version, got.Brokers)
			}
		}
	}
}

// A zero LeaderID in a successful result is not a claim about node 0.
func TestProduceResponseZeroLeader(t *testing.T) {
	req := ProduceRequest{Topics: []ProduceTopic{{Count: 1}}, Partitions: make([]ProducePartition, 1)}
	var got kmsg.ProduceResponse
	got.Version = 13
	if err := got.ReadFrom(AppendProduceResponse(nil, 13, &req, make([]ProduceResult, 1), nil, 0)); err != nil {
		t.Fatal(err)
	}
	if l := got.Topics[0].Partitions[0].CurrentLeader; l.LeaderID != -1 {
		t.Errorf("current leader %+v", l)
	}
}

func FuzzProduceRequest(f *testing.F) {
	for version := int16(3); version <= 13; version++ {
		f.Add(version, produceRequest(version).AppendTo(nil))
	}
	var got ProduceRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		err := got.Decode(version, body)
		if cost := cap(got.Topics)*56 + cap(got.Partitions)*40; cost > 32*len(body)+(56+40)*retainedEntries {
			t.Fatalf("%d bytes made it hold %d", len(body), cost)
		}
		if err != nil {
			return
		}
		var want kmsg.ProduceRequest
		want.Version = version
		if want.ReadFrom(body) == nil {
			checkProduceRequest(t, &got, &want)
		}
	})
}
