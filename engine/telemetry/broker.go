package telemetry

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

func (s sink) broker(b Broker) {
	for _, r := range b.Requests {
		counter(s, "ringmq_broker_requests_total", "Requests, by API.", r.Count, "api", r.API)
	}
	counter(s, "ringmq_broker_rejected_requests_total", "Requests that closed their connection.", b.Rejected)
	counter(s, "ringmq_broker_wal_full_waits_total", "Produce requests that had to wait for room in the write-ahead log.", b.WALFull)
	counter(s, "ringmq_broker_produced_batches_total", "Record batches accepted.", b.ProducedBatches)
	counter(s, "ringmq_broker_produced_bytes_total", "Bytes of the record batches accepted.", b.ProducedBytes)
	counter(s, "ringmq_broker_fetched_bytes_total", "Bytes of records sent to consumers.", b.FetchedBytes)
	gauge(s, "ringmq_broker_acks_held", "1 while acknowledgements are held back, because the controller has not confirmed for too long that this broker is alive.", truth(b.AcksHeld))
	counter(s, "ringmq_broker_acks_held_total", "Times that acknowledgements began to be held back.", b.AckHolds)
	s.cleaner(b.Cleaner)
	gauge(s, "ringmq_broker_open_partitions", "Partitions that this node leads and serves.", b.OpenPartitions)
	gauge(s, "ringmq_broker_parked_connections", "Connections whose produce waits for room in the write-ahead log.", b.ParkedClients)
	s.quotas(b.Quotas)
	s.shares(b.Shares)
}

func (s sink) shares(h Shares) {
	gauge(s, "ringmq_share_groups", "Share groups that this node coordinates.", h.Groups)
	gauge(s, "ringmq_share_sessions", "Members of share groups that fetch from this node.", h.Sessions)
	gauge(s, "ringmq_share_partitions", "Partitions that share groups fetch from this node, counted for each group.", h.Partitions)
	gauge(s, "ringmq_share_locked_records", "Records that members of share groups have from this node and have not acknowledged.", h.Locked)
	gauge(s, "ringmq_share_states", "Partitions of share groups whose state this node keeps.", h.States)
	counter(s, "ringmq_share_acquired_records_total", "Records delivered to members of share groups.", h.Acquired)
	counter(s, "ringmq_share_expired_records_total", "Records taken back from members of share groups because their time was up.", h.Expired)
	for kind, n := range h.Acknowledged {
		counter(s, "ringmq_share_acknowledged_records_total", "Records acknowledged by members of share groups, by type.", n, "type", shareTypes[kind])
	}
}

// shareTypes are the types of acknowledgements, by their numbers.
var shareTypes = [...]string{"gap", "accept", "release", "reject", "renew"}

// quotas have the names that JMX exporters give Kafka's metrics, so that dashboards for these work.
func (s sink) quotas(list []Quota) {
	for _, q := range list {
		value, help := "byte_rate", "Bytes a second of clients with a quota, by those who share it."
		switch q.Kind {
		case "Request":
			value, help = "request_time", "Percent of a processor that requests of clients with a quota take, by those who share it."
		case "ControllerMutation":
			value, help = "tokens", "Partitions that clients with a quota may create or delete at once, by those who share it."
		}
		name := "kafka_server_" + strings.ToLower(q.Kind) + "_"
		labels := []string{"user", q.User, "client_id", q.ClientID}
		s.put(prometheus.GaugeValue, name+value, help, q.Value, labels)
		s.put(prometheus.GaugeValue, name+"throttle_time", "Average milliseconds for which they had to wait, in the last minute.", q.ThrottleMillis, labels)
		s.put(prometheus.GaugeValue, name+"quota", "Their quota.", q.Limit, labels)
	}
}

func (s sink) node(n Node) {
	gauge(s, "ringmq_node_info", "Which node this is.", 1, "cluster", n.Cluster, "node", strconv.Itoa(int(n.ID)), "roles", n.Roles)
	s.quotas(n.Quotas)
	gauge(s, "ringmq_cluster_topics", "Topics of the cluster.", n.Topics)
	gauge(s, "ringmq_cluster_partitions", "Partitions of the cluster.", n.Partitions)
	all := 0
	for _, o := range n.Offline {
		all += o.Partitions
		gauge(s, "ringmq_cluster_offline_partitions_by_broker", "Partitions that nobody serves, by the broker that has to come back: wal, their tail is on its write-ahead "+
			"log; rescue, that is being rescued; leader, nothing is on a log and they move when a broker is live.", o.Partitions, "broker", strconv.Itoa(int(o.Broker)), "reason", o.Reason)
	}
	for _, f := range n.Failed {
		gauge(s, "ringmq_cluster_broker_failure_info", "1 for a broker that has ended itself and is not back, with the cause that it told the controllers, as of a write-ahead "+
			"log whose device failed.", 1, "broker", strconv.Itoa(int(f.Broker)), "cause", f.Cause)
	}
	gauge(s, "ringmq_cluster_offline_partitions", "Partitions that nobody serves because a broker is away.", all)
}
