// Package sharestate is the share coordinator: it keeps, for each partition that a share group reads, what the group has done with its records, in the
// internal topic __share_group_state. The broker that leads the partition of the group's topic decides what happens (package share); here it is made durable,
// and found again by the next one.
//
//	group:topic:partition ──► PartitionFor ──► shard (its lock) ──► record ──► Log.Append ──► durable ──► the state is the new one, the answer leaves
//
// A state has two epochs. The state epoch comes from the group: who resets its offsets raises it, and writes with a smaller one are refused. The leader
// epoch comes with Read from the broker that leads the partition: from then on an older leader cannot write.
//
// What is written is the difference (an update); after so many a snapshot has it all. What lies before the oldest snapshot that counts is redundant, and is
// deleted from time to time. States that nobody touches get a new snapshot now and then, lest they hold on to the log behind them.
//
// One record of a state is on its way at a time; who comes meanwhile waits. After a failed append the state is as before: the record may be in the log all the
// same, as if the answer had been lost.
//
// All methods may be called from any goroutine. Load, and the methods that write, block.
//
//	coordinator.go   Load, Unload, which shard    shard.go   states and their turns    requests.go   what is asked of it
//	key.go           names of states              record.go  formats (FORMAT.md)      upkeep.go     snapshots, deletions
package sharestate
