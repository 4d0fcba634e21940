package engine

import (
	"crypto/rand"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/clientmetrics"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/record"
)

// GetTelemetrySubscriptions (key 71) 0, PushTelemetry (key 72) 0 (KIP-714): clients send metrics of themselves, as far as a subscription (a configuration of type
// CLIENT_METRICS, kafka-client-metrics.sh) asks for them; they are on the metrics page. As a Kafka without a receiver for them, a broker without that page does not
// serve these APIs: clients do not ask then. Different from Kafka: a client whose push was refused because its subscription has changed may ask at once.

func newClientMetrics(c *config.Config) *clientmetrics.Manager {
	return clientmetrics.New(clientmetrics.Options{MaxBytes: c.Telemetry.ClientMaxBytes, NewID: randomID})
}

// randomID is a random UUID.
func randomID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// followClientMetrics takes changed subscriptions.
func (b *Broker) followClientMetrics(next *kraft.Image, delta *kraft.Delta) {
	if !delta.Full && !slices.ContainsFunc(delta.Configs, func(r record.ConfigResource) bool { return r.Type == record.ClientMetricsConfig }) {
		return
	}
	b.clientMetrics.Set(func(add func(string, map[string]string)) {
		next.ConfigResourcesOf(kraft.ClientMetricsConfig, func(res kraft.ConfigResource) bool {
			add(res.Name, next.ConfigMap(res))
			return true
		})
	})
}

// metricsClient is who sends a request, as subscriptions match it.
func (r *request) metricsClient() clientmetrics.Client {
	c := clientmetrics.Client{ClientID: r.clientID, Address: r.conn.host}
	c.SoftwareName, c.SoftwareVersion, _ = strings.Cut(r.conn.clientSoftware, "/")
	if a, ok := r.conn.conn.RemoteAddr().(*net.TCPAddr); ok {
		c.Port = itoa(int64(a.Port))
	}
	return c
}

func getTelemetrySubscriptions(r *request) {
	req, b := r.body.(*kmsg.GetTelemetrySubscriptionsRequest), r.broker
	resp := kmsg.NewPtrGetTelemetrySubscriptionsResponse()
	resp.RequestedMetrics, resp.AcceptedCompressionTypes = []string{}, []int8{}
	want, code := b.clientMetrics.Get(req.ClientInstanceID, r.metricsClient())
	resp.ErrorCode = int16(code)
	if code == kproto.None {
		resp.ClientInstanceID, resp.SubscriptionID, resp.RequestedMetrics = want.Instance, want.Subscription, want.Metrics
		resp.AcceptedCompressionTypes = []int8{int8(kproto.CodecZstd), int8(kproto.CodecLZ4), int8(kproto.CodecGzip), int8(kproto.CodecSnappy)}
		resp.PushIntervalMillis, resp.TelemetryMaxBytes, resp.DeltaTemporality = int32(want.Interval/time.Millisecond), int32(b.cfg.Telemetry.ClientMaxBytes), true
	}
	r.reply(resp)
}

func pushTelemetry(r *request) {
	req := r.body.(*kmsg.PushTelemetryRequest)
	resp := kmsg.NewPtrPushTelemetryResponse()
	resp.ErrorCode = int16(r.broker.clientMetrics.Push(clientmetrics.Push{
		Instance: req.ClientInstanceID, Subscription: req.SubscriptionID, Terminating: req.Terminating, Compression: req.CompressionType, Metrics: req.Metrics,
	}, r.metricsClient()))
	r.reply(resp)
}

// clientMetricsDefs are the keys of subscriptions.
func clientMetricsDefs() []*config.Def {
	return []*config.Def{
		{Name: clientmetrics.KeyInterval, Type: config.Int, Default: itoa(clientmetrics.DefaultInterval.Milliseconds()), Doc: "How often clients push."},
		{Name: clientmetrics.KeyMatch, Type: config.List, Doc: "Which clients: attribute=regular expression, all have to match."},
		{Name: clientmetrics.KeyMetrics, Type: config.List, Doc: "Prefixes of the metrics that are wanted; *: all."},
	}
}

// describeClientMetrics lists the keys of a subscription.
func describeClientMetrics(img *kraft.Image, name string) []describedConfig {
	res := kraft.ConfigResource{Type: kraft.ClientMetricsConfig, Name: name}
	var out []describedConfig
	for _, d := range clientMetricsDefs() {
		dc := describedConfig{def: d}
		if value, set := img.Config(res, d.Name); set {
			dc.values = append(dc.values, configValue{name: d.Name, value: value, source: sourceClientMetrics})
		}
		dc.values = append(dc.values, configValue{name: d.Name, value: d.Default, source: kmsg.ConfigSourceDefaultConfig})
		out = append(out, dc)
	}
	return out
}

// sourceClientMetrics is DYNAMIC_CLIENT_METRICS_CONFIG, of which kmsg does not know.
const sourceClientMetrics kmsg.ConfigSource = 7
