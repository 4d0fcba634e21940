package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// TestQuotaMetrics: what limited clients do is in the metrics, a new limit counts for connections that are open, and so does its end.
func TestQuotaMetrics(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{"s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0"}})
	x := &target{t, n.Seed(), n}
	topic := x.topic(1)
	w := x.dial()
	send := func(values ...string) float64 {
		w.requestAs("c", produceRequest(topic, -1, batchOf(values...)))
		return scrapeNode(t, n)[`kafka_server_produce_byte_rate{client_id="c",user="ANONYMOUS"}`]
	}
	if rate := send("x"); rate != 0 {
		t.Errorf("a rate of %v without a quota", rate)
	}
	set := func(remove bool) {
		op := setQuota("producer_byte_rate", 1e6)
		op.Remove = remove
		x.eventually("the quota is changed", func() bool {
			ask[*kmsg.AlterClientQuotasResponse](x, alterQuota(quotaParts("user", "client-id"), op))
			return n.Broker().HasQuotas() != remove
		})
	}
	set(false)
	if rate := send(strings.Repeat("x", 10_000)); rate < 1000 {
		t.Errorf("a rate of %v after 10 KB", rate)
	}
	set(true)
	if rate := send("x"); rate != 0 {
		t.Errorf("a rate of %v without a quota any more", rate)
	}
}

// TestMutationQuotaOfTwoBrokers: what a client has changed through one broker counts at the other, and the broker that it asks has it wait.
func TestMutationQuotaOfTwoBrokers(t *testing.T) {
	one, two := startPair(t, "s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0", "controller.quota.window.num=1")
	leader, other := &target{t, one.Seed(), one}, &target{t, two.Seed(), two}
	leader.limit("controller_mutation_rate", 0.001, "client-id=c")
	leader.limit("controller_mutation_rate", 10, "client-id=old")
	create := func(w *wire, client string, version int16, name string, partitions int32) (code kproto.ErrorCode, wait time.Duration) {
		r := w.requestAs(client, createRequest(version, name, partitions, 1)).(*kmsg.CreateTopicsResponse)
		return kproto.ErrorCode(r.Topics[0].ErrorCode), time.Duration(r.ThrottleMillis) * time.Millisecond
	}
	if code, wait := create(other.dial(), "c", 7, "a", 2); code != kproto.None || wait != 0 {
		t.Fatalf("more than the bucket holds: %v, %s", code, wait)
	}
	for _, x := range []*target{leader, other} {
		if code, wait := create(x.dial(), "c", 7, "b", 1); code != kproto.ThrottlingQuotaExceeded || wait == 0 {
			t.Errorf("%s: %v, wait %s", x.addr, code, wait)
		}
	}
	const tokens = `kafka_server_controllermutation_tokens{client_id="c",user=""}`
	if left, ok := scrapeNode(t, one)[tokens]; !ok || left < -2 || left >= 0 {
		t.Errorf("the controller tells of %v tokens, %t", left, ok)
	}
	if left, ok := scrapeNode(t, two)[tokens]; ok {
		t.Errorf("broker 2, which is no controller, tells of %v tokens", left)
	}
	w, sent := other.dial(), time.Now()
	code, wait := create(w, "old", 5, "c", 20)
	if code != kproto.None || wait != time.Second {
		t.Errorf("an old client, 10 more than the bucket holds: %v, wait %s", code, wait)
	}
	w.requestAs("old", apiVersionsRequest(3))
	if took := time.Since(sent); took < wait {
		t.Errorf("its next request was answered after %s", took)
	}
}
