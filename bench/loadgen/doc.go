// Package loadgen drives a Kafka-protocol broker at a fixed rate, or as fast as it goes, and measures what clients feel.
//
//	Schedule ──► producer ──► broker ──► consumer
//	   due         stamps       acks        now - stamp = end-to-end latency, of every record
//	               the due time  └── now - due = produce latency, of every record
//
// The loop is open: record i is due at start + i/rate, whatever the broker does, and its payload carries that time. A broker that stalls
// for a second delays some thousand records and all of them count. Modes:
//
//	a rate            latency at that rate, produce and end to end
//	no rate           maximum throughput: every producer keeps its window of requests full
//	a backlog         consumers start after the backlog is there; how fast they catch up, and what that does to producers
//
// Two clients: "raw" builds requests itself over plain sockets, with one batch per request and no retries, so that the server is what
// shows; "kgo" is franz-go with its batching, its consumer groups and its cost. Every record carries its producer and a sequence number
// per partition: the report says how many acknowledged records were not consumed, came twice or out of order.
//
// A record's latency is counted when its due time lies in the measured time, after the warm-up. Run may be called from any goroutine.
package loadgen
