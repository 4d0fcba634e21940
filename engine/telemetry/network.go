package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmq/ringmq/netpoll"
)

func (s sink) network(st netpoll.Stats) {
	gauge(s, "ringmq_network_connections", "Open connections of clients.", st.Connections)
	gauge(s, "ringmq_network_inbound_buffer_bytes", "Buffers of frames that are incomplete or held.", st.InboundBytes)
	gauge(s, "ringmq_network_inbound_charged_bytes", "Bytes of ringmq_network_inbound_buffer_bytes that count against queued.max.request.bytes.", st.InboundCharged)
	gauge(s, "ringmq_network_inbound_peak_bytes", "Highest charge since the start.", st.InboundPeak)
	gauge(s, "ringmq_network_inbound_waiting_connections", "Connections that wait for inbound memory.", st.InboundWaiting)
	gauge(s, "ringmq_network_outbound_bytes", "Responses that the kernel has not taken yet.", st.OutboundBytes)
	gauge(s, "ringmq_network_outstanding_responses", "Responses that are begun and not written.", st.OutstandingSends)
	for _, c := range []struct {
		cause string
		n     int64
	}{
		{"max.connections", st.Limited.Full}, {"max.connection.creation.rate", st.Limited.Fast}, {"max.connections.per.ip", st.Limited.PerIP},
		{"connection_creation_rate", st.Limited.PerIPFast}, {"evicted", st.Limited.Evicted},
	} {
		counter(s, "ringmq_network_limited_connections_total", "Connections that had to wait, were refused or closed because of a limit, by the limit.", c.n, "limit", c.cause)
	}
	s.put(prometheus.CounterValue, "ringmq_network_accept_wait_seconds_total", "Time that accepting had to wait because of limits.", float64(st.Limited.Waited)/1e9, nil)
	gauge(s, "ringmq_network_muted_connections", "Connections that have to wait because of a quota.", st.Muted)
	counter(s, "ringmq_network_moved_connections_total", "Connections moved from an event loop to a goroutine.", st.Goroutines)
	counter(s, "ringmq_network_tls_handshakes_total", "TLS handshakes that succeeded.", st.Handshakes)
	for _, c := range []struct {
		reason string
		n      int64
	}{
		{"peer", st.Closed.Peer}, {"server", st.Closed.Server}, {"failed", st.Closed.Failed}, {"bad_frame", st.Closed.BadFrame}, {"idle", st.Closed.Idle},
		{"slow_reader", st.Closed.SlowReader}, {"stalled", st.Closed.Stalled}, {"memory", st.Closed.Memory}, {"refused", st.Closed.Refused},
		{"handshake", st.Closed.Handshake},
	} {
		counter(s, "ringmq_network_closed_connections_total", "Connections that ended, by reason; refused ones, and those whose TLS handshake failed, were never opened.", c.n, "reason", c.reason)
	}
}
