// Package group is the coordinator of consumer groups, of the classic protocol and of the consumer protocol (KIP-848), and of streams groups
// (KIP-1071): who is in a group,
// who gets which part of the work, and the offsets that the group has committed. It is a state machine: no sockets, no log of its own, no clock of its own.
//
//	request ──► shard's turn (under its lock) ──► outbox ──► Log.Append ──► done, in append order
//	               │      changes the group         (no lock)                 │
//	               ▼                                                          ▼
//	            held join or sync                                    next turn: the change is taken over,
//	            until the phase ends                                 the reply leaves after the lock
//
// A group belongs to the partition PartitionFor(group) of __consumer_offsets; its leader coordinates. Load replays the
// partition and begins to serve, Unload ends it. Each partition is a shard: one lock, one heap of timers and at most one
// call to the clock, whatever the number of groups; no goroutine. Nothing is called with the lock held except Options.Clock
// and Options.NewUUID: replies, the log, the encoder, the topic look-ups and the logger run after it or before it.
//
// What is durable when: offsets become visible, and commits are answered, when their records are. Assignments are answered
// when the group's metadata record is. Removals (OffsetDelete, DeleteGroups, expiry, deleted topics) take effect when their
// tombstones are durable; a group that is being removed answers joins and commits COORDINATOR_LOAD_IN_PROGRESS meanwhile.
// Outcomes are taken over in the order of the appends, so that memory always is what a replay of the log would give. When an
// append fails the change is taken back and its request fails with a code that clients retry; after a failed assignment the
// group rebalances. Not recorded, and lost with the coordinator: a rebalance that is under way, and ids handed out with
// MEMBER_ID_REQUIRED; clients start these again.
//
// Every request is answered exactly once: a join or sync that is repeated while it is held is answered
// REBALANCE_IN_PROGRESS, one that is held when its member leaves or expires UNKNOWN_MEMBER_ID.
//
// Memory: a group has at most MaxSize members in MaxGroupBytes, MaxPendingMembers handed-out ids, and MaxOffsetsPerGroup
// offsets, of partitions that exist, with OffsetMetadataMaxBytes of metadata each. Appends under way belong to requests,
// which the connections' budgets bound.
//
// A group of the consumer protocol has a modern part (package consumer decides in it), one of Kafka Streams a streams part (package
// streams). There memory is ahead of the log, by at most the
// write that is under way and the one after it; answers wait for the write that has what they show. When a write fails they fail, and the
// next one makes up for it. Heartbeats that change nothing cost a few look-ups, whatever the size of the group. Target assignments of large
// groups and the topics of expressions are computed on goroutines of the clock, without the lock.
//
// The package decides nothing about authorization and quotas: the engine filters before and after. Offsets change only through setOffset and removeOffset, in record
// order; those of a transaction are kept aside (28_txn_offset_commit.go) until its marker, in the order of markers. Kafka differs in a corner: there
// a plain commit that comes between a transactional one and its marker wins.
//
// Where this differs from Kafka: a group whose last consumer member is replaced by a static classic one rebalances as a classic group at
// once, where Kafka keeps the assignment; the limits above that Kafka does not have; a static member that restarts gets in although
// the group is full; a change larger than a batch is split instead of refused; an unreadable record does not keep its
// partition from being loaded.
//
//	coordinator.go   Load, Unload, which shard            shard.go, outbox.go, timers.go   turns, appends, deadlines
//	group.go         state of a group                     member.go                        members, protocols, votes
//	rebalance.go     join and sync phases                 NN_*.go                          one request each
//	offsets.go       committed offsets                    expire.go, subscriptions.go      what is no longer needed
//	replay.go        the log into memory                  records.go                       record formats (FORMAT.md)
//	newer.go         what the two newer protocols share   describe_newer.go                showing their groups
//	share.go         share groups (package sharegroup decides)
//	modern.go        groups of the consumer protocol      mixed.go, migrate.go             classic members in them, changing over
//	streams.go       streams groups
package group
