// Package partition is the log of one topic partition: Kafka's rules on top of one stream.
//
//	produce ──► Append: sequence check, offsets, epoch ──► stream ──► WAL
//	                                                          │ durable
//	fetch ◄── Read up to the high watermark ◄── waiters ◄── Confirmed
//
// A stream offset is a Kafka offset and a stream record is one record batch. The high watermark is the stream's confirmed offset:
// everything below it is durable. What recovery needs besides the batches (producer state, leader epochs) is the partition's
// checkpoint (CHECKPOINT.md), which the storage takes along in every upload and hands back when the partition opens; the batches
// behind it are replayed.
//
// A reader of committed records ends at the last stable offset, which an open transaction holds back until its marker is durable, and is told
// which transactions of what it reads were aborted. The first batch of a transaction is taken only when the coordinator confirms it (KIP-890).
//
// Append, Read and the waiters may be called from any goroutine and never block on I/O; methods that take a context may read
// the object store. Lock order: Partition.mu before the stream's locks; Partition.waiters.mu is a leaf and is never held with
// Partition.mu.
//
//	partition.go   the type, opening and closing
//	append.go      produce: checks, offsets, producer state
//	producers.go   idempotent producers: the five-batch window (KIP-98, KIP-890)
//	transactions.go  open and aborted transactions, markers, the last stable offset (KIP-98)
//	epochs.go      leader epoch cache (KIP-101, KIP-279)
//	checkpoint.go  encoding of the state that rides along in uploads
//	read.go        fetch and its waiters
//	lookup.go      offsets by time
//	clean.go       log compaction: what is due, and doing it with the rules of package cleaner
package partition
