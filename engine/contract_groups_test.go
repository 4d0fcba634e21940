package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestFindCoordinatorRules holds statements 126 to 128.
func TestFindCoordinatorRules(t *testing.T) {
	x := contract(t)
	first := x.coordinator("g")
	if first.NodeID != 1 || first.Port == 0 || first.Host == "" {
		t.Fatalf("%+v", first)
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	for version := int16(0); version <= 6; version++ {
		req.Version, req.CoordinatorKey, req.CoordinatorKeys = version, "g", []string{"g", "h"}
		resp := ask[*kmsg.FindCoordinatorResponse](x, req)
		if version < 4 {
			if resp.ErrorCode != 0 || resp.NodeID != first.NodeID || resp.Port != first.Port {
				t.Errorf("version %d: %+v", version, resp)
			}
			continue
		}
		if len(resp.Coordinators) != 2 {
			t.Errorf("version %d: %+v", version, resp)
			continue
		}
		for i, c := range resp.Coordinators {
			if c.ErrorCode != 0 || c.Key != req.CoordinatorKeys[i] || c.NodeID != first.NodeID || c.Port != first.Port {
				t.Errorf("version %d: %+v", version, c)
			}
		}
	}
	req.Version, req.CoordinatorType, req.CoordinatorKeys = 6, 9, []string{"g"}
	if c := ask[*kmsg.FindCoordinatorResponse](x, req).Coordinators[0]; c.ErrorCode != int16(kproto.InvalidRequest) || c.NodeID != -1 || c.Host != "" || c.Port != -1 {
		t.Errorf("an unknown type: %+v", c)
	}
	configs := map[string]string{}
	for _, c := range x.configs(2, "__consumer_offsets").Configs {
		configs[c.Name] = deref(c.Value)
	}
	if configs["cleanup.policy"] != "compact" || configs["compression.type"] != "producer" || configs["segment.bytes"] != "104857600" {
		t.Errorf("__consumer_offsets: cleanup.policy %s, compression.type %s, segment.bytes %s", configs["cleanup.policy"], configs["compression.type"], configs["segment.bytes"])
	}
}

// commit is an OffsetCommit of a consumer that manages its partitions itself.
func commit(group, topic string, partition int32, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.Metadata = partition, offset, &metadata
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (x *target) committed(group, topic string) kmsg.OffsetFetchResponseGroupTopicPartition {
	x.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	g.Topics = append(g.Topics, rt)
	req.Groups = append(req.Groups, g)
	got := ask[*kmsg.OffsetFetchResponse](x, req).Groups[0]
	if got.ErrorCode != 0 {
		x.t.Fatalf("fetch the offsets of %s: %v", group, kproto.ErrorCode(got.ErrorCode))
	}
	return got.Topics[0].Partitions[0]
}

// TestCommittedOffsets holds statements 131 to 140 and 142 through the broker (package group has the rest).
func TestCommittedOffsets(t *testing.T) {
	x := contract(t)
	group, topic := x.name(), x.topic(2)
	x.coordinator(group)
	if p := x.committed(group, topic); p.Offset != -1 || p.LeaderEpoch != -1 || deref(p.Metadata) != "" || p.ErrorCode != 0 {
		t.Errorf("nothing committed: %+v", p)
	}
	for _, tc := range []struct {
		name string
		req  *kmsg.OffsetCommitRequest
		code kproto.ErrorCode
	}{
		{"an unknown topic", commit(group, "nope", 0, 1, ""), kproto.UnknownTopicOrPartition},
		{"an unknown partition", commit(group, topic, 9, 1, ""), kproto.UnknownTopicOrPartition},
		{"too much metadata", commit(group, topic, 0, 1, strings.Repeat("m", 4097)), kproto.OffsetMetadataTooLarge},
		{"good", commit(group, topic, 0, 42, "here"), kproto.None},
		{"the other partition", commit(group, topic, 1, 43, ""), kproto.None},
	} {
		wantCode(t, tc.name, ask[*kmsg.OffsetCommitResponse](x, tc.req).Topics[0].Partitions[0].ErrorCode, tc.code)
	}
	check := func() {
		t.Helper()
		if p := x.committed(group, topic); p.Offset != 42 || deref(p.Metadata) != "here" {
			t.Errorf("committed: %+v", p)
		}
	}
	check()
	if x.node != nil {
		x.restart()
		check()
	}
	byID := commit(group, "", 0, 44, "")
	byID.Version, byID.Topics[0].TopicID = 10, [16]byte{5}
	wantCode(t, "an unknown id", ask[*kmsg.OffsetCommitResponse](x, byID).Topics[0].Partitions[0].ErrorCode, kproto.UnknownTopicID)
	byID.Topics[0].TopicID = x.topicID(topic)
	wantCode(t, "by id", ask[*kmsg.OffsetCommitResponse](x, byID).Topics[0].Partitions[0].ErrorCode, kproto.None)
	if p := x.committed(group, topic); p.Offset != 44 {
		t.Errorf("committed by id: %+v", p)
	}
	drop := kmsg.NewPtrOffsetDeleteRequest()
	drop.Group = group
	drop.Topics = append(drop.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}})
	if resp := ask[*kmsg.OffsetDeleteResponse](x, drop); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("offset delete: %+v", resp)
	}
	if p := x.committed(group, topic); p.Offset != -1 {
		t.Errorf("after it was deleted: %+v", p)
	}
	drop.Group = x.name()
	wantCode(t, "offset delete in no group", ask[*kmsg.OffsetDeleteResponse](x, drop).ErrorCode, kproto.GroupIDNotFound)

	ask[*kmsg.OffsetCommitResponse](x, commit(group, topic, 0, 50, ""))
	x.delete(topic)
	x.create(topic, 2)
	x.eventually("the offsets of a deleted topic are gone", func() bool { return x.committed(group, topic).Offset == -1 })

	ask[*kmsg.OffsetCommitResponse](x, commit(group, topic, 0, 51, ""))
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Version, remove.Groups = 2, []string{group, x.name()}
	codes := map[string]int16{}
	for _, g := range ask[*kmsg.DeleteGroupsResponse](x, remove).Groups {
		codes[g.Group] = g.ErrorCode
	}
	if codes[remove.Groups[0]] != 0 || codes[remove.Groups[1]] != int16(kproto.GroupIDNotFound) {
		t.Errorf("delete groups: %v", codes)
	}
	if p := x.committed(group, topic); p.Offset != -1 {
		t.Errorf("after the group was deleted: %+v", p)
	}
}

// TestGroupBytes sends large opaque metadata and assignments through a join and a sync, with other traffic on the same event loops, and wants them
// back byte for byte.
func TestGroupBytes(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	group := x.name()
	x.coordinator(group)
	stop := make(chan struct{})
	done := make(chan struct{})
	noise := x.dial()
	go func() {
		defer close(done)
		req := produceRequest(topic, 1, batchOf(strings.Repeat("noise", 2000)))
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := noise.Write(frame(req, 1)); err != nil {
				return
			}
			if _, _, err := noise.receive(); err != nil {
				return
			}
		}
	}()
	defer func() { close(stop); <-done }()
	w := x.dial()
	member := ""
	for round := range byte(20) {
		metadata := bytes.Repeat([]byte{round, 'm'}, 20_000)
		assignment := bytes.Repeat([]byte{round, 'a'}, 20_000)
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.MemberID, join.ProtocolType = 3, group, member, "test"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10_000, 10_000
		join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "p", Metadata: metadata})
		joined := askOn[*kmsg.JoinGroupResponse](w, join)
		if joined.ErrorCode != 0 || len(joined.Members) != 1 || !bytes.Equal(joined.Members[0].ProtocolMetadata, metadata) {
			t.Fatalf("round %d: join: %v, %d members, or other metadata", round, kproto.ErrorCode(joined.ErrorCode), len(joined.Members))
		}
		member = joined.MemberID
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = 2, group, member, joined.Generation
		sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: member, MemberAssignment: assignment})
		synced := askOn[*kmsg.SyncGroupResponse](w, sync)
		if synced.ErrorCode != 0 || !bytes.Equal(synced.MemberAssignment, assignment) {
			t.Fatalf("round %d: sync: %v, or another assignment", round, kproto.ErrorCode(synced.ErrorCode))
		}
	}
}
