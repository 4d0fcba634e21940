package kraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaDefaults are broker settings as a real broker gives them.
func kafkaDefaults(o *Options) {
	o.Defaults = Defaults{
		Partitions: 3, ReplicationFactor: 2,
		ValidateTopicConfig: func(key, value string) error {
			switch {
			case key == "cleanup.policy":
				return nil
			case key == "retention.ms" && strings.Trim(value, "-0123456789") == "":
				return nil
			}
			return fmt.Errorf("unknown or invalid topic config %s=%s", key, value)
		},
		ValidateBrokerConfig: func(_, key, value string) error {
			if key == "log.dirs" {
				return fmt.Errorf("%w: log.dirs", ErrReadOnlyConfig)
			}
			return nil
		},
		ConfigList: func(t ConfigType, key string) (string, bool) { return "delete", key == "cleanup.policy" },
	}
}

func kafkaHarness(t *testing.T, change ...func(*Options)) *harness {
	h := newHarness(t, func(o *Options) {
		kafkaDefaults(o)
		for _, c := range change {
			c(o)
		}
	})
	h.broker(1)
	h.broker(2)
	return h
}

type createCase struct {
	name       string
	partitions int32
	factor     int16
	assign     [][]int32
	configs    map[string]*string
	code       int16
}

func ptr(s string) *string { return &s }

func (c createCase) request() kmsg.CreateTopicsRequestTopic {
	rt := kmsg.CreateTopicsRequestTopic{Topic: c.name, NumPartitions: c.partitions, ReplicationFactor: c.factor}
	for i, a := range c.assign {
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: a})
	}
	for k, v := range c.configs {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: v})
	}
	return rt
}

func (h *harness) create(validate bool, cases ...createCase) map[string]kmsg.CreateTopicsResponseTopic {
	h.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly = validate
	for _, c := range cases {
		req.Topics = append(req.Topics, c.request())
	}
	resp := h.do(req).(*kmsg.CreateTopicsResponse)
	out := make(map[string]kmsg.CreateTopicsResponseTopic)
	for _, r := range resp.Topics {
		if _, dup := out[r.Topic]; dup {
			h.t.Errorf("two answers for topic %q", r.Topic)
		}
		if r.Configs == nil || (r.ErrorCode == 0) != (r.ErrorMessage == nil) {
			h.t.Errorf("answer %+v", r)
		}
		out[r.Topic] = r
	}
	return out
}

func TestCreateTopics(t *testing.T) {
	h := kafkaHarness(t)
	h.create(false, createCase{name: "exists", partitions: 1, factor: 1}, createCase{name: "with.dot", partitions: 1, factor: 1})
	cases := []createCase{
		{name: "plain", partitions: 4, factor: 1},
		{name: "defaults", partitions: -1, factor: -1},
		{name: "factor-above-brokers", partitions: 1, factor: 32767},
		{name: "no-partitions", partitions: 0, factor: 1, code: 37},
		{name: "negative-partitions", partitions: -2, factor: 1, code: 37},
		{name: "no-replicas", partitions: 1, factor: 0, code: 38},
		{name: "negative-replicas", partitions: 1, factor: -2, code: 38},
		{name: "exists", partitions: 1, factor: 1, code: 36},
		{name: "", partitions: 1, factor: 1, code: 17},
		{name: ".", partitions: 1, factor: 1, code: 17},
		{name: "..", partitions: 1, factor: 1, code: 17},
		{name: "sla/sh", partitions: 1, factor: 1, code: 17},
		{name: "späce", partitions: 1, factor: 1, code: 17},
		{name: strings.Repeat("x", 249), partitions: 1, factor: 1},
		{name: strings.Repeat("x", 250), partitions: 1, factor: 1, code: 17},
		{name: "with_dot", partitions: 1, factor: 1, code: 17},
		{name: "new.in_request", partitions: 1, factor: 1},
		{name: "new_in.request", partitions: 1, factor: 1, code: 17},
		{name: "__cluster_metadata", partitions: 1, factor: 1, code: 42},
		{name: "config", partitions: 1, factor: 1, configs: map[string]*string{"retention.ms": ptr("5")}},
		{name: "config-unknown", partitions: 1, factor: 1, configs: map[string]*string{"nonsense": ptr("5")}, code: 40},
		{name: "config-bad", partitions: 1, factor: 1, configs: map[string]*string{"retention.ms": ptr("x")}, code: 40},
		{name: "config-null", partitions: 1, factor: 1, configs: map[string]*string{"retention.ms": nil}, code: 40},
		{name: "manual", partitions: -1, factor: -1, assign: [][]int32{{2, 1}, {1, 2}}},
		{name: "manual-and-count", partitions: 2, factor: -1, assign: [][]int32{{2}, {1}}, code: 42},
		{name: "manual-and-factor", partitions: -1, factor: 1, assign: [][]int32{{2}}, code: 42},
		{name: "manual-uneven", partitions: -1, factor: -1, assign: [][]int32{{2}, {1, 2}}, code: 39},
		{name: "manual-stranger", partitions: -1, factor: -1, assign: [][]int32{{9}}, code: 39},
		{name: "manual-twice", partitions: -1, factor: -1, assign: [][]int32{{1, 1}}, code: 39},
		{name: "manual-empty", partitions: -1, factor: -1, assign: [][]int32{{}}, code: 39},
	}
	// Everything in one request: results are per topic, the right ones are created.
	for _, validate := range []bool{true, false} {
		before := h.image()
		got := h.create(validate, append(slices.Clone(cases), createCase{name: "twice", partitions: 1, factor: 1}, createCase{name: "twice", partitions: 1, factor: 1})...)
		if got["twice"].ErrorCode != 42 {
			t.Errorf("a name that is there twice: code %d", got["twice"].ErrorCode)
		}
		if validate && h.image() != before {
			t.Error("ValidateOnly changed something")
		}
		for _, c := range cases {
			r := got[c.name]
			if validate && c.name == "new_in.request" {
				continue // it collides only with what the same request creates
			}
			if r.ErrorCode != c.code {
				t.Errorf("validate %v, %q: code %d, want %d (%v)", validate, c.name, r.ErrorCode, c.code, r.ErrorMessage)
				continue
			}
			topic := h.image().Topic(c.name)
			switch {
			case c.name == "exists":
			case (topic != nil) != (c.code == 0 && !validate):
				t.Errorf("validate %v, %q: %+v", validate, c.name, topic)
			case c.code == 0 && !validate && (r.TopicID != topic.ID || int(r.NumPartitions) != len(topic.Partitions) || r.ReplicationFactor != 1):
				t.Errorf("%q: answer %+v, topic %+v", c.name, r, topic)
			}
		}
	}
	img := h.image()
	if n := len(img.Topic("defaults").Partitions); n != 3 {
		t.Errorf("%d partitions by default", n)
	}
	if f := img.Topic("factor-above-brokers").ReplicationFactor; f != 32767 {
		t.Errorf("replication factor %d", f)
	}
	if p := img.Topic("manual").Partitions; p[0].Leader != 2 || p[1].Leader != 1 {
		t.Errorf("%+v", p)
	}
	if v, ok := img.Config(TopicResource("config"), "retention.ms"); !ok || v != "5" {
		t.Errorf("config %q", v)
	}
	if a, b := img.PartitionsLed(1), img.PartitionsLed(2); a-b > 2 || b-a > 2 {
		t.Errorf("broker 1 leads %d partitions, broker 2 leads %d", a, b)
	}
	if got := h.create(false, createCase{name: "big", partitions: 9_999, factor: 1}, createCase{name: "little", partitions: 2, factor: 1}); got["big"].ErrorCode != 44 || got["little"].ErrorCode != 44 {
		t.Errorf("10,001 partitions: %+v", got)
	}
	if got := h.create(false, createCase{name: "big", partitions: 10_000, factor: 1}); got["big"].ErrorCode != 0 {
		t.Errorf("10,000 partitions: %+v", got)
	}
	if err := h.image().Check(); err != nil {
		t.Error(err)
	}
}

func TestCreateTopicsWithoutBrokers(t *testing.T) {
	h := newHarness(t, kafkaDefaults)
	if got := h.create(false, createCase{name: "t", partitions: 1, factor: 1}); got["t"].ErrorCode != 38 {
		t.Errorf("%+v", got)
	}
	epoch := h.broker(1)
	h.heartbeat(1, epoch, true)
	if got := h.create(false, createCase{name: "t", partitions: 1, factor: 1}); got["t"].ErrorCode != 38 {
		t.Errorf("the only broker is fenced: %+v", got)
	}
}

func TestCreatePartitions(t *testing.T) {
	h := kafkaHarness(t)
	h.create(false, createCase{name: "t", partitions: 2, factor: 1})
	grow := func(validate bool, topics ...kmsg.CreatePartitionsRequestTopic) []int16 {
		t.Helper()
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Topics, req.ValidateOnly = topics, validate
		var codes []int16
		for _, r := range h.do(req).(*kmsg.CreatePartitionsResponse).Topics {
			codes = append(codes, r.ErrorCode)
		}
		return codes
	}
	one := func(count int32, assign ...[]int32) kmsg.CreatePartitionsRequestTopic {
		r := kmsg.CreatePartitionsRequestTopic{Topic: "t", Count: count}
		for _, a := range assign {
			r.Assignment = append(r.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
		}
		return r
	}
	for _, c := range []struct {
		req  kmsg.CreatePartitionsRequestTopic
		code int16
	}{
		{one(2), 37}, {one(1), 37}, {one(-1), 37}, {one(1 << 30), 44},
		{one(3, []int32{1}, []int32{2}), 39}, {one(3, []int32{1, 2}), 39}, {one(3, []int32{9}), 39}, {one(4, []int32{1}, []int32{}), 39},
		{kmsg.CreatePartitionsRequestTopic{Topic: "unknown", Count: 3}, 3},
	} {
		if got := grow(false, c.req); len(got) != 1 || got[0] != c.code {
			t.Errorf("%+v: %v, want %d", c.req, got, c.code)
		}
	}
	if got := grow(false, one(3), one(4)); len(got) != 1 || got[0] != 42 {
		t.Errorf("named twice: %v", got)
	}
	if got := grow(true, one(5)); got[0] != 0 || len(h.image().Topic("t").Partitions) != 2 {
		t.Errorf("only asked: %v", got)
	}
	first := h.image().Topic("t").Partitions[0]
	if got := grow(false, one(4, []int32{2}, []int32{1})); got[0] != 0 {
		t.Fatal(got)
	}
	p := h.image().Topic("t").Partitions
	if len(p) != 4 || p[2].Leader != 2 || p[3].Leader != 1 || p[0].StreamID != first.StreamID || p[3].StreamID == p[2].StreamID {
		t.Errorf("%+v", p)
	}
}

func TestDeleteTopics(t *testing.T) {
	h := kafkaHarness(t)
	remove := func(version int16, topics ...kmsg.DeleteTopicsRequestTopic) []int16 {
		t.Helper()
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.SetVersion(version)
		for _, x := range topics {
			if version < 6 {
				req.TopicNames = append(req.TopicNames, *x.Topic)
			} else {
				req.Topics = append(req.Topics, x)
			}
		}
		var codes []int16
		for _, r := range h.do(req).(*kmsg.DeleteTopicsResponse).Topics {
			codes = append(codes, r.ErrorCode)
		}
		return codes
	}
	name := func(s string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &s} }
	id := func(i TopicID) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{TopicID: i} }
	h.create(false, createCase{name: "a", partitions: 1, factor: 1, configs: map[string]*string{"retention.ms": ptr("1")}},
		createCase{name: "b", partitions: 1, factor: 1}, createCase{name: "c", partitions: 1, factor: 1}, createCase{name: "d", partitions: 1, factor: 1})
	a, c, d := h.image().Topic("a"), h.image().Topic("c"), h.image().Topic("d")
	both := name("a")
	both.TopicID = a.ID
	for i, x := range []struct {
		version int16
		topics  []kmsg.DeleteTopicsRequestTopic
		codes   []int16
	}{
		{6, []kmsg.DeleteTopicsRequestTopic{name("unknown"), id(TopicID{9})}, []int16{3, 100}},
		{6, []kmsg.DeleteTopicsRequestTopic{both, id(TopicID{})}, []int16{42, 42}},
		{6, []kmsg.DeleteTopicsRequestTopic{name("a"), name("a")}, []int16{42, 42}},
		{6, []kmsg.DeleteTopicsRequestTopic{name("c"), id(c.ID)}, []int16{42, 42}},
		{5, []kmsg.DeleteTopicsRequestTopic{name("b"), name("unknown")}, []int16{0, 3}},
		{6, []kmsg.DeleteTopicsRequestTopic{name("a"), id(d.ID)}, []int16{0, 0}},
	} {
		if got := remove(x.version, x.topics...); !slices.Equal(got, x.codes) {
			t.Errorf("%d: %v, want %v", i, got, x.codes)
		}
	}
	if h.image().NumTopics() != 1 || len(h.image().Configs(TopicResource("a"))) != 0 {
		t.Errorf("%d topics are left", h.image().NumTopics())
	}
	// The same name again is another topic with other streams.
	h.create(false, createCase{name: "a", partitions: 1, factor: 1})
	if again := h.image().Topic("a"); again.ID == a.ID || again.Partitions[0].StreamID == a.Partitions[0].StreamID {
		t.Error("the new topic is the old one")
	}

	h = kafkaHarness(t, func(o *Options) { o.Defaults.NoDeleteTopics = true })
	h.create(false, createCase{name: "a", partitions: 1, factor: 1})
	if got := append(remove(2, name("a")), remove(6, name("a"))...); !slices.Equal(got, []int16{42, 73}) || h.image().Topic("a") == nil {
		t.Errorf("delete.topic.enable=false: %v", got)
	}
}

func TestAlterConfigs(t *testing.T) {
	h := kafkaHarness(t)
	h.create(false, createCase{name: "t", partitions: 1, factor: 1})
	type op = kmsg.IncrementalAlterConfigsRequestResourceConfig
	alter := func(typ kmsg.ConfigResourceType, name string, validate bool, ops ...op) int16 {
		t.Helper()
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.ValidateOnly = validate
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: typ, ResourceName: name, Configs: ops}}
		return h.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
	}
	const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	for i, c := range []struct {
		typ  kmsg.ConfigResourceType
		name string
		ops  []op
		code int16
		key  string
		want string // "" : not set
	}{
		{topic, "t", []op{{Name: "retention.ms", Op: 0, Value: ptr("7")}}, 0, "retention.ms", "7"},
		{topic, "t", []op{{Name: "retention.ms", Op: 0, Value: ptr("x")}}, 40, "retention.ms", "7"},
		{topic, "t", []op{{Name: "retention.ms", Op: 0, Value: nil}}, 42, "retention.ms", "7"},
		{topic, "t", []op{{Name: "nonsense", Op: 0, Value: ptr("1")}}, 40, "nonsense", ""},
		{topic, "t", []op{{Name: "retention.ms", Op: 2, Value: ptr("1")}}, 40, "retention.ms", "7"},
		{topic, "t", []op{{Name: "retention.ms", Op: 9, Value: ptr("1")}}, 42, "retention.ms", "7"},
		{topic, "t", []op{{Name: "retention.ms", Op: 1}, {Name: "retention.ms", Op: 0, Value: ptr("1")}}, 42, "retention.ms", "7"},
		{topic, "t", []op{{Name: "retention.ms", Op: 1}}, 0, "retention.ms", ""},
		{topic, "t", []op{{Name: "retention.ms", Op: 1}}, 0, "retention.ms", ""},
		{topic, "t", []op{{Name: "cleanup.policy", Op: 2, Value: ptr("compact")}}, 0, "cleanup.policy", "delete,compact"},
		{topic, "t", []op{{Name: "cleanup.policy", Op: 2, Value: ptr("compact")}}, 0, "cleanup.policy", "delete,compact"},
		{topic, "t", []op{{Name: "cleanup.policy", Op: 3, Value: ptr("delete")}}, 0, "cleanup.policy", "compact"},
		{topic, "t", []op{{Name: "cleanup.policy", Op: 0, Value: ptr(strings.Repeat("x", 40_000))}}, 40, "cleanup.policy", "compact"},
		{topic, "unknown", []op{{Name: "retention.ms", Op: 0, Value: ptr("7")}}, 3, "retention.ms", ""},
		{broker, "1", []op{{Name: "log.retention.ms", Op: 0, Value: ptr("7")}}, 0, "log.retention.ms", "7"},
		{broker, "", []op{{Name: "log.retention.ms", Op: 0, Value: ptr("8")}}, 0, "log.retention.ms", "8"},
		{broker, "1", []op{{Name: "log.dirs", Op: 0, Value: ptr("/x")}}, 42, "log.dirs", ""},
		{broker, "one", []op{{Name: "k", Op: 0, Value: ptr("7")}}, 42, "k", ""},
		{broker, "01", []op{{Name: "k", Op: 0, Value: ptr("7")}}, 42, "k", ""},
		{broker, "9", []op{{Name: "k", Op: 0, Value: ptr("7")}}, 102, "k", ""},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", []op{{Name: "k", Op: 0, Value: ptr("7")}}, 42, "k", ""},
	} {
		before := h.image()
		if code := alter(c.typ, c.name, true, c.ops...); code != c.code || h.image() != before {
			t.Errorf("%d: only asked: code %d, want %d", i, code, c.code)
		}
		if code := alter(c.typ, c.name, false, c.ops...); code != c.code {
			t.Errorf("%d: code %d, want %d", i, code, c.code)
		}
		if got, _ := h.image().Config(ConfigResource{Type: ConfigType(c.typ), Name: c.name}, c.key); got != c.want {
			t.Errorf("%d: %s is %q, want %q", i, c.key, got, c.want)
		}
	}
	// AlterConfigs replaces the whole.
	whole := func(configs ...kmsg.AlterConfigsRequestResourceConfig) int16 {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: topic, ResourceName: "t", Configs: configs}}
		return h.do(req).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode
	}
	if code := whole(kmsg.AlterConfigsRequestResourceConfig{Name: "retention.ms", Value: ptr("9")}); code != 0 {
		t.Fatal(code)
	}
	if got := h.image().Configs(TopicResource("t")); len(got) != 1 || got[0] != (ConfigEntry{Key: "retention.ms", Value: "9"}) {
		t.Errorf("%+v", got)
	}
	if code := whole(kmsg.AlterConfigsRequestResourceConfig{Name: "nonsense", Value: ptr("9")}); code != 40 {
		t.Error(code)
	}
	n := len(h.entries)
	if whole(kmsg.AlterConfigsRequestResourceConfig{Name: "retention.ms", Value: ptr("9")}); len(h.entries) != n {
		t.Error("a change that changes nothing was logged")
	}
	// The same resource twice.
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: topic, ResourceName: "t"}
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{r, r}
	if got := h.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources; len(got) != 1 || got[0].ErrorCode != 42 {
		t.Errorf("%+v", got)
	}
}

func TestBrokersAndProducerIDs(t *testing.T) {
	h := kafkaHarness(t)
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.IncarnationID = 3, testCluster, [16]byte{3}
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: 1}}
	r := h.do(req).(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 || !h.image().Broker(3).Fenced {
		t.Fatalf("%+v", r)
	}
	if again := h.do(req).(*kmsg.BrokerRegistrationResponse); again.BrokerEpoch != r.BrokerEpoch {
		t.Errorf("the same incarnation got epoch %d, then %d", r.BrokerEpoch, again.BrokerEpoch)
	}
	req.ClusterID = "other"
	if r := h.do(req).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != 104 {
		t.Errorf("another cluster: %d", r.ErrorCode)
	}
	req.ClusterID, req.Listeners = testCluster, nil
	if r := h.do(req).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != 119 {
		t.Errorf("no listener: %d", r.ErrorCode)
	}
	if hb := h.heartbeat(3, r.BrokerEpoch-1, false); hb.ErrorCode != 77 {
		t.Errorf("old epoch: %d", hb.ErrorCode)
	}
	if hb := h.heartbeat(9, 1, false); hb.ErrorCode != 102 {
		t.Errorf("stranger: %d", hb.ErrorCode)
	}
	if hb := h.heartbeat(3, r.BrokerEpoch, false); hb.ErrorCode != 0 || hb.IsFenced || h.image().Broker(3).Fenced {
		t.Errorf("%+v", hb)
	}
	n := len(h.entries)
	if h.heartbeat(3, r.BrokerEpoch, false); len(h.entries) != n {
		t.Error("a heartbeat that changes nothing was logged")
	}
	// Silence.
	h.now = h.now.Add(8 * time.Second)
	h.heartbeat(1, h.image().Broker(1).Epoch, false)
	h.now = h.now.Add(2 * time.Second)
	h.ctl.housekeeping()
	for id, fenced := range map[int32]bool{1: false, 2: true, 3: true} {
		if h.image().Broker(id).Fenced != fenced {
			t.Errorf("broker %d: fenced is %v", id, !fenced)
		}
	}
	next := int64(0)
	for range 3 {
		a := h.do(&kmsg.AllocateProducerIDsRequest{BrokerID: 3, BrokerEpoch: r.BrokerEpoch}).(*kmsg.AllocateProducerIDsResponse)
		if a.ErrorCode != 0 || a.ProducerIDStart != next || a.ProducerIDLen != 1000 {
			t.Fatalf("%+v", a)
		}
		next += 1000
	}
	if a := h.do(&kmsg.AllocateProducerIDsRequest{BrokerID: 3, BrokerEpoch: 0}).(*kmsg.AllocateProducerIDsResponse); a.ErrorCode != 77 {
		t.Errorf("%+v", a)
	}
	if u := h.do(&kmsg.UnregisterBrokerRequest{BrokerID: 3}).(*kmsg.UnregisterBrokerResponse); u.ErrorCode != 0 || h.image().Broker(3) != nil {
		t.Errorf("%+v", u)
	}
	if u := h.do(&kmsg.UnregisterBrokerRequest{BrokerID: 3}).(*kmsg.UnregisterBrokerResponse); u.ErrorCode != 102 {
		t.Errorf("%+v", u)
	}
}

// TestUploadDuringTopicDeletion: an upload of several streams must not fail because one of them is deleted meanwhile.
func TestUploadDuringTopicDeletion(t *testing.T) {
	h := newHarness(t, nil)
	epoch := h.broker(1)
	a, b := h.topic("a", 1).Partitions[0].StreamID, h.topic("b", 1).Partitions[0].StreamID
	for _, s := range []StreamID{a, b} {
		if err := h.stream(&OpenStreamRequest{Stream: s, Node: 1, NodeEpoch: epoch}); err != nil {
			t.Fatal(err)
		}
	}
	first := h.prepare(1, epoch, 3)
	h.deleteTopic("a")
	commit := func(o ...NewObject) error {
		return h.stream(&CommitObjectsRequest{Node: 1, NodeEpoch: epoch, Extends: true, New: o})
	}
	rng := func(s StreamID) Range { return Range{Stream: s, Start: 0, End: 5, Bytes: 5} }
	if err := commit(NewObject{ID: first, Kind: StreamSetObject, Size: 10, Ranges: []Range{rng(a), rng(b)}}); err != nil {
		t.Fatal(err)
	}
	if o, _ := h.image().Object(first); o.State != Committed {
		t.Errorf("%+v", o)
	}
	if err := commit(NewObject{ID: first + 1, Kind: StreamObject, Size: 10, Ranges: []Range{rng(a)}}); err != nil {
		t.Fatal(err)
	}
	if o, _ := h.image().Object(first + 1); o.State != Destroyed {
		t.Errorf("nothing of it is needed: %+v", o)
	}
	if err := commit(NewObject{ID: first + 2, Kind: StreamObject, Size: 10, Ranges: []Range{rng(b + 100)}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stream that never was: %v", err)
	}
	if err := h.image().Check(); err != nil {
		t.Error(err)
	}
}

// TestStreamMovesOnlyWhenClosed: the records of an open stream may lie in its owner's WAL.
func TestStreamMovesOnlyWhenClosed(t *testing.T) {
	h := newHarness(t, nil)
	e1, e2 := h.broker(1), h.broker(2)
	topic := h.topic("a", 1)
	s := topic.Partitions[0].StreamID
	open := func(node int32, nodeEpoch, epoch int64) error {
		return h.stream(&OpenStreamRequest{Stream: s, Epoch: epoch, Node: node, NodeEpoch: nodeEpoch})
	}
	if err := open(1, e1, 0); err != nil {
		t.Fatal(err)
	}
	h.move(topic.ID, 0, 2)
	if err := open(2, e2, 1); !errors.Is(err, ErrNotClosed) {
		t.Fatalf("opened elsewhere while it is open: %v", err)
	}
	// Until the new owner has opened it, the old one may bring its data to safety.
	first := h.prepare(1, e1, 1)
	if err := h.stream(&CommitObjectsRequest{Node: 1, NodeEpoch: e1, Extends: true, New: []NewObject{
		{ID: first, Kind: StreamObject, Size: 1, Ranges: []Range{{Stream: s, Start: 0, End: 9}}},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := h.stream(&CloseStreamRequest{Stream: s, Epoch: 0, Node: 1, NodeEpoch: e1}); err != nil {
		t.Fatal(err)
	}
	if err := open(2, e2, 1); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"open":  open(1, e1, 0),
		"trim":  h.stream(&TrimStreamRequest{Stream: s, Epoch: 0, Node: 1, NodeEpoch: e1, Start: 1}),
		"close": h.stream(&CloseStreamRequest{Stream: s, Epoch: 0, Node: 1, NodeEpoch: e1}),
	} {
		if !errors.Is(err, ErrFenced) {
			t.Errorf("%s by the old owner: %v", name, err)
		}
	}
}

// TestAnswersWithoutACommitAreConfirmed: a controller that does not know that it has been deposed answers nothing from what it believes.
func TestAnswersWithoutACommitAreConfirmed(t *testing.T) {
	h := newHarness(t, nil)
	epoch := h.broker(1)
	stream := h.topic("t", 1).Partitions[0].StreamID
	open := &OpenStreamRequest{Stream: stream, Node: 1, NodeEpoch: epoch}
	if err := h.stream(open); err != nil {
		t.Fatal(err)
	}
	beat := kmsg.NewPtrBrokerHeartbeatRequest()
	beat.BrokerID, beat.BrokerEpoch = 1, epoch
	h.deposed = true
	for _, req := range []kmsg.Request{open, beat, &PrepareObjectsRequest{Node: 9, NodeEpoch: 9, Count: 1}} {
		if resp, _, err := h.ctl.do(context.Background(), req); !errors.Is(err, ErrNotController) {
			t.Errorf("%T: %+v, %v", req, resp, err)
		}
	}
	h.deposed = false
	for _, req := range []kmsg.Request{open, beat} {
		if _, _, err := h.ctl.do(context.Background(), req); err != nil {
			t.Errorf("%T: %v", req, err)
		}
	}
}

// TestUnknownProposalEndsTheController: when nobody knows whether a proposal is in the log, nothing may be validated any more against a state that does not have it.
func TestUnknownProposalEndsTheController(t *testing.T) {
	h := newHarness(t, nil)
	h.broker(1)
	req := func(name string) kmsg.Request {
		r := kmsg.NewPtrCreateTopicsRequest()
		r.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}
		return r
	}
	h.unknown = ErrClosed
	if _, _, err := h.ctl.do(context.Background(), req("in-the-log")); !errors.Is(err, ErrTimeout) {
		t.Fatalf("%v", err)
	}
	h.unknown = nil
	if resp, _, err := h.ctl.do(context.Background(), req("behind-it")); !errors.Is(err, ErrNotController) {
		t.Fatalf("%+v, %v", resp, err)
	}
	h.ctl.housekeeping()
	h.ctl.deactivate()
}

// TestOldBrokerConfig: a value that was good once can be removed when it is not any more; a bad one is refused with INVALID_REQUEST.
func TestOldBrokerConfig(t *testing.T) {
	h := kafkaHarness(t)
	alter := func(op kmsg.IncrementalAlterConfigOp) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "message.max.bytes", Op: op, Value: ptr("7")}}}}
		return h.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
	}
	if code := alter(kmsg.IncrementalAlterConfigOpSet); code != 0 {
		t.Fatalf("set: code %d", code)
	}
	h.ctl.opts.Defaults.ValidateBrokerConfig = func(_, _, _ string) error { return errors.New("too small for this program") }
	if code := alter(kmsg.IncrementalAlterConfigOpSet); code != kafkaInvalidRequest {
		t.Errorf("set again: code %d", code)
	}
	if code := alter(kmsg.IncrementalAlterConfigOpDelete); code != 0 || len(h.image().Configs(ConfigResource{Type: BrokerConfig})) != 0 {
		t.Errorf("removed: code %d", code)
	}
}
