// Package engine is the broker: Kafka's APIs over partitions that live in streams.
//
//	connection ──► Frame ──► Produce ──► partition.Append ──► s3stream ──► WAL ──► durable ──► response
//	                 │  └──► Fetch ────► partition.Read (log cache) or a worker (object store) ──► response by reference
//	                 └─────► everything else: kmsg, a goroutine per request, the image and the controller
//
// Produce and Fetch are served on the connection's event loop, decoded in place (package kproto), and never block: what has to wait
// is parked (no room in the WAL, nothing to fetch yet) or handed to a worker (cold reads). All other requests go through one table
// (apis.go) that also answers ApiVersions. The broker follows the metadata image (reconcile.go): partitions that it leads are open,
// others are not.
//
// A connection's requests are answered in order. Produces of one connection may be in flight together; any other request waits for those
// before it, and those behind it wait for it (dispatch.go).
//
//	broker.go          start and stop, what the broker is made of
//	dispatch.go        frames to handlers, order, refusals
//	NN_name.go         one API or a family of them, by key
//	topics.go          the table of topics and open partitions
//	reconcile.go       following the image
//	stream_metadata.go the storage's view of the quorum
//	groups.go          consumer groups on __consumer_offsets
//	fetch_session.go   incremental fetch sessions (KIP-227)
//	background.go      retention, waiting lists, worker pools
//	node.go            the metadata node of a configuration
//	telemetry.go       what the metrics endpoint (package telemetry) is told
package engine
