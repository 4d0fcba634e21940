// Package kproto reads and writes the bytes of the Kafka protocol that are worth doing by hand: request and response headers,
// Produce, Fetch, record batches and their codecs. Everything else goes through kmsg.
//
//	frame ──ParseHeader──► body ──ProduceRequest.Decode──► partitions ──CheckProduce──► Batch ──SetBaseOffset──► log
//	                        └─────FetchRequest.Decode────► partitions ─┐
//	frame ◄──AppendResponseHeader, FetchResponseWriter, AppendProduceResponse ◄───────── batches by reference
//
// Decoders work in place: names, records and client ids alias the frame and are valid as long as it is. They reuse the slices of
// the value they decode into, so that a request of the usual size allocates nothing; a value that was once used for a huge request
// gives that memory back. Lengths and counts are checked against the bytes that are left before anything is allocated, and what a
// request can make us allocate is a small multiple of its own size. Encoders append to the caller's slice.
//
// A Batch is the wire form of one record batch (magic 2). CheckProduce judges what a producer sent and patches or rewrites it where
// the contract asks for that; the base offset and the leader epoch lie outside the checksum and are set afterwards, in place.
// Decompression is bounded (see maxDecompressed).
//
// Bodies of all other requests go through CheckRequest before kmsg decodes them, because kmsg believes counts.
//
// Nothing here blocks, starts goroutines or keeps state beside pools of codecs and buffers. Values are not safe for concurrent
// use; functions are. The package imports nothing else of this module.
//
//	header.go       request and response headers            batch.go    Batch: accessors and setters
//	apikeys.go      keys, versions, first flexible version  check.go    CheckProduce
//	errorcode.go    error codes                             record.go   RecordIter: records of a batch
//	reader.go       bounded reading of primitives           rewrite.go  recompression, new inner offsets
//	append.go       writing of primitives                   builder.go  BatchBuilder
//	00_produce*.go  Produce                                 codec*.go   gzip, snappy, lz4 (xxh32.go), zstd, pools
//	01_fetch*.go    Fetch                                   checkrequest.go, requestschema.go  guard for bodies that go to kmsg
package kproto
