// Package kraft is the metadata quorum of a cluster: who leads which partition, which stream is owned by whom at which epoch, and
// which objects hold what.
//
//	broker ──Controller.Do──► active controller ──validate──► records ──► raft log (fdatasync, majority) ──► apply ──► Image
//	                              ▲ RPC over the CONTROLLER listener                                          │
//	                              └── from other nodes                         every node follows the log ◄───┘
//
// A node is a voter (role controller), an observer (role broker alone) or both a voter and a broker. Voters run raft over the
// CONTROLLER listener; observers follow the committed log by a long poll, and begin with a snapshot if the log does not reach back to
// them. A single voter runs the same code. Every node has the same Image at the same offset.
//
// # What is durable, and when
//
// A request is durable when Do returns nil: its records are in the logs of a majority. Do also waits until the image of the calling
// node shows the change. ErrTimeout means that the outcome is unknown; Do repeats by itself what may be repeated. The first failed write or
// fdatasync of the raft log stops the node: Done is closed, Err says why, nothing is acknowledged and nothing is retried. So does a record
// that this program does not know.
//
// # How a change is made
//
// The controller validates a request against the image as it will be when everything already proposed is committed, applies the
// records to it, and proposes them as one entry; when the entry commits, that very image is published. Proposals are pinned to the
// term in which they were validated and never forwarded, so an entry is never appended behind anything that its validation has not seen. The
// loop that talks raft does not wait for the disk: all that is waiting is written with one fdatasync.
//
// # Goroutines and locks
//
// Of a voter: the raft loop, the append loop (owns the log's files), the apply loop (owns the image), one sender per peer, one for subscribers, one
// for the controller's timers, and one per request of another node. Of an observer: the fetcher and the subscribers'. Locks: controller.mu before
// controller.queue; all others are leaves. No lock is held while a disk or a peer is waited for.
//
// # What it does not do
//
// Voters are fixed (controller.quorum.voters); the listener has no TLS and no authentication of its own, beyond the cluster id; a partition
// has one replica, its leader, and moves only when its stream has been closed.
//
// # Where things are
//
//	record/            typed records and batches; FORMAT.md
//	image/             the immutable image, and apply: the rules of streams and objects
//	internal/raftlog   the raft log on disk: etcd's WAL, snapshots, recovery, what a crash leaves
//	internal/snapfile  snapshot files; FORMAT.md
//	node.go            life of a node        core.go, storage.go   raft loop, append loop
//	applier.go         apply loop, waiting   subscribers.go        who is told of changes
//	controller.go      transactions          ctl_*.go              one file per group of requests
//	router.go          Controller.Do         client.go, server.go  calls between nodes
//	peers.go           raft messages         observer.go           following the log, receiving snapshots
//	requests.go        stream requests       messages.go           envelopes of calls
//	sim_test.go        simulated quorum      rules_test.go         random histories against the rules
package kraft
