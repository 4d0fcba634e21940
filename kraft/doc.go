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
// # Who the members are
//
// A controller that is listed in its own controller.quorum.voters founds the cluster when its directory is new. From then on the image says who the members
// are and where (record.VoterSet), and raft's configuration follows the image; an old controller.quorum.voters is only where a node asks first. A new
// controller joins with controller.quorum.bootstrap.servers alone: it follows the log as an observer does, until AddRaftVoter makes it a
// learner and, when it has caught up, a voter. A removed one goes on as an observer; one that leads hands the leadership over first. Members are told
// apart by node id and directory id: what comes back with an empty disk is not the voter that it was, and is refused until it has been
// removed and added.
//
// # Without a leader, without a majority
//
// A follower whose connection from the leader breaks replaces it at once, else after 10 to 20 ticks of silence. A controller that is cut off resigns
// after 10 to 20 ticks, and hangs up, so that who still hears it replaces it at once; until then it can commit nothing, and what it would answer without a commit it confirms with a majority first
// (barrier.go). A voter without a leader tells its observers so, and they go elsewhere. What an observer shows is what was committed at some time: it may be behind,
// as a broker of Kafka's may. A controller that does not answer an observer within observerWait and observerSilence is left for another one, and calls that wait for
// it end when another one is known to lead.
//
// When no majority is left for good, RecoverQuorum makes one stopped voter the only one.
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
// # How a partition moves
//
// A reassignment names the target; the leader goes on. The target has the tail handed over, broker to broker, and then opens the stream "from" its
// owner: that makes it the leader, at the next leader epoch (ctl_moves.go, handover.go). A partition whose stream nobody has open changes its leader at once.
//
// # The balancer
//
// Brokers report their load to the active controller, which keeps it in memory and has package balancer make plans of it. The moves of a plan go the way of a
// reassignment (moveLeader), some at a time. A controller that loses its leadership drops all that; the next one listens before it decides. Draining a broker is
// a record (BrokerDraining): it holds whoever is the controller.
//
// # Goroutines and locks
//
// Of a voter: the raft loop, the append loop (owns the log's files), the apply loop (owns the image), one sender per peer, one for subscribers, one
// for the controller's timers, one for its balancer, and one per request of another node. Of an observer: the fetcher and the subscribers'. Locks: controller.mu before
// controller.queue; all others are leaves. No lock is held while a disk or a peer is waited for.
//
// # Who may speak
//
// With Options.Listen.TLS and Options.DialTLS everything between nodes is TLS, with certificates of both sides if Listen.TLS demands them: a node whose
// certificate the others do not trust gets nowhere, nor does one that does not trust theirs. Both sides say so in the log, with the cause, once when it
// changes and then every minute (trust.go); so do nodes of which one speaks TLS and the other does not. Inside, every message names the cluster id.
//
// # What it does not do
//
// Without TLS the listener knows no authentication beyond the cluster id; a partition has one replica, its leader.
//
// # Where things are
//
//	record/            typed records and batches; FORMAT.md
//	image/             the immutable image, and apply: the rules of streams and objects
//	balancer/          which partitions should move where: pure
//	internal/raftlog   the raft log on disk: etcd's WAL, snapshots, recovery, what a crash leaves
//	internal/snapfile  snapshot files; FORMAT.md
//	node.go            life of a node        core.go, storage.go   raft loop, append loop
//	applier.go         apply loop, waiting   subscribers.go        who is told of changes
//	controller.go      transactions          ctl_*.go              one file per group of requests
//	lease.go           how a broker knows that it is taken for alive
//	membership.go, ctl_quorum.go, conf.go    adding and removing members; book.go: where they are
//	recover.go         a voter goes on alone after the loss of a majority
//	barrier.go         still the leader?     leaderloss.go         a leader that is gone
//	hearsay.go         what other voters know to be committed       meta.go   whose directory it is
//	router.go          Controller.Do; asker.go: for whom    client.go, server.go  calls between nodes
//	dial.go, trust.go  connections between nodes; TLS on them, and what is wrong with it
//	peers.go           raft messages         observer.go           following the log, receiving snapshots
//	rescue.go          a dead broker's write-ahead log, and who may stand in for it
//	balancing.go       rounds and waves of moves       loads.go     what brokers report      requests_balancer.go, ask.go  the tools' side
//	requests.go        stream requests       messages.go           envelopes of calls
//	handover.go        the request from the target of a move to the leader
//	sim_*_test.go      simulated cluster     rules_test.go         random histories against the rules
package kraft
