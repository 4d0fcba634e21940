// Package cleaner has Kafka's rules of log compaction: what becomes of a record batch, without any I/O.
//
//	dirty batches ──► Builder ──► OffsetMap: the last offset of each key
//	                                  │
//	all batches, oldest first ──► Filter ──► keep, replace by a thinner one, drop
//
// The last record of each key stays; offsets never change. A batch that loses records keeps its base offset and last offset; one that loses all is
// dropped, unless it is the last of a live producer, whose sequence numbers it holds (KIP-98), or the last of the log. A tombstone stays for delete.retention.ms after
// the first cleaning that came upon it, which notes that time in the batch (KIP-534). Records of aborted transactions go; the marker of a transaction goes
// delete.retention.ms after nothing else of the transaction is left, and an abort marker not before the index of aborted transactions has forgotten it: a reader that were
// told of the transaction and never saw its end would take what follows for aborted too.
//
// Nothing here is safe for several goroutines at a time.
//
//	offsetmap.go  the last offset of each key, in bounded memory
//	txns.go       which transactions of what is read were aborted, and what is left of them
//	build.go      filling the map
//	filter.go     the verdicts
package cleaner
