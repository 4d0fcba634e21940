package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmq/ringmq/engine/clientmetrics"
)

// clients shows what clients told of themselves (KIP-714). Their names are theirs: they are labels here.
func (s sink) clients(samples func(func(clientmetrics.Sample)) clientmetrics.Stats) {
	st := samples(func(c clientmetrics.Sample) {
		s.put(prometheus.GaugeValue, "ringmq_client_metric", "What clients pushed, by client and by the name and the attributes that they gave it.", c.Value, []string{
			"client_instance_id", c.Instance, "client_id", c.ClientID, "software", c.Software, "metric", c.Name, "attributes", c.Attributes,
		})
	})
	gauge(s, "ringmq_client_metrics_instances", "Clients that asked which metrics are wanted, and came back.", st.Instances)
	counter(s, "ringmq_client_metrics_pushes_total", "Pushes of clients that were accepted.", st.Pushes)
	counter(s, "ringmq_client_metrics_pushed_bytes_total", "Bytes of metrics that clients pushed, as they came.", st.Bytes)
	counter(s, "ringmq_client_metrics_refused_total", "Pushes and questions that were answered with an error.", st.Refused)
	counter(s, "ringmq_client_metrics_left_out_total", "Values that were not kept because there are too many.", st.LeftOut)
}
