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
// A partition moves while its leader serves: the target takes over what is in no object, the leader answers nobody in between, and requests that find the
// partition on its way, at either, are held for that long (handover.go). Brokers ask each other by a private request on inter.broker.listener.name.
//
// A connection's requests are answered in order. Produces of one connection may be in flight together; any other request waits for those
// before it, and those behind it wait for it (dispatch.go).
//
//	server.go          a node: metadata, broker, metrics
//	broker.go          start and stop of the broker, what it is made of
//	dispatch.go        frames to handlers, order, refusals
//	NN_name.go         one API or a family of them, by key
//	topics.go          the table of topics and open partitions
//	reconcile.go       following the image; offline.go: what it says of brokers that are away
//	rescue.go          a dead broker's write-ahead log, uploaded by another process; visit.go: following a cluster from outside
//	handover.go        partitions that move from broker to broker
//	lease.go           a broker that the controller does not know to be alive acknowledges nothing
//	stream_metadata.go the storage's view of the quorum
//	groups.go          consumer groups on __consumer_offsets; group_config.go, internal_topics.go: what groups set, and topics of streams groups
//	share_partition.go share groups: a partition as a group sees it; share_sessions.go: who fetches; share_state.go, share_persister.go: what is remembered
//	transactions.go    transactions: markers, verification, replay (the coordinator is package txn; its APIs are in 24_transactions.go); txn_admission.go: what may open one
//	peers.go           requests to other brokers; forward.go: to the controller
//	bucketwait.go      the bucket at the start; walstate.go: which write-ahead log this node had last
//	fetch_session.go   incremental fetch sessions (KIP-227)
//	background.go      retention, waiting lists, worker pools
//	clean.go           log compaction: which partition is next (the rules are package cleaner's, the work is Partition.Clean)
//	node.go            the metadata node of a configuration
//	17_sasl.go         what a connection to a listener with SASL may do before its client has said who it is; sasl.go: the mechanisms
//	tokens.go          clients that say who they are by a delegation token
//	authorize.go       who may do what: each API has a guard (guards.go) that runs before its handler, when there is an authorizer (package acl)
//	limits.go, limithosts.go   how many connections there may be, and how fast they may come (netpoll enforces it)
//	quotas.go          what clients may do, as far as that is limited (package quota); 48_client_quotas.go: who says so
//	secure.go          who is at the other end of a connection, ssl.* keys changed at run time (TLS itself: package tlsconf)
//	load.go            what the broker reports to the balancer
//	tool.go            requests of this project's own tools
//	telemetry.go       what the metrics endpoint (package telemetry) is told
package engine
