// Package telemetry serves a node's metrics to Prometheus.
//
//	GET /metrics ──► registry ──► collector ──► the layers' Stats(), one snapshot each
//	                         └──► Go runtime (heap, GC pauses, scheduler), process, build
//
// Nothing is counted here and nothing is added to any path that serves clients: a scrape reads the counters that the layers keep anyway. It is off
// unless s3.telemetry.metrics.exporter.uri names an address. The endpoint knows no authentication: bind it to an address that only the monitoring
// reaches.
//
// Names. What the seed system measures in the same unit has its name (kafka_stream_...), so that its dashboards go on working; everything else is
// ringmq_<layer>_<what>_<unit>, counters with _total. A node without a part (a controller has no log) does not have that part's metrics.
//
//	server.go      the endpoint
//	collector.go   how a snapshot becomes metrics
//	wal.go, storage.go, network.go, broker.go, balancer.go   one part each
package telemetry
