package kproto

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchRequest(version int16) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = version, 500, 1, 1<<20, 1
	if version < 15 {
		req.ReplicaID = 3
	} else {
		req.ReplicaState.ID, req.ReplicaState.Epoch = 3, 4
	}
	if version >= 7 {
		req.SessionID, req.SessionEpoch = 77, 5
	}
	if version >= 11 {
		req.Rack = "rack-1"
	}
	if version >= 12 {
		req.ClusterID = ptr("cluster")
		req.UnknownTags.Set(9, []byte("x"))
	}
	for i := range 3 {
		topic, gone := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestForgottenTopic()
		if version >= 13 {
			topic.TopicID, gone.TopicID = [16]byte{byte(i + 1)}, [16]byte{1, byte(i + 1)}
		} else {
			topic.Topic, gone.Topic = fmt.Sprintf("topic-%d", i), fmt.Sprintf("gone-%d", i)
		}
		for p := range i {
			part := kmsg.NewFetchRequestTopicPartition()
			part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(10*i+p), int64(1000*i+p), int32(100+p)
			if version >= 5 {
				part.LogStartOffset = 12
			}
			if version >= 9 {
				part.CurrentLeaderEpoch = 8
			}
			if version >= 12 {
				part.LastFetchedEpoch = 6
				part.UnknownTags.Set(17, []byte("later"))
			}
			if version >= 17 {
				part.ReplicaDirectoryID = [16]byte{9}
			}
			if version >= 18 {
				part.HighWatermark = 99
			}
			topic.Partitions = append(topic.Partitions, part)
			gone.Partitions = append(gone.Partitions, int32(p))
		}
		req.Topics = append(req.Topics, topic)
		if version >= 7 {
			req.ForgottenTopics = append(req.ForgottenTopics, gone)
		}
	}
	return req
}

func checkFetchRequest(t *testing.T, got *FetchRequest, want *kmsg.FetchRequest) {
	t.Helper()
	replica := want.ReplicaID
	if want.Version >= 15 {
		replica = want.ReplicaState.ID
	}
	if got.ReplicaID != replica || got.MaxWaitMillis != want.MaxWaitMillis || got.MinBytes != want.MinBytes || got.MaxBytes != want.MaxBytes ||
		got.Isolation != want.IsolationLevel || got.SessionID != want.SessionID || got.SessionEpoch != want.SessionEpoch || string(got.Rack) != want.Rack {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	ti, pi := 0, 0
	for _, wt := range want.Topics {
		if len(wt.Partitions) == 0 {
			continue
		}
		gt := got.Topics[ti]
		if string(gt.Name) != wt.Topic || gt.ID != wt.TopicID || gt.First != pi || gt.Count != len(wt.Partitions) {
			t.Fatalf("topic %d: got %+v, want %+v", ti, gt, wt)
		}
		for _, wp := range wt.Partitions {
			want := FetchPartition{ti, wp.Partition, wp.CurrentLeaderEpoch, wp.FetchOffset, wp.LastFetchedEpoch, wp.LogStartOffset, wp.PartitionMaxBytes}
			if got.Partitions[pi] != want {
				t.Fatalf("partition %d: got %+v, want %+v", pi, got.Partitions[pi], want)
			}
			pi++
		}
		ti++
	}
	fi := 0
	for _, wf := range want.ForgottenTopics {
		if len(wf.Partitions) == 0 {
			continue
		}
		if gf := got.Forgotten[fi]; string(gf.Name) != wf.Topic || gf.ID != wf.TopicID || !slices.Equal(gf.Partitions, wf.Partitions) {
			t.Fatalf("forgotten topic %d: got %+v, want %+v", fi, gf, wf)
		}
		fi++
	}
	if ti != len(got.Topics) || pi != len(got.Partitions) || fi != len(got.Forgotten) {
		t.Fatalf("%d topics, %d partitions, %d forgotten, want %d, %d, %d", len(got.Topics), len(got.Partitions), len(got.Forgotten), ti, pi, fi)
	}
}

func TestFetchRequest(t *testing.T) {
	var got FetchRequest
	for version := int16(18); version >= 4; version-- {
		want := fetchRequest(version)
		body := want.AppendTo(nil)
		if err := got.Decode(version, body); err != nil {
			t.Fatalf("v%d: %v", version, err)
		}
		checkFetchRequest(t, &got, want)
		for n := range body {
			if err := got.Decode(version, body[:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("v%d, %d of %d bytes: %v", version, n, len(body), err)
			}
		}
	}
	for _, version := range []int16{-1, 3, 19} {
		if err := got.Decode(version, fetchRequest(18).AppendTo(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("v%d: %v", version, err)
		}
	}
}

func TestFetchResponse(t *testing.T) {
	results := []PartitionResult{
		{Index: 1, HighWatermark: 10, LastStableOffset: 9, LogStartOffset: 2, DivergingEpoch: -1, LeaderID: -1, PreferredReadReplica: -1, Aborted: []AbortedTxn{{5, 6}, {7, 8}}},
		FailedPartition(2, NotLeaderOrFollower),
		NewPartitionResult(3),
	}
	results[1].LeaderID, results[1].LeaderEpoch = 4, 5
	results[2].DivergingEpoch, results[2].DivergingEndOffset, results[2].Aborted = 0, 0, []AbortedTxn{}
	records := [][]byte{[]byte("first records"), nil, bytes.Repeat([]byte("x"), 200)}
	for version := int16(4); version <= 18; version++ {
		for _, endpoints := range [][]NodeEndpoint{nil, {{ID: 4, Host: "host", Port: 9, Rack: "r"}}} {
			var w FetchResponseWriter
			out := w.Begin(nil, version, 3, InvalidFetchSessionEpoch, 42, 2)
			at := 0
			for topic, parts := range []int{1, 2} {
				out = w.Topic(out, fmt.Sprintf("topic-%d", topic), [16]byte{byte(topic)}, parts)
				for range parts {
					out = w.PartitionHeader(out, results[at], len(records[at]))
					out = append(out, records[at]...)
					out = w.PartitionEnd(out)
					at++
				}
				out = w.TopicEnd(out)
			}
			out = w.End(out, endpoints)

			var got kmsg.FetchResponse
			got.Version = version
			if err := got.ReadFrom(out); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			if again := got.AppendTo(nil); !bytes.Equal(again, out) {
				t.Fatalf("v%d: kmsg writes\n%x, we write\n%x", version, again, out)
			}
			if got.ThrottleMillis != 3 || version >= 7 && (got.SessionID != 42 || got.ErrorCode != 71) || len(got.Topics) != 2 {
				t.Fatalf("v%d: %+v", version, got)
			}
			if version >= 13 && got.Topics[1].TopicID != [16]byte{1} || version < 13 && got.Topics[1].Topic != "topic-1" {
				t.Errorf("v%d: %+v", version, got.Topics)
			}
			if (len(got.Brokers) > 0) != (version >= 16 && endpoints != nil) {
				t.Errorf("v%d: brokers %+v", version, got.Brokers)
			}
			parts := append(slices.Clone(got.Topics[0].Partitions), got.Topics[1].Partitions...)
			for i, p := range parts {
				want := results[i]
				if p.Partition != want.Index || p.ErrorCode != int16(want.ErrorCode) || p.HighWatermark != want.HighWatermark || p.LastStableOffset != want.LastStableOffset ||
					!bytes.Equal(p.RecordBatches, records[i]) || p.RecordBatches == nil || (p.AbortedTransactions == nil) != (want.Aborted == nil) || len(p.AbortedTransactions) != len(want.Aborted) {
					t.Errorf("v%d: got %+v, want %+v", version, p, want)
				}
				if version >= 5 && p.LogStartOffset != want.LogStartOffset || version >= 11 && p.PreferredReadReplica != -1 {
					t.Errorf("v%d: got %+v, want %+v", version, p, want)
				}
			}
			if version >= 12 && (parts[1].CurrentLeader.LeaderID != 4 || parts[1].CurrentLeader.LeaderEpoch != 5 || parts[0].CurrentLeader.LeaderID != -1 ||
				parts[2].DivergingEpoch.Epoch != 0 || parts[2].DivergingEpoch.EndOffset != 0 || parts[0].DivergingEpoch.Epoch != -1) {
				t.Errorf("v%d: %+v", version, parts)
			}
			if a := parts[0].AbortedTransactions; a[1].ProducerID != 7 || a[1].FirstOffset != 8 {
				t.Errorf("v%d: aborted %+v", version, a)
			}
		}
	}
}

func FuzzFetchRequest(f *testing.F) {
	for version := int16(4); version <= 18; version++ {
		f.Add(version, fetchRequest(version).AppendTo(nil))
	}
	var got FetchRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		err := got.Decode(version, body)
		cost := cap(got.Topics)*56 + cap(got.Partitions)*48 + cap(got.Forgotten)*64 + cap(got.forgotten)*4
		if cost > 32*len(body)+(56+48+64+4)*retainedEntries {
			t.Fatalf("%d bytes made it hold %d", len(body), cost)
		}
		if err != nil {
			return
		}
		var want kmsg.FetchRequest
		want.Version = version
		if want.ReadFrom(body) == nil {
			checkFetchRequest(t, &got, &want)
		}
	})
}
