package telemetry

import "github.com/ringmq/ringmq/netpoll"

func (s sink) network(st netpoll.Stats) {
	gauge(s, "ringmq_network_connections", "Open connections of clients.", st.Connections)
	gauge(s, "ringmq_network_inbound_buffer_bytes", "Buffers of frames that are incomplete or held.", st.InboundBytes)
	gauge(s, "ringmq_network_inbound_charged_bytes", "Of these, what counts against queued.max.request.bytes.", st.InboundCharged)
	gauge(s, "ringmq_network_inbound_peak_bytes", "Highest charge since the start.", st.InboundPeak)
	gauge(s, "ringmq_network_inbound_waiting_connections", "Connections that wait for inbound memory.", st.InboundWaiting)
	gauge(s, "ringmq_network_outbound_bytes", "Responses that the kernel has not taken yet.", st.OutboundBytes)
	gauge(s, "ringmq_network_outstanding_responses", "Responses that are begun and not written.", st.OutstandingSends)
	counter(s, "ringmq_network_moved_connections_total", "Connections moved from an event loop to a goroutine.", st.Goroutines)
	for _, c := range []struct {
		reason string
		n      int64
	}{
		{"peer", st.Closed.Peer}, {"server", st.Closed.Server}, {"failed", st.Closed.Failed}, {"bad_frame", st.Closed.BadFrame}, {"idle", st.Closed.Idle},
		{"slow_reader", st.Closed.SlowReader}, {"stalled", st.Closed.Stalled}, {"memory", st.Closed.Memory}, {"refused", st.Closed.Refused},
	} {
		counter(s, "ringmq_network_closed_connections_total", "Connections that ended, by reason; refused ones were never opened.", c.n, "reason", c.reason)
	}
}
