package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmq/ringmq/kraft"
)

func (s sink) balancer(st kraft.BalancerStats) {
	gauge(s, "ringmq_balancer_active", "1 on the node whose controller balances the cluster.", truth(st.Active))
	counter(s, "ringmq_balancer_rounds_total", "Rounds in which this node looked at the loads of the brokers.", st.Rounds)
	const moves = "Partitions that this node's balancer moved, by outcome; done: the new leader serves."
	counter(s, "ringmq_balancer_moves_total", moves, st.Begun, "outcome", "begun")
	counter(s, "ringmq_balancer_moves_total", moves, st.Done, "outcome", "done")
	counter(s, "ringmq_balancer_moves_total", moves, st.Failed, "outcome", "failed")
	gauge(s, "ringmq_balancer_moves_under_way", "Moves that have begun and are not done.", st.UnderWay)
	gauge(s, "ringmq_balancer_moves_waiting", "Moves of the present plan that have not begun.", st.Waiting)
	gauge(s, "kafka_stream_slow_broker_count", "Brokers that count as slow.", st.Slow)
	s.put(prometheus.GaugeValue, "ringmq_balancer_imbalance_ratio",
		"The largest distance of a broker from where a goal wants it, as a share, in the last round.", st.Imbalance, nil)
}
