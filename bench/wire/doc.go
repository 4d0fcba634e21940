// Package wire speaks Kafka's protocol over a plain socket, with as little client as possible: what it measures is the server.
//
//	Conn.Request   any request of kmsg, answered in turn: topics, metadata, fetches
//	Batch          a record batch of magic 2, built once or per request
//	ProduceFrame   a whole Produce request as bytes that can be sent again and again
//
// Nothing is retried and nothing is hidden: an error code of the server is an error. A Conn may be written by one goroutine and read by
// another; each half belongs to one goroutine at a time.
package wire
