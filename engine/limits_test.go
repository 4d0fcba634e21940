package engine_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// TestConnectionLimits changes limits while a node runs: they count for the next connection.
func TestConnectionLimits(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{"s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0"}})
	x := &target{t, n.Seed(), n}
	admin := x.dial()
	set := func(name string, op kmsg.IncrementalAlterConfigOp, pair string) {
		t.Helper()
		r := askOn[*kmsg.IncrementalAlterConfigsResponse](admin, alterRequest(kmsg.ConfigResourceTypeBroker, name, op, pair)).Resources[0]
		wantCode(t, pair+": "+deref(r.ErrorMessage), r.ErrorCode, kproto.None)
	}
	// served tells whether a new connection is served, closed, or left waiting.
	served := func() string {
		t.Helper()
		c, err := net.Dial("tcp", n.Seed())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
		_, _ = c.Write(frame(apiVersionsRequest(3), 1))
		_, err = io.ReadFull(c, make([]byte, 4))
		var timeout net.Error
		switch {
		case err == nil:
			return "served"
		case errors.As(err, &timeout) && timeout.Timeout():
			return "waiting"
		}
		return "refused"
	}
	changes := func(what, want string, change func()) {
		t.Helper()
		change()
		x.eventually(what+": a connection is "+want, func() bool { return served() == want })
	}
	for _, tc := range []struct{ resource, pair, want string }{
		{"1", "max.connections.per.ip=1", "refused"},
		{"", "max.connections.per.ip.overrides=127.0.0.1:1", "refused"},
		{"", "max.connections.per.ip.overrides=localhost:1", "refused"},
		{"", "max.connections.per.ip.overrides=localhost:1,127.0.0.1:100", "served"},
		{"1", "max.connections.per.ip=0", "refused"},
		{"1", "max.connections=1", "waiting"},
		{"", "max.connections=1", "waiting"},
		{"1", "listener.name.plaintext.max.connections=1", "waiting"},
		{"1", "listener.name.plaintext.max.connection.creation.rate=1", "waiting"},
	} {
		changes(tc.pair, tc.want, func() { set(tc.resource, kmsg.IncrementalAlterConfigOpSet, tc.pair) })
		changes("without "+tc.pair, "served", func() { set(tc.resource, kmsg.IncrementalAlterConfigOpDelete, tc.pair) })
	}
	quota := func(remove bool) {
		op := setQuota("connection_creation_rate", 1)
		op.Remove = remove
		askOn[*kmsg.AlterClientQuotasResponse](admin, alterQuota(quotaParts("ip=127.0.0.1"), op))
	}
	changes("quota of the address", "waiting", func() { quota(false) }) // refused, but closed only when another would be accepted
	changes("without it", "served", func() { quota(true) })
	m := scrapeNode(t, n)
	for _, limit := range []string{"max.connections", "max.connection.creation.rate", "max.connections.per.ip", "connection_creation_rate"} {
		if name := `ringmq_network_limited_connections_total{limit="` + limit + `"}`; m[name] < 1 {
			t.Errorf("%s is %v", name, m[name])
		}
	}
}
