// Package share keeps what a share group (KIP-932) has done with the records of one partition: which are with a member, which wait to be delivered
// (again), which are done. It is a state machine: no clock, no lock, no log of its own.
//
//	           acquired by a member                    accepted
//	Available ──────────────────────► Acquired ───────────────────► Acknowledged ┐
//	    ▲                              │  │                                      ├─► the start offset moves over them
//	    └── released, time is up ──────┘  └── rejected, a gap, or released ──► Archived ┘
//	                                          for the last time
//
// Offsets below Start are done. From Next on nothing has been delivered yet. Between them lie runs: offsets in one state, that follow each other.
// A run knows the batch that it was first delivered in, because a batch is delivered again as one, and in smaller parts when it has failed too often
// (one record that nobody can process must not take the others with it).
//
// An acknowledgement counts when it is durable. Acknowledge and Release begin a change: its offsets go to nobody until Complete says that what they
// returned is written, or could not be, in which case they are with their member again. Nothing that is not durable moves the start. What Expire returns
// is to be written too, but takes effect at once: when it is lost, a record is delivered more often than the limit says, never less.
//
// After a crash New begins again with what was written. Offsets of which nothing was written are available, and count as never delivered.
//
// Deadlines and times are milliseconds on the caller's clock. Records is not safe for concurrent use.
//
//	records.go   what there is, where it starts and ends    acquire.go   deliveries       acknowledge.go   changes
//	runs.go      the list of runs                           batch.go     what is written, and how it adds up
package share
