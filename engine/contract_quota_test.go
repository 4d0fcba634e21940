package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// requestAs is request by a client with an id of its own.
func (w *wire) requestAs(clientID string, req kmsg.Request) kmsg.Response {
	w.t.Helper()
	w.send(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 5))
	return w.response(req, 5)
}

// quotaPart is one part of an entity: "user=x", or "user" for the default.
func quotaParts(parts ...string) (out []kmsg.AlterClientQuotasRequestEntryEntity) {
	for _, p := range parts {
		kind, name, named := strings.Cut(p, "=")
		e := kmsg.AlterClientQuotasRequestEntryEntity{Type: kind}
		if named {
			e.Name = &name
		}
		out = append(out, e)
	}
	return out
}

func alterQuota(entity []kmsg.AlterClientQuotasRequestEntryEntity, ops ...kmsg.AlterClientQuotasRequestEntryOp) *kmsg.AlterClientQuotasRequest {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Version = 1
	req.Entries = []kmsg.AlterClientQuotasRequestEntry{{Entity: entity, Ops: ops}}
	return req
}

func setQuota(key string, value float64) kmsg.AlterClientQuotasRequestEntryOp {
	return kmsg.AlterClientQuotasRequestEntryOp{Key: key, Value: value}
}

// limit gives an entity a quota and waits until it counts; it is removed at the end.
func (x *target) limit(key string, value float64, parts ...string) {
	x.t.Helper()
	entity := quotaParts(parts...)
	set := func(op kmsg.AlterClientQuotasRequestEntryOp) {
		x.t.Helper()
		if e := ask[*kmsg.AlterClientQuotasResponse](x, alterQuota(entity, op)).Entries[0]; e.ErrorCode != 0 {
			x.t.Fatalf("quota %s: %v %s", key, kproto.ErrorCode(e.ErrorCode), deref(e.ErrorMessage))
		}
	}
	set(setQuota(key, value))
	x.t.Cleanup(func() { set(kmsg.AlterClientQuotasRequestEntryOp{Key: key, Remove: true}) })
	x.eventually("the quota counts", func() bool { return len(x.quotas(true, filterOf(parts...)...).Entries) == 1 })
}

// filterOf matches exactly one entity.
func filterOf(parts ...string) (out []kmsg.DescribeClientQuotasRequestComponent) {
	for _, p := range quotaParts(parts...) {
		c := kmsg.DescribeClientQuotasRequestComponent{EntityType: p.Type, Match: p.Name}
		if p.Name == nil {
			c.MatchType = 1
		}
		out = append(out, c)
	}
	return out
}

func (x *target) quotas(strict bool, filter ...kmsg.DescribeClientQuotasRequestComponent) *kmsg.DescribeClientQuotasResponse {
	x.t.Helper()
	return ask[*kmsg.DescribeClientQuotasResponse](x, &kmsg.DescribeClientQuotasRequest{Version: 1, Strict: strict, Components: filter})
}

// TestAlterQuotasRules holds statement 238: which entities, keys and values there are.
func TestAlterQuotasRules(t *testing.T) {
	x := contract(t)
	name := x.name()
	rate := setQuota("producer_byte_rate", 1000)
	for _, tc := range []struct {
		name   string
		entity []string
		ops    []kmsg.AlterClientQuotasRequestEntryOp
		code   kproto.ErrorCode
	}{
		{"a client id", []string{"client-id=" + name}, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.None},
		{"a user", []string{"user=" + name}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("request_percentage", 12.5), setQuota("controller_mutation_rate", 0.5)}, kproto.None},
		{"both", []string{"user=" + name, "client-id"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("consumer_byte_rate", 7)}, kproto.None},
		{"an address", []string{"ip=10.1.2.3"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("connection_creation_rate", 3)}, kproto.None},
		{"removing what is not there", []string{"user=absent"}, []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Remove: true}}, kproto.None},
		{"nobody", nil, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.InvalidRequest},
		{"another kind", []string{"group=x"}, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.InvalidRequest},
		{"an empty name", []string{"user="}, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.InvalidRequest},
		{"an address and a user", []string{"ip=10.1.2.3", "user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.InvalidRequest},
		{"an unknown key", []string{"user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("speed", 1)}, kproto.InvalidRequest},
		{"a key of addresses", []string{"user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("connection_creation_rate", 1)}, kproto.InvalidRequest},
		{"a key of users", []string{"ip=10.1.2.3"}, []kmsg.AlterClientQuotasRequestEntryOp{rate}, kproto.InvalidRequest},
		{"nothing a second", []string{"user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("producer_byte_rate", 0)}, kproto.InvalidRequest},
		{"less than nothing", []string{"user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("producer_byte_rate", -1)}, kproto.InvalidRequest},
		{"half a byte", []string{"user=a"}, []kmsg.AlterClientQuotasRequestEntryOp{setQuota("producer_byte_rate", 0.5)}, kproto.InvalidRequest},
	} {
		for _, validate := range []bool{true, false} {
			req := alterQuota(quotaParts(tc.entity...), tc.ops...)
			req.ValidateOnly = validate
			e := ask[*kmsg.AlterClientQuotasResponse](x, req).Entries[0]
			wantCode(t, fmt.Sprintf("%s, validate only %t: %s", tc.name, validate, deref(e.ErrorMessage)), e.ErrorCode, tc.code)
			if len(e.Entity) != len(tc.entity) {
				t.Errorf("%s: the answer names %d parts", tc.name, len(e.Entity))
			}
		}
	}
	for _, parts := range [][]string{{"client-id=" + name}, {"user=" + name}, {"user=" + name, "client-id"}, {"ip=10.1.2.3"}} {
		x.eventually("the quota is described", func() bool { return len(x.quotas(true, filterOf(parts...)...).Entries) == 1 })
		for _, v := range x.quotas(true, filterOf(parts...)...).Entries[0].Values {
			ask[*kmsg.AlterClientQuotasResponse](x, alterQuota(quotaParts(parts...), kmsg.AlterClientQuotasRequestEntryOp{Key: v.Key, Remove: true}))
		}
		x.eventually("the quota is gone", func() bool { return len(x.quotas(true, filterOf(parts...)...).Entries) == 0 })
	}
}

// TestDescribeQuotasFilters: match types, strictness, and what is no filter.
func TestDescribeQuotasFilters(t *testing.T) {
	x := contract(t)
	user, client := x.name(), x.name()
	x.limit("producer_byte_rate", 1000, "user="+user)
	x.limit("producer_byte_rate", 1001, "user="+user, "client-id="+client)
	x.limit("producer_byte_rate", 1002, "user="+user, "client-id")
	x.limit("producer_byte_rate", 1003, "client-id="+client)
	x.limit("connection_creation_rate", 1004, "ip")
	exact := func(kind, name string) kmsg.DescribeClientQuotasRequestComponent {
		return kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, Match: &name}
	}
	some := func(kind string) kmsg.DescribeClientQuotasRequestComponent {
		return kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, MatchType: 2}
	}
	byDefault := func(kind string) kmsg.DescribeClientQuotasRequestComponent {
		return kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, MatchType: 1}
	}
	for _, tc := range []struct {
		name   string
		filter []kmsg.DescribeClientQuotasRequestComponent
		strict bool
		want   []float64
	}{
		{"everything", nil, false, []float64{1000, 1001, 1002, 1003, 1004}},
		{"a user", []kmsg.DescribeClientQuotasRequestComponent{exact("user", user)}, false, []float64{1000, 1001, 1002}},
		{"a user alone", []kmsg.DescribeClientQuotasRequestComponent{exact("user", user)}, true, []float64{1000}},
		{"a user with any client id", []kmsg.DescribeClientQuotasRequestComponent{exact("user", user), some("client-id")}, false, []float64{1001, 1002}},
		{"a user with the default client id", []kmsg.DescribeClientQuotasRequestComponent{exact("user", user), byDefault("client-id")}, true, []float64{1002}},
		{"a client id", []kmsg.DescribeClientQuotasRequestComponent{exact("client-id", client)}, false, []float64{1001, 1003}},
		{"any client id alone", []kmsg.DescribeClientQuotasRequestComponent{some("client-id")}, true, []float64{1003}},
		{"every address", []kmsg.DescribeClientQuotasRequestComponent{byDefault("ip")}, true, []float64{1004}},
		{"strictly nothing", nil, true, nil},
	} {
		resp := x.quotas(tc.strict, tc.filter...)
		wantCode(t, tc.name, resp.ErrorCode, kproto.None)
		var got []float64
		for _, e := range resp.Entries {
			got = append(got, e.Values[0].Value)
		}
		if slices.Sort(got); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	odd := "x"
	for _, tc := range []struct {
		name   string
		filter []kmsg.DescribeClientQuotasRequestComponent
		code   kproto.ErrorCode
	}{
		{"no kind", []kmsg.DescribeClientQuotasRequestComponent{exact("", "x")}, kproto.InvalidRequest},
		{"an unknown kind", []kmsg.DescribeClientQuotasRequestComponent{exact("group", "x")}, kproto.UnsupportedVersion},
		{"a kind twice", []kmsg.DescribeClientQuotasRequestComponent{exact("user", "x"), some("user")}, kproto.InvalidRequest},
		{"an exact name that is null", []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user"}}, kproto.InvalidRequest},
		{"a default with a name", []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 1, Match: &odd}}, kproto.InvalidRequest},
		{"any with a name", []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 2, Match: &odd}}, kproto.InvalidRequest},
		{"an unknown match", []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 3}}, kproto.InvalidRequest},
		{"an address and a user", []kmsg.DescribeClientQuotasRequestComponent{some("ip"), some("user")}, kproto.InvalidRequest},
	} {
		resp := x.quotas(false, tc.filter...)
		wantCode(t, tc.name, resp.ErrorCode, tc.code)
		if resp.Entries != nil {
			t.Errorf("%s: entries that are not null", tc.name)
		}
	}
}

// wantWait wants a throttle time near one, and the connection not to be served for that long, though the answer came at once.
func (w *wire) wantWait(what, clientID string, sent time.Time, millis int32, want time.Duration) {
	w.t.Helper()
	wait := time.Duration(millis) * time.Millisecond
	if wait < want*8/10 || wait > want*12/10 {
		w.t.Errorf("%s: throttle time %s, want about %s", what, wait, want)
	}
	if took := time.Since(sent); took >= wait {
		w.t.Errorf("%s: the answer took %s, it should not wait for the throttle time of %s", what, took, wait)
	}
	w.requestAs(clientID, apiVersionsRequest(3))
	if took := time.Since(sent); took < wait {
		w.t.Errorf("%s: the next request was answered after %s, want %s", what, took, wait)
	}
}

// TestProduceQuota: one second of waiting for 11,000 bytes at 1,000 a second, whatever acks says.
func TestProduceQuota(t *testing.T) {
	x := contract(t)
	topic, client := x.topic(1), x.name()
	x.limit("producer_byte_rate", 1000, "client-id="+client)
	other := x.dial()
	large := func(acks int16) *kmsg.ProduceRequest {
		return produceRequest(topic, acks, batchOf(strings.Repeat("x", 10_850)))
	}
	w := x.dial()
	sent := time.Now()
	resp := w.requestAs(client, large(-1)).(*kmsg.ProduceResponse)
	wantCode(t, "produce", resp.Topics[0].Partitions[0].ErrorCode, kproto.None)
	w.wantWait("produce", client, sent, resp.ThrottleMillis, time.Second)
	if ms := other.requestAs("other", large(-1)).(*kmsg.ProduceResponse).ThrottleMillis; ms != 0 {
		t.Errorf("another client waits for %d ms", ms)
	}
	silent := x.name()
	x.limit("producer_byte_rate", 1000, "client-id="+silent)
	w = x.dial()
	sent = time.Now()
	w.send(kmsg.NewRequestFormatter(kmsg.FormatterClientID(silent)).AppendRequest(nil, large(0), 5))
	w.requestAs(silent, apiVersionsRequest(3))
	if took := time.Since(sent); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("after acks=0 the next request was answered after %s, want 1 s", took)
	}
}

// TestFetchQuota: what is too much is answered without data, at once, and does not count.
func TestFetchQuota(t *testing.T) {
	x := contract(t)
	topic, client := x.topic(1), x.name()
	for range 2 {
		x.mustSend(topic, batchOf(strings.Repeat("x", 10_000)))
	}
	x.limit("consumer_byte_rate", 1940, "client-id="+client)
	w := x.dial()
	fetch := func(offset int64) *kmsg.FetchResponse {
		req := fetchRequest(12, 0, 1)
		addFetch(req, topic, [16]byte{}, 0, offset, 100)
		return w.requestAs(client, req).(*kmsg.FetchResponse)
	}
	if r := fetch(0); r.ThrottleMillis != 0 || len(r.Topics[0].Partitions[0].RecordBatches) < 10_000 {
		t.Fatalf("the first fetch waits for %d ms", r.ThrottleMillis)
	}
	sent := time.Now()
	r := fetch(1)
	if len(r.Topics) != 0 || r.ErrorCode != 0 {
		t.Errorf("a throttled fetch has %d topics, error %v", len(r.Topics), kproto.ErrorCode(r.ErrorCode))
	}
	w.wantWait("fetch", client, sent, r.ThrottleMillis, 440*time.Millisecond)
	x.eventually("the data comes when the time is over", func() bool {
		r := fetch(1)
		return len(r.Topics) == 1 && len(r.Topics[0].Partitions[0].RecordBatches) > 10_000
	})
	t.Run("sessions", func(t *testing.T) {
		x := x.at(t)
		client := x.name()
		x.limit("consumer_byte_rate", 1000, "client-id="+client)
		w := x.dial()
		ask := func(id, epoch int32, topics bool) *kmsg.FetchResponse {
			req := fetchRequest(12, 0, 1)
			req.SessionID, req.SessionEpoch = id, epoch
			if topics {
				addFetch(req, topic, [16]byte{}, 0, 0, 100)
			}
			return w.requestAs(client, req).(*kmsg.FetchResponse)
		}
		if r := ask(0, 0, true); r.ThrottleMillis == 0 || r.SessionID != 0 {
			t.Errorf("a throttled fetch begins session %d, waits for %d ms", r.SessionID, r.ThrottleMillis)
		}
		w = x.dial()
		x.limit("consumer_byte_rate", 1940, "client-id="+client)
		r := ask(0, 0, true)
		if r.ThrottleMillis != 0 || r.SessionID == 0 {
			t.Fatalf("session %d, waits for %d ms", r.SessionID, r.ThrottleMillis)
		}
		if again := ask(r.SessionID, 1, true); again.ThrottleMillis == 0 || again.SessionID != r.SessionID || len(again.Topics) != 0 {
			t.Errorf("a throttled fetch of session %d: %+v", r.SessionID, again)
		}
		if again := ask(r.SessionID, 2, false); again.ErrorCode != 0 || again.SessionID != r.SessionID {
			t.Errorf("the session does not go on: %+v", again)
		}
	})
}

// TestRequestQuota: the time of requests is limited, and waits are short.
func TestRequestQuota(t *testing.T) {
	x := contract(t)
	client := x.name()
	x.limit("request_percentage", 0.0001, "client-id="+client)
	topic := x.topic(1)
	for _, req := range []kmsg.Request{apiVersionsRequest(3), metadataRequest(12, topic), produceRequest(topic, -1, batchOf("x")), fetchRequest(12, 0, 1)} {
		w := x.dial()
		_ = w.SetDeadline(time.Now().Add(time.Minute))
		x.eventually(kmsg.NameForKey(req.Key())+" has to wait", func() bool {
			ms, _ := w.requestAs(client, req).(kmsg.ThrottleResponse).Throttle()
			if ms > 1000 {
				t.Errorf("%d ms, more than a window", ms)
			}
			return ms > 0
		})
	}
}

// TestMutationQuota holds statement 264: clients that know the error get it, others wait.
func TestMutationQuota(t *testing.T) {
	x := contract(t)
	client := x.name()
	x.limit("controller_mutation_rate", 1, "client-id="+client)
	a, b := x.name(), x.name()
	create := func(version int16, name string, partitions int32) *kmsg.CreateTopicsResponse {
		return x.dial().requestAs(client, createRequest(version, name, partitions, 1)).(*kmsg.CreateTopicsResponse)
	}
	refused := func(what string, code int16, millis int32) {
		t.Helper()
		wantCode(t, what, code, kproto.ThrottlingQuotaExceeded)
		if millis < 1 || millis > 10_000 {
			t.Errorf("%s: throttle time %d ms", what, millis)
		}
	}
	if r := create(7, a, 20); r.Topics[0].ErrorCode != 0 || r.ThrottleMillis != 0 {
		t.Errorf("more than the bucket holds: %v, %d ms", kproto.ErrorCode(r.Topics[0].ErrorCode), r.ThrottleMillis)
	}
	r := create(7, b, 1)
	refused("CreateTopics", r.Topics[0].ErrorCode, r.ThrottleMillis)
	wantCode(t, "what is refused anyhow", create(7, "no/name", 1).Topics[0].ErrorCode, kproto.InvalidTopicException)
	drop := kmsg.NewPtrDeleteTopicsRequest()
	drop.Version, drop.TimeoutMillis, drop.Topics = 6, 10_000, []kmsg.DeleteTopicsRequestTopic{{Topic: &a}}
	d := x.dial().requestAs(client, drop).(*kmsg.DeleteTopicsResponse)
	refused("DeleteTopics", d.Topics[0].ErrorCode, d.ThrottleMillis)
	more := kmsg.NewPtrCreatePartitionsRequest()
	more.Version, more.TimeoutMillis, more.Topics = 3, 10_000, []kmsg.CreatePartitionsRequestTopic{{Topic: a, Count: 21}}
	p := x.dial().requestAs(client, more).(*kmsg.CreatePartitionsResponse)
	refused("CreatePartitions", p.Topics[0].ErrorCode, p.ThrottleMillis)
	for _, m := range []*string{r.Topics[0].ErrorMessage, d.Topics[0].ErrorMessage, p.Topics[0].ErrorMessage} {
		if m != nil {
			t.Errorf("a message: %q", *m)
		}
	}
	if r := create(5, b, 1); r.Topics[0].ErrorCode != 0 || r.ThrottleMillis == 0 {
		t.Errorf("an old client: %v, %d ms", kproto.ErrorCode(r.Topics[0].ErrorCode), r.ThrottleMillis)
	}
	// What is only to be checked counts as well.
	client = x.name()
	x.limit("controller_mutation_rate", 1, "client-id="+client)
	check := createRequest(7, x.name(), 20, 1)
	check.ValidateOnly = true
	if r := x.dial().requestAs(client, check).(*kmsg.CreateTopicsResponse); r.Topics[0].ErrorCode != 0 || r.ThrottleMillis != 0 {
		t.Errorf("a check: %v, %d ms", kproto.ErrorCode(r.Topics[0].ErrorCode), r.ThrottleMillis)
	}
	r = create(7, x.name(), 1)
	refused("after a check, CreateTopics", r.Topics[0].ErrorCode, r.ThrottleMillis)
	more.Topics[0].Count, more.ValidateOnly = 21, true
	p = x.dial().requestAs(client, more).(*kmsg.CreatePartitionsResponse)
	refused("a check of CreatePartitions", p.Topics[0].ErrorCode, p.ThrottleMillis)
	auto := metadataRequest(12, x.name())
	auto.AllowAutoTopicCreation = true
	m := x.dial().requestAs(client, auto).(*kmsg.MetadataResponse)
	wantCode(t, "a topic created on demand", m.Topics[0].ErrorCode, kproto.UnknownTopicOrPartition)
	if m.ThrottleMillis != 0 {
		t.Errorf("who asks for metadata waits %d ms", m.ThrottleMillis)
	}
	x.delete(a)
	x.delete(b)
}
