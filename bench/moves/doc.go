// Command moves measures what producers notice when partitions move between brokers.
//
//	go run ./bench/moves -binary bin/ringmq -moves-per-second 100 -for 30s
//	go run ./bench/moves -binary bin/ringmq -partitions 1000 -all
//	go run ./bench/moves -binary bin/ringmq -restart
//
// It starts a cluster of processes over one object store in a directory, produces verified records to all partitions of a topic at a fixed rate, and moves partitions
// meanwhile: some per second for a while, or all at once (-all, one request as kafka-reassign-partitions --execute sends it),
// or by stopping and starting brokers one after the other (-restart). It prints the longest
// times from a record's handing to the client to its acknowledgement, with and without moves, and how long the moves took; then every record is read back
// and compared: each acknowledged one is at its offset, once. Any violation, and any error that a producer sees, ends it with status 1.
package main
