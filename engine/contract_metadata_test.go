package engine_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestMetadataRules holds statements 20 to 35.
func TestMetadataRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(3)
	id := x.topicID(topic)
	ask1 := func(x *target, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
		x.t.Helper()
		return ask[*kmsg.MetadataResponse](x, req).Topics[0]
	}
	t.Run("all and none", func(t *testing.T) {
		x := x.at(t)
		v0 := metadataRequest(0)
		none := metadataRequest(1)
		all := metadataRequest(1)
		all.Topics = nil
		if n := len(ask[*kmsg.MetadataResponse](x, v0).Topics); n == 0 {
			t.Error("version 0, empty list: no topics, want all")
		}
		if n := len(ask[*kmsg.MetadataResponse](x, none).Topics); n != 0 {
			t.Errorf("version 1, empty list: %d topics, want none", n)
		}
		if n := len(ask[*kmsg.MetadataResponse](x, all).Topics); n == 0 {
			t.Error("version 1, null: no topics, want all")
		}
	})
	t.Run("brokers", func(t *testing.T) {
		x := x.at(t)
		resp := ask[*kmsg.MetadataResponse](x, metadataRequest(12))
		if len(resp.Brokers) != 1 || resp.ControllerID != resp.Brokers[0].NodeID || deref(resp.ClusterID) == "" {
			t.Fatalf("%+v", resp)
		}
		if b := resp.Brokers[0]; net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) != x.addr {
			t.Errorf("the broker is at %s:%d, asked at %s", b.Host, b.Port, x.addr)
		}
		d := ask[*kmsg.DescribeClusterResponse](x, &kmsg.DescribeClusterRequest{Version: 2, EndpointType: 1})
		if d.ErrorCode != 0 || d.ClusterID != deref(resp.ClusterID) || len(d.Brokers) != 1 || d.Brokers[0].Port != resp.Brokers[0].Port || d.Brokers[0].IsFenced || d.ClusterAuthorizedOperations != -2147483648 {
			t.Errorf("describe cluster: %+v", d)
		}
		wantCode(t, "the controllers", ask[*kmsg.DescribeClusterResponse](x, &kmsg.DescribeClusterRequest{Version: 1, EndpointType: 2}).ErrorCode, kproto.MismatchedEndpointType)
		wantCode(t, "no endpoint type", ask[*kmsg.DescribeClusterResponse](x, &kmsg.DescribeClusterRequest{Version: 1, EndpointType: 9}).ErrorCode, kproto.UnsupportedEndpointType)
	})
	t.Run("a topic", func(t *testing.T) {
		x := x.at(t)
		got := ask1(x, metadataRequest(12, topic))
		if deref(got.Topic) != topic || got.TopicID != id || got.IsInternal || got.AuthorizedOperations != -2147483648 || len(got.Partitions) != 3 {
			t.Fatalf("%+v", got)
		}
		for _, p := range got.Partitions {
			if p.ErrorCode != 0 || p.Leader != 1 || p.LeaderEpoch < 0 || len(p.Replicas) != 1 || len(p.ISR) != 1 || len(p.OfflineReplicas) != 0 {
				t.Errorf("%+v", p)
			}
		}
		req := metadataRequest(12, topic)
		req.IncludeTopicAuthorizedOperations = true
		if ops := ask1(x, req).AuthorizedOperations; ops != 0b110111111000 {
			t.Errorf("authorized operations %b", ops)
		}
	})
	t.Run("by id", func(t *testing.T) {
		x := x.at(t)
		req := metadataRequest(12, "")
		req.Topics[0].Topic, req.Topics[0].TopicID = nil, id
		if got := ask1(x, req); deref(got.Topic) != topic || got.ErrorCode != 0 {
			t.Errorf("%+v", got)
		}
		req.Topics[0].TopicID = [16]byte{7}
		if got := ask1(x, req); got.Topic != nil || got.ErrorCode != int16(kproto.UnknownTopicID) {
			t.Errorf("an unknown id: %v %v", deref(got.Topic), kproto.ErrorCode(got.ErrorCode))
		}
		// Beside an id no name counts, not the empty one of Kafka's own consumer, and not another's.
		for _, name := range []string{"", x.name()} {
			req = metadataRequest(12, name, topic)
			req.Topics[0].TopicID = id
			if got := ask1(x, req); deref(got.Topic) != topic || got.ErrorCode != 0 {
				t.Errorf("with the name %q: %+v", name, got)
			}
		}
		req = metadataRequest(11, "")
		req.Topics[0].Topic, req.Topics[0].TopicID = nil, id
		wantCode(t, "by id in version 11", ask1(x, req).ErrorCode, kproto.InvalidRequest)
	})
	t.Run("auto creation", func(t *testing.T) {
		x := x.at(t)
		name := x.name()
		wantCode(t, "not allowed", ask1(x, metadataRequest(12, name)).ErrorCode, kproto.UnknownTopicOrPartition)
		wantCode(t, "still not there", ask1(x, metadataRequest(12, name)).ErrorCode, kproto.UnknownTopicOrPartition)
		req := metadataRequest(12, name, "bad/name")
		req.AllowAutoTopicCreation = true
		for _, rt := range ask[*kmsg.MetadataResponse](x, req).Topics {
			if deref(rt.Topic) != name {
				wantCode(t, "an illegal name", rt.ErrorCode, kproto.InvalidTopicException)
			}
		}
		x.eventually("the topic is there", func() bool { return ask1(x, metadataRequest(12, name)).ErrorCode == 0 })
		old := x.name()
		ask1(x, metadataRequest(3, old)) // allowed by its version
		x.eventually("the topic is there", func() bool { return ask1(x, metadataRequest(12, old)).ErrorCode == 0 })
	})
	t.Run("internal topics", func(t *testing.T) {
		x := x.at(t)
		x.coordinator("any")
		if got := ask1(x, metadataRequest(12, "__consumer_offsets")); !got.IsInternal || got.ErrorCode != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("pages of partitions", func(t *testing.T) {
		x := x.at(t)
		other := x.topic(2) // sorts behind: the names begin with those of the tests
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		for _, name := range []string{other, topic, "nope"} {
			rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
			rt.Topic = name
			req.Topics = append(req.Topics, rt)
		}
		req.ResponsePartitionLimit = 2
		type page struct {
			topic      string
			partitions int
			code       int16
		}
		var got []page
		for range 10 {
			resp := ask[*kmsg.DescribeTopicPartitionsResponse](x, req)
			for _, rt := range resp.Topics {
				got = append(got, page{deref(rt.Topic), len(rt.Partitions), rt.ErrorCode})
				for _, p := range rt.Partitions {
					if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
						t.Error("null lists of eligible leaders: the Java client cannot bear them")
					}
				}
			}
			if resp.NextCursor == nil {
				break
			}
			c := kmsg.NewDescribeTopicPartitionsRequestCursor()
			c.Topic, c.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
			req.Cursor = &c
		}
		total := map[string]int{}
		for _, p := range got {
			total[p.topic] += p.partitions
			if (p.code == 3) != (p.topic == "nope") {
				t.Errorf("%+v", p)
			}
		}
		if total[topic] != 3 || total[other] != 2 || len(got) < 4 {
			t.Errorf("pages %+v", got)
		}
		req.Cursor.Topic = "elsewhere"
		for _, rt := range ask[*kmsg.DescribeTopicPartitionsResponse](x, req).Topics {
			wantCode(t, "a cursor of a topic that is not asked for", rt.ErrorCode, kproto.InvalidRequest)
		}
	})
}

// coordinator waits until somebody coordinates a group.
func (x *target) coordinator(group string) *kmsg.FindCoordinatorResponse {
	x.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = 3, group
	var resp *kmsg.FindCoordinatorResponse
	x.eventually("there is a coordinator", func() bool {
		resp = ask[*kmsg.FindCoordinatorResponse](x, req)
		return resp.ErrorCode == 0
	})
	return resp
}
