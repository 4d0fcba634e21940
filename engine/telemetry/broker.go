package telemetry

import "strconv"

func (s sink) broker(b Broker) {
	for _, r := range b.Requests {
		counter(s, "ringmq_broker_requests_total", "Requests, by API.", r.Count, "api", r.API)
	}
	counter(s, "ringmq_broker_rejected_requests_total", "Requests that closed their connection.", b.Rejected)
	counter(s, "ringmq_broker_wal_full_waits_total", "Produce requests that had to wait for room in the write-ahead log.", b.WALFull)
	counter(s, "ringmq_broker_produced_batches_total", "Record batches accepted.", b.ProducedBatches)
	counter(s, "ringmq_broker_produced_bytes_total", "Bytes of the record batches accepted.", b.ProducedBytes)
	counter(s, "ringmq_broker_fetched_bytes_total", "Bytes of records sent to consumers.", b.FetchedBytes)
	gauge(s, "ringmq_broker_open_partitions", "Partitions that this node leads and serves.", b.OpenPartitions)
	gauge(s, "ringmq_broker_parked_connections", "Connections whose produce waits for room in the write-ahead log.", b.ParkedClients)
}

func (s sink) node(n Node) {
	gauge(s, "ringmq_node_info", "Which node this is.", 1, "cluster", n.Cluster, "node", strconv.Itoa(int(n.ID)), "roles", n.Roles)
	gauge(s, "ringmq_cluster_topics", "Topics of the cluster.", n.Topics)
	gauge(s, "ringmq_cluster_partitions", "Partitions of the cluster.", n.Partitions)
}
