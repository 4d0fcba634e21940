// Package group is the coordinator of classic consumer groups: who is in a group, who gets which part of the work, and the
// offsets that the group has committed. It is a state machine: no sockets, no log of its own, no clock of its own.
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
// The package decides nothing about authorization and quotas: the engine filters before and after. Not here either: groups
// of the newer protocol and offsets in transactions. Their records are skipped by a replay. Offsets change only through
// setOffset and removeOffset, in record order: that is where the end of a transaction will apply what it kept aside.
//
// Where this differs from Kafka: the limits above that Kafka does not have; a static member that restarts gets in although
// the group is full; a change larger than a batch is split instead of refused; an unreadable record does not keep its
// partition from being loaded.
//
//	coordinator.go   Load, Unload, which shard            shard.go, outbox.go, timers.go   turns, appends, deadlines
//	group.go         state of a group                     member.go                        members, protocols, votes
//	rebalance.go     join and sync phases                 NN_*.go                          one request each
//	offsets.go       committed offsets                    expire.go, subscriptions.go      what is no longer needed
//	replay.go        the log into memory                  records.go                       record formats (FORMAT.md)
package group
