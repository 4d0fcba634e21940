// Package txn is the transaction coordinator of a broker: which producer owns a transactional id, which partitions its transaction has written to, and
// whether that transaction commits (KIP-98, KIP-360, KIP-890).
//
//	                    AddPartitions               EndTxn                    all markers written
//	InitProducerId ► Empty ──────────► Ongoing ──────────► PrepareCommit ─────────────────► CompleteCommit
//	                   ▲                  └──────────────► PrepareAbort ──────────────────► CompleteAbort
//	                   └── next InitProducerId ◄──────────── AddPartitions goes back to Ongoing ──┘
//
// A transactional id belongs to one partition of __transaction_state, and its coordinator is the broker that leads it. Every step is a record there
// before it is answered (FORMAT.md); whoever becomes the leader replays them. The decision is final once the Prepare record is durable: from then on
// the markers are written until every partition has one, by this coordinator or by the next.
//
// One lock guards the ids of a partition. At most one record of an id is on its way into the log; whatever else comes for the id meanwhile is answered
// CONCURRENT_TRANSACTIONS, which clients retry. Nothing blocks but Load; answers and markers come from other goroutines.
//
// There are two kinds of transactions, see Version. In the older a producer keeps its epoch and adds a partition before it writes to it. In the newer
// (KIP-890 part 2) the first write adds the partition, and each end of a transaction gives the producer a new epoch: markers carry that, so that nothing
// of an ended transaction, a late write or a late marker, can be taken for a part of the next. A producer learns the epoch when the transaction is
// decided, and may use it at once; Add waits for the completion. Clients choose the kind, by the level of transaction.version that the broker shows.
//
//	coordinator.go   loading, unloading, which shard has an id
//	shard.go         the ids of one partition: replay, append, the transitions of one id
//	producerid.go    InitProducerId: fencing, epochs, exhaustion
//	partitions.go    AddPartitionsToTxn, AddOffsetsToTxn, verification
//	end.go           EndTxn in both kinds, and what follows: markers, completion, time-outs, expiration
//	list.go          ListTransactions, DescribeTransactions
//	record.go        the records
package txn
