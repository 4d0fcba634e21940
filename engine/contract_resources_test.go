package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestListConfigResources: which resources there are, by type.
func TestListConfigResources(t *testing.T) {
	x := contract(t)
	topic, metrics := x.topic(1), x.name()
	r := ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kmsg.ConfigResourceTypeClientMetrics, metrics, kmsg.IncrementalAlterConfigOpSet, "interval.ms=1000")).Resources[0]
	wantCode(t, "a subscription", r.ErrorCode, kproto.None)
	list := func(version int16, types ...int8) (*kmsg.ListConfigResourcesResponse, []string) {
		resp := ask[*kmsg.ListConfigResourcesResponse](x, &kmsg.ListConfigResourcesRequest{Version: version, ResourceTypes: types})
		var out []string
		for _, c := range resp.ConfigResources {
			out = append(out, fmt.Sprintf("%d %s", c.Type, c.Name))
		}
		return resp, out
	}
	x.eventually("the subscription is listed", func() bool { _, got := list(1, 16); return slices.Contains(got, "16 "+metrics) })
	for _, tc := range []struct {
		types []int8
		want  []string
		not   []string
	}{
		{nil, []string{"2 " + topic, "4 1", "8 1", "16 " + metrics}, nil},
		{[]int8{2}, []string{"2 " + topic}, []string{"4 1", "16 " + metrics}},
		{[]int8{4, 8}, []string{"4 1", "8 1"}, []string{"2 " + topic}},
		{[]int8{16, 16}, []string{"16 " + metrics}, []string{"4 1"}},
		{[]int8{32}, nil, []string{"4 1", "16 " + metrics}},
	} {
		resp, got := list(1, tc.types...)
		wantCode(t, fmt.Sprint(tc.types), resp.ErrorCode, kproto.None)
		for _, w := range tc.want {
			if !slices.Contains(got, w) {
				t.Errorf("types %v: no %s in %v", tc.types, w, got)
			}
		}
		for _, w := range tc.not {
			if slices.Contains(got, w) {
				t.Errorf("types %v: %s is listed", tc.types, w)
			}
		}
		if len(got) != len(slices.Compact(slices.Sorted(slices.Values(got)))) {
			t.Errorf("types %v: something twice in %v", tc.types, got)
		}
	}
	if _, got := list(0); !slices.Contains(got, "16 "+metrics) {
		t.Errorf("version 0 lists %v", got)
	}
	for _, types := range [][]int8{{1}, {2, 3}, {0}} {
		resp, got := list(1, types...)
		wantCode(t, fmt.Sprint(types), resp.ErrorCode, kproto.UnsupportedVersion)
		if len(got) != 0 {
			t.Errorf("types %v: %v", types, got)
		}
	}
	ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kmsg.ConfigResourceTypeClientMetrics, metrics, kmsg.IncrementalAlterConfigOpDelete, "interval.ms"))
}

// TestAlterReplicaLogDirs: a replica stays where it is, and what does not exist is said.
func TestAlterReplicaLogDirs(t *testing.T) {
	x := contract(t)
	topic := x.topic(1)
	dir := ask[*kmsg.DescribeLogDirsResponse](x, &kmsg.DescribeLogDirsRequest{Version: 4}).Dirs[0].Dir
	for _, tc := range []struct {
		name, dir, topic string
		partition        int32
		code             kproto.ErrorCode
	}{
		{"where it is", dir, topic, 0, kproto.None},
		{"an unknown directory", "/nowhere/at/all", topic, 0, kproto.LogDirNotFound},
		{"a relative directory", "here", topic, 0, kproto.LogDirNotFound},
		{"an unknown partition", dir, topic, 5, kproto.UnknownTopicOrPartition},
		{"an unknown topic", dir, "absent", 0, kproto.UnknownTopicOrPartition},
	} {
		for version := int16(1); version <= 2; version++ {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			req.Version = version
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: tc.dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: tc.topic, Partitions: []int32{tc.partition}}}}}
			resp := ask[*kmsg.AlterReplicaLogDirsResponse](x, req)
			if len(resp.Topics) != 1 || resp.Topics[0].Topic != tc.topic || len(resp.Topics[0].Partitions) != 1 {
				t.Fatalf("%s: %+v", tc.name, resp)
			}
			wantCode(t, tc.name, resp.Topics[0].Partitions[0].ErrorCode, tc.code)
		}
	}
}

// TestElectLeadersRules: partitions with one replica need no election.
func TestElectLeadersRules(t *testing.T) {
	x := contract(t)
	topic := x.topic(2)
	elect := func(version int16, kind int8, topics ...kmsg.ElectLeadersRequestTopic) *kmsg.ElectLeadersResponse {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.ElectionType, req.TimeoutMillis, req.Topics = version, kind, 10_000, topics
		return ask[*kmsg.ElectLeadersResponse](x, req)
	}
	for version := int16(0); version <= 2; version++ {
		for _, tc := range []struct {
			name  string
			kind  int8
			topic kmsg.ElectLeadersRequestTopic
			code  kproto.ErrorCode
		}{
			{"preferred", 0, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{0}}, kproto.ElectionNotNeeded},
			{"unclean", 1, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{1}}, kproto.ElectionNotNeeded},
			{"an unknown partition", 0, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{9}}, kproto.UnknownTopicOrPartition},
			{"an unknown topic", 0, kmsg.ElectLeadersRequestTopic{Topic: "absent", Partitions: []int32{0}}, kproto.UnknownTopicOrPartition},
		} {
			resp := elect(version, tc.kind, tc.topic)
			if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
				t.Fatalf("version %d, %s: %+v", version, tc.name, resp)
			}
			wantCode(t, fmt.Sprintf("version %d, %s", version, tc.name), resp.Topics[0].Partitions[0].ErrorCode, tc.code)
		}
		if resp := elect(version, 0); resp.ErrorCode != 0 {
			t.Errorf("version %d, all of them: %v", version, kproto.ErrorCode(resp.ErrorCode))
		}
	}
}

// TestUnregisterUnknownBroker: what is not registered cannot be unregistered.
func TestUnregisterUnknownBroker(t *testing.T) {
	x := contract(t)
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = 77
	wantCode(t, "an unknown broker", ask[*kmsg.UnregisterBrokerResponse](x, req).ErrorCode, kproto.BrokerIDNotRegistered)
}

// TestClientMetricsResources: subscriptions are configured like other resources.
func TestClientMetricsResources(t *testing.T) {
	x := contract(t)
	name := x.name()
	const kind = kmsg.ConfigResourceTypeClientMetrics
	for _, tc := range []struct {
		name string
		req  *kmsg.IncrementalAlterConfigsRequest
		code kproto.ErrorCode
	}{
		{"all keys", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "metrics=a.,b.", "interval.ms=1000", "match=client_id=x.*"), kproto.None},
		{"appended", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpAppend, "metrics=c."), kproto.InvalidConfig},
		{"no name", alterRequest(kind, "", kmsg.IncrementalAlterConfigOpSet, "metrics=a."), kproto.InvalidRequest},
		{"an unknown key", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "period=1"), kproto.InvalidRequest},
		{"too often", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "interval.ms=99"), kproto.InvalidRequest},
		{"no number", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "interval.ms=soon"), kproto.InvalidConfig},
		{"an unknown attribute", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "match=colour=red"), kproto.InvalidConfig},
		{"no expression", alterRequest(kind, name, kmsg.IncrementalAlterConfigOpSet, "match=client_id=("), kproto.InvalidConfig},
	} {
		r := ask[*kmsg.IncrementalAlterConfigsResponse](x, tc.req).Resources[0]
		wantCode(t, tc.name+": "+deref(r.ErrorMessage), r.ErrorCode, tc.code)
	}
	describe := func(name string) kmsg.DescribeConfigsResponseResource {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version, req.IncludeSynonyms = 4, true
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name}}
		return ask[*kmsg.DescribeConfigsResponse](x, req).Resources[0]
	}
	show := func(name string) string {
		out := ""
		for _, c := range describe(name).Configs {
			out += fmt.Sprintf("%s=%s %d %d;", c.Name, deref(c.Value), c.Source, c.ConfigType)
		}
		return out
	}
	x.eventually("the subscription is described", func() bool {
		return show(name) == "interval.ms=1000 7 3;match=client_id=x.* 7 7;metrics=a.,b. 7 7;"
	})
	if got := show("absent"); got != "interval.ms=300000 5 3;match= 5 7;metrics= 5 7;" {
		t.Errorf("one that is not there: %s", got)
	}
	wantCode(t, "no name", describe("").ErrorCode, kproto.InvalidRequest)
	ask[*kmsg.IncrementalAlterConfigsResponse](x, alterRequest(kind, name, kmsg.IncrementalAlterConfigOpDelete, "interval.ms", "match", "metrics"))
}
