// Package streams is the state of one streams group (KIP-1071): the topology of its program, its members, who is to have which task, and who
// has it. The coordinator (package group) brings the clock, the log and the timers, and the engine creates the topics that are missing.
//
//	heartbeat ──► member, topology ──► layout ──► group epoch ──► target assignment ──► reconciliation ──► answer
//	              (what it says)       topics     +1 when one     package sticky         of this member
//	                                   there are  of them changes                        with the target
//
// The epochs are those of package consumer: the group's grows with every change of members, topics or settings, the assignment's is the
// group epoch that the target was computed for, a member's is the assignment epoch that it has reached. So are the states of members.
//
// The invariant: a task is active at one member at most. That member has it assigned or has not said that it gave it up; and no process has
// a task in two roles.
//
// Of a topology with problems (source topics missing, internal topics missing, numbers of partitions that do not fit) nothing is assigned;
// the status in the answers says why, and the group is NotReady.
//
// Where this differs from Kafka: a member that says it has other tasks than it was told is told again. Kafka tells them once: when that answer
// is lost, the member never gives up what it does not know it has to, until the rebalance timeout removes it.
//
// What Kafka 4.3 refuses is refused here: static members, expressions for source topics, task offsets, warm-up tasks, and another topology
// than the one that the group has.
//
// A Group is not safe for concurrent use. As in package consumer its methods change memory at once and note which records that makes stale;
// answers wait until these are durable. The shutdown that a member asked for and the epoch of the endpoints are in memory only.
//
//	topology.go   what the program needs      configure.go  ... and what that comes to with the topics that there are
//	group.go      the group, its indexes      member.go     a member, what it has        tasks.go    sets of tasks
//	heartbeat.go  requests of members         reconcile.go  on the way to the target     target.go   the target assignment
//	endpoints.go  who can be asked for what   describe.go   what is shown                commit.go   who may commit
//	records.go    formats (../FORMAT.md)      apply.go      replay
package streams
