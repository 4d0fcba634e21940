// Package raftlog is the durable side of a voter: its raft log (etcd's WAL) and its snapshot files, and what survives a crash of them.
//
//	<dir>/wal/        segments of the raft log: entries, hard states, marks of snapshots
//	<dir>/*.snapshot  the newest two snapshots
//
// What Append was given is durable when it returns. The first error closes the log: every later call returns it, and nothing is
// retried, because after a failed fdatasync nobody can say what the device holds. A torn tail, which is the end of a write that was never
// acknowledged, is cut at Open; any other damage is an error.
//
// The log is kept from the older of the two snapshots on, so that a damaged newest snapshot costs a longer replay and not the node.
package raftlog
