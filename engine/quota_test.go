package engine_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
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
